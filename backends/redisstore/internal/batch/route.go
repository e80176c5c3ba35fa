package batch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// single executes cmd individually, and follows a cluster's redirections.
func (l *lane) single(ctx context.Context, cmd redis.Cmder) error {
	err := Process(ctx, l.node(), cmd)
	if l.b.redirected(err) {
		err = l.b.follow(ctx, cmd, err)
	}
	l.b.opts.learn(cmd, err)
	return inTime(ctx, err)
}

// inTime adds to err that the deadline of ctx has passed. The client reports a
// deadline that ends a read as a network timeout.
func inTime(ctx context.Context, err error) error {
	if err == nil || fromServer(err) {
		return err
	}
	if at, ok := ctx.Deadline(); ok && !time.Now().Before(at) && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
	}
	return err
}

// redirected reports whether err is a cluster node's answer that another node
// serves the key.
func (b *Batcher) redirected(err error) bool {
	return b.cluster != nil && Redirected(err)
}

// Redirected reports whether err is a redirection of a cluster. A node that
// redirects a command has executed nothing of it.
func Redirected(err error) bool {
	if err == nil {
		return false
	}
	_, moved := redis.IsMovedError(err)
	_, ask := redis.IsAskError(err)
	return moved || ask
}

// hops is how many redirections of one command are followed, as the client does.
const hops = 3

// follow sends cmd, which was redirected with err, to where it belongs. Every
// attempt is a command of its own, so the last error is that of the last attempt.
func (b *Batcher) follow(ctx context.Context, cmd redis.Cmder, err error) error {
	b.cluster.ReloadState(ctx)
	for range hops {
		var node *redis.Client
		addr, ask := redis.IsAskError(err)
		if !ask {
			addr, _ = redis.IsMovedError(err)
		}
		if l, ok := b.lanes.Load(addr); ok {
			node = l.(*lane).server.Load()
		}
		if node == nil {
			// A node that no command was sent to yet: the client can reach it.
			return Process(ctx, b.cluster, cmd)
		}
		if ask {
			Run(ctx, node, redis.NewStatusCmd(ctx, "asking"), cmd)
			err = cmd.Err()
		} else {
			err = Process(ctx, node, cmd)
		}
		if !Redirected(err) {
			return err
		}
	}
	return err
}

// followers is how many redirected commands of a batch are on their way at a time.
const followers = 8

// followAll finishes calls that were redirected, each individually.
func (b *Batcher) followAll(calls []*call) {
	if len(calls) == 0 {
		return
	}
	var (
		wg   sync.WaitGroup
		next atomic.Int64
	)
	for range min(followers, len(calls)) {
		wg.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(calls); i = next.Add(1) - 1 {
				c := calls[i]
				err := c.Cmder.Err()
				if c.state.Load() != left {
					err = inTime(c.ctx, b.follow(c.ctx, c.Cmder, err))
				}
				c.finish(err)
			}
		})
	}
	wg.Wait()
}

// laneFor returns the lane of the cluster node that serves cmd's key.
func (b *Batcher) laneFor(ctx context.Context, cmd redis.Cmder) (*lane, error) {
	key, _ := keyOf(cmd)
	node, err := b.nodes.Master(ctx, key)
	if err != nil {
		return nil, notSent(err)
	}
	addr := node.Options().Addr
	if l, ok := b.lanes.Load(addr); ok {
		l := l.(*lane)
		if l.server.Load() != node {
			l.server.Store(node)
		}
		return l, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, notSent(errClosed)
	}
	l, _ := b.lanes.LoadOrStore(addr, newLane(b, node))
	return l.(*lane), nil
}

// keyOf returns the key that decides which node of a cluster serves cmd. A
// wrong guess costs speed, not correctness: redirections are followed.
func keyOf(cmd redis.Cmder) (string, bool) {
	args, at := cmd.Args(), 1
	switch cmd.Name() {
	case "eval", "evalsha", "eval_ro", "evalsha_ro", "fcall", "fcall_ro":
		at = 3
	}
	if at >= len(args) {
		return "", false
	}
	key, ok := args[at].(string)
	return key, ok
}
