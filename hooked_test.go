package store_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
)

// hooked is a backend in memory each of whose operations goes through a function.
type hooked struct {
	*memstore.Backend
	through atomic.Pointer[hook]
}

// A hook replaces an operation of the backend: it calls do, or does not, and returns what the
// operation returns.
type hook func(ctx context.Context, op string, do func() error) error

func newHooked(t testing.TB) *hooked {
	b := &hooked{Backend: memstore.New(nil)}
	b.set(func(_ context.Context, _ string, do func() error) error { return do() })
	t.Cleanup(func() { b.Backend.Close() })
	return b
}

func (b *hooked) set(h hook) { b.through.Store(&h) }

func (b *hooked) call(ctx context.Context, op string, do func() error) error {
	return (*b.through.Load())(ctx, op, do)
}

func (b *hooked) begin(ctx context.Context, op string, do func() (store.Store, error)) (store.Store, error) {
	var s store.Store
	err := b.call(ctx, op, func() (err error) { s, err = do(); return err })
	if err != nil {
		return nil, err
	}
	return &hookedStore{b, s}, nil
}

func (b *hooked) Create(ctx context.Context, id string, initial []store.Entry, t store.Terms) (store.Store, error) {
	return b.begin(ctx, "create", func() (store.Store, error) {
		return b.Backend.Create(context.WithoutCancel(ctx), id, initial, t)
	})
}

func (b *hooked) Attach(ctx context.Context, id string, t store.Terms) (store.Store, error) {
	return b.begin(ctx, "attach", func() (store.Store, error) { return b.Backend.Attach(context.WithoutCancel(ctx), id, t) })
}

func (b *hooked) Resume(ctx context.Context, id string, t store.Terms) (store.Store, error) {
	return b.begin(ctx, "resume", func() (store.Store, error) { return b.Backend.Resume(context.WithoutCancel(ctx), id, t) })
}

func (b *hooked) Renew(ctx context.Context, sessions []store.Store, lease time.Duration) (errs []error) {
	inner := make([]store.Store, len(sessions))
	for i, s := range sessions {
		inner[i] = s.(*hookedStore).inner
	}
	err := b.call(ctx, "renew", func() error { errs = b.Backend.Renew(context.WithoutCancel(ctx), inner, lease); return nil })
	if err != nil {
		errs = make([]error, len(sessions))
		for i := range errs {
			errs[i] = err
		}
	}
	return errs
}

func (b *hooked) Suspend(ctx context.Context, s store.Store, grace time.Duration) error {
	return b.call(ctx, "suspend", func() error { return b.Backend.Suspend(context.WithoutCancel(ctx), s.(*hookedStore).inner, grace) })
}

// Watch implements [store.Watcher].
func (b *hooked) Watch(s store.Store, hint func()) (func(), error) {
	return store.Watch(b.Backend, s.(*hookedStore).inner, hint)
}

type hookedStore struct {
	b     *hooked
	inner store.Store
}

func answer[T any](ctx context.Context, b *hooked, op string, do func(context.Context) (T, error)) (v T, err error) {
	var zero T
	if err = b.call(ctx, op, func() (err error) { v, err = do(context.WithoutCancel(ctx)); return err }); err != nil && err != store.ErrConflict {
		return zero, err
	}
	return v, err
}

func (s *hookedStore) Get(ctx context.Context, key string) ([]byte, error) {
	return answer(ctx, s.b, "get", func(ctx context.Context) ([]byte, error) { return s.inner.Get(ctx, key) })
}

func (s *hookedStore) Has(ctx context.Context, key string) (bool, error) {
	return answer(ctx, s.b, "has", func(ctx context.Context) (bool, error) { return s.inner.Has(ctx, key) })
}

func (s *hookedStore) Keys(ctx context.Context) ([]string, error) {
	return answer(ctx, s.b, "keys", func(ctx context.Context) ([]string, error) { return store.Keys(ctx, s.inner) })
}

func (s *hookedStore) GetMany(ctx context.Context, keys []string) ([][]byte, error) {
	return answer(ctx, s.b, "getmany", func(ctx context.Context) ([][]byte, error) { return store.GetMany(ctx, s.inner, keys) })
}

func (s *hookedStore) Set(ctx context.Context, key string, value []byte) error {
	return s.b.call(ctx, "set", func() error { return s.inner.Set(context.WithoutCancel(ctx), key, value) })
}

func (s *hookedStore) Delete(ctx context.Context, key string) error {
	return s.b.call(ctx, "delete", func() error { return s.inner.Delete(context.WithoutCancel(ctx), key) })
}

func (s *hookedStore) Destroy(ctx context.Context) error {
	return s.b.call(ctx, "destroy", func() error { return s.inner.Destroy(context.WithoutCancel(ctx)) })
}

func (s *hookedStore) DestroyIf(ctx context.Context, values []store.Entry) error {
	return s.b.call(ctx, "destroyif", func() error { return store.DestroyIf(context.WithoutCancel(ctx), s.inner, values) })
}

func (s *hookedStore) Commit(ctx context.Context, expect, write []store.Entry) ([][]byte, error) {
	return answer(ctx, s.b, "commit", func(ctx context.Context) ([][]byte, error) { return store.Commit(ctx, s.inner, expect, write) })
}
