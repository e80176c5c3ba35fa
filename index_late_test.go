package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/crash"
	"github.com/sessionkv/store/storetest"
)

// staysFound checks for a while that judge finds the session under its value, and then that it has ended and that no entry is left. An entry
// stays as much longer as the call that put it was slow.
func staysFound(t *testing.T, when string, backend *trackedLists, judge *store.Sessions, id string, lease, slow time.Duration) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	for range 20 * 5 {
		agrees(t, when, judge, id, "before", "early", "after", "a", "b", "c")
		time.Sleep(lease / 20)
		if _, err := judge.Attach(ctx, id); errors.Is(err, store.ErrNoSession) {
			break
		}
	}
	if _, err := judge.Attach(ctx, id); !errors.Is(err, store.ErrNoSession) {
		t.Fatalf("%s: Attach() = %v five leases later, want %v", when, err, store.ErrNoSession)
	}
	time.Sleep(lease + lease/8 + slow)
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
	}{{"fast", 0, 0}, {"a little slow", lease / 40, 0}, {"slow", lease / 20, 0}, {"slow entries", 0, lease * 2 / 5}, {"very slow entries", 0, lease}} {
		for after := time.Duration(0); after < 3*lease/2; after += lease / 25 {
			for dies := time.Duration(0); dies < 2*lease; dies += lease / 5 {
				when := fmt.Sprintf("%s, write after %v, the owner dies %v later", c.name, after, dies)
				synctest.Test(t, func(t *testing.T) {
					ctx := context.WithoutCancel(t.Context())
					backend := newTrackedLists(t)
					opts := withIndex(store.Options{Lease: lease})
					owner, judge := indexedSessions(t, backend, opts), indexedSessions(t, backend, opts)
					var pause, put atomic.Int64
					slow := newSlowIndexed(backend, func() { time.Sleep(time.Duration(pause.Load())) })
					slow.step = func(op string) {
						switch op {
						case "PutEntries":
							time.Sleep(time.Duration(put.Load()))
						case "Commit":
							put.Store(0)
						}
					}
					writer := indexedSessions(t, slow, opts)
					s := create(t, owner, indexedUser.To("before"))
					attached, err := writer.Attach(ctx, s.ID())
					must(t, err)
					must(t, indexedUser.Set(ctx, attached, "early"))
					time.Sleep(3*lease + after)
					pause.Store(int64(c.slow / 2))
					put.Store(int64(c.put))
					must(t, indexedUser.Set(ctx, attached, "after"))
					crash.Sessions(writer)
					agrees(t, when, judge, s.ID(), "before", "early", "after")
					time.Sleep(dies)
					crash.Sessions(owner)
					staysFound(t, when, backend, judge, s.ID(), lease, c.put)
				})
				if t.Failed() {
					return
				}
			}
		}
	}
}

// Processes may have different leases, as while a new value of the option is rolled out: one that is a third shorter, or any longer one.
func TestIndexWithDifferentLeases(t *testing.T) {
	for _, leases := range [][2]time.Duration{{30 * time.Second, 20 * time.Second}, {10 * time.Second, 30 * time.Second}} {
		lease := max(leases[0], leases[1])
		for after := time.Duration(0); after < 3*leases[0]/2; after += leases[0] / 20 {
			synctest.Test(t, func(t *testing.T) {
				ctx := context.WithoutCancel(t.Context())
				backend := newTrackedLists(t)
				owner := indexedSessions(t, backend, withIndex(store.Options{Lease: leases[0]}))
				writer := indexedSessions(t, backend, withIndex(store.Options{Lease: leases[1]}))
				s := create(t, owner, indexedUser.To("before"))
				attached, err := writer.Attach(ctx, s.ID())
				must(t, err)
				time.Sleep(3*lease + after)
				must(t, indexedUser.Set(ctx, attached, "after"))
				for range 80 {
					agrees(t, fmt.Sprintf("leases %v, write after %v", leases, after), owner, s.ID(), "before", "after")
					time.Sleep(lease / 20)
				}
			})
			if t.Failed() {
				return
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
				staysFound(t, fmt.Sprintf("%s, %v after Extend", name, later), backend, other, s.ID(), 2*lease, 0)
			})
		}
	}
}

