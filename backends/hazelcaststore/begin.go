package hazelcaststore

import (
	"context"
	cryptorand "crypto/rand"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/hazelcaststore/internal/document"
	"github.com/sessionkv/store/internal/keyspace"
)

// Create implements [store.Backend] in one round trip. A key that stands twice in
// initial gets the later value.
func (b *Backend) Create(ctx context.Context, id string, initial []store.Entry, t store.Terms) (store.Store, error) {
	if err := b.check(ctx, id); err != nil {
		return nil, err
	}
	if t.Lease <= 0 {
		return nil, errLease
	}
	values, err := copiedEntries(initial)
	if err != nil {
		return nil, err
	}
	if err := b.misconfiguration.Load(); err != nil {
		return nil, *err
	}
	return b.begun(ctx, t, func(ctx context.Context, writes *gate) (*life, error) {
		return b.create(ctx, entryKey(id), values, t, writes)
	})
}

// A gate stands between a call that may be left by its caller and its writes.
// Either a write passes first, and then its outcome is unknown to a caller who
// leaves, or the caller leaves first, and then no write is sent. A flag that says
// "written" is not enough: the write could follow the moment when the caller
// looked at it.
type gate struct{ state atomic.Int32 }

const (
	gatePassed = 1 + iota
	gateShut
)

// pass reports whether a write may be sent.
func (g *gate) pass() bool {
	return g.state.CompareAndSwap(0, gatePassed) || g.state.Load() == gatePassed
}

// shut reports whether no write was sent. None will be.
func (g *gate) shut() bool {
	return g.state.CompareAndSwap(0, gateShut) || g.state.Load() == gateShut
}

// begun wraps the life that begin finds or begins. writes tells whether one was
// sent, so that its outcome is unknown when begin is not waited for.
func (b *Backend) begun(ctx context.Context, t store.Terms, begin func(ctx context.Context, writes *gate) (*life, error)) (store.Store, error) {
	if err := b.keepTime(ctx); err != nil {
		return nil, err
	}
	var writes gate
	l, err := await(b, ctx, func(ctx context.Context) (*life, error) { return begin(ctx, &writes) })
	if err != nil {
		if err == ctx.Err() && !writes.shut() {
			err = unknown(err)
		}
		return nil, err
	}
	return &handle{life: l, maxKeys: t.MaxKeys}, nil
}

// entryKey returns the key of the session's entry in the map.
func entryKey(id string) string { return strings.Clone(keyspace.Escape(id)) }

func newToken() (t document.Token) {
	cryptorand.Read(t[:]) // never fails
	return t
}

func (b *Backend) create(ctx context.Context, key string, initial []store.Entry, t store.Terms, writes *gate) (*life, error) {
	writer := rand.Uint64()
	var tried []document.Token // each attempt begins a life of its own
	var failure error          // of the attempt before
	for n := 1; ; n++ {
		deadline := b.deadline(t.Lease)
		token := newToken()
		draft := document.New(token, deadline)
		for _, e := range initial {
			if e.Value != nil {
				draft.Put(e.Key, e.Value)
			}
		}
		if t.MaxKeys > 0 && draft.Len() > t.MaxKeys {
			return nil, store.ErrTooManyKeys
		}
		if b.documentSize > 0 && draft.Size() > b.documentSize {
			return nil, &sizeError{b.documentSize}
		}
		fresh := draft.Encode(writer)
		if !writes.pass() {
			return nil, context.Canceled // nobody waits
		}
		there, err := b.grid.PutIfAbsentWithTTL(b.attempt(ctx, n), key, fresh.Bytes(), b.firstTTL(deadline))
		if err != nil {
			if failure == nil && b.final(err) {
				return nil, b.describe(key, err)
			}
			failure = err
			b.failed()
			tried = append(tried, token)
			if b.closed.Load() || !b.running() || !pause(ctx, n, failurePause, failurePauseMost) {
				return nil, unknown(b.describe(key, err))
			}
			continue
		}
		doc, err := bytesOf(there)
		if err != nil {
			return nil, err
		}
		if doc == nil {
			return b.lifeOf(key, fresh, writer), nil
		}
		v, alive, err := b.living(ctx, key, doc)
		if err != nil {
			return nil, err
		}
		ours := false // the client repeated an attempt by itself
		if alive {
			_, ours = v.Wrote(writer)
		}
		switch {
		case alive && (v.Token() == token || slices.Contains(tried, v.Token())):
			return b.lifeOf(key, v, writer), nil // the reply to an attempt was lost
		case alive && (failure != nil || ours):
			// An attempt may have begun a life that others have resumed since, or
			// that ended before what stands there began.
			return nil, unknown(errForgotten)
		case alive:
			return nil, store.ErrExists
		}
		// What stood there had expired, and is gone.
	}
}

