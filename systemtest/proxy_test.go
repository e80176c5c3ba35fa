package systemtest

import (
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sessionkv/store/internal/testserver"
)

// A proxy is between clients and one server and breaks connections.
type proxy struct {
	addr   string
	losses atomic.Int64 // how many connections it has broken

	mu     sync.Mutex
	chance *rand.Rand            // guarded by mu
	loss   float64               // guarded by mu; how likely a request loses its reply
	conns  map[net.Conn]struct{} // guarded by mu; both sides
}

func newProxy(t *testing.T, server string, chance *rand.Rand) *proxy {
	t.Helper()
	p := &proxy{conns: make(map[net.Conn]struct{}), chance: rand.New(rand.NewPCG(chance.Uint64(), 0))}
	p.addr = testserver.Between(t, server, p.serve)
	return p
}

// cut resets all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		reset(c)
		p.losses.Add(1)
	}
	clear(p.conns)
}

// lose makes requests lose their replies, each with this probability: the server
// executes them, and their connection breaks.
func (p *proxy) lose(probability float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.loss = probability
}

func (p *proxy) loses() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.chance.Float64() < p.loss
}

func (p *proxy) serve(client, server net.Conn) {
	p.mu.Lock()
	p.conns[client], p.conns[server] = struct{}{}, struct{}{}
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, client)
		delete(p.conns, server)
	}()
	var doomed atomic.Bool // a request has passed whose reply shall not
	var wg sync.WaitGroup
	wg.Go(func() {
		defer reset(client)
		defer reset(server)
		b := make([]byte, 64<<10)
		for {
			n, err := server.Read(b)
			if err != nil {
				return
			}
			if doomed.Load() {
				p.losses.Add(1)
				return
			}
			if _, err := client.Write(b[:n]); err != nil {
				return
			}
		}
	})
	b := make([]byte, 64<<10)
	for {
		n, err := client.Read(b)
		if err != nil {
			break
		}
		if p.loses() {
			doomed.Store(true)
		}
		if _, err := server.Write(b[:n]); err != nil {
			break
		}
	}
	reset(client)
	reset(server)
	wg.Wait()
}

// reset closes c so that the other side gets an error at once.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.Close()
}
