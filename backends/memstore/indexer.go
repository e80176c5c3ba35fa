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
			if err = checkKeys(expect[i]); err == nil {
				err = l.renew(b.now(), expect[i], lease)
			}
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
	if err := checkKeys(expect); err != nil {
		return err
	}
	return l.shard.suspend(l, expect, grace)
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
	if err := l.renew(now, nil, 0); err != nil {
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
