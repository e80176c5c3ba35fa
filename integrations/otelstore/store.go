package otelstore

import (
	"context"
	"log/slog"
	"time"

	"github.com/sessionkv/store"
)

// An observedStore records the operations of the Store beneath, and has all its abilities.
type observedStore struct {
	inner    store.Store
	observer *observer
}

// Get records the one operation of which a backend in memory does many million a second, so it
// makes no closure.
func (s *observedStore) Get(ctx context.Context, key string) ([]byte, error) {
	if !s.observer.records(ctx) {
		return s.inner.Get(ctx, key)
	}
	c := s.observer.begin(ctx, opGet, 0)
	value, err := s.inner.Get(c.ctx, key)
	c.end(outcomeOf(err))
	return value, err
}

// A currentGetter is a Store whose Get may answer from a cache.
type currentGetter interface {
	GetCurrent(ctx context.Context, key string) ([]byte, error)
}

// GetCurrent is Get that asks the server.
func (s *observedStore) GetCurrent(ctx context.Context, key string) ([]byte, error) {
	current, ok := s.inner.(currentGetter)
	if !ok {
		return s.Get(ctx, key)
	}
	var value []byte
	err := s.observer.observe(ctx, opGet, func(ctx context.Context) (err error) {
		value, err = current.GetCurrent(ctx, key)
		return err
	})
	return value, err
}

func (s *observedStore) Set(ctx context.Context, key string, value []byte) error {
	if !s.observer.records(ctx) {
		return s.inner.Set(ctx, key, value)
	}
	c := s.observer.begin(ctx, opSet, 0)
	err := s.inner.Set(c.ctx, key, value)
	c.end(outcomeOf(err))
	return err
}

func (s *observedStore) Has(ctx context.Context, key string) (bool, error) {
	if !s.observer.records(ctx) {
		return s.inner.Has(ctx, key)
	}
	c := s.observer.begin(ctx, opHas, 0)
	has, err := s.inner.Has(c.ctx, key)
	c.end(outcomeOf(err))
	return has, err
}

func (s *observedStore) Delete(ctx context.Context, key string) error {
	return s.observer.observe(ctx, opDelete, func(ctx context.Context) error { return s.inner.Delete(ctx, key) })
}

func (s *observedStore) Destroy(ctx context.Context) error {
	return s.observer.observe(ctx, opDestroy, s.inner.Destroy)
}

func (s *observedStore) GetMany(ctx context.Context, keys []string) ([][]byte, error) {
	if !s.observer.records(ctx) {
		return store.GetMany(ctx, s.inner, keys)
	}
	c := s.observer.begin(ctx, opGetMany, len(keys))
	values, err := store.GetMany(c.ctx, s.inner, keys)
	c.end(outcomeOf(err))
	return values, err
}

func (s *observedStore) Commit(ctx context.Context, expect, write []store.Entry) ([][]byte, error) {
	if !s.observer.records(ctx) {
		return store.Commit(ctx, s.inner, expect, write)
	}
	c := s.observer.begin(ctx, opCommit, len(write))
	current, err := store.Commit(c.ctx, s.inner, expect, write)
	c.end(outcomeOf(err))
	return current, err
}

func (s *observedStore) CommitTimed(ctx context.Context, expect, write []store.Entry) ([][]byte, time.Duration, error) {
	if !s.observer.records(ctx) {
		return store.CommitTimed(ctx, s.inner, expect, write)
	}
	c := s.observer.begin(ctx, opCommit, len(write))
	current, left, err := store.CommitTimed(c.ctx, s.inner, expect, write)
	c.end(outcomeOf(err))
	return current, left, err
}

func (s *observedStore) Keys(ctx context.Context) ([]string, error) {
	var keys []string
	err := s.observer.observe(ctx, opKeys, func(ctx context.Context) (err error) {
		keys, err = store.Keys(ctx, s.inner)
		return err
	})
	return keys, err
}

func (s *observedStore) DestroyIf(ctx context.Context, values []store.Entry) error {
	return s.observer.observe(ctx, opDestroyIf, func(ctx context.Context) error { return store.DestroyIf(ctx, s.inner, values) })
}

func (s *observedStore) StableReads() bool { return store.StableReads(s.inner) }

// String keeps the session's ID out of what is printed.
func (s *observedStore) String() string { return "otelstore.Store(ID withheld)" }

// GoString does the same for %#v.
func (s *observedStore) GoString() string { return s.String() }

// LogValue does the same for logs.
func (s *observedStore) LogValue() slog.Value { return slog.StringValue(s.String()) }
