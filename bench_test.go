package store_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
	"github.com/sessionkv/store/internal/heap"
)

// What people use now runs beside each of ours:
//
//	go test -run '^$' -bench 'Get|Set|Has|Load' -count 6 . | benchstat -col /impl -

// lockedMap is a map with a lock, holding values as they are.
type lockedMap struct {
	mu sync.RWMutex
	m  map[string]any
}

func (l *lockedMap) Load(key string) (any, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	v, ok := l.m[key]
	return v, ok
}

func (l *lockedMap) Store(key string, v any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.m[key] = v
}

// benchSession returns a session with the keys that a realtime server keeps.
func benchSession(b *testing.B) *store.Session {
	return create(b, open(b, nil), userID.To("u-42-abcdef"), logins.To(1000), claims.To(sampleClaims),
		store.Key[string]("tenant").To("acme"), store.Key[[]string]("rooms").To([]string{"a", "b"}))
}

var sampleClaims = tokenClaims{"u-42-abcdef", "acme", true, 1789000000, 3}

func benchGet[T comparable](b *testing.B, key store.Key[T], want T) {
	ctx := context.Background()
	b.Run("impl=store", func(b *testing.B) {
		s := benchSession(b)
		b.ReportAllocs()
		for b.Loop() {
			if v, err := key.Get(ctx, s); err != nil || v != want {
				b.Fatal(v, err)
			}
		}
	})
	b.Run("impl=sync.Map", func(b *testing.B) {
		var m sync.Map
		fill(anyMap{&m}, string(key), want)
		b.ReportAllocs()
		for b.Loop() {
			v, _ := m.Load(string(key))
			if v, ok := v.(T); !ok || v != want {
				b.Fatal(v)
			}
		}
	})
	b.Run("impl=map+RWMutex", func(b *testing.B) {
		m := &lockedMap{m: map[string]any{}}
		fill(m, string(key), want)
		b.ReportAllocs()
		for b.Loop() {
			v, _ := m.Load(string(key))
			if v, ok := v.(T); !ok || v != want {
				b.Fatal(v)
			}
		}
	})
}

func fill(m interface{ Store(string, any) }, key string, v any) {
	for _, other := range []string{"userId", "logins", "tokenClaims", "tenant", "rooms"} {
		m.Store(other, "x")
	}
	m.Store(key, v)
}

// anyMap lets sync.Map take string keys as lockedMap does.
type anyMap struct{ *sync.Map }

func (m anyMap) Store(key string, v any) { m.Map.Store(key, v) }

func BenchmarkGetString(b *testing.B) { benchGet(b, userID, "u-42-abcdef") }
func BenchmarkGetInt64(b *testing.B)  { benchGet(b, logins, 1000) }
func BenchmarkGetStruct(b *testing.B) { benchGet(b, claims, sampleClaims) }

