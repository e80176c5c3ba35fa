package systemtest

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends"
	"github.com/sessionkv/store/internal/testserver"
)

// Nothing runs any more when the Sessions and the backend are closed.
func TestNoGoroutineIsLeft(t *testing.T) {
	for _, c := range []struct {
		name  string
		start func(t *testing.T) (url string, disturb func())
	}{
		{"memory", func(*testing.T) (string, func()) { return "memory:", func() {} }},
		{"redis", func(t *testing.T) (string, func()) { return redisURL(testserver.SharedRedis(t)), func() {} }},
		{"redis that goes away", func(t *testing.T) (string, func()) {
			s := testserver.Redis(t, testserver.WithArgs("--save", ""))
			return withParams(redisURL(s), "dial_timeout=100ms", "read_timeout=100ms"), s.Kill
		}},
		{"redis that hangs", func(t *testing.T) (string, func()) {
			s := testserver.Redis(t, testserver.WithArgs("--save", ""))
			return withParams(redisURL(s), "dial_timeout=100ms", "read_timeout=100ms"), s.Pause
		}},
		{"redis without batching that hangs", func(t *testing.T) (string, func()) {
			s := testserver.Redis(t, testserver.WithArgs("--save", ""))
			return withParams(redisURL(s), "batching=off", "dial_timeout=100ms", "read_timeout=100ms"), s.Pause
		}},
		{"redis with a cache", func(t *testing.T) (string, func()) {
			return withParams(redisURL(testserver.SharedRedis(t)), "cache=on"), func() {}
		}},
		{"redis with a cache that goes away", func(t *testing.T) (string, func()) {
			s := testserver.Redis(t, testserver.WithArgs("--save", ""))
			return withParams(redisURL(s), "cache=on", "dial_timeout=100ms", "read_timeout=100ms"), s.Kill
		}},
		{"redis with a cache that hangs", func(t *testing.T) (string, func()) {
			s := testserver.Redis(t, testserver.WithArgs("--save", ""))
			return withParams(redisURL(s), "cache=on", "dial_timeout=100ms", "read_timeout=100ms"), s.Pause
		}},
		{"redis with a cache without batching that hangs", func(t *testing.T) (string, func()) {
			s := testserver.Redis(t, testserver.WithArgs("--save", ""))
			return withParams(redisURL(s), "cache=on", "batching=off", "dial_timeout=100ms", "read_timeout=100ms"), s.Pause
		}},
		{"cluster that loses a node", func(t *testing.T) (string, func()) {
			c := testserver.RedisCluster(t)
			return withParams(clusterURL(c), "dial_timeout=100ms", "read_timeout=100ms"), func() { c.Kill(0) }
		}},
		{"hazelcast", func(t *testing.T) (string, func()) { return hazelcastURL(testserver.SharedHazelcast(t)), func() {} }},
		{"hazelcast that hangs", func(t *testing.T) (string, func()) {
			c := hazelcast(t, 1)
			return withParams(hazelcastURL(c), "timeout=4s"), func() { c.Pause(0) }
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			url, disturb := c.start(t)
			before := goleak.IgnoreCurrent()
			b, err := backends.Open(t.Context(), url)
			if err != nil {
				t.Fatalf("Open() = %v", err)
			}
			ss, err := store.New(b, &store.Options{Lease: time.Second})
			if err != nil {
				t.Fatalf("New() = %v", err)
			}
			load := func(d time.Duration) {
				ctx, cancel := context.WithTimeout(t.Context(), d)
				defer cancel()
				var wg sync.WaitGroup
				for i := range 32 {
					wg.Go(func() {
						s, err := ss.Create(ctx, store.NewID())
						if err != nil {
							return
						}
						s.Done()
						for n := 0; ctx.Err() == nil; n++ {
							_ = name.Set(ctx, s, strconv.Itoa(i+n))
							_, _ = name.Get(ctx, s)
						}
					})
				}
				wg.Wait()
			}
			load(300 * time.Millisecond)
			disturb()
			load(300 * time.Millisecond)
			ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
			defer cancel()
			ss.Close(ctx) // of a server that is away, it says so
			b.Close()
			// A client may need its own timeouts to give up.
			for deadline := time.Now().Add(patience); ; {
				if err = goleak.Find(before, ofAFailedStart); err == nil {
					break
				}
				if time.Now().After(deadline) {
					t.Fatal(err)
				}
			}
		})
	}
}

// ofAFailedStart is what the Hazelcast client leaves of one that could not be started, as one that is to replace a client whose member
// hangs. Nobody has that client, so nobody can shut it down.
var ofAFailedStart = goleak.IgnoreTopFunction("github.com/hazelcast/hazelcast-go-client.(*Client).schemaInvoker")

// A backend with a cache may be closed at every moment, also while it connects for the server's notices.
func TestNoGoroutineIsLeftOfACache(t *testing.T) {
	url := withParams(redisURL(testserver.SharedRedis(t)), "cache=on")
	before := goleak.IgnoreCurrent()
	for i := range 200 {
		b, err := backends.Open(t.Context(), url)
		if err != nil {
			t.Fatalf("Open() = %v", err)
		}
		s, err := b.Create(t.Context(), store.NewID(), nil, store.Terms{Lease: time.Second})
		if err != nil {
			t.Fatalf("Create() = %v", err)
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { _, _ = s.Get(t.Context(), "k") }) // the first one connects
		}
		time.Sleep(time.Duration(i%40) * 50 * time.Microsecond) // so that it is closed at another moment each time
		b.Close()
		wg.Wait()
	}
	var err error
	for deadline := time.Now().Add(patience); ; {
		if err = goleak.Find(before); err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}
