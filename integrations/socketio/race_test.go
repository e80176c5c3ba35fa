//go:build race

package socketio_test

// transports are what the tests connect over. A poll that the client cuts off is
// a data race of the Socket.IO library (version 3.0.2: onPollRequest sets the Cleanup
// of a context that is being closed), so polling is tested without the detector.
var transports = []string{"websocket"}
