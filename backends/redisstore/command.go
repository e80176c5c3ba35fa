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
	redis.Cmder // *redis.Cmd, or *redis.SliceCmd for what answers a list
	state       atomic.Int32
	retryable   bool   // go-redis may repeat it, and may answer it from its cache
	few         [8]any // room for the arguments of most commands
}

// States of a command.
const (
	fresh = iota
	sent
	withdrawn
)

// A form is what the commands of this package have in common.
type form int

const (
	hash form = iota // a command on a hash: its key comes first, and it answers a list
	eval             // a script with one key: it answers anything
)

// newCommand copies args.
func newCommand(ctx context.Context, f form, args []any) *command {
	c := new(command)
	own := append(c.few[:0], args...)
	switch f {
	case hash:
		c.Cmder = redis.NewSliceCmd(ctx, own...) // which costs less to read than a Cmd
		c.SetFirstKeyPos(1)
	case eval:
		c.Cmder = redis.NewCmd(ctx, own...)
		c.SetFirstKeyPos(3)
	}
	return c
}

// harmless is what a withdrawn command sends if a connection still gets it.
var harmless = []any{"ping"}

// Args returns the arguments and remembers that somebody has them.
func (c *command) Args() []any {
	if c.state.CompareAndSwap(fresh, sent) || c.state.Load() == sent {
		return c.Cmder.Args()
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
	return &command{Cmder: c.Cmder.Clone(), retryable: c.retryable}
}
