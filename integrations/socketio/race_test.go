//go:build race

package socketio_test

// transports are what the tests connect over. A poll that the client cuts off is a data race of the
// Socket.IO library, so polling is tested without the detector. In version 3.0.2 onPollRequest sets
// the Cleanup of a context that is being closed.
var transports = []string{"websocket"}
