package goals

import (
	"context"
	"errors"
	"hash/maphash"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
	"github.com/sessionkv/store/bench/internal/report"
	"github.com/sessionkv/store/codec"
	"github.com/sessionkv/store/internal/heap"
)

// identity is a pure value: it has no pointers but those of strings.
type identity struct {
	UserID string `msgpack:"userId"`
	Tenant string `msgpack:"tenant"`
	Admin  bool   `msgpack:"admin"`
	Until  int64  `msgpack:"until"`
	Level  int    `msgpack:"level"`
}

const (
	userID = store.Key[string]("userId")
	who    = store.Key[identity]("who")
	tenant = store.Key[string]("tenant")
	room   = store.Key[string]("room")
)

var (
	sampleIdentity = identity{"u-42-abcdef", "acme", true, 1_789_000_000, 3}
	names          = []string{"u-42-abcdef", "u-43-abcdef"}
	threeSmall     = []store.Change{userID.To(names[0]), tenant.To("acme"), room.To("room-17")}

	errLost = errors.New("a value was not there")
)

// quietMemory has sessions whose renewals do not come during a run.
func quietMemory(t *testing.T) *store.Sessions {
	return open(t, "memory:", &store.Options{Lease: 24 * time.Hour})
}

// duel lets two loops take turns of 4 ms.
func duel(t *testing.T, goal string, most float64, ours, theirs func(n int) error) {
	n := 1000
	for start := time.Now(); ; start, n = time.Now(), 2*n {
		check(t, theirs(n))
		if time.Since(start) > full(4*time.Millisecond, 100*time.Microsecond) {
			break
		}
	}
	check(t, ours(n))
	runtime.GC()
	took := turns(t, full(650*time.Millisecond, time.Millisecond), n, ours, theirs)
	atMost(most, "×").check(t, goal, ratio(took[0], took[1]), "%.1f ns beside %.1f ns", report.Median(took[0]), report.Median(took[1]))
}

// TestMemory compares one session with one sync.Map.
func TestMemory(t *testing.T) {
	ctx := context.Background()
	s, err := quietMemory(t).Create(ctx, store.NewID(), userID.To(names[0]), who.To(sampleIdentity), tenant.To("acme"))
	check(t, err)
	var m sync.Map
	m.Store("userId", names[0])
	m.Store("who", sampleIdentity)
	m.Store("tenant", "acme")

	getString := func(n int) error {
		for range n {
			if v, err := userID.Get(ctx, s); err != nil || len(v) == 0 {
				return errors.Join(err, errLost)
			}
		}
		return nil
	}
	duel(t, "memory, one session: typed Get of a string beside sync.Map.Load", 1, getString, func(n int) error {
		for range n {
			v, _ := m.Load("userId")
			if v, ok := v.(string); !ok || len(v) == 0 {
				return errLost
			}
		}
		return nil
	})
	getStruct := func(n int) error {
		for range n {
			if v, err := who.Get(ctx, s); err != nil || v.Level != 3 {
				return errors.Join(err, errLost)
			}
		}
		return nil
	}
	duel(t, "memory, one session: typed Get of an unchanged struct beside sync.Map.Load", 2.5, getStruct, func(n int) error {
		for range n {
			v, _ := m.Load("who")
			if v, ok := v.(identity); !ok || v.Level != 3 {
				return errLost
			}
		}
		return nil
	})
	allocations := func(loop func(int) error) float64 { return testing.AllocsPerRun(100, func() { _ = loop(1) }) }
	allocationFree.check(t, "memory, one session: typed Get of a string", allocations(getString), "")
	allocationFree.check(t, "memory, one session: typed Get of an unchanged struct", allocations(getStruct), "")
	duel(t, "memory, one session: typed Set of a string beside sync.Map.Store", 1, func(n int) error {
		for i := range n {
			if err := userID.Set(ctx, s, names[i&1]); err != nil {
				return err
			}
		}
		return nil
	}, func(n int) error {
		for i := range n {
			m.Store("userId", names[i&1])
		}
		return nil
	})
}

// sharded is the plain map that a server would have: shards with a lock, in each a map from the ID to the session's own map.
type sharded struct {
	seed   maphash.Seed
	shards [256]struct {
		sync.RWMutex
		m map[string]map[string]any
		_ [32]byte
	}
}

// locked is a session's own map, which the server holds on to.
type locked struct {
	sync.RWMutex
	m map[string]any
}

