//go:build !race

package main

// transports are what the tests connect over.
var transports = []string{"websocket", "polling"}

// connections is how many TestManyConnections makes.
const connections = 10_000
