package testserver

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// Ports come from below the range that systems hand out to outgoing connections, and so does the port of a cluster
// node's bus, busOffset higher.
const (
	firstPort = 12000
	lastPort  = 21999
	busOffset = 10000
	attempts  = 8
)

var ports = struct {
	sync.Mutex
	taken map[int]bool
}{taken: make(map[int]bool)}

// withPorts reserves n ports, calls start, and tries again with others when one of them turns out to be taken. The
// ports stay reserved, for servers that are killed and restarted, until release is called.
func withPorts(n int, start func(ports []int) error) (release func(), err error) {
	for range attempts {
		var reserved []int
		reserved, err = reserve(n)
		if err != nil {
			return nil, err
		}
		if err = start(reserved); err == nil {
			return func() { unreserve(reserved) }, nil
		}
		unreserve(reserved)
		if !errors.Is(err, errPortTaken) {
			return nil, err
		}
	}
	return nil, err
}

// reserve picks n ports that nobody listens on and that no other test process has reserved.
func reserve(n int) ([]int, error) {
	ports.Lock()
	defer ports.Unlock()
	var picked []int
	span := lastPort - firstPort + 1
	offset := rand.IntN(span)
	for i := range span {
		port := firstPort + (offset+i)%span
		if ports.taken[port] || !lockPort(port) {
			continue
		}
		if !free(port) || !free(port+busOffset) {
			unlockPort(port)
			continue
		}
		ports.taken[port] = true
		if picked = append(picked, port); len(picked) == n {
			return picked, nil
		}
	}
	for _, port := range picked {
		delete(ports.taken, port)
		unlockPort(port)
	}
	return nil, fmt.Errorf("no %d free ports between %d and %d on 127.0.0.1", n, firstPort, lastPort)
}

func unreserve(reserved []int) {
	ports.Lock()
	defer ports.Unlock()
	for _, port := range reserved {
		delete(ports.taken, port)
		unlockPort(port)
	}
}

func free(port int) bool {
	l, err := net.Listen("tcp4", loopback(port))
	if err != nil {
		return false
	}
	l.Close()
	return true
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
