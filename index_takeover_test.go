package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/crash"
	"github.com/sessionkv/store/storetest"
)

const indexedTenant = store.Key[string]("indexedTenant")

// with2Indexes has the index of users and another one.
func with2Indexes(o store.Options) *store.Options {
	o.Indexes = append(o.Indexes, indexedUser.Index(), indexedTenant.Index())
	return &o
}

// A session may hold more keys than a process may add, such as after Limits.Keys was lowered. Its mark is written all the same, so that it is
// renewed and found.
func TestIndexOfSessionsBeyondTheirLimit(t *testing.T) {
	const lease = 16 * time.Second
	takes := map[string]func(ctx context.Context, ss *store.Sessions, id string) (*store.Session, error){
		"Resume": func(ctx context.Context, ss *store.Sessions, id string) (*store.Session, error) {
			return ss.Resume(ctx, id)
		},
		"Extend": func(ctx context.Context, ss *store.Sessions, id string) (*store.Session, error) {
			s, err := ss.Attach(ctx, id)
			if err == nil {
				err = s.Extend(ctx, 5*lease)
			}
			return s, err
		},
		"Set": func(ctx context.Context, ss *store.Sessions, id string) (*store.Session, error) {
			s, err := ss.Attach(ctx, id)
			if err == nil {
				err = indexedUser.Set(ctx, s, "u")
			}
			return s, err
		},
		"Suspend": func(ctx context.Context, ss *store.Sessions, id string) (*store.Session, error) {
			s, err := ss.Resume(ctx, id)
			if err == nil {
				err = s.Suspend(ctx, 5*lease)
			}
			return s, err
		},
	}
	for _, keys := range []int{2, 3, 6} { // the session has three, one of them the user
		for name, take := range takes {
			for _, indexed := range []bool{false, true} { // what created the session
				t.Run(fmt.Sprintf("%s/limit %d/by a process with the index %v", name, keys, indexed), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						ctx := context.WithoutCancel(t.Context())
						backend := newTrackedLists(t)
						before := store.Options{Lease: lease}
						if indexed {
							before = *withIndex(before)
						}
						initial := []store.Change{indexedUser.To("u"), userID.To("x"), store.Key[int]("n").To(1)}
						created, err := indexedSessions(t, backend, &before).CreateFor(ctx, store.NewID(), 4*lease, initial...)
						must(t, err)
						opts := withIndex(store.Options{Lease: lease, Limits: store.Limits{Keys: keys}})
						mine := indexedSessions(t, backend, opts)
						_, err = take(ctx, mine, created.ID())
						must(t, err)
						time.Sleep(7 * lease / 2)
						finds(t, mine, "u", created.ID())
					})
				})
			}
		}
	}
}

// A session without a mark may hold one key more than it should. Its owner renews it all the same.
func TestIndexOfAFullSessionWithoutAMark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.WithoutCancel(t.Context())
		mine := indexedSessions(t, newTrackedLists(t), withIndex(store.Options{Limits: store.Limits{Keys: 3}}))
		s, err := mine.CreateFor(ctx, store.NewID(), time.Hour)
		must(t, err)
		for i := range 8 {
			if err := store.Key[int](fmt.Sprint("n", i)).Set(ctx, s, i); err != nil && !errors.Is(err, store.ErrTooManyKeys) {
				t.Fatal(err)
			}
		}
		s, err = mine.Resume(ctx, s.ID())
		must(t, err)
		time.Sleep(5 * store.DefaultLease)
		must(t, s.Err())
	})
}

// A handle that writes one indexed key of a session, before anything else, does not take the others for listed: they may come from a
// process without the index.
func TestWriteOfOneKeyOfASessionThatIsNotListed(t *testing.T) {
	const lease = 16 * time.Second
	for _, before := range []string{"without an index", "with another value"} {
		for _, through := range []string{"attached", "resumed"} {
			t.Run(before+"/"+through, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx := context.WithoutCancel(t.Context())
					backend := newTrackedLists(t)
					faulty := storetest.Faulty(backend)
					mine := indexedSessions(t, faulty, with2Indexes(store.Options{Lease: lease}))
					old := indexedSessions(t, backend, &store.Options{Lease: lease})
					creator := old
					if before == "with another value" {
						creator = indexedSessions(t, backend, with2Indexes(store.Options{Lease: lease}))
					}
					s, err := creator.CreateFor(ctx, store.NewID(), 10*lease, indexedUser.To("u"), indexedTenant.To("early"))
					must(t, err)
					unindexed, err := old.Attach(ctx, s.ID())
					must(t, err)
					must(t, indexedTenant.Set(ctx, unindexed, "t"))
					if through == "attached" {
						if s, err = mine.Attach(ctx, s.ID()); err == nil {
							err = indexedUser.Set(ctx, s, "v")
						}
						must(t, err)
						must(t, s.Extend(ctx, 10*lease))
					} else {
						faulty.FailOnce(storetest.OpCommit, nil) // the look in the background
						s, err = mine.Resume(ctx, s.ID())
						must(t, err)
						synctest.Wait()
						must(t, indexedUser.Set(ctx, s, "v"))
						time.Sleep(2 * lease)
					}
					finds(t, mine, "v", s.ID())
					if got := findIDs(t, indexedTenant, mine, "t"); len(got) != 1 {
						t.Errorf("Find() of the key that was not written finds %d sessions, want 1", len(got))
					}
				})
			})
		}
	}
}

