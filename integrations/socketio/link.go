package socketio

import (
	"io"

	"github.com/zishang520/socket.io/parsers/engine/v3/packet"
	"github.com/zishang520/socket.io/servers/engine/v3"
)

// A link is one Engine.IO connection, which carries the sockets of a client, one
// for each namespace. It is watched for two things that a socket does not tell:
//
//   - The connection closes before the socket was ever connected, because a later
//     middleware refused it or the client went away.
//   - The client leaves a namespace on purpose and closes the connection at once.
//     The library carries out both beside each other, so that the socket often
//     hears of a lost connection only. Packets are read one after the other,
//     before the close.
type link struct {
	adapter *Adapter
	conns   map[string]*conn // by namespace; guarded by Adapter.mu
}

// watch begins to watch the connection of c.
func (a *Adapter) watch(c *conn) {
	connection := c.socket.Conn()
	a.mu.Lock()
	l := a.links[connection]
	fresh := l == nil
	if fresh {
		l = &link{adapter: a, conns: make(map[string]*conn)}
		a.links[connection] = l
	}
	l.conns[c.socket.Nsp().Name()] = c
	a.mu.Unlock()
	if fresh {
		_ = connection.On("packet", l.packet)
		_ = connection.Once("close", func(...any) { l.closed(connection) })
	}
	if connection.ReadyState() == "closed" { // before Once
		l.closed(connection)
	}
}

// unwatch undoes watch.
func (a *Adapter) unwatch(c *conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if l := a.links[c.socket.Conn()]; l != nil && l.conns[c.socket.Nsp().Name()] == c {
		delete(l.conns, c.socket.Nsp().Name())
	}
}

// closed ends all sockets of the connection.
func (l *link) closed(connection engine.Socket) {
	a := l.adapter
	a.mu.Lock()
	if a.links[connection] == l {
		delete(a.links, connection)
	}
	conns := make([]*conn, 0, len(l.conns))
	for _, c := range l.conns {
		conns = append(conns, c)
	}
	a.mu.Unlock()
	for _, c := range conns {
		c.leave(false)
	}
}

// packet notes that the client leaves a namespace.
func (l *link) packet(args ...any) {
	if len(args) == 0 {
		return
	}
	p, ok := args[0].(*packet.Packet)
	if !ok || p.Type != packet.MESSAGE {
		return
	}
	nsp, ok := leftNamespace(p.Data)
	if !ok {
		return
	}
	a := l.adapter
	a.mu.Lock()
	c := l.conns[nsp]
	a.mu.Unlock()
	if c != nil {
		c.sayGoodbye()
	}
}

// maxNamespace bounds the name of a namespace in a packet that is looked at.
const maxNamespace = 512

// leftNamespace returns the namespace of a packet DISCONNECT, which reads "1" or
// "1/name,". It leaves data as it is.
func leftNamespace(data io.Reader) (nsp string, ok bool) {
	buffer, ok := data.(interface {
		Bytes() []byte
		Len() int
	})
	if !ok || buffer.Len() == 0 || buffer.Len() > maxNamespace {
		return "", false
	}
	text := buffer.Bytes()
	switch {
	case text[0] != '1':
		return "", false
	case len(text) == 1:
		return "/", true
	case text[1] == '/' && text[len(text)-1] == ',':
		return string(text[1 : len(text)-1]), true
	}
	return "", false
}
