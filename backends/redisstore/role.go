package redisstore

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// ErrReplica is returned when the server of a client is a replica. A replica
// answers reads, with sessions that were destroyed elsewhere and values from before
// a write, so nothing is read from it.
var ErrReplica = errors.New("the server is a read-only replica; connect to the primary, through Sentinel or Cluster where it can move")

var errSentinel = errors.New("the server is a Sentinel and has no data; use redis.NewFailoverClient, or the URL redis+sentinel://host:26379/name-of-the-primary")

// RefuseReplica fails with [ErrReplica] when the server of a new connection is a
// replica. It is meant for the OnConnect of a client's options, so that a
// connection that reaches the old primary after a failover is not used:
//
//	client := redis.NewClient(&redis.Options{Addr: addr, OnConnect: redisstore.RefuseReplica})
//
// It does not fail where the server keeps its role to itself. It must not be used
// for the client of a Cluster, whose nodes redirect by themselves.
func RefuseReplica(ctx context.Context, conn *redis.Conn) error {
	if f, _ := askRole(ctx, conn, 0); f.role == replica {
		return ErrReplica
	}
	return nil
}

// Roles of a server.
const (
	primary  = "primary"
	replica  = "replica"
	sentinel = "sentinel"
)

// facts is what a server says about itself. What it keeps to itself is empty.
type facts struct {
	role      string
	cluster   bool // it is a node of a cluster
	dragonfly bool
}

// A doer is a client, or one connection of it.
type doer interface {
	Process(ctx context.Context, cmd redis.Cmder) error
}

// askRole asks by HELLO, which needs no right on Redis 7 and later and names the
// role, and by ROLE where that does not. protocol is that of the connection, zero
// for the client's default. The error is that of a connection that failed.
func askRole(ctx context.Context, c doer, protocol int) (f facts, err error) {
	if protocol == 0 {
		protocol = 3
	}
	hello := redis.NewMapStringInterfaceCmd(ctx, "hello", protocol)
	if err := c.Process(ctx, hello); err == nil {
		answer := hello.Val()
		_, f.dragonfly = answer["dragonfly_version"]
		f.cluster = answer["mode"] == "cluster"
		switch {
		case answer["mode"] == "sentinel":
			f.role = sentinel
		case answer["role"] == "master":
			f.role = primary
		case answer["role"] == "replica", answer["role"] == "slave":
			f.role = replica
		}
		if f.role != "" {
			return f, nil
		}
	} else if ctx.Err() != nil {
		return f, err
	}
	role := redis.NewSliceCmd(ctx, "role")
	if err := c.Process(ctx, role); err != nil {
		if _, refused := replyError(err); !refused {
			return f, err
		}
		return f, nil
	}
	if answer := role.Val(); len(answer) > 0 {
		switch answer[0] {
		case "master":
			f.role = primary
		case "slave", "replica":
			f.role = replica
		case "sentinel":
			f.role = sentinel
		}
	}
	return f, nil
}

const (
	roleTimeout = time.Second
	roleTries   = 3
)

// A gate lets operations through once the server is known to be no replica. It is
// closed again when the server refuses a write because it is one now.
//
//  1. The first operation asks, and others wait with it, no longer than
//     roleTimeout and their contexts.
//  2. A replica and a Sentinel are refused, and the next operation asks again.
//  3. A server that does not say is let through for good.
//  4. Where the asking fails, the operation goes on and meets the same failure or
//     none; after roleTries of them nobody asks any more: a proxy that breaks
//     connections at a command that it does not know would break each of ours.
//
// An operation costs one atomic load when the gate is open.
type gate struct {
	client *redis.Client
	open   atomic.Bool

	mu     sync.Mutex
	asking chan struct{} // closed when the answer is there; nil when nobody asks
	err    error         // of the last answer
	failed int
}

func (g *gate) pass(ctx context.Context) error {
	if g == nil || g.open.Load() {
		return nil
	}
	g.mu.Lock()
	asking := g.asking
	if asking == nil {
		asking = make(chan struct{})
		g.asking = asking
		go g.ask(asking)
	}
	g.mu.Unlock()
	select {
	case <-asking:
	case <-ctx.Done():
		return ctx.Err()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

// ask runs aside, because what it learns is for others, too.
func (g *gate) ask(done chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), roleTimeout)
	defer cancel()
	var f facts
	err := await(ctx, func() (err error) {
		f, err = askRole(ctx, g.client, g.client.Options().Protocol)
		return err
	})
	g.mu.Lock()
	defer g.mu.Unlock()
	g.err, g.asking = nil, nil
	switch {
	case errors.Is(err, ErrReplica) || err == nil && f.role == replica:
		g.err = &clientError{text: "redis: " + ErrReplica.Error(), cause: ErrReplica}
	case err == nil && f.role == sentinel:
		g.err = &clientError{text: "redis: " + errSentinel.Error(), cause: errSentinel}
	case err != nil:
		if g.failed++; g.failed >= roleTries {
			g.open.Store(true)
		}
	default:
		g.failed = 0
		g.open.Store(true)
	}
	close(done)
}

// close makes the next operation ask again.
func (g *gate) close() {
	if g != nil {
		g.open.Store(false)
	}
}
