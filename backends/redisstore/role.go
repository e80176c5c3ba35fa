package redisstore

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/sessionkv/store/backends/internal/panics"
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
// for the client of a Cluster, whose nodes redirect.
//
// When the server did not answer, it fails as well. The answer may arrive later, and the client
// would take it for that of the next command, and so on.
//
// For a client whose options name protocol 2, use [RefuseReplicaOver].
func RefuseReplica(ctx context.Context, conn *redis.Conn) error { return refuseReplica(ctx, conn, 0) }

// RefuseReplicaOver is [RefuseReplica] for a client whose options have this Protocol. To
// ask is to choose the protocol again: RefuseReplica leaves connections with RESP3.
func RefuseReplicaOver(protocol int) func(context.Context, *redis.Conn) error {
	return func(ctx context.Context, conn *redis.Conn) error { return refuseReplica(ctx, conn, protocol) }
}

func refuseReplica(ctx context.Context, conn *redis.Conn, protocol int) error {
	if conn == nil {
		return errNoConn
	}
	role := ""
	err := panics.Guard(func() (err error) { role, err = askRole(ctx, conn, protocol); return err })
	switch {
	case err != nil:
		return err
	case role == replica:
		return ErrReplica
	default:
		return nil
	}
}

// Roles of a server.
const (
	primary  = "primary"
	replica  = "replica"
	sentinel = "sentinel"
)

// A doer is a client, or one connection of it.
type doer interface {
	Process(ctx context.Context, cmd redis.Cmder) error
}

// askRole asks by HELLO, which needs no right on Redis 7 and later and names the role, and by ROLE
// where that does not. Pass the protocol of the connection, or zero for the client's default. The
// role is empty where the server keeps it to itself. The error is that of a connection that failed.
// A client with a cache refuses HELLO itself; on a connection that has failed at HELLO, ROLE fails
// as well.
func askRole(ctx context.Context, c doer, protocol int) (string, error) {
	if answer, err := askHello(ctx, c, protocol); err == nil {
		switch {
		case answer["mode"] == "sentinel":
			return sentinel, nil
		case answer["role"] == "master":
			return primary, nil
		case answer["role"] == "replica", answer["role"] == "slave":
			return replica, nil
		}
	} else if ctx.Err() != nil {
		return "", err
	}
	cmd := redis.NewSliceCmd(ctx, "role")
	if err := c.Process(ctx, cmd); err != nil {
		if _, refused := replyError(err); !refused {
			return "", err
		}
		return "", nil
	}
	if answer := cmd.Val(); len(answer) > 0 {
		switch answer[0] {
		case "master":
			return primary, nil
		case "slave", "replica":
			return replica, nil
		case "sentinel":
			return sentinel, nil
		}
	}
	return "", nil
}

// askHello asks by HELLO with the protocol that the connection has: without it some
// servers go back to the older one.
func askHello(ctx context.Context, c doer, protocol int) (map[string]any, error) {
	if protocol == 0 {
		protocol = 3
	}
	hello := redis.NewMapStringInterfaceCmd(ctx, "hello", protocol)
	if err := c.Process(ctx, hello); err != nil {
		return nil, err
	}
	return hello.Val(), nil
}

// isDragonfly reports whether Dragonfly has given answer to HELLO. It calls its server "redis", as
// old clients require, and adds a version of its own.
func isDragonfly(answer map[string]any) bool {
	_, versioned := answer["dragonfly_version"]
	return versioned || answer["server"] == any("dragonfly")
}

const (
	roleTimeout = time.Second
	roleTries   = 3
)

// A gate lets operations through once the server is known not to be a replica. It is
// closed again when the server refuses a write because it is one now.
//
//  1. The first operation asks, and others wait with it, no longer than
//     roleTimeout and their contexts.
//  2. A replica and a Sentinel are refused, and the next operation asks again.
//  3. A server that does not say is let through for good.
//  4. Where the asking fails, the operation goes on and meets the same failure or
//     none; after roleTries of them nobody asks any more: a proxy that breaks
//     connections at an unknown command would break each of ours.
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
	roles := make(chan string, 1)
	err := await(ctx, func() error {
		role, err := askRole(ctx, g.client, g.client.Options().Protocol)
		roles <- role
		return err
	})
	role := ""
	if err == nil {
		role = <-roles
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.err, g.asking = nil, nil
	switch {
	case errors.Is(err, ErrReplica) || role == replica:
		g.err = &clientError{text: "redis: " + ErrReplica.Error(), cause: ErrReplica}
	case role == sentinel:
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
