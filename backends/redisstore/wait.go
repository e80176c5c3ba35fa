package redisstore

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/sessionkv/store"
)

// A waiter executes each write together with WAIT in one pipeline, on one
// connection of the primary that serves the session.
type waiter struct {
	client   redis.UniversalClient
	replicas int
	timeout  time.Duration
}

func (w *waiter) Process(ctx context.Context, cmd redis.Cmder) error {
	return await(ctx, func() error {
		node, err := w.primary(ctx, cmd)
		if err != nil {
			cmd.SetErr(err)
			return err
		}
		pipe := node.Pipeline()
		_ = pipe.Process(ctx, cmd)
		confirmed := redis.NewIntCmd(ctx, "wait", w.replicas, millis(w.timeout))
		_ = pipe.Process(ctx, confirmed)
		_, _ = pipe.Exec(ctx)
		if err := cmd.Err(); err != nil {
			return err
		}
		if refused(cmd) {
			return nil // nothing was written, so there is nothing to confirm
		}
		if err := confirmed.Err(); err != nil {
			return &unconfirmedError{want: w.replicas, err: err}
		}
		if n := confirmed.Val(); n < int64(w.replicas) {
			return &unconfirmedError{want: w.replicas, got: n}
		}
		return nil
	})
}

// refused reports whether the script of cmd answered that it wrote nothing.
func refused(cmd redis.Cmder) bool {
	c, ok := cmd.(*command)
	if !ok {
		return false
	}
	reply, ok := c.Cmder.(*redis.Cmd)
	return ok && reply.Val() != int64(answerDone)
}

// primary returns the node that serves the session of cmd, a script, whose
// fourth argument is its name. A cluster's client would send WAIT to any node.
func (w *waiter) primary(ctx context.Context, cmd redis.Cmder) (*redis.Client, error) {
	switch c := w.client.(type) {
	case *redis.ClusterClient:
		name, _ := cmd.(*command).Cmder.Args()[3].(string)
		return c.MasterForKey(ctx, name)
	default:
		return c.(*redis.Client), nil
	}
}

// unconfirmedError is a write that stands on the primary only, as far as known.
type unconfirmedError struct {
	want int
	got  int64
	err  error // of WAIT itself, if it failed
}

func (e *unconfirmedError) Error() string {
	if e.err != nil {
		return store.ErrUnknownOutcome.Error() + ": the primary has it, but WAIT failed: " + describe(e.err)
	}
	return fmt.Sprintf("%v: the primary has it, but %d of %d replicas confirmed it in time", store.ErrUnknownOutcome, e.got, e.want)
}

func (e *unconfirmedError) Unwrap() []error {
	if e.err != nil {
		return []error{store.ErrUnknownOutcome, e.err}
	}
	return []error{store.ErrUnknownOutcome}
}
