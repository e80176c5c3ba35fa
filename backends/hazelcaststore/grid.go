package hazelcaststore

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/hazelcast/hazelcast-go-client"
	"github.com/hazelcast/hazelcast-go-client/aggregate"
	"github.com/hazelcast/hazelcast-go-client/predicate"
	"github.com/hazelcast/hazelcast-go-client/types"
	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/hazelcaststore/internal/document"
)

// A grid is what the backend uses of a *hazelcast.Map.
type grid interface {
	Get(ctx context.Context, key any) (any, error)
	GetEntryView(ctx context.Context, key any) (*types.SimpleEntryView, error)
	PutIfAbsentWithTTL(ctx context.Context, key, value any, ttl time.Duration) (any, error)
	ReplaceIfSame(ctx context.Context, key, old, new any) (bool, error)
	RemoveIfSame(ctx context.Context, key, value any) (bool, error)
	SetWithTTL(ctx context.Context, key, value any, ttl time.Duration) error
	SetTTLAffected(ctx context.Context, key any, ttl time.Duration) (bool, error)
	NewLockContext(ctx context.Context) context.Context
	TryLockWithLeaseAndTimeout(ctx context.Context, key any, lease, timeout time.Duration) (bool, error)
	Unlock(ctx context.Context, key any) error
	AggregateWithPredicate(ctx context.Context, agg aggregate.Aggregator, pred predicate.Predicate) (any, error)
	GetKeySetWithPredicate(ctx context.Context, pred predicate.Predicate) ([]any, error)
}

var _ grid = (*hazelcast.Map)(nil)

// begin admits one more call or goroutine, for as long as the backend is open.
// The caller ends it with b.calls.Done.
func (b *Backend) begin() error {
	b.gate.RLock()
	defer b.gate.RUnlock()
	if b.closed.Load() {
		return store.ErrClosed
	}
	b.calls.Add(1)
	return nil
}

// A limit is a context that all calls share which begin within a while. A timer for each call would
// wake the thread that waits for the network. That takes as long as a tenth of a round trip on
// loopback.
type limit struct {
	current atomic.Pointer[limited]
}

type limited struct {
	ctx   context.Context
	until time.Time // of the while
}

// limitShare is the part of its length for which a limit is shared, so that a call may
// be given a little less.
const limitShare = 16

// context returns a context that ends with parent or after about d.
func (l *limit) context(parent context.Context, d time.Duration) context.Context {
	now := time.Now()
	if c := l.current.Load(); c != nil && now.Before(c.until) {
		return c.ctx
	}
	ctx, cancel := context.WithDeadline(parent, now.Add(d))
	context.AfterFunc(ctx, cancel) // it ends without help
	l.current.Store(&limited{ctx, now.Add(d / limitShare)})
	return ctx
}

// limited returns the context of one operation: it ends when the backend is closed or
// has waited long enough.
func (b *Backend) limited() context.Context { return b.limit.context(b.ctx, b.timeout) }

// firstAttempt is how long the first attempt of an operation may take. Each further one may take
// twice as long as the one before. The client loses track of requests when a connection breaks, and
// waits for their answers until its context ends.
const firstAttempt = 500 * time.Millisecond

// attempt returns the context of attempt number n (from 1) at an operation whose
// context is ctx. It ends no later than the backend's limit for the operation.
func (b *Backend) attempt(ctx context.Context, n int) context.Context {
	n = min(max(n, 1), len(b.attempts))
	d := firstAttempt << (n - 1)
	if end, ok := ctx.Deadline(); ok && time.Until(end) < d {
		return ctx
	}
	shared := b.attempts[n-1].context(b.ctx, d)
	if ctx.Value(locked{}) == nil {
		return shared
	}
	return within{shared, ctx}
}

// locked is the key of a value that a context has in which an entry is locked. The client looks for
// another one there, which says whose lock it is.
type locked struct{}

// within is an attempt's context with the values of its operation's, which holds a lock.
type within struct {
	context.Context
	operation context.Context
}

func (w within) Value(key any) any { return w.operation.Value(key) }

// await calls f and returns when it does or when ctx ends. The client sleeps between its own
// retries without looking at the context, for up to a second or two. Then f is left to finish that.
func await[T any](b *Backend, ctx context.Context, f func(context.Context) (T, error)) (T, error) {
	var none T
	if err := b.begin(); err != nil {
		return none, err
	}
	if ctx.Done() == nil {
		defer b.calls.Done()
		return f(b.limited())
	}
	inner, cancel := context.WithCancel(b.limited())
	type result struct {
		value T
		err   error
	}
	c := make(chan result, 1)
	go func() {
		defer b.calls.Done()
		defer cancel()
		v, err := f(inner)
		c <- result{v, err}
	}()
	select {
	case r := <-c:
		return r.value, r.err
	case <-ctx.Done():
		cancel()
		return none, ctx.Err()
	}
}

// read returns the document under key as the cluster has it, nil if there is
// none.
func (b *Backend) read(ctx context.Context, key string) ([]byte, error) {
	if !b.nearCache {
		return b.load(ctx, key)
	}
	return b.repeated(ctx, key, func(ctx context.Context) (any, error) {
		view, err := b.grid.GetEntryView(ctx, key) // never answered from a near cache
		if err != nil || view == nil {
			return nil, err
		}
		return view.Value, nil
	})
}

// load is read, except that a near cache may answer it.
func (b *Backend) load(ctx context.Context, key string) ([]byte, error) {
	return b.repeated(ctx, key, func(ctx context.Context) (any, error) { return b.grid.Get(ctx, key) })
}

// repeated reads, and again when an attempt was not answered in time or lost its
// connection.
func (b *Backend) repeated(ctx context.Context, key string, get func(context.Context) (any, error)) ([]byte, error) {
	for n := 1; ; n++ {
		v, err := get(b.attempt(ctx, n))
		if err == nil {
			b.succeeded()
			return bytesOf(v)
		}
		b.failed()
		if b.final(err) || b.closed.Load() || !b.running() || !pause(ctx, n, failurePause, failurePauseMost) {
			return nil, b.describe(key, err)
		}
	}
}

func bytesOf(v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case []byte:
		return v, nil
	}
	return nil, document.ErrMalformed
}

// pause waits before attempt number n (from 1) and reports false when ctx ended.
// The random part keeps two processes from failing in step.
func pause(ctx context.Context, n int, first, most time.Duration) bool {
	d := min(first<<min(n-1, 10), most)
	t := time.NewTimer(d/2 + rand.N(d/2+1))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
