package redisstore

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore/internal/batch"
)

// A waiter executes each write together with WAIT in one pipeline, on one
// connection of the primary that serves the session.
type waiter struct {
	client   redis.UniversalClient
	nodes    *batch.Nodes // of a cluster
	replicas int
	timeout  time.Duration
}

func (w *waiter) Process(ctx context.Context, cmd redis.Cmder) error {
	c := cmd.(*command)
	return await(ctx, func() error {
		// On the session's own node: a cluster's client would send WAIT to any.
		node, err := nodeOf(ctx, w.client, w.nodes, c.Args()[3])
		if err != nil {
			return err
		}
		confirmed := w.wait(ctx)
		batch.Run(ctx, node, c, confirmed)
		if _, cluster := w.client.(*redis.ClusterClient); cluster && batch.Redirected(c.Err()) {
			confirmed = w.follow(ctx, c, confirmed)
		}
		if err := c.Err(); err != nil {
			return err
		}
		if !c.wrote() {
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

func (w *waiter) wait(ctx context.Context) *redis.IntCmd {
	return redis.NewIntCmd(ctx, "wait", w.replicas, millis(w.timeout))
}

// follow sends c, which was redirected, to the primary that it was redirected to,
// and returns what that says to WAIT. Where the client has not found that primary
// yet, c keeps the redirection, and is worth another attempt.
func (w *waiter) follow(ctx context.Context, c *command, confirmed *redis.IntCmd) *redis.IntCmd {
	const hops = 3
	for range hops {
		var cmds []redis.Cmder
		addr, ask := redis.IsAskError(c.Err())
		if ask {
			cmds = append(cmds, redis.NewStatusCmd(ctx, "asking"))
		} else {
			addr, _ = redis.IsMovedError(c.Err())
		}
		found := make(chan *redis.Client, 1)
		_ = w.client.(*redis.ClusterClient).ForEachMaster(ctx, func(_ context.Context, node *redis.Client) error {
			if node.Options().Addr == addr {
				select {
				case found <- node:
				default:
				}
			}
			return nil
		})
		select {
		case node := <-found:
			confirmed = w.wait(ctx)
			batch.Run(ctx, node, append(cmds, c, confirmed)...)
		default:
			return confirmed
		}
		if !batch.Redirected(c.Err()) {
			break
		}
	}
	return confirmed
}

// wrote reports whether the script of c says that it wrote something.
func (c *command) wrote() bool {
	return c.answer() == answerDone || c.script == confirmedTraceScript
}

// unconfirmedError is a write that is on the primary only, as far as known.
type unconfirmedError struct {
	want int
	got  int64
	err  error // of WAIT itself, if it failed
}

func (e *unconfirmedError) Error() string {
	const has = ": the primary has it, but "
	switch _, refused := replyError(e.err); {
	case e.err == nil:
		return fmt.Sprintf("%v%s%d of %d replicas confirmed it in time", store.ErrUnknownOutcome, has, e.got, e.want)
	case refused:
		return store.ErrUnknownOutcome.Error() + has + "the server refused WAIT: " + describe(e.err)
	default:
		return store.ErrUnknownOutcome.Error() + has + "its answer to WAIT was not read, so no replica is known to have it"
	}
}

func (e *unconfirmedError) GoString() string { return e.Error() }

func (e *unconfirmedError) Unwrap() []error {
	if e.err != nil {
		return []error{store.ErrUnknownOutcome, e.err}
	}
	return []error{store.ErrUnknownOutcome}
}