// A process without the index extends a session and writes the key. Then the owner looks at the mark, and dies.
func TestOwnerLooksAfterAnExtend(t *testing.T) {
	const lease = 16 * time.Second
	synctest.Test(t, func(t *testing.T) {
		ctx := context.WithoutCancel(t.Context())
		backend := newTrackedLists(t)
		opts := withIndex(store.Options{Lease: lease})
		owner, judge := indexedSessions(t, backend, opts), indexedSessions(t, backend, opts)
		without := newSessions(t, backend, &store.Options{Lease: lease})
		s := create(t, owner, indexedUser.To("before"))
		attached, err := without.Attach(ctx, s.ID())
		must(t, err)
		must(t, attached.Extend(ctx, 8*lease))
		must(t, indexedUser.Set(ctx, attached, "after"))
		time.Sleep(2 * lease)
		crash.Sessions(owner)
		staysFound(t, "after a look", backend, judge, s.ID(), 2*lease, 0)
	})
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

// TestIndexLateSchedules lets writers hold their handles for long and die as soon as a write was acknowledged, while their operations and the
// owner's are slow and some renewals fail. In the end the owner dies. INDEX_SEEDS=n tries more seeds.
func TestIndexLateSchedules(t *testing.T) {
	for seed := range indexSeeds(t, 60) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { indexLateSchedule(t, uint64(seed)) })
		})
	}
}

func indexLateSchedule(t *testing.T, seed uint64) {
	const lease = 16 * time.Second
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 16))
	upTo := func(most time.Duration) time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return time.Duration(random.IntN(int(most/time.Millisecond))) * time.Millisecond
	}
	chance := func(n int) bool { return upTo(time.Duration(n)*time.Millisecond) == 0 }
	ctx := context.WithoutCancel(t.Context())
	backend := newTrackedLists(t)
	opts := withIndex(store.Options{Lease: lease})
	faulty := storetest.Faulty(backend)
	slowly := func(inner store.Backend, most time.Duration) *slowIndexed {
		b := newSlowIndexed(inner, func() {})
		b.step = func(op string) {
			switch {
			case op == "PutEntries" && chance(8):
				time.Sleep(upTo(most))
			case chance(3): // as a network that is not quite well
				time.Sleep(upTo(lease / 20))
			}
		}
		return b
	}
	owner, judge := indexedSessions(t, slowly(faulty, lease/5), opts), indexedSessions(t, backend, opts)
	s := create(t, owner, indexedUser.To("before"))
	type writer struct {
		sessions *store.Sessions
		handle   *store.Session
	}
	var writers [2]*writer
	var writes sync.WaitGroup
	defer time.Sleep(2 * lease) // what crashed processes have begun is over then
	defer writes.Wait()
	users := []string{"before", "a", "b", "c"}
	may := func(err error) {
		if err != nil && !errors.Is(err, store.ErrDestroyed) {
			t.Errorf("seed %d: Set() = %v", seed, err)
		}
	}
	for round := range 10 {
		for i := range writers {
			if writers[i] == nil {
				sessions := indexedSessions(t, slowly(backend, lease), opts)
				handle, err := sessions.Attach(ctx, s.ID())
				if errors.Is(err, store.ErrNoSession) {
					return // renewals came too late
				}
				must(t, err)
				writers[i] = &writer{sessions, handle}
			}
			w, wait, user := writers[i], upTo(2*lease), users[upTo(4*time.Millisecond)/time.Millisecond]
			dies := chance(2)
			if dies {
				writers[i] = nil
			}
			writes.Go(func() {
				time.Sleep(wait)
				may(indexedUser.Set(ctx, w.handle, user))
				if dies {
					crash.Sessions(w.sessions)
				}
			})
		}
		if chance(3) {
			writes.Go(func() {
				time.Sleep(upTo(2 * lease))
				may(indexedUser.Set(ctx, s, "c"))
			})
		}
		if chance(2) {
			writes.Go(func() {
				time.Sleep(upTo(lease))
				faulty.FailOnce(storetest.OpRenew, nil)
			})
		}
		writes.Wait()
		for range upTo(30*time.Millisecond) / time.Millisecond {
			agrees(t, fmt.Sprintf("seed %d, round %d", seed, round), judge, s.ID(), users...)
			time.Sleep(lease / 20)
		}
	}
	crash.Sessions(owner)
	for _, w := range writers {
		if w != nil && chance(2) {
			crash.Sessions(w.sessions)
		}
	}
	staysFound(t, fmt.Sprintf("seed %d, after the death of the owner", seed), backend, judge, s.ID(), lease, lease)
}
