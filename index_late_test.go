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
		untimed   bool
	}{
		{"fast", 0, 0, false},
		{"fast, untimed", 0, 0, true},
		{"a little slow", lease / 40, 0, false},
		{"slow", lease / 20, 0, false},
		{"slow, untimed", lease / 20, 0, true},
		{"slow entries", 0, lease * 2 / 5, false},
		{"slow entries, untimed", 0, lease * 2 / 5, true},
		{"very slow entries", 0, lease, false},
	} {
		for after := time.Duration(0); after < 3*lease/2; after += lease / 25 {
			for dies := time.Duration(0); dies < 2*lease; dies += lease / 5 {
				when := fmt.Sprintf("%s, write after %v, the owner dies %v later", c.name, after, dies)
				synctest.Test(t, func(t *testing.T) {
					ctx := context.WithoutCancel(t.Context())
					backend := newTrackedLists(t)
					opts := withIndex(store.Options{Lease: lease})
					owner, judge := indexedSessions(t, backend, opts), indexedSessions(t, backend, opts)
					var put atomic.Int64
					slow, pause := newPaused(backend)
					slow.untimed = c.untimed
					slow.step = func(op string) {
						switch op {
						case "PutEntries":
							time.Sleep(time.Duration(put.Load()))
						case "Commit":
							put.Store(0)
						}
					}
					writer := indexedSessions(t, slow, opts)
					s, attached := shared(t, owner, writer)
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

// Processes may have different leases, as while a new value of the option is rolled out. The session may have no value yet that could be
// looked for when another process writes one.
func TestIndexWithDifferentLeases(t *testing.T) {
	for _, leases := range [][2]time.Duration{{30 * time.Second, 20 * time.Second}, {10 * time.Second, 30 * time.Second}, {60 * time.Second, 5 * time.Second}, {5 * time.Second, 60 * time.Second}} {
		lease := max(leases[0], leases[1])
		for _, how := range []string{"created", "created empty", "resumed"} {
			for after := time.Duration(0); after < 3*leases[0]/2; after += leases[0] / 20 {
				when := fmt.Sprintf("%s, leases %v, write after %v", how, leases, after)
				synctest.Test(t, func(t *testing.T) {
					ctx := context.WithoutCancel(t.Context())
					backend := newTrackedLists(t)
					owner := indexedSessions(t, backend, withIndex(store.Options{Lease: leases[0]}))
					writer := indexedSessions(t, backend, withIndex(store.Options{Lease: leases[1]}))
					var id string
					switch how {
					case "created":
						id = create(t, owner, indexedUser.To("before")).ID()
					case "created empty":
						id = create(t, owner).ID()
					case "resumed": // from a process with the other lease
						id = create(t, writer, indexedUser.To("before")).ID()
						_, err := owner.Resume(ctx, id)
						must(t, err)
					}
					attached, err := writer.Attach(ctx, id)
					must(t, err)
					time.Sleep(3*lease + after)
					must(t, indexedUser.Set(ctx, attached, "after"))
					crash.Sessions(writer)
					for range 80 {
						agrees(t, when, owner, id, "before", "after")
						time.Sleep(lease / 20)
					}
					crash.Sessions(owner)
					staysFound(t, when, backend, indexedSessions(t, backend, withIndex(store.Options{Lease: lease})), id, lease, 0)
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
				s, attached := shared(t, owner, other)
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
		s, attached := shared(t, owner, without)
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
	lease, longest, others := 16*time.Second, 16*time.Second, []time.Duration{16 * time.Second}
	if seed%4 >= 2 {
		lease = []time.Duration{4 * time.Second, 16 * time.Second, 64 * time.Second}[seed/4%3]
		longest, others = 64*time.Second, []time.Duration{64 * time.Second, 16 * time.Second, 4 * time.Second}
	}
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
		b.untimed = seed%2 == 1
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
				other := withIndex(store.Options{Lease: others[upTo(time.Duration(len(others))*time.Millisecond)/time.Millisecond]})
				sessions := indexedSessions(t, slowly(backend, lease), other)
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
	staysFound(t, fmt.Sprintf("seed %d, after the death of the owner", seed), backend, judge, s.ID(), lease, longest+longest/8)
}

// A write of an indexed key takes one more round trip than one of another key, whenever it comes: it puts the entry first, and the
// write itself says how long the session lives. Only where somebody renewed the session in between it takes another.
func TestIndexedWriteTakesOneTripMore(t *testing.T) {
	const (
		lease = 16 * time.Second
		trip  = time.Millisecond
	)
	for _, through := range []string{"owner", "attached", "attached, first write"} {
		for after := time.Duration(0); after < 3*lease/2; after += lease / 50 {
			synctest.Test(t, func(t *testing.T) {
				ctx := context.WithoutCancel(t.Context())
				backend := newTrackedLists(t)
				opts := withIndex(store.Options{Lease: lease})
				owner := indexedSessions(t, backend, opts)
				slow, pause := newPaused(backend)
				writer := indexedSessions(t, slow, opts)
				var s *store.Session
				var err error
				if through == "owner" {
					s = create(t, writer, indexedUser.To("before"))
				} else {
					s, err = writer.Attach(ctx, create(t, owner, indexedUser.To("before")).ID())
					must(t, err)
				}
				if through == "attached" {
					must(t, indexedUser.Set(ctx, s, "early"))
				}
				time.Sleep(3*lease + after + lease/100)
				pause.Store(int64(trip / 2))
				began := time.Now()
				must(t, indexedUser.Set(ctx, s, "after"))
				if took := time.Since(began); took != 2*trip {
					t.Errorf("%s, write after %v: Set() took %d trips, want 2", through, after, took/trip)
				}
				pause.Store(0)
			})
		}
	}
}

// Renewals of the owner take effect late, after another process has written. Then the owner dies.
func TestOwnerDiesAfterLateRenewals(t *testing.T) {
	const lease = 16 * time.Second
	for _, late := range []time.Duration{lease / 40, lease / 20, lease / 5} {
		for after := time.Duration(0); after < 3*lease/2; after += lease / 20 {
			for dies := time.Duration(0); dies < 2*lease; dies += lease / 10 {
				when := fmt.Sprintf("renewals late by %v, write after %v, the owner dies %v later", late, after, dies)
				synctest.Test(t, func(t *testing.T) {
					ctx := context.WithoutCancel(t.Context())
					backend := newTrackedLists(t)
					opts := withIndex(store.Options{Lease: lease})
					var wrote, renewing atomic.Bool
					behind := newSlowIndexed(backend, func() {})
					behind.step = func(op string) {
						if op == "Renew" && wrote.Load() {
							renewing.Store(true)
							time.Sleep(late)
							renewing.Store(false)
						}
					}
					owner, judge := indexedSessions(t, behind, opts), indexedSessions(t, backend, opts)
					slow := newSlowIndexed(backend, func() {})
					slow.step = func(op string) {
						if op == "TimeLeft" {
							time.Sleep(lease / 33)
						}
					}
					writer := indexedSessions(t, slow, opts)
					s, attached := shared(t, owner, writer)
					time.Sleep(3*lease + after)
					must(t, indexedUser.Set(ctx, attached, "after"))
					wrote.Store(true)
					crash.Sessions(writer)
					time.Sleep(dies)
					for renewing.Load() { // what is on its way takes effect
						time.Sleep(lease / 100)
					}
					crash.Sessions(owner)
					staysFound(t, when, backend, judge, s.ID(), lease, 0)
				})
				if t.Failed() {
					return
				}
			}
		}
	}
}
