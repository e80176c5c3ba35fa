package storetest

import (
	"context"
	"slices"
	"time"

	"github.com/sessionkv/store"
)

// Indexer returns the [store.Indexer] of the backend beneath, with operations that fail on request.
func (f *FaultyBackend) Indexer() (store.Indexer, error) {
	if !f.made() {
		return nil, errNotFaulty
	}
	inner, err := store.AsIndexer(f.Backend)
	if err != nil {
		return nil, err
	}
	return &faultyIndexer{f, inner}, nil
}

type faultyIndexer struct {
	f *FaultyBackend
	x store.Indexer
}

// many is a call of op for n things.
func (i *faultyIndexer) many(op Op, n int, do func() []error) []error {
	err, after := i.f.begin(op)
	var errs []error
	if err == nil {
		errs, err = do(), after
	}
	if err == nil || errs != nil {
		return errs
	}
	return slices.Repeat([]error{err}, n)
}

func (i *faultyIndexer) PutEntries(ctx context.Context, entries []store.IndexEntry, ttl time.Duration) []error {
	return i.many(OpPutEntries, len(entries), func() []error { return i.x.PutEntries(ctx, entries, ttl) })
}

func (i *faultyIndexer) RemoveEntries(ctx context.Context, entries []store.IndexEntry) error {
	_, err := call(i.f, OpRemoveEntries, func() (struct{}, error) { return struct{}{}, i.x.RemoveEntries(ctx, entries) })
	return err
}

func (i *faultyIndexer) Entries(ctx context.Context, index, cursor string) (members []string, next string, err error) {
	_, err = call(i.f, OpEntries, func() (struct{}, error) {
		members, next, err = i.x.Entries(ctx, index, cursor)
		return struct{}{}, err
	})
	if err != nil {
		return nil, "", err
	}
	return members, next, nil
}

func (i *faultyIndexer) RenewIf(ctx context.Context, sessions []store.Store, expect [][]store.Entry, lease time.Duration) []error {
	return i.many(OpRenew, len(sessions), func() []error { return i.x.RenewIf(ctx, sessions, expect, lease) })
}

func (i *faultyIndexer) SuspendIf(ctx context.Context, session store.Store, expect []store.Entry, grace time.Duration) error {
	_, err := call(i.f, OpSuspend, func() (struct{}, error) { return struct{}{}, i.x.SuspendIf(ctx, session, expect, grace) })
	return err
}

func (i *faultyIndexer) TimeLeft(ctx context.Context, session store.Store) (time.Duration, error) {
	return call(i.f, OpTimeLeft, func() (time.Duration, error) { return i.x.TimeLeft(ctx, session) })
}
