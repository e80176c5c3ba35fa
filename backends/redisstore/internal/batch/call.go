package batch

import (
	"context"
	"iter"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// The life of a call. The one who moves it on, its caller or the batch, owns
// what follows from it.
const (
	queued    int32 = iota // the caller may still withdraw it
	taken                  // in a batch: cmd belongs to that batch
	done                   // err and cmd belong to the caller again
	withdrawn              // the caller left first; never sent
	left                   // the caller left later; nobody waits for it
)

// A call is one command on its way through a batch.
type call struct {
	entry
	ctx   context.Context
	err   error
	bytes int // of the arguments
	reply int // bytes of the reply, as expected when the batch was made

	merged bool    // executed as part of a group
	group  []*call // that this one executes, nil for a call of its own

	state atomic.Int32
	ready chan struct{} // capacity 1: the batch never waits for the caller
}

var calls = sync.Pool{New: func() any { return &call{ready: make(chan struct{}, 1)} }}

func newCall(ctx context.Context, cmd redis.Cmder) *call {
	c := calls.Get().(*call)
	c.Cmder, c.ctx = cmd, ctx
	c.bytes = size(cmd)
	return c
}

// free returns c for reuse. Only the last one who refers to c may call it.
func (c *call) free() {
	c.entry, c.ctx, c.err, c.reply, c.merged, c.group = entry{}, nil, nil, 0, false, nil
	c.state.Store(queued)
	calls.Put(c)
}

// wait returns the outcome, or an error as soon as ctx ends.
func (c *call) wait(ctx context.Context, l *lane) error {
	if stop := ctx.Done(); stop == nil {
		<-c.ready
	} else {
		select {
		case <-c.ready:
		case <-stop:
			// From here on c belongs to the batch, unless that has finished.
			if l.withdraw(c) {
				return notSent(context.Cause(ctx))
			}
			if c.state.CompareAndSwap(taken, left) {
				return abandoned(context.Cause(ctx))
			}
			<-c.ready
		}
	}
	err := c.err
	c.free()
	return err
}

// finish hands the outcome to the caller, if there is still one.
func (c *call) finish(err error) {
	c.err = err
	if c.state.CompareAndSwap(taken, done) {
		c.ready <- struct{}{}
	} else {
		c.free()
	}
}

// size returns roughly the bytes that cmd takes on the wire.
func size(cmd redis.Cmder) int {
	n := 0
	for _, arg := range cmd.Args() {
		switch a := arg.(type) {
		case string:
			n += len(a)
		case []byte:
			n += len(a)
		case interface{ Len() int }:
			n += a.Len()
		}
		n += 8
	}
	return n
}

// Callers yields the contexts of those whose commands cmd executes: one, or several where they were merged. cmd is a command
// of a pipeline that a Batcher has made. Of other commands it yields none. It is for hooks of the client: the contexts are
// those of callers only until the pipeline has been executed.
func Callers(cmd redis.Cmder) iter.Seq[context.Context] {
	return func(yield func(context.Context) bool) {
		c, ok := cmd.(*call)
		switch {
		case !ok:
		case c.group == nil:
			yield(c.ctx)
		default:
			for _, of := range c.group {
				if !yield(of.ctx) {
					return
				}
			}
		}
	}
}
