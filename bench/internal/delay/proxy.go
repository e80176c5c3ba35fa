// Package delay puts a network between a client and a server on one machine.
package delay

import (
	"net"
	"sync"
	"time"
)

// A proxy forwards connections and delivers each byte some time after it came.
// It delays and does not throttle: any number of bytes may be on their way.
type proxy struct {
	listener net.Listener
	server   string
	oneWay   time.Duration

	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	closed bool
}

// listen starts a proxy to server that adds roundTrip, half of it each way.
func listen(server string, roundTrip time.Duration) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: l, server: server, oneWay: roundTrip / 2, conns: map[net.Conn]struct{}{}}
	go p.accept()
	return p, nil
}

// addr is where clients connect to.
func (p *proxy) addr() string { return p.listener.Addr().String() }

// close ends the proxy and its connections.
func (p *proxy) close() {
	p.listener.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for c := range p.conns {
		c.Close()
	}
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		go p.serve(client)
	}
}

func (p *proxy) serve(client net.Conn) {
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		client.Close()
		return
	}
	if !p.keep(client, server) {
		return
	}
	go p.carry(server, client)
	p.carry(client, server)
}

func (p *proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		if p.closed {
			c.Close()
		} else {
			p.conns[c] = struct{}{}
		}
	}
	return !p.closed
}

func (p *proxy) drop(c net.Conn) {
	c.Close()
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
}

// chunk is bytes and when they are due.
type chunk struct {
	data []byte
	due  time.Time
}

// carry moves bytes from one side to the other and closes both at the end.
func (p *proxy) carry(to, from net.Conn) {
	chunks := make(chan chunk, 1<<12)
	go func() {
		defer p.drop(to)
		for c := range chunks {
			sleepUntil(c.due)
			if _, err := to.Write(c.data); err != nil {
				from.Close()
				for range chunks { // the reader must not stay blocked
				}
				return
			}
		}
	}()
	defer close(chunks)
	defer p.drop(from)
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			chunks <- chunk{append([]byte(nil), buf[:n]...), time.Now().Add(p.oneWay)}
		}
		if err != nil {
			return
		}
	}
}
