package memstore_test

import (
	"context"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
	"github.com/sessionkv/store/internal/heap"
)

// The rivals hold values of any, as code without this package would; theirs are
// neither copied nor isolated, nor do they expire.

type locked struct {
	mu sync.RWMutex
	m  map[string]any
}

func (l *locked) load(key string) any {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.m[key]
}

func (l *locked) store(key string, v any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.m[key] = v
}

var keys = []string{"userId", "tenant", "tokenClaims"}

// handshake is what a session holds in benchmarks: values of 8, 10 and 26 bytes.
func handshake() []store.Entry {
	return []store.Entry{
		{Key: keys[0], Value: []byte("\xa7user-42")},
		{Key: keys[1], Value: []byte("\xa9acme-corp")},
		{Key: keys[2], Value: []byte("\xb9abcdefghijklmnopqrstuvwxy")},
	}
}

func BenchmarkOneSession(b *testing.B) {
	ctx := context.Background()
	backend := open(b)
	session := func(b *testing.B) store.Store {
		b.ReportAllocs()
		s, err := backend.Create(ctx, store.NewID(), handshake(), store.Terms{Lease: time.Hour})
		if err != nil {
			b.Fatal(err)
		}
		return s
	}
	value := []byte("\xa7user-42")
	var m sync.Map
	l := locked{m: map[string]any{}}
	for _, e := range handshake() {
		m.Store(e.Key, string(e.Value))
		l.store(e.Key, string(e.Value))
	}
	str := "user-" + fmt.Sprint(rand.Int())

	b.Run("op=get/store=memstore", func(b *testing.B) {
		s := session(b)
		for b.Loop() {
			if _, err := s.Get(ctx, "tenant"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("op=get/store=syncmap", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			v, _ := m.Load("tenant")
			if _, ok := v.(string); !ok {
				b.Fatal("absent")
			}
		}
	})
	b.Run("op=get/store=rwmutex", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, ok := l.load("tenant").(string); !ok {
				b.Fatal("absent")
			}
		}
	})
	b.Run("op=set/store=memstore", func(b *testing.B) {
		s := session(b)
		for b.Loop() {
			if err := s.Set(ctx, "tenant", value); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("op=set/store=syncmap", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m.Store("tenant", str)
		}
	})
	b.Run("op=set/store=rwmutex", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			l.store("tenant", str)
		}
	})
	b.Run("op=has/store=memstore", func(b *testing.B) {
		s := session(b)
		for b.Loop() {
			if ok, err := s.Has(ctx, "tenant"); !ok || err != nil {
				b.Fatal(ok, err)
			}
		}
	})
	b.Run("op=getmany3/store=memstore", func(b *testing.B) {
		s := session(b)
		for b.Loop() {
			if _, err := store.GetMany(ctx, s, keys); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("op=commit1/store=memstore", func(b *testing.B) {
		s := session(b)
		expect := []store.Entry{{Key: "tenant", Value: handshake()[1].Value}}
		for b.Loop() {
			if _, err := store.Commit(ctx, s, expect, expect); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("op=commit3/store=memstore", func(b *testing.B) {
		s := session(b)
		write := handshake()
		for b.Loop() {
			if _, err := store.Commit(ctx, s, nil, write); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkKeys reads and overwrites one of n keys in turn.
func BenchmarkKeys(b *testing.B) {
	ctx := context.Background()
	backend := open(b)
	for _, n := range []int{3, 20, 1000} {
		s, err := backend.Create(ctx, store.NewID(), nil, store.Terms{Lease: time.Hour})
		if err != nil {
			b.Fatal(err)
		}
		names := make([]string, n)
		for i := range names {
			names[i] = fmt.Sprintf("key%d", i)
			wantErr(b, "Set", s.Set(ctx, names[i], []byte("value")), nil)
		}
		b.Run(fmt.Sprintf("op=get/keys=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := s.Get(ctx, names[i%n]); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("op=set/keys=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			value := []byte("value")
			for i := 0; b.Loop(); i++ {
				if err := s.Set(ctx, names[i%n], value); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("op=addAll/keys=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s, err := backend.Create(ctx, "fresh", nil, store.Terms{Lease: time.Hour})
				if err != nil {
					b.Fatal(err)
				}
				for _, name := range names {
					if err := s.Set(ctx, name, []byte("value")); err != nil {
						b.Fatal(err)
					}
				}
				if err := s.Destroy(ctx); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkLife(b *testing.B) {
	ctx := context.Background()
	backend := open(b)
	initial := handshake()
	terms := store.Terms{Lease: time.Hour}
	b.Run("op=createDestroy", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			id := store.NewID()
			for pb.Next() {
				s, err := backend.Create(ctx, id, initial, terms)
				if err != nil {
					b.Fatal(err)
				}
				if err := s.Destroy(ctx); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
	b.Run("op=renew", func(b *testing.B) {
		const sessions = 1000
		all := make([]store.Store, sessions)
		for i := range all {
			all[i], _ = backend.Create(ctx, store.NewID(), initial, terms)
		}
		b.ReportAllocs()
		for b.Loop() {
			if errs := backend.Renew(ctx, all, time.Hour); errs != nil {
				b.Fatal(errs)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/sessions, "ns/session")
	})
}

// shardedMap is the plainest thing that holds many sessions: one map of values
// by session and key in each of many shards.
type shardedMap struct {
	seed   maphash.Seed
	shards [256]struct {
		sync.RWMutex
		m map[sessionKey]any
		_ [4]uint64
	}
}

type sessionKey struct{ id, key string }

func (s *shardedMap) load(k sessionKey) any {
	h := &s.shards[maphash.String(s.seed, k.id)%256]
	h.RLock()
	defer h.RUnlock()
	return h.m[k]
}

func (s *shardedMap) store(k sessionKey, v any) {
	h := &s.shards[maphash.String(s.seed, k.id)%256]
	h.Lock()
	defer h.Unlock()
	h.m[k] = v
}

// BenchmarkManySessions works on random ones of 10⁵ sessions from all cores. With store=attach it
// looks the session up by its ID each time, as the plain map does. With store=memstore it holds the
// handle, as a server does for its connections.
func BenchmarkManySessions(b *testing.B) {
	const sessions = 100_000
	ctx := context.Background()
	backend := open(b)
	plain := &shardedMap{seed: maphash.MakeSeed()}
	for i := range plain.shards {
		plain.shards[i].m = map[sessionKey]any{}
	}
	terms := store.Terms{Lease: time.Hour}
	ids := make([]string, sessions)
	all := make([]store.Store, sessions)
	for i := range ids {
		ids[i] = store.NewID()
		all[i], _ = backend.Create(ctx, ids[i], handshake(), terms)
		for _, e := range handshake() {
			plain.store(sessionKey{ids[i], e.Key}, string(e.Value))
		}
	}
	value := []byte("\xa7user-42")
	str := string(value)
	run := func(name string, f func(i int) bool) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				r := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
				for pb.Next() {
					if !f(r.IntN(sessions)) {
						b.Error("failed")
						return
					}
				}
			})
		})
	}
	run("op=get/store=memstore", func(i int) bool {
		_, err := all[i].Get(ctx, "tenant")
		return err == nil
	})
	run("op=get/store=attach", func(i int) bool {
		s, err := backend.Attach(ctx, ids[i], terms)
		if err != nil {
			return false
		}
		_, err = s.Get(ctx, "tenant")
		return err == nil
	})
	run("op=get/store=shardedmap", func(i int) bool {
		_, ok := plain.load(sessionKey{ids[i], "tenant"}).(string)
		return ok
	})
	run("op=set/store=memstore", func(i int) bool { return all[i].Set(ctx, "tenant", value) == nil })
	run("op=set/store=shardedmap", func(i int) bool {
		plain.store(sessionKey{ids[i], "tenant"}, str)
		return true
	})
}

// BenchmarkMemory reports the bytes that a session takes, with its index entry
// and its ID, when a million of them hold three small keys. New keys come in
// with Create, or one after another.
func BenchmarkMemory(b *testing.B) {
	const sessions = 1_000_000
	ctx := context.Background()
	terms := store.Terms{Lease: time.Hour}
	for _, how := range []string{"create", "set"} {
		b.Run("fill="+how, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				before := heap.Live()
				b.StartTimer()
				backend := memstore.New(nil)
				values := handshake()
				for range sessions {
					initial := values
					if how == "set" {
						initial = nil
					}
					s, err := backend.Create(ctx, store.NewID(), initial, terms)
					if err != nil {
						b.Fatal(err)
					}
					if how == "set" {
						for _, e := range values {
							if err := s.Set(ctx, e.Key, e.Value); err != nil {
								b.Fatal(err)
							}
						}
					}
				}
				b.StopTimer()
				b.ReportMetric(float64(heap.Live()-before)/sessions, "B/session")
				backend.Close()
				b.StartTimer()
			}
		})
	}
}