// Attach implements [store.Backend] in one round trip.
func (b *Backend) Attach(ctx context.Context, id string, t store.Terms) (store.Store, error) {
	if err := b.check(ctx, id); err != nil {
		return nil, err
	}
	return b.begun(ctx, t, func(ctx context.Context, _ *gate) (*life, error) {
		key := entryKey(id)
		doc, err := b.read(ctx, key)
		if err != nil {
			return nil, err
		}
		v, alive, err := b.living(ctx, key, doc)
		if err != nil {
			return nil, err
		}
		if !alive {
			return nil, store.ErrNoSession
		}
		return b.life(key, v), nil
	})
}

// Resume implements [store.Backend] in two round trips.
func (b *Backend) Resume(ctx context.Context, id string, t store.Terms) (store.Store, error) {
	if err := b.check(ctx, id); err != nil {
		return nil, err
	}
	if t.Lease <= 0 {
		return nil, errLease
	}
	return b.begun(ctx, t, func(ctx context.Context, writes *gate) (*life, error) {
		return b.resume(ctx, entryKey(id), t, writes)
	})
}

func (b *Backend) resume(ctx context.Context, key string, t store.Terms, writes *gate) (*life, error) {
	writer := rand.Uint64()
	next, err := b.takeOver(ctx, key, t, writer, writes)
	if err != nil {
		return nil, err
	}
	if err := b.stretch(ctx, key, next); err != nil {
		return nil, unknown(err)
	}
	return b.lifeOf(key, next, writer), nil
}

// takeOver gives the session under key a new life, and ends the one before if it
// is known here.
func (b *Backend) takeOver(ctx context.Context, key string, t store.Terms, writer uint64, writes *gate) (document.View, error) {
	none := document.View{}
	token := newToken()
	doc, err := b.read(ctx, key)
	if err != nil {
		return none, err
	}
	for n := 1; ; n++ {
		before, alive, err := b.living(ctx, key, doc)
		if err != nil {
			return none, err
		}
		if !alive {
			return none, store.ErrNoSession
		}
		draft := before.Draft()
		draft.SetToken(token)
		draft.SetOwner(0)
		draft.SetDeadline(b.deadline(t.Lease))
		next := draft.Encode(writer)
		if !writes.pass() {
			return none, context.Canceled // nobody waits
		}
		done, current, err := b.replace(ctx, key, before, next, writer)
		if err != nil {
			return none, err
		}
		if done {
			if l := b.lives.find(lifeName{key, before.Token()}); l != nil {
				l.end()
			}
			b.tell(ctx, before)
			return next, nil
		}
		doc = current
		if n == patience {
			var unlock func()
			ctx, unlock = b.lock(ctx, key)
			defer unlock()
			if doc, err = b.read(ctx, key); err != nil {
				return none, err
			}
		} else if n > patience && !pause(ctx, n-patience, rivalPause, rivalPauseMost) {
			return none, b.describe(key, ctx.Err())
		}
	}
}
