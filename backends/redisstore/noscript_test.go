package redisstore_test

import (
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/internal/testserver"
)

// A server that has forgotten the scripts is taught them again by whatever comes
// next, also in the middle of pipelines.
func TestScriptFlush(t *testing.T) {
	server := testserver.Redis(t, testserver.WithArgs("--loglevel", "warning"))
	both(t, func(t *testing.T, o redisstore.Options) {
		b := open(t, dial(t, server.URL), o)
		for _, op := range operations {
			id, s := create(t, b, store.Entry{Key: "k", Value: []byte("v")})
			if op.name == "Create" {
				if err := s.Destroy(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := server.Do("SCRIPT", "FLUSH"); err != nil {
				t.Fatal(err)
			}
			if err := op.run(t.Context(), b, id, s); err != nil {
				t.Errorf("%s after SCRIPT FLUSH = %v, want nil", op.name, err)
			}
		}
	})
	t.Run("busy", func(t *testing.T) {
		b := open(t, dial(t, server.URL), redisstore.Options{})
		var wg sync.WaitGroup
		for range 64 {
			_, s := create(t, b)
			wg.Go(func() {
				for range 50 {
					if err := s.Set(t.Context(), "k", []byte("v")); err != nil {
						t.Errorf("Set() = %v, want nil", err)
						return
					}
				}
			})
		}
		for range 20 {
			if _, err := server.Do("SCRIPT", "FLUSH"); err != nil {
				t.Error(err)
			}
		}
		wg.Wait()
	})
}

// After a restart without data the sessions are gone and new ones begin, over
// the same client.
func TestRestart(t *testing.T) {
	server := testserver.Redis(t, testserver.WithArgs("--loglevel", "warning"))
	both(t, func(t *testing.T, o redisstore.Options) {
		o.Namespace = namespace(t)
		b := open(t, dial(t, server.URL, func(o *redis.Options) { o.PoolSize = 4 }), o)
		id, s := create(t, b)
		server.Restart()
		for _, op := range operations[:11] {
			wantErr(t, op.name+" after a restart", op.run(t.Context(), b, id, s), store.ErrDestroyed, store.ErrNoSession)
		}
		_, fresh := create(t, b)
		if err := fresh.Set(t.Context(), "k", []byte("v")); err != nil {
			t.Errorf("Set() in a new session = %v, want nil", err)
		}
	})
}
