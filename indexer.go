package store

import (
	"context"
	"log/slog"
	"time"
)

// An Indexer is a [Backend] that keeps, beside the sessions, lists of sessions under
// names of their own. [Options].Indexes needs it, and Stores that are [Committer]s.
//
// A list is a set of members, each with a deadline of its own after which it is gone. A
// list without members does not exist. Lists and sessions may lie on different
// servers: no call touches both.
type Indexer interface {
	// PutEntries makes each entry a member of its list for at least ttl from now, also
	// when it is one already; it never shortens. It returns nil, or an error or nil for
	// each entry. One that is meant for ttl is gone soon after it. To repeat PutEntries is
	// harmless.
	PutEntries(ctx context.Context, entries []IndexEntry, ttl time.Duration) []error

	// RemoveEntries removes each entry. Removing one that is absent succeeds.
	RemoveEntries(ctx context.Context, entries []IndexEntry) error

	// Entries returns members of the list called index: a page of them, in no order, and the
	// cursor of the next page, "" behind the last. The first page has the cursor
	// "". Every member that the list has from the first call to the last is on one of the pages,
	// and may be on several. What came or went meanwhile may be missing.
	Entries(ctx context.Context, index, cursor string) (members []string, next string, err error)

	// RenewIf is Renew for sessions that have, in the same atomic step, the values
	// that expect names for each of them; a nil Value is an absent one. Where they have other values it
	// changes nothing and the error is [ErrConflict].
	RenewIf(ctx context.Context, sessions []Store, expect [][]Entry, lease time.Duration) []error

	// SuspendIf is Suspend on the same condition.
	SuspendIf(ctx context.Context, session Store, expect []Entry, grace time.Duration) error

	// TimeLeft returns for how long the session lives if nobody renews it. It may say
	// more, by what the backend rounds leases up, and never less.
	TimeLeft(ctx context.Context, session Store) (time.Duration, error)
}

// An IndexEntry is a member of a list. The name of a list consists of 1 to 64 of the characters
// A-Z a-z 0-9 _ . - and a member of 1 to 1024 bytes of any value. A member holds a session ID, so it
// is a credential, and no error or log shows it.
type IndexEntry struct {
	Index  string
	Member string
}

// String returns a fixed text.
func (e IndexEntry) String() string { return "store.IndexEntry(member withheld)" }

// GoString returns the same as String.
func (e IndexEntry) GoString() string { return e.String() }

// LogValue returns the same as String.
func (e IndexEntry) LogValue() slog.Value { return slog.StringValue(e.String()) }

// AsIndexer returns b as an [Indexer]. It fails with [errors.ErrUnsupported] when b does not implement it.
//
// A wrapper around a Backend that may be one or not has a method Indexer() (Indexer, error) for that, which
// calls AsIndexer on the Backend beneath.
func AsIndexer(b Backend) (Indexer, error) {
	if w, ok := b.(interface{ Indexer() (Indexer, error) }); ok {
		return w.Indexer()
	}
	if x, ok := b.(Indexer); ok {
		return x, nil
	}
	return nil, unsupported("indexes (Indexer)")
}

// Indexer returns the Indexer of the backend beneath, for the Stores of this one.
func (b *wrappingBackend) Indexer() (Indexer, error) {
	inner, err := AsIndexer(b.Backend)
	if err != nil {
		return nil, err
	}
	return &wrappingIndexer{inner, b}, nil
}

// wrappingIndexer is the Indexer of a Backend that [WrapStores] made.
type wrappingIndexer struct {
	Indexer
	by *wrappingBackend
}

func (x *wrappingIndexer) RenewIf(ctx context.Context, sessions []Store, expect [][]Entry, lease time.Duration) []error {
	inner := make([]Store, len(sessions))
	for i, s := range sessions {
		inner[i] = x.by.beneath(s)
	}
	return x.Indexer.RenewIf(ctx, inner, expect, lease)
}

func (x *wrappingIndexer) SuspendIf(ctx context.Context, session Store, expect []Entry, grace time.Duration) error {
	return x.Indexer.SuspendIf(ctx, x.by.beneath(session), expect, grace)
}

func (x *wrappingIndexer) TimeLeft(ctx context.Context, session Store) (time.Duration, error) {
	return x.Indexer.TimeLeft(ctx, x.by.beneath(session))
}
