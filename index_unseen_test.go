package store_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/crash"
)

// countedRenewals counts the sessions that are renewed, with and without a look at their marks.
type countedRenewals struct {
	*trackedLists
	plain, looked atomic.Int64
}

func (b *countedRenewals) Renew(ctx context.Context, sessions []store.Store, lease time.Duration) []error {
	b.plain.Add(int64(len(sessions)))
	return b.trackedLists.Renew(ctx, sessions, lease)
}

func (b *countedRenewals) RenewIf(ctx context.Context, sessions []store.Store, expect [][]store.Entry, lease time.Duration) []error {
	b.looked.Add(int64(len(sessions)))
	return b.trackedLists.RenewIf(ctx, sessions, expect, lease)
}

// Two of three renewals of a session with an index take what those without one take.
func TestEveryThirdRenewalLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := &countedRenewals{trackedLists: newTrackedLists(t)}
		sessions := indexedSessions(t, backend, withIndex(store.Options{}))
		create(t, sessions, indexedUser.To("u"))
		time.Sleep(30*store.DefaultLease + store.DefaultLease/4)
		plain, looked := backend.plain.Load(), backend.looked.Load()
		if plain < 40 || plain > 41 || looked < 20 || looked > 21 {
			t.Errorf("after 60 renewals %d were plain and %d looked at the mark, want 40 and 20", plain, looked)
		}
	})
}

// A process that dies as soon as its write was acknowledged leaves a session that is found for as long as its owner lives,
// whatever the time of the write, and however long before its owner looked at the mark.
func TestWriterDiesAtOnce(t *testing.T) {
	const lease = 16 * time.Second
	for _, held := range []bool{false, true} { // by a handle that has written before
		for _, slow := range []time.Duration{0, lease / 20} {
			untimed := slow > 0 != held
			for after := time.Duration(0); after < 3*lease/2; after += lease / 25 {
				t.Run(fmt.Sprintf("held %v, slow %v, after %v", held, slow, after), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						ctx := context.WithoutCancel(t.Context())
						backend := newTrackedLists(t)
						opts := withIndex(store.Options{Lease: lease})
						owner := indexedSessions(t, backend, opts)
						behind, pause := newPaused(backend)
						behind.untimed = untimed
						writer := indexedSessions(t, behind, opts)
						s, attached := shared(t, owner, writer)
						if held {
							must(t, indexedUser.Set(ctx, attached, "early"))
						}
						time.Sleep(3*lease + after)
						pause.Store(int64(slow / 2))
						must(t, indexedUser.Set(ctx, attached, "after"))
						crash.Sessions(writer)
						for at := time.Duration(0); at < 4*lease; at += lease / 20 {
							finds(t, owner, "after", s.ID())
							time.Sleep(lease / 20)
						}
					})
				})
			}
		}
	}
}

// So does a writer that lives on, where the owner dies: the session is found until it ends.
func TestOwnerDiesAfterTheWriteOfAnother(t *testing.T) {
	const lease = 16 * time.Second
	for after := time.Duration(0); after < 3*lease/2; after += lease / 10 {
		for dies := time.Duration(0); dies < 2*lease; dies += lease / 10 {
			synctest.Test(t, func(t *testing.T) {
				ctx := context.WithoutCancel(t.Context())
				backend := newTrackedLists(t)
				opts := withIndex(store.Options{Lease: lease})
				owner, writer := indexedSessions(t, backend, opts), indexedSessions(t, backend, opts)
				s, attached := shared(t, owner, writer)
				time.Sleep(3*lease + after)
				must(t, indexedUser.Set(ctx, attached, "after"))
				time.Sleep(dies)
				crash.Sessions(owner)
				for range 50 {
					agrees(t, fmt.Sprintf("write after %v, the owner dies %v later", after, dies), writer, s.ID(), "before", "after")
					time.Sleep(lease / 25)
				}
				if _, err := writer.Attach(ctx, s.ID()); err == nil {
					t.Fatal("the session lives two leases after its owner")
				}
				time.Sleep(lease / 8)
				if n := backend.left(t); n != 0 {
					t.Errorf("write after %v, the owner dies %v later: %d entries are left, want 0", after, dies, n)
				}
			})
		}
	}
}
