package testserver

import (
	"net"
	"sync"
	"testing"
)

// Between listens in the place of the server at addr until the test ends, and returns where. For each
// client that connects it makes a connection to the server, and calls carry in a goroutine. In the
// end it closes all connections and waits for carry.
func Between(t testing.TB, addr string, carry func(client, server net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		over  bool       // guarded by mu
		conns []net.Conn // guarded by mu
	)
	end := func() {
		mu.Lock()
		defer mu.Unlock()
		over = true
		for _, c := range conns {
			c.Close()
		}
	}
	wg.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", addr)
			if err != nil {
				client.Close()
				continue
			}
			mu.Lock()
			conns = append(conns, client, server)
			late := over
			mu.Unlock()
			if late {
				end()
				return
			}
			wg.Go(func() { carry(client, server) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		end()
		wg.Wait()
	})
	return listener.Addr().String()
}
