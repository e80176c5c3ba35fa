//go:build unix

package systemtest

import (
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// cutConnections ends some connections of this process to the given addresses on
// 127.0.0.1, each with the given probability, and returns how many. What was on its way
// to the server may arrive, and what was on its way back is lost. It serves where a client
// learns addresses from the servers, and so would go round a proxy.
func cutConnections(t testing.TB, addrs []string, chance *rand.Rand, probability float64) (cut int) {
	t.Helper()
	var ports []int
	for _, addr := range addrs {
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(port)
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, n)
	}
	files, err := os.ReadDir("/dev/fd")
	if err != nil {
		t.Skipf("the open files of this process cannot be listed: %v", err)
	}
	for _, f := range files {
		fd, err := strconv.Atoi(f.Name())
		if err != nil {
			continue
		}
		peer, err := syscall.Getpeername(fd)
		if err != nil {
			continue
		}
		port := 0
		switch peer := peer.(type) {
		case *syscall.SockaddrInet4:
			port = peer.Port
		case *syscall.SockaddrInet6:
			port = peer.Port
		}
		if slices.Contains(ports, port) && chance.Float64() < probability && syscall.Shutdown(fd, syscall.SHUT_RDWR) == nil {
			cut++
		}
	}
	return cut
}

// The cut must break what it is meant to break, and nothing else.
func TestCutConnections(t *testing.T) {
	dial := func() (addr string, client net.Conn) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		client, err = net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { client.Close() })
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { server.Close() })
		return l.Addr().String(), client
	}
	addr, cut := dial()
	_, kept := dial()
	if n := cutConnections(t, []string{addr}, newRand(t), 1); n != 1 {
		t.Errorf("cutConnections() = %d, want 1", n)
	}
	if _, err := cut.Read(make([]byte, 1)); err == nil {
		t.Error("the connection that was cut can be read from")
	}
	kept.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if _, err := kept.Read(make([]byte, 1)); !os.IsTimeout(err) {
		t.Errorf("Read() from the other connection = %v, want a timeout", err)
	}
}
