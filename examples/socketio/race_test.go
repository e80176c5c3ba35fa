//go:build race

package main

// transports are what the tests connect over. A poll that the client cuts off is
// a data race of the Socket.IO library (version 3.0.2), so polling is tested without
// the detector.
var transports = []string{"websocket"}

// connections is how many TestManyConnections makes.
const connections = 1000
