package backends

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store/backends/redisstore"
)

// A guard keeps a client off a server that is no primary any more. After a
// failover behind a name or a load balancer, connections that are open still lead
// to the old primary, which answers reads: with sessions that were destroyed, and
// with values from before a Set.
//
//  1. Each connection remembers the generation in which it was dialled.
//  2. The first refusal that says READONLY begins a new generation.
//  3. The client's pool looks at a connection before it uses it. One of an older
//     generation calls itself broken then, and another is dialled, which looks the
//     name up again. What is under way on old connections is not cut.
//  4. A new connection asks for the role of its server, and is not used when that
//     is a replica.
//
// A process that only reads meets no refusal; its connections end with their age,
// conn_max_lifetime. A Cluster needs none of this: its nodes redirect.
type guard struct {
	generation atomic.Int64
	next       func(ctx context.Context, network, addr string) (net.Conn, error)
	cut        bool // end old connections at once: the pool cannot look at them
}

// errRetired is the state of a connection of an older generation.
var errRetired = errors.New("this connection leads to a server that is no primary any more")

const keepAlive = 15 * time.Second

// watch sets a client's options up for a guard. Its hook must be added to the
// client.
func watch(o *redis.UniversalOptions, cached bool) *guard {
	g := &guard{cut: cached && o.TLSConfig != nil}
	timeout := o.DialTimeout
	if timeout == 0 {
		timeout = 5 * time.Second
	}
	plain := &net.Dialer{Timeout: timeout, KeepAlive: keepAlive}
	g.next = plain.DialContext
	if o.TLSConfig != nil {
		secure := &tls.Dialer{NetDialer: plain, Config: o.TLSConfig}
		g.next = func(ctx context.Context, network, addr string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, timeout) // of the handshake, too
			defer cancel()
			return secure.DialContext(ctx, network, addr)
		}
	}
	o.Dialer = g.dial
	o.OnConnect = redisstore.RefuseReplica
	return g
}

func (g *guard) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	generation := g.generation.Load()
	conn, err := g.next(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	guarded := guardedConn{Conn: conn, guard: g, generation: generation}
	direct, ok := conn.(syscall.Conn)
	switch {
	case ok:
		return &directConn{guardedConn: guarded, direct: direct}, nil
	case g.cut:
		return &cutConn{guarded}, nil
	default:
		return &coveredConn{guarded}, nil
	}
}

// retire begins a new generation.
func (g *guard) retire() { g.generation.Add(1) }

// A guardedConn is a connection that knows its generation.
type guardedConn struct {
	net.Conn
	guard      *guard
	generation int64
}

func (c *guardedConn) retired() bool { return c.generation != c.guard.generation.Load() }

// NetConn returns the connection below.
func (c *guardedConn) NetConn() net.Conn { return c.Conn }

// A directConn is a socket. The pool looks at it by SyscallConn.
type directConn struct {
	guardedConn
	direct syscall.Conn
}

func (c *directConn) SyscallConn() (syscall.RawConn, error) {
	if c.retired() {
		return nil, errRetired
	}
	return c.direct.SyscallConn()
}

// A coveredConn is TLS over a socket. What waits on the socket says nothing then,
// so the pool is shown one on which nothing waits.
type coveredConn struct{ guardedConn }

func (c *coveredConn) SyscallConn() (syscall.RawConn, error) {
	if c.retired() {
		return nil, errRetired
	}
	return quiet{}, nil
}

// quiet is a socket on which nothing waits and that nobody can use.
type quiet struct{}

func (quiet) Control(func(uintptr)) error    { return errors.ErrUnsupported }
func (quiet) Read(func(uintptr) bool) error  { return nil }
func (quiet) Write(func(uintptr) bool) error { return errors.ErrUnsupported }

// A cutConn is TLS for a client with a cache, which must see what waits on the
// socket. The pool clears the deadlines of a connection before it uses it.
type cutConn struct{ guardedConn }

func (c *cutConn) SetDeadline(t time.Time) error {
	if c.retired() {
		c.Conn.Close()
		return errRetired
	}
	return c.Conn.SetDeadline(t)
}

// DialHook implements [redis.Hook].
func (g *guard) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements [redis.Hook].
func (g *guard) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if isReadOnly(err) {
			g.retire()
		}
		return err
	}
}

// ProcessPipelineHook implements [redis.Hook].
func (g *guard) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		if isReadOnly(err) {
			g.retire()
			return err
		}
		for _, cmd := range cmds {
			if isReadOnly(cmd.Err()) {
				g.retire()
				break
			}
		}
		return err
	}
}

// isReadOnly reports whether a server has refused a write because it is a
// replica. Redis 6 says so at the end of the error of a script.
func isReadOnly(err error) bool {
	if err == nil {
		return false
	}
	var reply redis.Error
	return errors.As(err, &reply) && strings.Contains(reply.Error(), "READONLY ")
}
