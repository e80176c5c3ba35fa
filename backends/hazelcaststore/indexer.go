package hazelcaststore

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/hazelcaststore/internal/document"
	"github.com/sessionkv/store/internal/keyspace"
)

var _ store.Indexer = (*Backend)(nil)

var (
	errEntry  = errors.New("an index entry needs a list of 1 to 64 of the characters A-Z a-z 0-9 _ . - and a member of 1 to 1024 bytes")
	errTTL    = errors.New("the time that an index entry is to stay must be positive")
	errExpect = errors.New("RenewIf needs the values that are expected of each session")
	errCursor = errors.New("the cursor does not come from Entries")
)

// PutEntries implements [store.Indexer]. A list that has no member yet takes one round trip, another one two; up to 64 are in progress at once.
func (b *Backend) PutEntries(ctx context.Context, entries []store.IndexEntry, ttl time.Duration) []error {
	r := renewal{b: b, count: len(entries)}
	err := b.usable(ctx)
	if err == nil && ttl <= 0 {
		err = errTTL
	}
	if err == nil {
		err = b.keepTime(ctx)
	}
	if err != nil {
		r.failAll(err)
		return r.errs
	}
	r.onLists(ctx, entries, func(ctx context.Context, l list, members []string) error { return l.put(ctx, members, b.deadline(ttl)) })
	return r.errs
}

// RemoveEntries implements [store.Indexer].
func (b *Backend) RemoveEntries(ctx context.Context, entries []store.IndexEntry) error {
	if err := b.usable(ctx); err != nil {
		return err
	}
	if err := b.keepTime(ctx); err != nil {
		return err
	}
	r := renewal{b: b, count: len(entries)}
	r.onLists(ctx, entries, func(ctx context.Context, l list, members []string) error { return l.remove(ctx, members) })
	for _, err := range r.errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// together is how many members of a list one compare-and-swap takes along at most.
const together = fullPart / 2

// onLists calls do for each list, with the members that entries names, and notes the errors.
func (r *renewal) onLists(ctx context.Context, entries []store.IndexEntry, do func(context.Context, list, []string) error) {
	byList := make(map[string][]int)
	var lists []string
	for i, e := range entries {
		if !keyspace.IsList(e.Index) || len(e.Member) == 0 || len(e.Member) > keyspace.MaxMember {
			r.fail(i, errEntry)
			continue
		}
		if byList[e.Index] == nil {
			lists = append(lists, e.Index)
		}
		byList[e.Index] = append(byList[e.Index], i)
	}
	r.work(len(lists), func(n int) error {
		for places := range slices.Chunk(byList[lists[n]], together) {
			members := make([]string, len(places))
			for k, i := range places {
				members[k] = entries[i].Member
			}
			_, err := await(r.b, ctx, func(ctx context.Context) (struct{}, error) {
				return struct{}{}, do(ctx, list{r.b, lists[n]}, members)
			})
			if err != nil {
				for _, i := range places {
					r.fail(i, err)
				}
			}
		}
		return nil
	})
}

// Entries implements [store.Indexer]: one read for each page.
func (b *Backend) Entries(ctx context.Context, index, cursor string) (members []string, next string, err error) {
	if err := b.usable(ctx); err != nil {
		return nil, "", err
	}
	if !keyspace.IsList(index) {
		return nil, "", errEntry
	}
	if err := b.keepTime(ctx); err != nil {
		return nil, "", err
	}
	type page struct {
		members []string
		next    string
	}
	p, err := await(b, ctx, func(ctx context.Context) (page, error) {
		members, next, err := list{b, index}.page(ctx, cursor)
		return page{members, next}, err
	})
	return p.members, p.next, err
}

// RenewIf implements [store.Indexer]. It takes a compare-and-swap for each session: through the record of an owner, as in Renew, nobody would see
// what others have written. The owner goes on with the session, so that a Renew after it takes nothing more.
func (b *Backend) RenewIf(ctx context.Context, sessions []store.Store, expect [][]store.Entry, lease time.Duration) []error {
	if len(sessions) == 0 {
		return nil
	}
	r := b.newRenewal(sessions, lease)
	defer r.last()
	if len(expect) != len(sessions) {
		r.failAll(errExpect)
		return r.errs
	}
	if _, ok := r.begin(ctx); !ok {
		return r.errs
	}
	r.work(len(sessions), func(i int) error { return r.one(ctx, r.lives[i], expect[i]) })
	return r.errs
}

// SuspendIf implements [store.Indexer].
func (b *Backend) SuspendIf(ctx context.Context, session store.Store, expect []store.Entry, grace time.Duration) error {
	return b.suspend(ctx, session, expect, grace)
}

// TimeLeft implements [store.Indexer] in one round trip, or two where another process renews the session through its record.
func (b *Backend) TimeLeft(ctx context.Context, session store.Store) (time.Duration, error) {
	l, err := b.ours(session)
	if err != nil {
		return 0, err
	}
	if err := l.check(ctx); err != nil {
		return 0, err
	}
	v, err := l.view(ctx)
	if err != nil {
		return 0, err
	}
	until := v.Deadline()
	if v.Owner() != 0 {
		lives, err := await(b, ctx, func(ctx context.Context) (int64, error) {
			until, _, err := b.ownerUntil(ctx, v.Owner())
			return until, err
		})
		if err != nil {
			return 0, err
		}
		until = max(until, lives)
	}
	earliest, _ := b.clock.now()
	return time.Duration(until-earliest+1) * time.Millisecond, nil
}

// meets reports whether d has the values that are expected.
func meets(d *document.Draft, expect []store.Entry) error {
	for _, e := range expect {
		now := d.Get(e.Key)
		if (now == nil) != (e.Value == nil) || !slices.Equal(now, e.Value) {
			return store.ErrConflict
		}
	}
	return nil
}
