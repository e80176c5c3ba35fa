package store

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"
)

// ErrForeignStore is returned when a Backend is to renew or suspend a [Store] that
// it did not hand out. Behind it is, as a rule, a wrapper around a Backend that
// hands out Stores of its own: make it with [WrapStores].
var ErrForeignStore = errors.New("this Store was not handed out by this Backend")

// WrapStores returns a Backend whose Stores are those of backend as wrap returns
// them: for measuring, logging, failing on purpose, or changing what is stored.
// Renew, Suspend and Watch reach the Stores beneath.
//
// A wrapper is often a struct that embeds the Store it was given and overrides some methods. The
// abilities [ManyGetter], [Committer], [KeyLister], [ConditionalDestroyer] and [StableReader] that it
// does not have are those of the Store beneath. They then do not go through the wrapper. So a wrapper
// that changes keys or values must implement the first four as well, by calling [GetMany], [Commit],
// [Keys] and [DestroyIf] on the Store beneath. If it cannot do so, it returns [errors.ErrUnsupported]
// from them. A wrapper that embeds a [TimedCommitter] and overrides Commit must override CommitTimed as
// well. A Store that answers from a cache has a method GetCurrent, which asks the server; a
// wrapper that does not pass it on hides it.
//
// To embed a Backend and override Create instead compiles, but Renew and Suspend do not accept the
// Stores of such a wrapper. [Sessions] refuses it with [ErrForeignStore].
//
// Wrap is called once for each handle, from many goroutines, before anything else
// is done with it. It must not return nil. Without a wrap function WrapStores returns
// backend itself.
func WrapStores(backend Backend, wrap func(Store) Store) Backend {
	if isNil(backend) || wrap == nil {
		return backend
	}
	return &wrappingBackend{Backend: backend, wrap: wrap}
}

// wrappingBackend hands out wrappedStores.
type wrappingBackend struct {
	Backend
	wrap func(Store) Store
}

// wrappedStore is a wrapper together with the Store beneath.
type wrappedStore struct {
	Store // the wrapper
	inner Store
	by    *wrappingBackend
}

var errNilWrapper = errors.New("the function given to WrapStores returned a nil Store; it must return a Store")

func (b *wrappingBackend) wrapped(inner Store, err error) (Store, error) {
	if err != nil {
		return nil, err
	}
	outer := b.wrap(inner)
	if isNil(outer) {
		return nil, errNilWrapper
	}
	return &wrappedStore{Store: outer, inner: inner, by: b}, nil
}

func (b *wrappingBackend) Create(ctx context.Context, id string, initial []Entry, t Terms) (Store, error) {
	inner, err := b.Backend.Create(ctx, id, initial, t)
	s, wrapErr := b.wrapped(inner, err)
	if err == nil && wrapErr != nil {
		if left := inner.Destroy(ctx); left != nil {
			wrapErr = fmt.Errorf("%w; what was begun was left to its lease: %w", wrapErr, left)
		}
	}
	return s, wrapErr
}

func (b *wrappingBackend) Attach(ctx context.Context, id string, t Terms) (Store, error) {
	return b.wrapped(b.Backend.Attach(ctx, id, t))
}

func (b *wrappingBackend) Resume(ctx context.Context, id string, t Terms) (Store, error) {
	return b.wrapped(b.Backend.Resume(ctx, id, t))
}

func (b *wrappingBackend) Renew(ctx context.Context, sessions []Store, lease time.Duration) []error {
	inner := make([]Store, len(sessions))
	for i, s := range sessions {
		inner[i] = b.beneath(s)
	}
	return b.Backend.Renew(ctx, inner, lease)
}

func (b *wrappingBackend) Suspend(ctx context.Context, session Store, grace time.Duration) error {
	return b.Backend.Suspend(ctx, b.beneath(session), grace)
}

// Watch implements [Watcher] where the Backend beneath does.
func (b *wrappingBackend) Watch(session Store, hint func()) (stop func(), err error) {
	return Watch(b.Backend, b.beneath(session), hint)
}

// Places implements [Placer] where the Backend beneath does.
func (b *wrappingBackend) Places() func(id string) uint32 { return Places(b.Backend) }

// beneath returns the Store that the backend handed out for s. What b did not wrap
// the backend beneath refuses.
func (b *wrappingBackend) beneath(s Store) Store {
	if w, ok := s.(*wrappedStore); ok && w.by == b {
		return w.inner
	}
	return s
}

func (s *wrappedStore) GetMany(ctx context.Context, keys []string) ([][]byte, error) {
	if m, ok := s.Store.(ManyGetter); ok {
		return m.GetMany(ctx, keys)
	}
	return GetMany(ctx, s.inner, keys)
}

// GetCurrent is Get that asks the server, of a wrapper that has it. Of any other it is Get, since what the
// Store beneath returns may not be what the wrapper makes of it.
func (s *wrappedStore) GetCurrent(ctx context.Context, key string) ([]byte, error) {
	return getCurrent(ctx, s.Store, key)
}

func (s *wrappedStore) Commit(ctx context.Context, expect, write []Entry) ([][]byte, error) {
	return Commit(ctx, s.committer(), expect, write)
}

// CommitTimed is Commit, of a wrapper without a time where it has only that.
func (s *wrappedStore) CommitTimed(ctx context.Context, expect, write []Entry) ([][]byte, time.Duration, error) {
	return CommitTimed(ctx, s.committer(), expect, write)
}

// committer returns the wrapper if it is a Committer, and otherwise the Store beneath.
func (s *wrappedStore) committer() Store {
	if _, ok := s.Store.(Committer); ok {
		return s.Store
	}
	return s.inner
}

func (s *wrappedStore) Keys(ctx context.Context) ([]string, error) {
	if l, ok := s.Store.(KeyLister); ok {
		return l.Keys(ctx)
	}
	return Keys(ctx, s.inner)
}

func (s *wrappedStore) DestroyIf(ctx context.Context, values []Entry) error {
	if d, ok := s.Store.(ConditionalDestroyer); ok {
		return d.DestroyIf(ctx, values)
	}
	return DestroyIf(ctx, s.inner, values)
}

func (s *wrappedStore) StableReads() bool {
	if r, ok := s.Store.(StableReader); ok {
		return r.StableReads()
	}
	return StableReads(s.inner)
}

// knownTimeout bounds the question whether a backend recognises a Store. It takes no
// time, unless something hangs that ignores contexts.
const knownTimeout = time.Second

// known refuses a Store that the backend that handed it out does not recognise. Its lease could not
// be renewed, and the session would end unnoticed. It asks once for each type of Store, with a
// context that has ended, so that no call goes to a server.
func (ss *Sessions) known(raw Store) error {
	t := reflect.TypeOf(raw)
	if last := ss.knownType.Load(); last != nil && *last == t {
		return nil
	}
	answer := make(chan []error, 1)
	go func() {
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		answer <- ss.backend.Renew(ended, []Store{raw}, 0)
	}()
	var errs []error
	select {
	case errs = <-answer:
	case <-time.After(knownTimeout):
	}
	for _, err := range errs {
		if errors.Is(err, ErrForeignStore) {
			return fmt.Errorf("the Backend cannot renew the %T that it has just handed out: %w; wrap a Backend with store.WrapStores", raw, ErrForeignStore)
		}
	}
	ss.knownType.Store(&t)
	return nil
}
