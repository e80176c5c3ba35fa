package redisstore_test

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sessionkv/store/internal/testserver"
)

// A proxy is between a client and a server and can lose one reply, or one request, at an exact
// point.
type proxy struct {
	addr string

	deaf     atomic.Bool  // drop notices of what has changed
	patience atomic.Int64 // bytes of replies to one request, after which its connection breaks; zero: any number

	mu       sync.Mutex
	marker   []byte // the request that is next to lose what trap says
	lose     trap
	trapped  func() // called before the connection breaks
	requests [][]byte
	held     chan struct{} // of late: closed by release
	tracking []net.Conn    // those on which the server says what has changed
}

type trap int

const (
	nothing trap = iota
	reply        // the server executes the request, but its reply is lost
	request      // the connection breaks before the server gets the request
	swallow      // the server never gets it and the connection stays, for every such request until disarmed
	late         // the reply, and what follows it, arrives only after release
)

func newProxy(t *testing.T, server string) *proxy {
	t.Helper()
	p := new(proxy)
	p.addr = testserver.Between(t, server, p.serve)
	return p
}

// arm makes the next request that contains marker lose what lose says.
func (p *proxy) arm(lose trap, marker string, trapped func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lose, p.marker, p.trapped, p.requests = lose, []byte(marker), trapped, nil
	p.held = make(chan struct{})
}

// release lets the replies pass that are late.
func (p *proxy) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held != nil {
		close(p.held)
		p.held = nil
	}
}

// sprung reports whether that has happened.
func (p *proxy) sprung() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lose == nothing
}

// deafen makes notices of what has changed get lost, or not any more.
func (p *proxy) deafen(on bool) { p.deaf.Store(on) }

// cut breaks the connections on which the server says what has changed.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.tracking {
		c.Close()
	}
	p.tracking = nil
}

// chunks returns how many writes of the client since arm contained marker: pipelines.
func (p *proxy) chunks(marker string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, r := range p.requests {
		if bytes.Contains(r, []byte(marker)) {
			n++
		}
	}
	return n
}

// count returns how many requests since arm contained marker.
func (p *proxy) count(marker string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, r := range p.requests {
		n += bytes.Count(r, []byte(marker))
	}
	return n
}

var pong = []byte("+PONG\r\n")

// serve carries one connection. The requests of these tests are small enough to
// arrive in one piece.
func (p *proxy) serve(client, upstream net.Conn) {
	defer client.Close()
	defer upstream.Close()
	var carried atomic.Int64 // bytes of replies since the last request
	var lost sync.Mutex      // held from the request whose reply is lost
	var slow atomic.Pointer[chan struct{}]
	go func() {
		defer client.Close()
		b := make([]byte, 64<<10)
		for {
			n, err := upstream.Read(b)
			if err != nil {
				return
			}
			if !lost.TryLock() {
				p.mu.Lock()
				trapped := p.trapped
				p.mu.Unlock()
				if trapped != nil {
					trapped()
				}
				return
			}
			lost.Unlock()
			if p.deaf.Load() && bytes.Contains(b[:n], []byte("invalidate")) {
				if !bytes.Contains(b[:n], pong) {
					continue
				}
				n = copy(b, pong)
			}
			if held := slow.Load(); held != nil {
				<-*held
			}
			if most := p.patience.Load(); carried.Add(int64(n)) > most && most > 0 {
				return
			}
			if _, err := client.Write(b[:n]); err != nil {
				return
			}
		}
	}()
	b := make([]byte, 1<<20)
	for {
		n, err := client.Read(b)
		if err != nil {
			return
		}
		switch p.look(b[:n]) {
		case request:
			return
		case reply:
			lost.Lock()
		case swallow:
			continue
		case late:
			p.mu.Lock()
			held := p.held
			p.mu.Unlock()
			slow.Store(&held)
		}
		carried.Store(0)
		if bytes.Contains(b[:n], []byte("tracking")) {
			p.mu.Lock()
			p.tracking = append(p.tracking, client)
			p.mu.Unlock()
		}
		if _, err := upstream.Write(b[:n]); err != nil {
			return
		}
	}
}

// look records a request and says what shall be lost.
func (p *proxy) look(r []byte) trap {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = append(p.requests, bytes.Clone(r))
	if p.lose == nothing || !bytes.Contains(r, p.marker) {
		return nothing
	}
	lose := p.lose
	if lose != swallow {
		p.lose = nothing
	}
	return lose
}
