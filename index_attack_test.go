package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/crash"
	"github.com/sessionkv/store/storetest"
)

// indexWrites are all ways to write an indexed key.
var indexWrites = map[string]func(ctx context.Context, s *store.Session, v string) error{
	"Set":    func(ctx context.Context, s *store.Session, v string) error { return indexedUser.Set(ctx, s, v) },
	"Delete": func(ctx context.Context, s *store.Session, _ string) error { return indexedUser.Delete(ctx, s) },
	"Save": func(ctx context.Context, s *store.Session, v string) error {
		return store.Save(ctx, s, indexedUser.To(v), userID.To(v))
	},
	"Update": func(ctx context.Context, s *store.Session, v string) error {
		_, err := indexedUser.Update(ctx, s, func(string, bool) (string, error) { return v, nil })
		return err
	},
	"transaction": func(ctx context.Context, s *store.Session, v string) error {
		return s.Update(ctx, func(tx *store.Tx) error { return indexedUser.In(tx).Set(v) })
	},
	"SetIfAbsent": func(ctx context.Context, s *store.Session, v string) error {
		_, err := indexedUser.SetIfAbsent(ctx, s, v)
		return err
	},
	"Take": func(ctx context.Context, s *store.Session, _ string) error {
		if _, err := indexedUser.Take(ctx, s); !errors.Is(err, store.ErrNotFound) {
			return err
		}
		return nil
	},
}

// agrees checks that Find finds the session under its value and under none of the others.
func agrees(t testing.TB, when string, sessions *store.Sessions, id string, users ...string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	now, lives := "", false
	if s, err := sessions.Attach(ctx, id); err == nil {
		if now, lives, err = indexedUser.Lookup(ctx, s); err != nil {
			t.Fatalf("%s: Lookup() = %v", when, err)
		}
	} else if !errors.Is(err, store.ErrNoSession) {
		t.Fatalf("%s: Attach() = %v", when, err)
	}
	for _, user := range users {
		found := false
		for s, err := range indexedUser.Find(ctx, sessions, user) {
			if err != nil {
				t.Fatalf("%s: Find() yields %v", when, err)
			}
			found = found || s.ID() == id
		}
		if want := lives && now == user; found != want {
			t.Fatalf("%s: Find(%q) finds the session: %v, want %v: its value is %q, %v", when, user, found, want, now, lives)
		}
	}
}

// Every write meets every failure of every operation under it, through the owner and through other handles. Whatever it
// reports, the session is found under what it has, at once and for as long as it lives.
func TestIndexedWriteMeetsEveryFailure(t *testing.T) {
	ops := []storetest.Op{storetest.OpPutEntries, storetest.OpCommit, storetest.OpTimeLeft, storetest.OpRemoveEntries, storetest.OpRenew, storetest.OpGet}
	for name, write := range indexWrites {
		for _, op := range ops {
			for _, lose := range []bool{false, true} {
				for _, through := range []string{"owner", "attached", "resumed", "unowned"} {
					t.Run(fmt.Sprintf("%s/%s/lost=%v/%s", name, op, lose, through), func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) {
							ctx := t.Context()
							backend := newTrackedLists(t)
							faulty := storetest.Faulty(backend)
							mine := indexedSessions(t, faulty, withIndex(store.Options{}))
							other := indexedSessions(t, backend, withIndex(store.Options{}))
							s := create(t, mine, indexedUser.To("before"))
							var err error
							switch through {
							case "attached":
								s, err = mine.Attach(ctx, s.ID())
							case "resumed":
								s, err = mine.Resume(ctx, s.ID())
							case "unowned":
								s, err = mine.CreateFor(ctx, store.NewID(), time.Hour, indexedUser.To("before"))
							}
							must(t, err)
							fail := faulty.FailOnce
							if lose {
								fail = func(op storetest.Op, _ error) { faulty.LoseReply(op) }
							}
							fail(op, nil)
							err = write(ctx, s, "after")
							agrees(t, fmt.Sprintf("after %s = %v", name, err), other, s.ID(), "before", "after", "")
							time.Sleep(7 * store.DefaultLease / 2)
							agrees(t, fmt.Sprintf("three leases after %s = %v", name, err), other, s.ID(), "before", "after", "")
							faulty.Heal()
							must(t, write(ctx, s, "later"))
							agrees(t, "after a second write", other, s.ID(), "before", "after", "later", "")
							time.Sleep(7 * store.DefaultLease / 2)
							agrees(t, "three leases later", other, s.ID(), "before", "after", "later", "")
						})
					})
				}
			}
		}
	}
}

