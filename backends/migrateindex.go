package backends

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sessionkv/store"
)

// Indexer returns the [store.Indexer] of a Migration whose backends both have one.
func (m *Migration) Indexer() (store.Indexer, error) {
	if !m.made() {
		return nil, errNotMigrate
	}
	older, err := store.AsIndexer(m.old.Backend)
	if err != nil {
		return nil, fmt.Errorf("the old backend: %w", err)
	}
	newer, err := store.AsIndexer(m.new.Backend)
	if err != nil {
		return nil, fmt.Errorf("the new backend: %w", err)
	}
	return &movingIndexer{m, older, newer}, nil
}

// A movingIndexer keeps the lists in both places. Processes on the old backend alone list their sessions there, and
// look for sessions there; those on the new one alone will look there only. A session may move
// at any moment, which its entries do not.
type movingIndexer struct {
	m        *Migration
	old, new store.Indexer
}

// PutEntries puts each entry to both lists. It has failed where one of them has not got it.
func (x *movingIndexer) PutEntries(ctx context.Context, entries []store.IndexEntry, ttl time.Duration) []error {
	var errs []error
	unusable := x.m.usable(ctx)
	for _, list := range []store.Indexer{x.old, x.new} {
		var answers []error
		if unusable == nil {
			answers = list.PutEntries(ctx, entries, ttl)
		}
		for i := range entries {
			err := unusable
			if err == nil {
				err = errorAt(answers, i)
			}
			if err == nil {
				continue
			}
			if errs == nil {
				errs = make([]error, len(entries))
			}
			if errs[i] == nil {
				errs[i] = err
			}
		}
	}
	return errs
}

// RemoveEntries removes each entry from both lists.
func (x *movingIndexer) RemoveEntries(ctx context.Context, entries []store.IndexEntry) error {
	if err := x.m.usable(ctx); err != nil {
		return err
	}
	return errors.Join(x.old.RemoveEntries(ctx, entries), x.new.RemoveEntries(ctx, entries))
}

// The first byte of a cursor, of Entries and of Scan, says whose the rest is. The old backend comes first.
const (
	cursorOld = "o"
	cursorNew = "n"
)

var errCursor = errors.New("backends: the cursor is not one that Entries of a Migration has returned")

// Entries pages the list of the old backend, and then that of the new one.
func (x *movingIndexer) Entries(ctx context.Context, index, cursor string) (members []string, next string, err error) {
	if err := x.m.usable(ctx); err != nil {
		return nil, "", err
	}
	if cursor == "" {
		cursor = cursorOld
	}
	switch at, rest := cursor[:1], cursor[1:]; at {
	case cursorOld:
		if members, next, err = x.old.Entries(ctx, index, rest); err != nil {
			return nil, "", err
		}
		if next == "" {
			return members, cursorNew, nil
		}
		return members, cursorOld + next, nil
	case cursorNew:
		if members, next, err = x.new.Entries(ctx, index, rest); err != nil || next == "" {
			return members, "", err
		}
		return members, cursorNew + next, nil
	}
	return nil, "", errCursor
}

var errExpect = errors.New("backends: RenewIf needs the values that are expected of each session")

// RenewIf implements [store.Indexer].
func (x *movingIndexer) RenewIf(ctx context.Context, sessions []store.Store, expect [][]store.Entry, lease time.Duration) []error {
	return x.m.split(ctx, sessions, func(p *place, part []store.Store, which []int) []error {
		expected := make([][]store.Entry, len(which))
		for n, i := range which {
			if i >= len(expect) {
				errs := make([]error, len(which))
				for n := range errs {
					errs[n] = errExpect
				}
				return errs
			}
			expected[n] = expect[i]
		}
		return x.at(p).RenewIf(ctx, part, expected, lease)
	})
}

// SuspendIf implements [store.Indexer].
func (x *movingIndexer) SuspendIf(ctx context.Context, session store.Store, expect []store.Entry, grace time.Duration) error {
	h, err := x.m.own(session)
	if err == nil {
		err = x.m.usable(ctx)
	}
	if err != nil {
		return err
	}
	return x.at(h.at).SuspendIf(ctx, h.Store, expect, grace)
}

// TimeLeft implements [store.Indexer].
func (x *movingIndexer) TimeLeft(ctx context.Context, session store.Store) (time.Duration, error) {
	h, err := x.m.own(session)
	if err == nil {
		err = x.m.usable(ctx)
	}
	if err != nil {
		return 0, err
	}
	return x.at(h.at).TimeLeft(ctx, h.Store)
}

// at returns the Indexer of a place.
func (x *movingIndexer) at(p *place) store.Indexer {
	if p == &x.m.old {
		return x.old
	}
	return x.new
}
