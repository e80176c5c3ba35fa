package goals

import (
	"context"
	"hash/maphash"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/bench/internal/report"
)

// sharded is the plain map that a server would have: shards with a lock, in each
// a map from the ID to the session's own map.
type sharded struct {
	seed   maphash.Seed
	shards [256]shard
}

type shard struct {
	mu sync.RWMutex
	m  map[string]map[string]any
	_  [32]byte
}

func newSharded() *sharded {
	m := &sharded{seed: maphash.MakeSeed()}
	for i := range m.shards {
		m.shards[i].m = map[string]map[string]any{}
	}
	return m
}

func (m *sharded) of(id string) *shard { return &m.shards[maphash.String(m.seed, id)&255] }

func (m *sharded) get(id, key string) (any, bool) {
	s := m.of(id)
	s.mu.RLock()
	v, ok := s.m[id][key]
	s.mu.RUnlock()
	return v, ok
}

func (m *sharded) set(id, key string, v any) {
	s := m.of(id)
	s.mu.Lock()
	values := s.m[id]
	if values == nil {
		values = map[string]any{}
		s.m[id] = values
	}
	values[key] = v
	s.mu.Unlock()
}

// locked is a session's own map, which the server holds on to.
type locked struct {
	mu sync.RWMutex
	m  map[string]any
}

const manySessions = 100_000

// many compares 10⁵ sessions, chosen at random by all cores.
func many(ctx context.Context, o Options, add func(report.Goal)) error {
	o.Say("memory, 10⁵ sessions from all cores")
	ctx = context.WithoutCancel(ctx)
	ss, end, err := newMemory()
	if err != nil {
		return err
	}
	defer end()
	ids := make([]string, manySessions)
	handles := make([]*store.Session, manySessions)
	plain := newSharded()
	own := make([]*locked, manySessions)
	for i := range ids {
		ids[i] = store.NewID()
		s, err := ss.Create(ctx, ids[i], userID.To("u-42-abcdef"), store.Key[string]("tenant").To("acme"), store.Key[string]("room").To("room-17"))
		if err != nil {
			return err
		}
		handles[i] = s
		own[i] = &locked{m: map[string]any{}}
		for k, v := range map[string]any{"userId": "u-42-abcdef", "tenant": "acme", "room": "room-17"} {
			plain.set(ids[i], k, v)
			own[i].m[k] = v
		}
	}
	names := []string{"u-42-abcdef", "u-43-abcdef"}
	var failures atomic.Int64
	// The same choices for all; drawn in advance, since drawing takes as long.
	choices := make([]int32, 1<<20)
	for i := range choices {
		choices[i] = int32(rand.IntN(manySessions))
	}
	all := func(do func(i int, r int)) func(int) {
		return func(n int) {
			var wg sync.WaitGroup
			cores := runtime.GOMAXPROCS(0)
			for c := range cores {
				wg.Go(func() {
					at := c * len(choices) / cores
					for r := range n / cores {
						do(int(choices[(at+r)&(len(choices)-1)]), r)
					}
				})
			}
			wg.Wait()
		}
	}
	ourGet := all(func(i, _ int) {
		if _, err := userID.Get(ctx, handles[i]); err != nil {
			failures.Add(1)
		}
	})
	ourSet := all(func(i, r int) {
		if err := userID.Set(ctx, handles[i], names[r&1]); err != nil {
			failures.Add(1)
		}
	})
	plainGet := all(func(i, _ int) {
		v, _ := plain.get(ids[i], "userId")
		if _, ok := v.(string); !ok {
			failures.Add(1)
		}
	})
	plainSet := all(func(i, r int) { plain.set(ids[i], "userId", names[r&1]) })
	ownGet := all(func(i, _ int) {
		l := own[i]
		l.mu.RLock()
		v := l.m["userId"]
		l.mu.RUnlock()
		if _, ok := v.(string); !ok {
			failures.Add(1)
		}
	})
	ownSet := all(func(i, r int) {
		l := own[i]
		l.mu.Lock()
		l.m["userId"] = names[r&1]
		l.mu.Unlock()
	})
	for _, c := range []struct {
		text         string
		ours, theirs func(int)
	}{
		{"memory, 10⁵ sessions, all cores: typed Get beside a sharded map by ID", ourGet, plainGet},
		{"memory, 10⁵ sessions, all cores: typed Set beside a sharded map by ID", ourSet, plainSet},
		{"memory, 10⁵ sessions, all cores: typed Get beside a locked map for each handle", ourGet, ownGet},
		{"memory, 10⁵ sessions, all cores: typed Set beside a locked map for each handle", ourSet, ownSet},
	} {
		d := pair{c.ours, c.theirs}.fight()
		add(atMost(c.text, d.ratio, 1.5, "%.1f ns beside %.1f ns", d.ours, d.theirs))
	}
	if n := failures.Load(); n > 0 {
		return errLost
	}
	return nil
}
