package memstore

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/sessionkv/store"
)

var _ store.Indexer = (*Backend)(nil)

var (
	errTTL    = errors.New("the time that an index entry is to stay must be positive")
	errExpect = errors.New("RenewIf needs the values that are expected of each session")
)

// usable returns nil, or why no entry can be read or written.
func (b *Backend) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !b.made() {
		return errNotMade
	}
	if b.closed.Load() {
		return store.ErrClosed
	}
	return b.invalid
}

// PutEntries implements [store.Indexer].
func (b *Backend) PutEntries(ctx context.Context, entries []store.IndexEntry, ttl time.Duration) []error {
	err := b.usable(ctx)
	if err == nil && ttl <= 0 {
		err = errTTL
	}
	var errs []error
	for i, e := range entries {
		entryErr := err
		if entryErr == nil {
			entryErr = b.listShard(e.Index).put(e, after(b.now(), ttl))
		}
		if entryErr != nil {
			if errs == nil {
				errs = make([]error, len(entries))
			}
			errs[i] = entryErr
		}
	}
	return errs
}

// RemoveEntries implements [store.Indexer].
func (b *Backend) RemoveEntries(ctx context.Context, entries []store.IndexEntry) error {
	if err := b.usable(ctx); err != nil {
		return err
	}
	for _, e := range entries {
		b.listShard(e.Index).remove(e)
	}
	return nil
}

// Entries implements [store.Indexer].
func (b *Backend) Entries(ctx context.Context, index, cursor string) (members []string, next string, err error) {
	if err := b.usable(ctx); err != nil {
		return nil, "", err
	}
	return b.listShard(index).page(index, cursor, b.now())
}

// RenewIf implements [store.Indexer].
func (b *Backend) RenewIf(ctx context.Context, sessions []store.Store, expect [][]store.Entry, lease time.Duration) []error {
	errs := make([]error, len(sessions))
	failed := false
	every := ctx.Err()
	if every == nil && len(expect) != len(sessions) {
		every = errExpect
	}
	for i, s := range sessions {
		l, err := b.own(s)
		switch {
		case err != nil:
		case every != nil:
			err = every
		case b.closed.Load():
			err = store.ErrClosed
		default:
			err = l.renewIf(b.now(), expect[i], lease)
		}
		errs[i] = err
		failed = failed || err != nil
	}
	if !failed {
		return nil
	}
	return errs
}

// SuspendIf implements [store.Indexer].
func (b *Backend) SuspendIf(ctx context.Context, session store.Store, expect []store.Entry, grace time.Duration) error {
	l, err := b.suspendable(ctx, session, grace)
	if err != nil {
		return err
	}
	return l.shard.suspendIf(l, expect, grace)
}

// TimeLeft implements [store.Indexer].
func (b *Backend) TimeLeft(ctx context.Context, session store.Store) (time.Duration, error) {
	l, err := b.own(session)
	if err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	now := b.now()
	if err := l.renew(now, 0); err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Duration(l.deadline - now), nil
}

// has reports whether the table t of l has these values. The caller holds mu.
func (l *life) has(t *table, expect []store.Entry) bool {
	for i := range expect {
		now, want := orNil(t.get(expect[i].Key)), expect[i].Value
		if (now == nil) != (want == nil) || !bytes.Equal(now, want) {
			return false
		}
	}
	return true
}

// renewIf is renew on the condition that l has these values.
func (l *life) renewIf(now int64, expect []store.Entry, lease time.Duration) error {
	if err := checkKeys(expect); err != nil {
		return err
	}
	l.mu.Lock()
	if t := l.table.Load(); t != nil && l.deadline > now {
		defer l.mu.Unlock()
		if !l.has(t, expect) {
			return store.ErrConflict
		}
		if lease > 0 {
			l.deadline = max(l.deadline, after(now, lease))
		}
		return nil
	}
	l.mu.Unlock()
	return l.renew(now, 0) // which says how it has ended
}

// suspendIf is suspend on the condition that l has these values.
func (s *shard) suspendIf(l *life, expect []store.Entry, grace time.Duration) error {
	if err := checkKeys(expect); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now, err := s.now()
	if err != nil {
		return err
	}
	l.mu.Lock()
	t := l.table.Load()
	if t == nil || l.deadline <= now {
		l.mu.Unlock()
		if t != nil {
			s.end(l, expired)
		}
		return l.ended()
	}
	if !l.has(t, expect) {
		l.mu.Unlock()
		return store.ErrConflict
	}
	l.deadline = after(now, grace)
	s.queue.move(l, l.deadline)
	l.mu.Unlock()
	s.reschedule()
	return nil
}
