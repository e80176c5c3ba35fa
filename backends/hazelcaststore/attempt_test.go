package hazelcaststore

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/testserver"
)

// A forgetful grid loses the first call of each kind, as the client does when a connection breaks.
// The call waits for its answer until its context ends.
type forgetful struct {
	grid

	mu   sync.Mutex
	lost map[string][]byte // by kind, what the call was to write
	same bool              // the next call wrote the same
}

// forgets reports whether the call is lost.
func (g *forgetful) forgets(ctx context.Context, kind string, key any, value []byte) bool {
	if k, _ := key.(string); k == "" || k[0] == ':' {
		return false // a probe, or an owner's record
	}
	g.mu.Lock()
	before, again := g.lost[kind]
	if again {
		g.same = g.same && bytes.Equal(before, value)
		g.mu.Unlock()
		return false
	}
	g.lost[kind] = value
	g.mu.Unlock()
	<-ctx.Done()
	return true
}

func (g *forgetful) Get(ctx context.Context, key any) (any, error) {
	if g.forgets(ctx, "Get", key, nil) {
		return nil, ctx.Err()
	}
	return g.grid.Get(ctx, key)
}

func (g *forgetful) ReplaceIfSame(ctx context.Context, key, old, new any) (bool, error) {
	if g.forgets(ctx, "ReplaceIfSame", key, new.([]byte)) {
		return false, ctx.Err()
	}
	return g.grid.ReplaceIfSame(ctx, key, old, new)
}

func (g *forgetful) RemoveIfSame(ctx context.Context, key, value any) (bool, error) {
	if g.forgets(ctx, "RemoveIfSame", key, nil) {
		return false, ctx.Err()
	}
	return g.grid.RemoveIfSame(ctx, key, value)
}

// A call that the client lost is made again long before the operation's time is over, with
// the same bytes.
func TestCallThatTheClientLost(t *testing.T) {
	r := newRig(t, testserver.SharedHazelcast(t), namespace())
	r.b.timeout = 10 * time.Minute // a test that waits it out fails
	ctx := t.Context()
	for _, tt := range []struct {
		name string
		call func(id string, s store.Store) error
	}{
		{"Get", func(_ string, s store.Store) error { _, err := s.Get(ctx, "k"); return err }},
		{"Set", func(_ string, s store.Store) error { return s.Set(ctx, "k", []byte("1")) }},
		{"Delete", func(_ string, s store.Store) error { return s.Delete(ctx, "k") }},
		{"Destroy", func(_ string, s store.Store) error { return s.Destroy(ctx) }},
		{"Suspend", func(_ string, s store.Store) error { return r.b.Suspend(ctx, s, time.Minute) }},
		{"Renew", func(_ string, s store.Store) error {
			return errors.Join(r.b.Renew(ctx, []store.Store{s}, 30*time.Minute)...)
		}},
		{"Attach", func(id string, _ store.Store) error { _, err := r.b.Attach(ctx, id, store.Terms{}); return err }},
		{"Resume", func(id string, _ store.Store) error {
			_, err := r.b.Resume(ctx, id, store.Terms{Lease: time.Minute})
			return err
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id, s := r.session(t)
			g := &forgetful{grid: r.faults.grid, lost: make(map[string][]byte), same: true}
			r.faults.grid = g
			defer func() { r.faults.grid = g.grid }()
			if err := tt.call(id, s); err != nil {
				t.Errorf("%s = %v, want no error", tt.name, err)
			}
			g.mu.Lock()
			defer g.mu.Unlock()
			if len(g.lost) == 0 || !g.same {
				t.Errorf("%s: %d calls were lost, repeated with the same bytes: %v; want some, true", tt.name, len(g.lost), g.same)
			}
		})
	}
}
