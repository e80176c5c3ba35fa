package backends

import (
	"context"
	"errors"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store/backends/redisstore"
)

// A guard keeps a client off a server that is not a primary any more. After a failover behind a
// name or a load balancer, connections that are open still lead to the old primary, which answers
// reads. It has sessions that were destroyed, and values from before a Set.
//
//  1. Each connection remembers the generation in which it was dialled.
//  2. The first refusal that says READONLY begins a new generation.
//  3. The client sets a deadline before it writes. A connection of an older generation
//     refuses there, so nothing is sent, and the client drops it. What others wait for on
//     it is not cut.
//  4. The guard hands what was refused to the client again, at most once for each
//     connection of the pool. In the end a new one is dialled, which looks the name up.
//  5. A new connection asks for the role of its server, and is not used when that
//     is a replica.
//
// The pool's own look at a connection would not do: it sees no TLS connection, and does
// not exist on Windows.
//
// A process that only reads meets no refusal; its connections end with their age,
// conn_max_lifetime. A Cluster needs none of this: its nodes redirect.
type guard struct {
	*dialer
	generation  atomic.Int64
	connections int // at most, in the pool
}

// errRetired is the refusal of a connection of an older generation.
var errRetired = errors.New("this connection leads to a server that is no primary any more")

// watch sets a client's options up for a guard. Its hook must be added to the
// client.
func watch(o *redis.UniversalOptions) *guard {
	g := &guard{dialer: newDialer(o), connections: max(o.PoolSize, 10*runtime.GOMAXPROCS(0))}
	o.Dialer = g.dial
	o.OnConnect = redisstore.RefuseReplicaOver(o.Protocol)
	return g
}

func (g *guard) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	generation := g.generation.Load()
	conn, err := g.dialer.dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	guarded := guardedConn{Conn: conn, guard: g, generation: generation}
	if socket, ok := conn.(syscall.Conn); ok {
		return &guardedSocket{guarded, socket}, nil
	}
	return &guarded, nil
}

// retire begins a new generation.
func (g *guard) retire() { g.generation.Add(1) }

// again repeats send while it is refused by connections of older generations.
func (g *guard) again(ctx context.Context, send func() error) error {
	err := send()
	for range g.connections {
		if !errors.Is(err, errRetired) || ctx.Err() != nil {
			break
		}
		err = send()
	}
	return err
}

// A guardedConn is a connection with its generation.
type guardedConn struct {
	net.Conn
	guard      *guard
	generation int64
}

// SetWriteDeadline is what the client calls before it writes a command or a pipeline.
func (c *guardedConn) SetWriteDeadline(t time.Time) error {
	if c.generation != c.guard.generation.Load() {
		return errRetired
	}
	return c.Conn.SetWriteDeadline(t)
}

// NetConn returns the connection below.
func (c *guardedConn) NetConn() net.Conn { return c.Conn }

// A guardedSocket is a connection without TLS. The pool looks at it by SyscallConn.
type guardedSocket struct {
	guardedConn
	socket syscall.Conn
}

// SyscallConn returns the socket's.
func (c *guardedSocket) SyscallConn() (syscall.RawConn, error) { return c.socket.SyscallConn() }

// DialHook implements [redis.Hook].
func (g *guard) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements [redis.Hook].
func (g *guard) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := g.again(ctx, func() error { return next(ctx, cmd) })
		if isReadOnly(err) {
			g.retire()
		}
		return err
	}
}

// ProcessPipelineHook implements [redis.Hook].
func (g *guard) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := g.again(ctx, func() error { return next(ctx, cmds) })
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
