package otelstore

import (
	"context"
	"reflect"
	"time"

	"github.com/sessionkv/store"
)

// Wrap returns a Backend that does what backend does, with all its abilities, and records each
// operation; see the package comment. A nil opts means defaults. An instrument that cannot be made is reported to the
// error handler of OpenTelemetry, and nothing is measured then.
//
// A nil backend is returned as it is; store.New refuses it.
func Wrap(backend store.Backend, opts *Options) store.Backend {
	if v := reflect.ValueOf(backend); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return backend
	}
	o := newObserver(backend.Namespace(), opts.withDefaults(backend))
	return &observedBackend{
		Backend:  store.WrapStores(backend, func(s store.Store) store.Store { return &observedStore{s, o} }),
		observer: o,
	}
}

// An observedBackend records the operations of the Backend beneath, which hands out observedStores.
type observedBackend struct {
	store.Backend
	observer *observer
}

func (b *observedBackend) Create(ctx context.Context, id string, initial []store.Entry, t store.Terms) (s store.Store, err error) {
	err = b.observer.observe(ctx, opCreate, func(ctx context.Context) (err error) {
		s, err = b.Backend.Create(ctx, id, initial, t)
		return err
	})
	return s, err
}

func (b *observedBackend) Attach(ctx context.Context, id string, t store.Terms) (s store.Store, err error) {
	err = b.observer.observe(ctx, opAttach, func(ctx context.Context) (err error) {
		s, err = b.Backend.Attach(ctx, id, t)
		return err
	})
	return s, err
}

func (b *observedBackend) Resume(ctx context.Context, id string, t store.Terms) (s store.Store, err error) {
	err = b.observer.observe(ctx, opResume, func(ctx context.Context) (err error) {
		s, err = b.Backend.Resume(ctx, id, t)
		return err
	})
	return s, err
}

// Renew measures renewals. With a context that has ended it does not: so the core finds out whether the backend
// recognises a Store, which does not count as an operation that failed.
func (b *observedBackend) Renew(ctx context.Context, sessions []store.Store, lease time.Duration) []error {
	if ctx.Err() != nil {
		return b.Backend.Renew(ctx, sessions, lease)
	}
	return b.observer.observeMany(ctx, opRenew, len(sessions), func(ctx context.Context) []error {
		return b.Backend.Renew(ctx, sessions, lease)
	})
}

func (b *observedBackend) Suspend(ctx context.Context, session store.Store, grace time.Duration) error {
	return b.observer.observe(ctx, opSuspend, func(ctx context.Context) error { return b.Backend.Suspend(ctx, session, grace) })
}

// Watch implements [store.Watcher] where the Backend beneath does.
func (b *observedBackend) Watch(session store.Store, hint func()) (stop func(), err error) {
	return store.Watch(b.Backend, session, hint)
}

// Places implements [store.Placer] where the Backend beneath does.
func (b *observedBackend) Places() func(id string) uint32 { return store.Places(b.Backend) }

// Indexer returns the [store.Indexer] of the Backend beneath, recorded.
func (b *observedBackend) Indexer() (store.Indexer, error) {
	inner, err := store.AsIndexer(b.Backend)
	if err != nil {
		return nil, err
	}
	return &observedIndexer{inner, b.observer}, nil
}

// Scanner returns the [store.Scanner] of the Backend beneath, recorded.
func (b *observedBackend) Scanner() (store.Scanner, error) {
	inner, err := store.AsScanner(b.Backend)
	if err != nil {
		return nil, err
	}
	return &observedScanner{inner, b.observer}, nil
}