// A session is extended while another process brings it into an index that is new to it.
func TestExtendWhileASessionIsListed(t *testing.T) {
	const lease = 16 * time.Second
	for _, untimed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			ctx := context.WithoutCancel(t.Context())
			backend := newTrackedLists(t)
			opts := withIndex(store.Options{Lease: lease})
			other := indexedSessions(t, backend, &store.Options{Lease: lease})
			id := create(t, other, indexedUser.To("u")).ID()
			slow := newSlowIndexed(backend, func() {})
			slow.untimed = untimed
			extended := false
			slow.step = func(op string) {
				if op != "PutEntries" || extended {
					return
				}
				extended = true
				s, err := other.Attach(ctx, id)
				must(t, err)
				must(t, s.Extend(ctx, 10*lease))
			}
			mine, judge := indexedSessions(t, slow, opts), indexedSessions(t, backend, opts)
			_, err := mine.Resume(ctx, id)
			must(t, err)
			time.Sleep(lease / 4)
			crash.Sessions(mine)
			for range 8 {
				finds(t, judge, "u", id)
				time.Sleep(lease)
			}
		})
	}
}

// A process with a long lease takes over a session whose entries stay for a short one. Its first look at them fails.
func TestLongLeaseAfterAShortOne(t *testing.T) {
	for _, op := range []storetest.Op{storetest.OpCommit, storetest.OpPutEntries, storetest.OpRenew} {
		for _, lose := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/lost=%v", op, lose), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx := context.WithoutCancel(t.Context())
					backend := newTrackedLists(t)
					faulty := storetest.Faulty(backend)
					short := indexedSessions(t, backend, withIndex(store.Options{Lease: time.Second}))
					long := indexedSessions(t, faulty, withIndex(store.Options{Lease: 10 * time.Minute}))
					s := create(t, short, indexedUser.To("u"))
					if lose {
						faulty.LoseReply(op)
					} else {
						faulty.FailOnce(op, nil)
					}
					_, err := long.Resume(ctx, s.ID())
					must(t, err)
					for range 200 {
						finds(t, short, "u", s.ID())
						time.Sleep(4 * time.Second)
					}
				})
			})
		}
	}
}

// A write whose first step takes longer than the session had left when it was asked about puts its entry for as long as it takes.
func TestSlowWriteWithAShortLease(t *testing.T) {
	const lease = 16 * time.Second
	for _, untimed := range []bool{false, true} {
		for took := time.Duration(0); took < 3*lease; took += lease / 10 {
			synctest.Test(t, func(t *testing.T) {
				ctx := context.WithoutCancel(t.Context())
				backend := newTrackedLists(t)
				owner := indexedSessions(t, backend, withIndex(store.Options{Lease: lease}))
				slow := newSlowIndexed(backend, func() {})
				slow.untimed = untimed
				once := true
				slow.step = func(op string) {
					if op == "PutEntries" && once {
						once = false
						time.Sleep(took)
					}
				}
				writer := indexedSessions(t, slow, withIndex(store.Options{Lease: time.Second}))
				s, err := writer.Attach(ctx, create(t, owner).ID())
				must(t, err)
				must(t, indexedUser.Set(ctx, s, "after"))
				crash.Sessions(writer)
				crash.Sessions(owner)
				staysFound(t, fmt.Sprintf("a step took %v", took), backend, indexedSessions(t, backend, withIndex(store.Options{Lease: lease})), s.ID(), lease, lease)
			})
		}
	}
}

// The reply of an operation is lost, or an answer that only lets entries stay for longer fails, and nobody looks after the session from then
// on. It is found for as long as it lives.
func TestNobodyLooksAfterLostReplies(t *testing.T) {
	const lease = 16 * time.Second
	for _, untimed := range []bool{false, true} {
		for name, c := range map[string]struct {
			op   storetest.Op
			lose bool
			call func(ctx context.Context, ss *store.Sessions, s *store.Session) error
		}{
			"Resume": {storetest.OpResume, true, func(ctx context.Context, ss *store.Sessions, s *store.Session) error {
				_, err := ss.Resume(ctx, s.ID())
				return err
			}},
			"Set": {storetest.OpCommit, true, func(ctx context.Context, _ *store.Sessions, s *store.Session) error {
				return indexedUser.Set(ctx, s, "a")
			}},
			"recheck": {storetest.OpTimeLeft, false, nil},
		} {
			t.Run(fmt.Sprintf("%s/untimed=%v", name, untimed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx := context.WithoutCancel(t.Context())
					backend := newTrackedLists(t)
					short := indexedSessions(t, backend, withIndex(store.Options{Lease: lease / 8}))
					owned := create(t, short, indexedUser.To("before"))
					faulty := storetest.Faulty(backend)
					slow := newSlowIndexed(faulty, func() {})
					slow.untimed = untimed
					var between atomic.Bool
					slow.step = func(op string) {
						if op == "Commit" && between.Swap(false) { // the session gets more time between the steps of a write
							must(t, owned.Suspend(ctx, 5*lease))
							if name == "recheck" {
								faulty.FailOnce(c.op, nil)
							}
						}
					}
					mine := indexedSessions(t, slow, withIndex(store.Options{Lease: lease}))
					s, err := mine.Attach(ctx, owned.ID())
					must(t, err)
					must(t, indexedUser.Set(ctx, s, "before"))
					between.Store(name != "Resume")
					if c.lose {
						faulty.LoseReply(c.op)
						if err := c.call(ctx, mine, s); err != nil && !errors.Is(err, store.ErrUnknownOutcome) {
							t.Fatalf("%s = %v", name, err)
						}
					} else if err := indexedUser.Set(ctx, s, "a"); err != nil && !errors.Is(err, store.ErrUnknownOutcome) {
						t.Fatalf("%s = %v", name, err)
					}
					time.Sleep(time.Second / 2) // what failed was tried again
					staysFound(t, name, backend, short, s.ID(), lease, 5*lease)
				})
			})
		}
	}
}
