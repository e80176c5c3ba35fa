package hazelcaststore

import (
	"context"
	cryptorand "crypto/rand"
	"math/rand/v2"
	"strings"
	"sync/atomic"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/hazelcaststore/internal/document"
	"github.com/sessionkv/store/internal/keyspace"
)

// Create implements [store.Backend] in one round trip. A key that appears twice in
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

// A gate lies between a call that may be left by its caller and its writes. Either a write passes
// first, and its outcome is unknown to a caller who leaves. Or the caller leaves first, and no
// write is sent. A flag that says "written" is not enough: the write could follow the moment when
// the caller looked at it.
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

// begun wraps the life that begin finds or begins. It asks writes whether one was sent, so that its
// outcome is unknown when begin is not waited for.
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
	for {
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
		there, err := b.grid.PutIfAbsentWithTTL(b.attempt(ctx, 1), key, fresh.Bytes(), b.firstTTL(deadline))
		if err != nil {
			if b.final(err) {
				return nil, b.describe(key, err)
			}
			b.failed()
			return b.created(ctx, key, token, writer, err)
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
		if !alive {
			continue // what was there had expired, and is gone
		}
		if v.Token() == token { // the client repeated the call, and the reply to the first was lost
			return b.lifeOf(key, v, writer), nil
		}
		if _, ours := v.Wrote(writer); ours { // and others have resumed the session since
			return nil, unknown(errForgotten)
		}
		return nil, store.ErrExists
	}
}

// created looks whether the life with token has begun, after the call that should begin it came to
// lost. The call is never repeated. The life may have begun and ended meanwhile, and a second call
// would bring back a session that somebody has destroyed. (No other write has this trouble: each of
// them rests on bytes that never recur.)
func (b *Backend) created(ctx context.Context, key string, token document.Token, writer uint64, lost error) (*life, error) {
	doc, err := b.read(ctx, key)
	if err != nil {
		return nil, unknown(err)
	}
	if v, err := document.Open(doc); err == nil && v.Token() == token {
		return b.lifeOf(key, v, writer), nil
	}
	return nil, unknown(b.describe(key, lost)) // it may begin yet, or has ended
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
	s, err := b.begun(ctx, t, func(ctx context.Context, writes *gate) (*life, error) {
		return b.resume(ctx, entryKey(id), t, writes)
	})
	b.tellAll(keyspace.Escape(id), err)
	return s, err
}

func (b *Backend) resume(ctx context.Context, key string, t store.Terms, writes *gate) (*life, error) {
	writer := rand.Uint64()
	next, err := b.takeOver(ctx, key, t, writer, writes)
	if err != nil {
		return nil, err
	}
	if err := b.stretch(ctx, key, next); err != nil {
		b.keepStretching(key, next)
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
	rivals := contest{b: b, key: key}
	defer rivals.over()
	for {
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
		done, _, err := b.replace(ctx, key, before, next, writer)
		if err != nil {
			b.stretchUnknown(key, next, err)
			return none, err
		}
		if done {
			if l := b.lives.find(lifeName{key, before.Token()}); l != nil {
				l.endAs(store.ErrResumed)
			}
			b.tell(ctx, before)
			return next, nil
		}
		if !rivals.lose(&ctx, rivalPauseMost) {
			return none, b.describe(key, ctx.Err())
		}
		if doc, err = b.read(ctx, key); err != nil {
			return none, err
		}
	}
}