func benchSet[T any](b *testing.B, key store.Key[T], value func(i int) T) {
	ctx := context.Background()
	b.Run("impl=store", func(b *testing.B) {
		s := benchSession(b)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if err := key.Set(ctx, s, value(i)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("impl=sync.Map", func(b *testing.B) {
		var m sync.Map
		fill(anyMap{&m}, string(key), value(0))
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			m.Store(string(key), value(i))
		}
	})
	b.Run("impl=map+RWMutex", func(b *testing.B) {
		m := &lockedMap{m: map[string]any{}}
		fill(m, string(key), value(0))
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			m.Store(string(key), value(i))
		}
	})
}

var userIDs = [2]string{"u-42-abcdef", "u-43-abcdef"}

func BenchmarkSetString(b *testing.B) {
	benchSet(b, userID, func(i int) string { return userIDs[i&1] })
}

func BenchmarkSetInt64(b *testing.B) {
	benchSet(b, logins, func(i int) int64 { return int64(1000 + i) })
}

func BenchmarkSetStruct(b *testing.B) {
	benchSet(b, claims, func(i int) tokenClaims { c := sampleClaims; c.Level = i; return c })
}

func BenchmarkRaw(b *testing.B) {
	ctx := context.Background()
	raw := benchSession(b).Store()
	value := []byte("u-42-abcdef")
	b.Run("op=get", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := raw.Get(ctx, "userId"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("op=set", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := raw.Set(ctx, "userId", value); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkHas(b *testing.B) {
	ctx := context.Background()
	b.Run("impl=store", func(b *testing.B) {
		s := benchSession(b)
		b.ReportAllocs()
		for b.Loop() {
			if ok, err := userID.Has(ctx, s); !ok || err != nil {
				b.Fatal(ok, err)
			}
		}
	})
	b.Run("impl=sync.Map", func(b *testing.B) {
		var m sync.Map
		fill(anyMap{&m}, "userId", "u")
		b.ReportAllocs()
		for b.Loop() {
			if _, ok := m.Load("userId"); !ok {
				b.Fatal("absent")
			}
		}
	})
}

func BenchmarkLoadThreeKeys(b *testing.B) {
	ctx := context.Background()
	b.Run("impl=store", func(b *testing.B) {
		s := benchSession(b)
		var id string
		var n int64
		var c tokenClaims
		b.ReportAllocs()
		for b.Loop() {
			if err := store.Load(ctx, s, userID.Into(&id), logins.Into(&n), claims.Into(&c)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("impl=sync.Map", func(b *testing.B) {
		var m sync.Map
		fill(anyMap{&m}, "userId", "u")
		m.Store("logins", int64(1))
		m.Store("tokenClaims", sampleClaims)
		b.ReportAllocs()
		for b.Loop() {
			id, _ := m.Load("userId")
			n, _ := m.Load("logins")
			c, _ := m.Load("tokenClaims")
			if id.(string) == "" || n.(int64) == 0 || c.(tokenClaims).Level == 0 {
				b.Fatal("wrong value")
			}
		}
	})
}

func BenchmarkUpdate(b *testing.B) {
	ctx := context.Background()
	s := benchSession(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := logins.Update(ctx, s, func(old int64, _ bool) (int64, error) { return old + 1, nil }); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkManySessions reads and writes at random among 10⁵ sessions from all
// cores, beside a sharded map of maps that keeps values as they are.
func BenchmarkManySessions(b *testing.B) {
	const n = 100_000
	ctx := context.Background()
	ids := make([]string, n)
	for i := range ids {
		ids[i] = store.NewID()
	}
	b.Run("impl=store", func(b *testing.B) {
		sessions := open(b, nil)
		handles := make([]*store.Session, n)
		for i, id := range ids {
			s, err := sessions.Create(ctx, id, userID.To(id[:8]), logins.To(1), claims.To(sampleClaims))
			if err != nil {
				b.Fatal(err)
			}
			handles[i] = s
		}
		b.Run("op=get", func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := userID.Get(ctx, handles[rand.N(n)]); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
		b.Run("op=set", func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := userID.Set(ctx, handles[rand.N(n)], "u-42-abcdef"); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	})
	b.Run("impl=sharded-map", func(b *testing.B) {
		// Each connection holds its own map, as it holds its Session above.
		maps := make([]*lockedMap, n)
		for i, id := range ids {
			maps[i] = &lockedMap{m: map[string]any{"userId": id[:8], "logins": int64(1), "tokenClaims": sampleClaims}}
		}
		b.Run("op=get", func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if v, _ := maps[rand.N(n)].Load("userId"); v.(string) == "" {
						b.Fatal("absent")
					}
				}
			})
		})
		b.Run("op=set", func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					maps[rand.N(n)].Store("userId", "u-42-abcdef")
				}
			})
		})
	})
}

// BenchmarkBytesPerSession holds a million sessions with three small keys each
// and reports what they take: in the backend with its index, and together
// with the Session handles and the registry that renews their leases.
func BenchmarkBytesPerSession(b *testing.B) {
	ctx := context.Background()
	n := 1_000_000
	if testing.Short() {
		n = 100_000
	}
	b.Run(fmt.Sprintf("sessions=%d/with=handle", n), func(b *testing.B) {
		for b.Loop() {
			before := heap.Live()
			sessions := open(b, nil)
			handles := make([]*store.Session, n)
			for i := range handles {
				s, err := sessions.Create(ctx, store.NewID(), userID.To("u-42-abcdef"), logins.To(int64(i)), store.Key[string]("tenant").To("acme"))
				if err != nil {
					b.Fatal(err)
				}
				handles[i] = s
			}
			b.ReportMetric(float64(heap.Live()-before)/float64(n), "B/session")
			runtime.KeepAlive(handles)
		}
	})
	b.Run(fmt.Sprintf("sessions=%d/with=backend", n), func(b *testing.B) {
		for b.Loop() {
			before := heap.Live()
			backend := memstore.New(nil)
			for i := range n {
				initial := []store.Entry{{Key: "userId", Value: []byte("\xabu-42-abcdef")}, {Key: "logins", Value: fmt.Appendf(nil, "\xd3%08d", i)}, {Key: "tenant", Value: []byte("\xa4acme")}}
				if _, err := backend.Create(ctx, store.NewID(), initial, store.Terms{Lease: store.DefaultLease}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(heap.Live()-before)/float64(n), "B/session")
			backend.Close()
		}
	})
}
