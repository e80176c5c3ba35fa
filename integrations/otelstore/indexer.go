package otelstore

import (
	"context"
	"time"

	"github.com/sessionkv/store"
)

// An observedIndexer records the operations of the Indexer beneath.
type observedIndexer struct {
	inner    store.Indexer
	observer *observer
}

func (x *observedIndexer) PutEntries(ctx context.Context, entries []store.IndexEntry, ttl time.Duration) []error {
	return x.observer.observeMany(ctx, opPutEntries, len(entries), func(ctx context.Context) []error {
		return x.inner.PutEntries(ctx, entries, ttl)
	})
}

func (x *observedIndexer) RemoveEntries(ctx context.Context, entries []store.IndexEntry) error {
	return x.observer.observe(ctx, opRemoveEntries, func(ctx context.Context) error { return x.inner.RemoveEntries(ctx, entries) })
}

func (x *observedIndexer) Entries(ctx context.Context, index, cursor string) (members []string, next string, err error) {
	err = x.observer.observe(ctx, opEntries, func(ctx context.Context) (err error) {
		members, next, err = x.inner.Entries(ctx, index, cursor)
		return err
	})
	return members, next, err
}

func (x *observedIndexer) RenewIf(ctx context.Context, sessions []store.Store, expect [][]store.Entry, lease time.Duration) []error {
	return x.observer.observeMany(ctx, opRenewIf, len(sessions), func(ctx context.Context) []error {
		return x.inner.RenewIf(ctx, sessions, expect, lease)
	})
}

func (x *observedIndexer) SuspendIf(ctx context.Context, session store.Store, expect []store.Entry, grace time.Duration) error {
	return x.observer.observe(ctx, opSuspendIf, func(ctx context.Context) error {
		return x.inner.SuspendIf(ctx, session, expect, grace)
	})
}

func (x *observedIndexer) TimeLeft(ctx context.Context, session store.Store) (left time.Duration, err error) {
	err = x.observer.observe(ctx, opTimeLeft, func(ctx context.Context) (err error) {
		left, err = x.inner.TimeLeft(ctx, session)
		return err
	})
	return left, err
}

// An observedScanner records the pages of the Scanner beneath.
type observedScanner struct {
	inner    store.Scanner
	observer *observer
}

func (s *observedScanner) Scan(ctx context.Context, cursor string) (ids []string, next string, err error) {
	err = s.observer.observe(ctx, opScan, func(ctx context.Context) (err error) {
		ids, next, err = s.inner.Scan(ctx, cursor)
		return err
	})
	return ids, next, err
}
