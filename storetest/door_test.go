package storetest_test

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/sessionkv/store"
)

// A door is one node's backend over a reference that several share.
type door struct {
	*reference
	namespace string
	bare      bool // hides the optional abilities
	closed    atomic.Bool
}

func (d *door) Namespace() string { return d.namespace }

func (d *door) Close() error {
	d.closed.Store(true)
	return nil
}

// through is a Store that a door handed out.
type through struct {
	*refStore
	door *door
}

// bare hides every optional ability of the Store it embeds.
type bare struct{ store.Store }

func (d *door) handOut(s store.Store, err error) (store.Store, error) {
	if err != nil {
		return nil, err
	}
	t := &through{s.(*refStore), d}
	if d.bare {
		return bare{t}, nil
	}
	return t, nil
}

func (d *door) Create(ctx context.Context, id string, initial []store.Entry, t store.Terms) (store.Store, error) {
	if d.closed.Load() {
		return nil, store.ErrClosed
	}
	return d.handOut(d.reference.Create(ctx, id, initial, t))
}

func (d *door) Attach(ctx context.Context, id string, t store.Terms) (store.Store, error) {
	if d.closed.Load() {
		return nil, store.ErrClosed
	}
	return d.handOut(d.reference.Attach(ctx, id, t))
}

func (d *door) Resume(ctx context.Context, id string, t store.Terms) (store.Store, error) {
	if d.closed.Load() {
		return nil, store.ErrClosed
	}
	return d.handOut(d.reference.Resume(ctx, id, t))
}

// behind returns what the door handed out s for, or nil.
func (d *door) behind(s store.Store) store.Store {
	if b, ok := s.(bare); ok {
		s = b.Store
	}
	if t, ok := s.(*through); ok && t.door == d {
		return t.refStore
	}
	return nil
}

func (d *door) Renew(ctx context.Context, sessions []store.Store, lease time.Duration) []error {
	behind := make([]store.Store, len(sessions))
	for i, s := range sessions {
		behind[i] = d.behind(s)
	}
	errs := d.reference.Renew(ctx, behind, lease)
	if d.closed.Load() {
		errs = make([]error, len(sessions))
		for i := range errs {
			errs[i] = store.ErrClosed
		}
	}
	return errs
}

func (d *door) Suspend(ctx context.Context, s store.Store, grace time.Duration) error {
	if d.closed.Load() {
		return store.ErrClosed
	}
	return d.reference.Suspend(ctx, d.behind(s), grace)
}

// Indexer is that of the reference behind the door.
func (d *door) Indexer() (store.Indexer, error) {
	if d.bare {
		return nil, errors.ErrUnsupported
	}
	return &indexDoor{d.reference, d}, nil
}

// Scanner is that of the reference behind the door.
func (d *door) Scanner() (store.Scanner, error) {
	if d.bare {
		return nil, errors.ErrUnsupported
	}
	return &scanDoor{d}, nil
}

type scanDoor struct{ door *door }

func (s *scanDoor) Scan(ctx context.Context, cursor string) ([]string, string, error) {
	if s.door.closed.Load() {
		return nil, "", store.ErrClosed
	}
	return s.door.reference.Scan(ctx, cursor)
}

type indexDoor struct {
	*reference
	door *door
}

// first returns what every call begins with.
func (d *indexDoor) first() error {
	if d.door.closed.Load() {
		return store.ErrClosed
	}
	return nil
}

func (d *indexDoor) PutEntries(ctx context.Context, entries []store.IndexEntry, ttl time.Duration) []error {
	if err := d.first(); err != nil {
		return []error{err}
	}
	return d.reference.PutEntries(ctx, entries, ttl)
}

func (d *indexDoor) RemoveEntries(ctx context.Context, entries []store.IndexEntry) error {
	if err := d.first(); err != nil {
		return err
	}
	return d.reference.RemoveEntries(ctx, entries)
}

func (d *indexDoor) Entries(ctx context.Context, index, cursor string) ([]string, string, error) {
	if err := d.first(); err != nil {
		return nil, "", err
	}
	return d.reference.Entries(ctx, index, cursor)
}

func (d *indexDoor) RenewIf(ctx context.Context, sessions []store.Store, expect [][]store.Entry, lease time.Duration) []error {
	if err := d.first(); err != nil {
		return []error{err}
	}
	behind := make([]store.Store, len(sessions))
	for i, s := range sessions {
		behind[i] = d.door.behind(s)
	}
	return d.reference.RenewIf(ctx, behind, expect, lease)
}

func (d *indexDoor) SuspendIf(ctx context.Context, s store.Store, expect []store.Entry, grace time.Duration) error {
	if err := d.first(); err != nil {
		return err
	}
	return d.reference.SuspendIf(ctx, d.door.behind(s), expect, grace)
}

func (d *indexDoor) TimeLeft(ctx context.Context, s store.Store) (time.Duration, error) {
	if err := d.first(); err != nil {
		return 0, err
	}
	return d.reference.TimeLeft(ctx, d.door.behind(s))
}

func (d *door) Watch(s store.Store, hint func()) (stop func(), err error) {
	if d.bare {
		return nil, errors.ErrUnsupported
	}
	return d.reference.Watch(d.behind(s), hint)
}

func (t *through) Get(ctx context.Context, key string) ([]byte, error) {
	if t.door.closed.Load() {
		return nil, store.ErrClosed
	}
	return t.refStore.Get(ctx, key)
}

func (t *through) Set(ctx context.Context, key string, value []byte) error {
	if t.door.closed.Load() {
		return store.ErrClosed
	}
	return t.refStore.Set(ctx, key, value)
}

func (t *through) Has(ctx context.Context, key string) (bool, error) {
	if t.door.closed.Load() {
		return false, store.ErrClosed
	}
	return t.refStore.Has(ctx, key)
}

func (t *through) Delete(ctx context.Context, key string) error {
	if t.door.closed.Load() {
		return store.ErrClosed
	}
	return t.refStore.Delete(ctx, key)
}

func (t *through) Destroy(ctx context.Context) error {
	if t.door.closed.Load() {
		return store.ErrClosed
	}
	return t.refStore.Destroy(ctx)
}

func (t *through) GetMany(ctx context.Context, keys []string) ([][]byte, error) {
	if t.door.closed.Load() {
		return nil, store.ErrClosed
	}
	return t.refStore.GetMany(ctx, keys)
}

func (t *through) Commit(ctx context.Context, expect, write []store.Entry) ([][]byte, error) {
	if t.door.closed.Load() {
		return nil, store.ErrClosed
	}
	return t.refStore.Commit(ctx, expect, write)
}

func (t *through) CommitTimed(ctx context.Context, expect, write []store.Entry) ([][]byte, time.Duration, error) {
	if t.door.closed.Load() {
		return nil, 0, store.ErrClosed
	}
	return t.refStore.CommitTimed(ctx, expect, write)
}

func (t *through) Keys(ctx context.Context) ([]string, error) {
	if t.door.closed.Load() {
		return nil, store.ErrClosed
	}
	return t.refStore.Keys(ctx)
}

func (t *through) DestroyIf(ctx context.Context, values []store.Entry) error {
	if t.door.closed.Load() {
		return store.ErrClosed
	}
	return t.refStore.DestroyIf(ctx, values)
}