// TestMany compares 10⁵ sessions, chosen at random by all cores.
func TestMany(t *testing.T) {
	ctx := context.Background()
	count := full(100_000, 1000)
	ss := quietMemory(t)
	plain := &sharded{seed: maphash.MakeSeed()}
	for i := range plain.shards {
		plain.shards[i].m = map[string]map[string]any{}
	}
	ids, handles, own := make([]string, count), make([]*store.Session, count), make([]*locked, count)
	for i := range ids {
		var err error
		ids[i] = store.NewID()
		handles[i], err = ss.Create(ctx, ids[i], threeSmall...)
		check(t, err)
		own[i] = &locked{m: map[string]any{"userId": names[0], "tenant": "acme", "room": "room-17"}}
		plain.shards[maphash.String(plain.seed, ids[i])&255].m[ids[i]] = map[string]any{"userId": names[0], "tenant": "acme", "room": "room-17"}
	}
	// The same choices for all; drawn in advance, since drawing takes as long.
	choices := make([]int32, 1<<20)
	for i := range choices {
		choices[i] = int32(rand.IntN(count))
	}
	// all does n calls from all cores.
	all := func(do func(i, r int) bool) func(int) error {
		return func(n int) error {
			var lost atomic.Bool
			var wg sync.WaitGroup
			cores := runtime.GOMAXPROCS(0)
			for c := range cores {
				wg.Go(func() {
					at := c * len(choices) / cores
					for r := range n / cores {
						if !do(int(choices[(at+r)&(len(choices)-1)]), r) {
							lost.Store(true)
						}
					}
				})
			}
			wg.Wait()
			if lost.Load() {
				return errLost
			}
			return nil
		}
	}
	get := all(func(i, _ int) bool { _, err := userID.Get(ctx, handles[i]); return err == nil })
	set := all(func(i, r int) bool { return userID.Set(ctx, handles[i], names[r&1]) == nil })
	const group = "memory, 10⁵ sessions, all cores: typed "
	duel(t, group+"Get beside a sharded map by ID", 1.5, get, all(func(i, _ int) bool {
		s := &plain.shards[maphash.String(plain.seed, ids[i])&255]
		s.RLock()
		v := s.m[ids[i]]["userId"]
		s.RUnlock()
		_, ok := v.(string)
		return ok
	}))
	duel(t, group+"Set beside a sharded map by ID", 1.5, set, all(func(i, r int) bool {
		s := &plain.shards[maphash.String(plain.seed, ids[i])&255]
		s.Lock()
		values := s.m[ids[i]]
		if values != nil {
			values["userId"] = names[r&1]
		}
		s.Unlock()
		return values != nil
	}))
	duel(t, group+"Get beside a locked map for each handle", 1.5, get, all(func(i, _ int) bool {
		l := own[i]
		l.RLock()
		v := l.m["userId"]
		l.RUnlock()
		_, ok := v.(string)
		return ok
	}))
	duel(t, group+"Set beside a locked map for each handle", 1.5, set, all(func(i, r int) bool {
		l := own[i]
		l.Lock()
		l.m["userId"] = names[r&1]
		l.Unlock()
		return true
	}))
}

// TestFootprint weighs a million sessions with three small keys. Their IDs, which the server has anyway, are made before and
// not counted.
func TestFootprint(t *testing.T) {
	ctx := t.Context()
	ids := make([]string, full(1_000_000, 10_000))
	for i := range ids {
		ids[i] = store.NewID()
	}
	// weigh returns what each session adds to the heap, and what create needs open at the end.
	weigh := func(create func(id string) (any, error)) float64 {
		held := make([]any, len(ids))
		before := heap.Live()
		for i, id := range ids {
			var err error
			held[i], err = create(id)
			check(t, err)
		}
		after := heap.Live()
		runtime.KeepAlive(held)
		return float64(int64(after)-int64(before)) / float64(len(ids))
	}

	var entries []store.Entry
	for k, v := range map[string]string{"userId": names[0], "tenant": "acme", "room": "room-17"} {
		b, err := codec.Append(codec.Msgpack, nil, &v)
		check(t, err)
		entries = append(entries, store.Entry{Key: k, Value: b})
	}
	backend := memstore.New(nil)
	bytes := weigh(func(id string) (any, error) {
		_, err := backend.Create(ctx, id, entries, store.Terms{Lease: time.Hour})
		return nil, err
	})
	check(t, backend.Close())
	atMost(400, "bytes").check(t, "memory: bytes per session with three small keys at 10⁶ sessions, backend", bytes, "")

	ss := quietMemory(t)
	bytes = weigh(func(id string) (any, error) { return ss.Create(ctx, id, threeSmall...) })
	atMost(560, "bytes").check(t, "memory: the same with the Session handles", bytes, "")
}
