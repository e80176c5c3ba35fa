// Package drive makes load: it sets sessions up, runs plans of operations on them and measures.
package drive

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/bench/internal/system"
	"github.com/sessionkv/store/internal/heap"
)

// A Target is a system with sessions in it, ready for load.
type Target[T any] struct {
	Spec system.Spec

	// BytesPerSession is what the process's heap grew by, and ServerBytesPerSession what the server said that it
	// grew by; zero where that cannot be known.
	BytesPerSession, ServerBytesPerSession float64

	Created time.Duration // how long it took to create the sessions

	sys      system.System[T]
	keys     []string
	pool     []T
	initial  int
	sessions []atomic.Pointer[system.Session[T]]
	count    atomic.Int64
}

// roomForInserts is how many sessions a target can get by inserts.
const roomForInserts = 1 << 16

// workers is how many create and remove sessions at once, so that clients can merge what they do.
func (t *Target[T]) workers() int {
	if t.Spec.Server() {
		return 128
	}
	return 1
}

// Open opens the system and creates its sessions. When ctx ends or something fails, it removes what it made.
func Open[T any](ctx context.Context, spec system.Spec, sessions, keys int, pool []T) (*Target[T], error) {
	t := &Target[T]{Spec: spec, pool: pool, initial: sessions, keys: make([]string, keys)}
	for i := range t.keys {
		t.keys[i] = fmt.Sprintf("key%03d", i)
	}
	sys, err := system.Open[T](ctx, spec)
	if err != nil {
		return nil, err
	}
	t.sys = sys
	meter := NewServerMeter(spec.URL)
	defer meter.Close()
	memory, server := heap.Live(), meter.Bytes(ctx)
	t.sessions = make([]atomic.Pointer[system.Session[T]], sessions+roomForInserts)
	// The list and the interfaces that it points to are the tool's own.
	memory += uint64(8*len(t.sessions) + 16*sessions)
	begin := time.Now()
	if err := Each(ctx, sessions, t.workers(), func(int) error { return t.insert(context.WithoutCancel(ctx)) }); err != nil {
		t.Close(context.WithoutCancel(ctx))
		return nil, fmt.Errorf("%s: cannot create %d sessions: %w", spec, sessions, err)
	}
	t.Created = time.Since(begin)
	if after := heap.Live(); after > memory {
		t.BytesPerSession = float64(after-memory) / float64(sessions)
	}
	if after := meter.Bytes(ctx); after > server && server > 0 {
		t.ServerBytesPerSession = (after - server) / float64(sessions)
	}
	return t, nil
}

// insert creates one more session. When there is no room for it, it does nothing.
func (t *Target[T]) insert(ctx context.Context) error {
	n := int(t.count.Load())
	if n >= len(t.sessions) {
		return nil
	}
	s, err := t.create(ctx, n)
	if err != nil {
		return err
	}
	slot := int(t.count.Add(1)) - 1
	if slot >= len(t.sessions) {
		t.count.Store(int64(len(t.sessions)))
		return s.Destroy(ctx)
	}
	t.sessions[slot].Store(&s)
	return nil
}

func (t *Target[T]) create(ctx context.Context, n int) (system.Session[T], error) {
	values := make([]T, len(t.keys))
	for i := range values {
		values[i] = t.pool[(n+i)%len(t.pool)]
	}
	return t.sys.Create(ctx, store.NewID(), t.keys, values)
}

// Each calls do for 0 to n-1 from several goroutines until one fails or ctx ends.
func Each(ctx context.Context, n, workers int, do func(int) error) error {
	var next atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range min(workers, n) {
		g.Go(func() error {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := do(i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// Close removes every session that was made and closes the system.
func (t *Target[T]) Close(ctx context.Context) error {
	n := int(min(t.count.Load(), int64(len(t.sessions))))
	var err error
	if t.Spec.Server() && t.Spec.Name != "store" { // closing the store destroys its sessions
		err = Each(ctx, n, t.workers(), func(i int) error {
			if s := t.sessions[i].Load(); s != nil {
				return (*s).Destroy(ctx)
			}
			return nil
		})
	}
	return errors.Join(err, t.sys.Close(ctx))
}