// slowIndexed is a backend on which every operation takes a while, before and after it takes effect.
type slowIndexed struct {
	store.Backend
	pause   func()
	step    func(op string) // may be nil; called before each operation on entries and leases
	untimed bool            // a Commit does not say how long the session lives
}

func newSlowIndexed(inner store.Backend, pause func()) *slowIndexed {
	b := &slowIndexed{pause: pause}
	b.Backend = store.WrapStores(inner, func(s store.Store) store.Store { return &slowIndexedStore{s, b} })
	return b
}

// newPaused is newSlowIndexed with operations that take as long before as after they take effect, so many nanoseconds as are stored.
func newPaused(inner store.Backend) (*slowIndexed, *atomic.Int64) {
	pause := new(atomic.Int64)
	return newSlowIndexed(inner, func() { time.Sleep(time.Duration(pause.Load())) }), pause
}

// steps calls step with the name of an operation that comes.
func (b *slowIndexed) steps(op string) {
	if b.step != nil {
		b.step(op)
	}
}

// slowly calls do with pauses around it.
func slowly[T any](b *slowIndexed, do func() T) T {
	b.pause()
	defer b.pause()
	return do()
}

type storeOr struct {
	s   store.Store
	err error
}

func (b *slowIndexed) Create(ctx context.Context, id string, initial []store.Entry, t store.Terms) (store.Store, error) {
	r := slowly(b, func() storeOr { s, err := b.Backend.Create(ctx, id, initial, t); return storeOr{s, err} })
	return r.s, r.err
}

func (b *slowIndexed) Resume(ctx context.Context, id string, t store.Terms) (store.Store, error) {
	r := slowly(b, func() storeOr { s, err := b.Backend.Resume(ctx, id, t); return storeOr{s, err} })
	return r.s, r.err
}

func (b *slowIndexed) Attach(ctx context.Context, id string, t store.Terms) (store.Store, error) {
	r := slowly(b, func() storeOr { s, err := b.Backend.Attach(ctx, id, t); return storeOr{s, err} })
	return r.s, r.err
}

func (b *slowIndexed) Renew(ctx context.Context, sessions []store.Store, lease time.Duration) []error {
	b.steps("Renew")
	return b.Backend.Renew(ctx, sessions, lease)
}

func (b *slowIndexed) Indexer() (store.Indexer, error) {
	inner, err := store.AsIndexer(b.Backend)
	return &slowIndexer{inner, b}, err
}

type slowIndexer struct {
	store.Indexer
	b *slowIndexed
}

func (x *slowIndexer) PutEntries(ctx context.Context, entries []store.IndexEntry, ttl time.Duration) []error {
	x.b.steps("PutEntries")
	return slowly(x.b, func() []error { return x.Indexer.PutEntries(ctx, entries, ttl) })
}

func (x *slowIndexer) RemoveEntries(ctx context.Context, entries []store.IndexEntry) error {
	x.b.steps("RemoveEntries")
	return slowly(x.b, func() error { return x.Indexer.RemoveEntries(ctx, entries) })
}

func (x *slowIndexer) RenewIf(ctx context.Context, sessions []store.Store, expect [][]store.Entry, lease time.Duration) []error {
	x.b.steps("RenewIf")
	return slowly(x.b, func() []error { return x.Indexer.RenewIf(ctx, sessions, expect, lease) })
}

