package goals

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
	"github.com/sessionkv/store/bench/internal/report"
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
)

var sampleIdentity = identity{"u-42-abcdef", "acme", true, 1_789_000_000, 3}

// newMemory returns sessions on memory whose renewals do not come during a run.
func newMemory() (*store.Sessions, func(), error) {
	backend := memstore.New(nil)
	ss, err := store.New(backend, &store.Options{Lease: 24 * time.Hour})
	if err != nil {
		return nil, nil, errors.Join(err, backend.Close())
	}
	return ss, func() { ss.Close(context.Background()); backend.Close() }, nil
}

// memory compares one session with one sync.Map.
func memory(ctx context.Context, o Options, add func(report.Goal)) error {
	o.Say("memory, one session")
	ctx = context.WithoutCancel(ctx)
	ss, end, err := newMemory()
	if err != nil {
		return err
	}
	defer end()
	names := []string{"u-42-abcdef", "u-43-abcdef"}
	s, err := ss.Create(ctx, store.NewID(), userID.To(names[0]), who.To(sampleIdentity), store.Key[string]("tenant").To("acme"))
	if err != nil {
		return err
	}
	var m sync.Map
	m.Store("userId", names[0])
	m.Store("who", sampleIdentity)
	m.Store("tenant", "acme")
	var failed error

	d := pair{
		func(n int) {
			for range n {
				if v, err := userID.Get(ctx, s); err != nil || len(v) == 0 {
					failed = err
				}
			}
		},
		func(n int) {
			for range n {
				v, _ := m.Load("userId")
				if v, ok := v.(string); !ok || len(v) == 0 {
					panic("sync.Map lost a value")
				}
			}
		},
	}.fight()
	g := atMost("memory, one session: typed Get of a string beside sync.Map.Load, no allocation", d.ratio, 1, "%.1f ns beside %.1f ns, %.0f allocations", d.ours, d.theirs, d.allocs)
	g.Met = g.Met && d.allocs == 0
	add(g)

	d = pair{
		func(n int) {
			for range n {
				if v, err := who.Get(ctx, s); err != nil || v.Level != 3 {
					failed = err
				}
			}
		},
		func(n int) {
			for range n {
				v, _ := m.Load("who")
				if v, ok := v.(identity); !ok || v.Level != 3 {
					panic("sync.Map lost a value")
				}
			}
		},
	}.fight()
	g = atMost("memory, one session: typed Get of an unchanged struct beside sync.Map.Load, no allocation", d.ratio, 2.5, "%.1f ns beside %.1f ns, %.0f allocations", d.ours, d.theirs, d.allocs)
	g.Met = g.Met && d.allocs == 0
	add(g)

	d = pair{
		func(n int) {
			for i := range n {
				if err := userID.Set(ctx, s, names[i&1]); err != nil {
					failed = err
				}
			}
		},
		func(n int) {
			for i := range n {
				m.Store("userId", names[i&1])
			}
		},
	}.fight()
	add(atMost("memory, one session: typed Set of a string beside sync.Map.Store", d.ratio, 1, "%.1f ns beside %.1f ns, %.0f allocations", d.ours, d.theirs, d.allocs))
	return failed
}
