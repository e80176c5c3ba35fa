package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/crash"
)

// staysFound checks for a while that judge finds the session under its value, and then that it has ended and that no entry is left.
func staysFound(t *testing.T, when string, backend *trackedLists, judge *store.Sessions, id string, lease time.Duration) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	for range 20 * 5 {
		agrees(t, when, judge, id, "before", "early", "after")
		time.Sleep(lease / 20)
		if _, err := judge.Attach(ctx, id); errors.Is(err, store.ErrNoSession) {
			break
		}
	}
	if _, err := judge.Attach(ctx, id); !errors.Is(err, store.ErrNoSession) {
		t.Fatalf("%s: Attach() = %v five leases later, want %v", when, err, store.ErrNoSession)
	}
	time.Sleep(lease + lease/8)
	if n := backend.left(t); n != 0 {
		t.Errorf("%s: %d entries are left a lease after the session, want 0", when, n)
	}
}

// A writer dies as soon as its write was acknowledged, and the owner some time later, maybe just before it would have looked at the mark. The
// owner may have looked between two steps of the write.
func TestWriterAndOwnerDie(t *testing.T) {
	const lease = 16 * time.Second
	for _, c := range []struct {
		name      string
		slow, put time.Duration // each operation of the writer takes so long, and those with entries before the write so much longer
	}{{"fast", 0, 0}, {"slow", lease / 20, 0}, {"slow entries", 0, lease * 2 / 5}, {"very slow entries", 0, lease}} {
		for after := time.Duration(0); after < 3*lease/2; after += lease / 25 {
			for dies := time.Duration(0); dies < 2*lease; dies += lease / 5 {
				when := fmt.Sprintf("%s, write after %v, the owner dies %v later", c.name, after, dies)
				synctest.Test(t, func(t *testing.T) {
					ctx := context.WithoutCancel(t.Context())
					backend := newTrackedLists(t)
					opts := withIndex(store.Options{Lease: lease})
					owner, judge := indexedSessions(t, backend, opts), indexedSessions(t, backend, opts)
					pause, written := time.Duration(0), false
					slow := newSlowIndexed(backend, func() { time.Sleep(pause) })
					slow.step = func(op string) {
						written = written || op == "Commit"
						if op == "PutEntries" && !written && pause >= 0 {
							time.Sleep(c.put)
						}
					}
					writer := indexedSessions(t, slow, opts)
					s := create(t, owner, indexedUser.To("before"))
					attached, err := writer.Attach(ctx, s.ID())
					must(t, err)
					must(t, indexedUser.Set(ctx, attached, "early"))
					time.Sleep(3*lease + after)
					pause, written = c.slow/2, false
					must(t, indexedUser.Set(ctx, attached, "after"))
					crash.Sessions(writer)
					agrees(t, when, judge, s.ID(), "before", "early", "after")
					time.Sleep(dies)
					crash.Sessions(owner)
					staysFound(t, when, backend, judge, s.ID(), lease)
				})
				if t.Failed() {
					return
				}
			}
		}
	}
}

// Another process extends a session. Then its owner, which was not told, writes and dies at once.
func TestOwnerWritesAfterAnExtend(t *testing.T) {
	const lease = 16 * time.Second
	for name, write := range indexWrites {
		for _, later := range []time.Duration{0, lease, 2 * lease} {
			synctest.Test(t, func(t *testing.T) {
				ctx := context.WithoutCancel(t.Context())
				backend := newTrackedLists(t)
				opts := withIndex(store.Options{Lease: lease})
				owner, other := indexedSessions(t, backend, opts), indexedSessions(t, backend, opts)
				s := create(t, owner, indexedUser.To("before"))
				attached, err := other.Attach(ctx, s.ID())
				must(t, err)
				must(t, attached.Extend(ctx, 6*lease))
				time.Sleep(later)
				must(t, write(ctx, s, "after"))
				crash.Sessions(owner)
				staysFound(t, fmt.Sprintf("%s, %v after Extend", name, later), backend, other, s.ID(), 2*lease)
			})
		}
	}
}

// A session ends while another process is about to give it and its entries more time. The entries go with it.
func TestEntriesOfWhatHasEnded(t *testing.T) {
	const lease = 16 * time.Second
	var mine *store.Sessions
	calls := map[string]func(ctx context.Context, s *store.Session) error{
		"Suspend":     func(ctx context.Context, s *store.Session) error { return s.Suspend(ctx, 100*lease) },
		"Extend":      func(ctx context.Context, s *store.Session) error { return s.Extend(ctx, 100*lease) },
		"Set":         func(ctx context.Context, s *store.Session) error { return indexedUser.Set(ctx, s, "after") },
		"the renewal": func(_ context.Context, s *store.Session) error { <-s.Done(); return s.Err() },
		"Rotate": func(ctx context.Context, s *store.Session) error {
			_, err := mine.Rotate(ctx, s, store.NewID())
			return err
		},
	}
	for name, call := range calls {
		for _, through := range []string{"owner", "attached", "unowned"} {
			if name != "Extend" && name != "Set" && through != "owner" {
				continue
			}
			t.Run(name+"/"+through, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx := context.WithoutCancel(t.Context())
					backend := newTrackedLists(t)
					opts := withIndex(store.Options{Lease: lease})
					other := indexedSessions(t, backend, opts)
					slow := newSlowIndexed(backend, func() {})
					mine = indexedSessions(t, slow, opts)
					var s *store.Session
					var err error
					switch through {
					case "owner":
						s = create(t, mine, indexedUser.To("before"))
					case "attached":
						s, err = mine.Attach(ctx, create(t, other, indexedUser.To("before")).ID())
					case "unowned":
						s, err = mine.CreateFor(ctx, store.NewID(), 4*lease, indexedUser.To("before"))
					}
					must(t, err)
					id, ended := s.ID(), false
					slow.step = func(op string) {
						if op != "PutEntries" || ended {
							return
						}
						ended = true
						s, err := other.Attach(ctx, id)
						must(t, err)
						must(t, s.Destroy(ctx))
						time.Sleep(time.Millisecond) // its entries have been removed
					}
					err = call(ctx, s)
					if !ended || !errors.Is(err, store.ErrDestroyed) {
						t.Fatalf("%s = %v, with the end in between: %v; want %v", name, err, ended, store.ErrDestroyed)
					}
					time.Sleep(lease + lease/8)
					if n := backend.left(t); n != 0 {
						t.Errorf("%s = %v: %d entries are left a lease later, want 0", name, err, n)
					}
				})
			})
		}
	}
}