func (x *slowIndexer) SuspendIf(ctx context.Context, s store.Store, expect []store.Entry, grace time.Duration) error {
	x.b.steps("SuspendIf")
	return slowly(x.b, func() error { return x.Indexer.SuspendIf(ctx, s, expect, grace) })
}

func (x *slowIndexer) TimeLeft(ctx context.Context, s store.Store) (time.Duration, error) {
	x.b.steps("TimeLeft")
	type result struct {
		d   time.Duration
		err error
	}
	r := slowly(x.b, func() result { d, err := x.Indexer.TimeLeft(ctx, s); return result{d, err} })
	return r.d, r.err
}

type slowIndexedStore struct {
	store.Store
	b *slowIndexed
}

func (s *slowIndexedStore) Commit(ctx context.Context, expect, write []store.Entry) ([][]byte, error) {
	current, _, err := s.CommitTimed(ctx, expect, write)
	return current, err
}

func (s *slowIndexedStore) CommitTimed(ctx context.Context, expect, write []store.Entry) (current [][]byte, left time.Duration, err error) {
	s.b.steps("Commit")
	err = slowly(s.b, func() (err error) {
		current, left, err = store.CommitTimed(ctx, s.Store, expect, write)
		return err
	})
	if s.b.untimed {
		left = 0
	}
	return current, left, err
}

func (s *slowIndexedStore) DestroyIf(ctx context.Context, values []store.Entry) error {
	return slowly(s.b, func() error { return store.DestroyIf(ctx, s.Store, values) })
}

func (s *slowIndexedStore) Destroy(ctx context.Context) error {
	return slowly(s.b, func() error { return s.Store.Destroy(ctx) })
}

// TestIndexSchedules lets three processes, of different leases every other time, do things to a few sessions at once, with pauses of chance between the steps of
// each, and some of them die. Whenever nothing is in progress, each session is found under what it has and nowhere else. INDEX_SEEDS=n tries more seeds.
func TestIndexSchedules(t *testing.T) {
	for seed := range indexSeeds(t, 60) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { indexSchedule(t, uint64(seed)) })
		})
	}
}

// indexSeeds returns how many seeds INDEX_SEEDS says, or so many as usual.
func indexSeeds(t *testing.T, usual int) int {
	v := os.Getenv("INDEX_SEEDS")
	if v == "" {
		return usual
	}
	n, err := strconv.Atoi(v)
	must(t, err)
	return n
}

