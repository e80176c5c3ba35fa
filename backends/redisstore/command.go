package redisstore

import (
	"context"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// A command is a command that go-redis sends at most once, and that knows
// whether it was sent.
//
// go-redis repeats a command whose reply was lost. For a write that is a second
// execution, and it would turn "stored" into "refused" for a conditional one,
// so a command says NoRetry and run decides what may be repeated. The client
// asks for the arguments when it writes them to a connection and at no other
// time that matters: a command that was never asked was never sent.
type command struct {
	*redis.Cmd
	state     atomic.Int32
	retryable bool // go-redis may repeat it, and may answer it from its cache
}

// States of a command.
const (
	fresh = iota
	sent
	withdrawn
)

func newCommand(ctx context.Context, args []any, keyPos int8) *command {
	c := &command{Cmd: redis.NewCmd(ctx, args...)}
	c.SetFirstKeyPos(keyPos)
	return c
}

// harmless is what a withdrawn command sends if a connection still gets it.
var harmless = []any{"ping"}

// Args returns the arguments and remembers that somebody has them.
func (c *command) Args() []any {
	if c.state.CompareAndSwap(fresh, sent) || c.state.Load() == sent {
		return c.Cmd.Args()
	}
	return harmless
}

// withdraw reports whether the command was never sent, and makes sure of it.
func (c *command) withdraw() bool {
	return c.state.CompareAndSwap(fresh, withdrawn) || c.state.Load() == withdrawn
}

// NoRetry keeps go-redis from repeating the command.
func (c *command) NoRetry() bool { return !c.retryable }

// Clone keeps the copy from being repeated as well.
func (c *command) Clone() redis.Cmder {
	return &command{Cmd: c.Cmd.Clone().(*redis.Cmd), retryable: c.retryable}
}
