// Package growth measures the library as sessions and keys become more, up to a million with -large:
//
//	go test -run '^$' -bench Memory ./growth -args -large
//	go test -run '^$' -bench Server -benchtime 1x ./growth -args -large -redis redis://127.0.0.1:6379
package growth

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
	"github.com/sessionkv/store/bench/internal/cpu"
	"github.com/sessionkv/store/bench/internal/drive"
	"github.com/sessionkv/store/bench/internal/system"
	"github.com/sessionkv/store/bench/internal/workload"
	"github.com/sessionkv/store/internal/heap"
	"github.com/sessionkv/store/internal/testserver"
)

var (
	large    = flag.Bool("large", false, "measure up to 10⁶ sessions, which takes minutes and 2 GB, and their renewals on a server")
	redisURL = flag.String("redis", "", "`URL` of a Redis server that nobody else uses (default: one of the test's own)")
)

func TestMain(m *testing.M) { os.Exit(testserver.Main(m)) }

var values = [...]string{"u-42-abcdef", "acme", "room-17", "2026-09-10", "moderator", "en-GB", "web", "x"}

// BenchmarkMemory has sessions with short strings. One caller chooses sessions and keys at random, so that at large sizes
// cache misses count, as they do in a server.
func BenchmarkMemory(b *testing.B) {
	most := 20_000 // values
	if *large {
		most = 20_000_000
	}
	for _, keys := range []int{3, 20, 1000} {
		for _, sessions := range []int{1, 1000, 10_000, 100_000, 1_000_000} {
			if sessions*keys <= most {
				b.Run(fmt.Sprintf("sessions=%d/keys=%d", sessions, keys), func(b *testing.B) { memory(b, sessions, keys) })
			}
		}
	}
}

func memory(b *testing.B, sessions, count int) {
	ctx := b.Context()
	keys, changes := make([]store.Key[string], count), make([]store.Change, count)
	for i := range keys {
		keys[i] = store.Key[string](fmt.Sprintf("key%03d", i))
	}
	handles := make([]*store.Session, sessions)
	before := heap.Live()
	held := func() float64 { return float64(int64(heap.Live())-int64(before)) / float64(sessions) }
	backend := memstore.New(nil)
	defer backend.Close()
	// Renewals would disturb what is timed.
	ss, err := store.New(backend, &store.Options{Lease: 24 * time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	defer ss.Close(context.WithoutCancel(ctx))
	for i := range handles {
		for k := range keys {
			changes[k] = keys[k].To(values[(i+k)%len(values)])
		}
		if handles[i], err = ss.Create(ctx, store.NewID(), changes...); err != nil {
			b.Fatal(err)
		}
	}
	bytes := held()
	run := func(op string, do func(s *store.Session, k store.Key[string], n uint64) error, metrics func(b *testing.B)) {
		b.Run("op="+op, func(b *testing.B) {
			b.ReportAllocs()
			for x := uint64(1); b.Loop(); x = x*6364136223846793005 + 1442695040888963407 {
				if err := do(handles[x>>32%uint64(sessions)], keys[x>>40%uint64(count)], x>>48); err != nil {
					b.Fatal(err)
				}
			}
			metrics(b)
		})
	}
	sizes := func(b *testing.B) {
		b.ReportMetric(bytes, "B/session")
		b.ReportMetric(bytes/float64(count), "B/key")
	}
	run("get", func(s *store.Session, k store.Key[string], _ uint64) error { _, err := k.Get(ctx, s); return err }, sizes)
	run("set", func(s *store.Session, k store.Key[string], n uint64) error {
		return k.Set(ctx, s, values[n%uint64(len(values))])
	}, sizes)

	// Claims besides, which are read once, and again: then their decoded form is remembered.
	const claims = store.Key[workload.Claims]("claims")
	for _, s := range handles {
		if err := claims.Set(ctx, s, workload.NewClaims(1)); err != nil {
			b.Fatal(err)
		}
	}
	var read [2]float64
	for i := range read {
		for _, s := range handles {
			if _, err := claims.Get(ctx, s); err != nil {
				b.Fatal(err)
			}
		}
		read[i] = held()
	}
	run("get-struct", func(s *store.Session, _ store.Key[string], _ uint64) error { _, err := claims.Get(ctx, s); return err }, func(b *testing.B) {
		b.ReportMetric(read[0], "B/session-read")
		b.ReportMetric(read[1], "B/session-read-again")
	})
}

// BenchmarkServer has sessions of three short strings on a Redis server, beside plain hashes with the same fields and an
// expiry. One operation is all of it: to create them, to watch the renewals of half a lease where they are many, to end them.
func BenchmarkServer(b *testing.B) {
	url := *redisURL
	if url == "" {
		url = testserver.SharedRedis(b).URL
	}
	sizes := []int{1000}
	if *large {
		sizes = []int{10_000, 100_000, 1_000_000}
	}
	for _, n := range sizes {
		for _, spec := range []system.Spec{{Name: "store", URL: url, Codec: "msgpack"}, {Name: "goredis", URL: url}} {
			b.Run(fmt.Sprintf("sessions=%d/impl=%s", n, spec.Name), func(b *testing.B) {
				for b.Loop() {
					server(b, spec, n)
				}
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

func server(b *testing.B, spec system.Spec, n int) {
	ctx := b.Context()
	t, err := drive.Open(ctx, spec, n, 3, values[:])
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(n)/t.Created.Seconds(), "create/s")
	b.ReportMetric(t.ServerBytesPerSession, "server-B/session")
	if spec.Name == "store" {
		b.ReportMetric(t.BytesPerSession, "client-B/session")
		if *large {
			meter := drive.NewServerMeter(spec.URL)
			defer meter.Close()
			client, server, err := cpu.Watch(ctx, store.DefaultLease/2, func() float64 { return meter.CPU(ctx) })
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(client, "client-renewing-%")
			b.ReportMetric(server, "server-renewing-%")
		}
	}
	begin := time.Now()
	if err := t.Close(context.WithoutCancel(ctx)); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(n)/time.Since(begin).Seconds(), "close/s")
}