func indexSchedule(t *testing.T, seed uint64) {
	const lease = 16 * time.Second
	leases, most, least := []time.Duration{lease}, lease, lease
	if seed%4 >= 2 {
		leases, most, least = []time.Duration{lease, 4 * lease, lease / 4}, 4*lease, lease/4
	}
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 15))
	chance := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return random.IntN(n)
	}
	pause := func() {
		if chance(3) == 0 {
			time.Sleep(time.Duration(chance(1+int(least/16))) / time.Duration(1+chance(20)))
		}
	}
	ctx := context.WithoutCancel(t.Context())
	backend := newTrackedLists(t)
	faults := seed%5 == 4
	node := func() *store.Sessions {
		faulty := storetest.Faulty(backend)
		slow := newSlowIndexed(faulty, func() {
			pause()
			if !faults || chance(25) > 0 {
				return
			}
			ops := []storetest.Op{
				storetest.OpPutEntries, storetest.OpCommit, storetest.OpTimeLeft, storetest.OpRemoveEntries, storetest.OpRenew,
				storetest.OpGet, storetest.OpSuspend, storetest.OpResume, storetest.OpCreate,
			}
			if op := ops[chance(len(ops))]; chance(2) == 0 {
				faulty.FailOnce(op, nil)
			} else {
				faulty.LoseReply(op)
			}
		})
		slow.untimed = seed%2 == 1
		return indexedSessions(t, slow, withIndex(store.Options{Lease: leases[chance(len(leases))]}))
	}
	nodes := []*store.Sessions{node(), node(), node()}
	judge := indexedSessions(t, backend, withIndex(store.Options{Lease: lease}))
	users := []string{"a", "b", "c"}
	type client struct {
		id    string
		owner int // the node that has it, -1 for none
	}
	clients := make([]*client, 4)
	for round := range 12 {
		var calls sync.WaitGroup
		for i := range clients {
			if clients[i] == nil {
				n := chance(3)
				c := &client{id: store.NewID(), owner: n}
				clients[i] = c
				if _, err := nodes[n].Create(ctx, c.id, indexedUser.To(users[chance(3)])); err != nil {
					c.owner = -1
					if !faults {
						t.Fatal(err)
					}
				}
			}
			c := clients[i]
			// One thing by whoever owns it, and up to two writes by others at the same time.
			for range chance(3) {
				n, user, id := chance(3), users[chance(3)], c.id // which a Rotate changes
				calls.Go(func() {
					if s, err := nodes[n].Attach(ctx, id); err == nil {
						_ = indexedUser.Set(ctx, s, user)
					}
				})
			}
			what, user, n, next := chance(8), users[chance(3)], chance(3), store.NewID()
			grace := lease/2 + time.Duration(chance(int(4*lease/time.Millisecond)))*time.Millisecond
			calls.Go(func() {
				s, owned := nodes[max(c.owner, 0)].Local(c.id)
				owned = owned && c.owner >= 0
				switch {
				case what == 0 && owned:
					if s.Suspend(ctx, grace) == nil {
						c.owner = -1
					}
				case what == 1:
					if _, err := nodes[n].Resume(ctx, c.id); err == nil {
						c.owner = n
					}
				case what == 2 && owned:
					if _, err := nodes[c.owner].Rotate(ctx, s, next); err == nil {
						c.id = next
					}
				case what == 3 && owned:
					_ = s.Extend(ctx, grace+lease)
				case what == 4:
					if s, err := nodes[n].Attach(ctx, c.id); err == nil {
						_ = s.Extend(ctx, grace+lease)
					}
				case what == 5 && owned:
					_ = indexedUser.Delete(ctx, s)
				case owned:
					_ = indexedUser.Set(ctx, s, user)
				}
			})
		}
		calls.Wait()
		check := func(when string) {
			for i, c := range clients {
				if c != nil {
					agrees(t, fmt.Sprintf("seed %d, round %d, %s, session %d", seed, round, when, i), judge, c.id, users...)
				}
			}
		}
		check("at once")
		if chance(6) == 0 { // long after the errands of the writes
			time.Sleep(lease / 4)
			n := chance(3)
			crash.Sessions(nodes[n])
			for _, c := range clients {
				if c.owner == n {
					c.owner = -1
				}
			}
			nodes[n] = node()
			check("after the death of a process")
		}
		for range 6 {
			time.Sleep(time.Duration(chance(int(lease/time.Millisecond))) * time.Millisecond)
			check("later")
		}
		for i, c := range clients {
			if _, err := judge.Attach(ctx, c.id); errors.Is(err, store.ErrNoSession) {
				clients[i] = nil
			}
		}
	}
	for _, n := range nodes {
		crash.Sessions(n)
	}
	var last time.Duration
	indexer, err := store.AsIndexer(backend)
	must(t, err)
	for _, c := range clients {
		if c == nil {
			continue
		}
		if raw, err := backend.Attach(ctx, c.id, store.Terms{}); err == nil {
			left, err := indexer.TimeLeft(ctx, raw)
			must(t, err)
			last = max(last, left)
		}
	}
	// A Resume may have shortened a session; its entries are there for the grace that it had, and a lease.
	longest := 9*lease/2 + lease + 2*most // an Extend by a process with the longest lease
	time.Sleep(max(last, longest) + most + most/8)
	if n := backend.left(t); n != 0 {
		t.Errorf("seed %d: %d entries are left a lease after the last session, want 0", seed, n)
	}
}
