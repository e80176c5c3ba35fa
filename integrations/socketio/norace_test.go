//go:build !race

package socketio_test

// transports are what the tests connect over.
var transports = []string{"websocket", "polling"}
