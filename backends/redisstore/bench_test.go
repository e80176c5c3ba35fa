package redisstore_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/internal/median"
	"github.com/sessionkv/store/internal/testserver"
)

// The raw operations of the backend beside what the plain client needs for an
// unfenced one, on the same server. "callers=1" is one goroutine; the others
// have a session for each goroutine.
func BenchmarkStore(b *testing.B) {
	server := testserver.SharedRedis(b)
	value := []byte("\xa9user-1234")
	ctx := context.Background()

	type target struct {
		s    store.Store
		hash string
	}
	ops := []struct {
		name string
		run  func(client *redis.Client, backend *redisstore.Backend, t target) error
	}{
		{"op=raw-HGET", func(client *redis.Client, _ *redisstore.Backend, t target) error {
			return client.HGet(ctx, t.hash, "userId").Err()
		}},
		{"op=Get", func(_ *redis.Client, _ *redisstore.Backend, t target) error {
			_, err := t.s.Get(ctx, "userId")
			return err
		}},
		{"op=raw-HSET", func(client *redis.Client, _ *redisstore.Backend, t target) error {
			return client.HSet(ctx, t.hash, "userId", value).Err()
		}},
		{"op=Set", func(_ *redis.Client, _ *redisstore.Backend, t target) error {
			return t.s.Set(ctx, "userId", value)
		}},
		{"op=Has", func(_ *redis.Client, _ *redisstore.Backend, t target) error {
			_, err := t.s.Has(ctx, "userId")
			return err
		}},
		{"op=Commit", func(_ *redis.Client, _ *redisstore.Backend, t target) error {
			_, err := store.Commit(ctx, t.s, []store.Entry{{Key: "userId", Value: value}}, []store.Entry{{Key: "userId", Value: value}})
			return err
		}},
	}
	for _, callers := range []int{1, 256} {
		for _, op := range ops {
			b.Run(fmt.Sprintf("callers=%d/%s", callers, op.name), func(b *testing.B) {
				client := dial(b, server.URL)
				backend := open(b, client, redisstore.Options{})
				targets := make([]target, callers)
				for i := range targets {
					id, s := create(b, backend, store.Entry{Key: "userId", Value: value})
					hash := "raw:" + id
					if err := client.HSet(ctx, hash, "userId", value).Err(); err != nil {
						b.Fatal(err)
					}
					b.Cleanup(func() { client.Del(ctx, hash); s.Destroy(ctx) })
					targets[i] = target{s, hash}
				}
				b.ReportAllocs()
				if callers == 1 {
					for b.Loop() {
						if err := op.run(client, backend, targets[0]); err != nil {
							b.Fatal(err)
						}
					}
					return
				}
				each(b, callers, func(i int) error { return op.run(client, backend, targets[i]) })
			})
		}
	}
}

// BenchmarkRatio does a raw and a fenced operation in turn, one caller, so that
// what disturbs the one disturbs the other. "ratio" is the median time of the
// raw client by that of ours. The scripts that the raw client calls show what of a Set
// is the server's price for scripts.
func BenchmarkRatio(b *testing.B) {
	server := testserver.SharedRedis(b)
	client := dial(b, server.URL)
	backend := open(b, client, redisstore.Options{})
	value := []byte("\xa9user-1234")
	ctx := context.Background()
	id, s := create(b, backend, store.Entry{Key: "userId", Value: value})
	hash := "raw:" + id
	b.Cleanup(func() { client.Del(ctx, hash); s.Destroy(ctx) })
	script := func(source string) func() error {
		sha, err := client.ScriptLoad(ctx, source).Result()
		if err != nil {
			b.Fatal(err)
		}
		return func() error { return client.EvalSha(ctx, sha, []string{hash}, "", "userId", value).Err() }
	}
	for _, bb := range []struct {
		name      string
		raw, ours func() error
	}{
		{"op=Get", func() error { return client.HGet(ctx, hash, "userId").Err() }, func() error { _, err := s.Get(ctx, "userId"); return err }},
		{"op=Set", func() error { return client.HSet(ctx, hash, "userId", value).Err() }, func() error { return s.Set(ctx, "userId", value) }},
		{"op=script-of-nothing", func() error { return client.HSet(ctx, hash, "userId", value).Err() }, script(`return 1`)},
		{
			"op=script-of-HGET-HSET", func() error { return client.HSet(ctx, hash, "userId", value).Err() },
			script(`if redis.call('HGET',KEYS[1],'token')==ARGV[1] then return 0 end redis.call('HSET',KEYS[1],ARGV[2],ARGV[3]) return 1`),
		},
	} {
		b.Run(bb.name, func(b *testing.B) {
			if err := client.HSet(ctx, hash, "userId", value).Err(); err != nil {
				b.Fatal(err)
			}
			var raw, ours []time.Duration
			for b.Loop() {
				start := time.Now()
				if err := bb.raw(); err != nil {
					b.Fatal(err)
				}
				middle := time.Now()
				if err := bb.ours(); err != nil {
					b.Fatal(err)
				}
				raw, ours = append(raw, middle.Sub(start)), append(ours, time.Since(middle))
			}
			b.ReportMetric(float64(median.Of(raw))/float64(median.Of(ours)), "ratio")
		})
	}
}

// BenchmarkRenew renews many sessions at once; the figure is per session.
func BenchmarkRenew(b *testing.B) {
	server := testserver.SharedRedis(b)
	backend := open(b, dial(b, server.URL), redisstore.Options{})
	sessions := make([]store.Store, 10_000)
	for i := range sessions {
		_, sessions[i] = create(b, backend)
	}
	b.Cleanup(func() {
		for _, s := range sessions {
			_ = s.Destroy(context.Background())
		}
	})
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if errs := backend.Renew(b.Context(), sessions, 2*lease); errs != nil {
			b.Fatal(errs)
		}
		n += len(sessions)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/session")
}
