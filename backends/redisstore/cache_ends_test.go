package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/internal/testserver"
)

// Once one handle has been told that its life has ended, no other of this process reads that life from the
// cache. Nor does it after Destroy, which has nothing to do then.
func TestCacheForgetsWhatIsFoundEnded(t *testing.T) {
	server := testserver.SharedRedis(t)
	finds := map[string]func(ctx context.Context, b *redisstore.Backend, s store.Store) error{
		"GetCurrent": func(ctx context.Context, _ *redisstore.Backend, s store.Store) error {
			_, err := s.(interface {
				GetCurrent(ctx context.Context, key string) ([]byte, error)
			}).GetCurrent(ctx, "k")
			return err
		},
		"Has": func(ctx context.Context, _ *redisstore.Backend, s store.Store) error {
			_, err := s.Has(ctx, "k")
			return err
		},
		"Keys": func(ctx context.Context, _ *redisstore.Backend, s store.Store) error {
			_, err := store.Keys(ctx, s)
			return err
		},
		"Renew": func(ctx context.Context, b *redisstore.Backend, s store.Store) error {
			return errors.Join(b.Renew(ctx, []store.Store{s}, lease)...)
		},
		"Commit that reads": func(ctx context.Context, _ *redisstore.Backend, s store.Store) error {
			_, err := store.Commit(ctx, s, []store.Entry{{Key: "k", Value: []byte("old")}}, nil)
			return err
		},
		"TimeLeft": func(ctx context.Context, b *redisstore.Backend, s store.Store) error {
			_, err := b.TimeLeft(ctx, s)
			return err
		},
	}
	for name, find := range finds {
		for _, takeover := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s,takeover=%t", name, takeover), func(t *testing.T) {
				p := newProxy(t, server.Addr)
				ns := namespace(t)
				b := open(t, dial(t, "redis://"+p.addr), redisstore.Options{Namespace: ns, Cache: &redisstore.CacheOptions{MaxStaleness: time.Hour}})
				elsewhere := open(t, dial(t, server.URL), redisstore.Options{Namespace: ns})
				id, s := create(t, b, store.Entry{Key: "k", Value: []byte("old")})
				second, err := b.Attach(t.Context(), id, store.Terms{})
				if err != nil {
					t.Fatalf("Attach() = %v", err)
				}
				other, err := elsewhere.Attach(t.Context(), id, store.Terms{})
				if err != nil {
					t.Fatalf("Attach() = %v", err)
				}
				warm(t, p, s)
				p.deafen(true)
				if takeover {
					_, err = elsewhere.Resume(t.Context(), id, store.Terms{Lease: lease})
				} else {
					err = other.Destroy(t.Context())
				}
				if err != nil {
					t.Fatalf("ending the life elsewhere = %v", err)
				}
				wantGet(t, "while notices are lost", second, "old")
				if err := find(t.Context(), b, s); !errors.Is(err, store.ErrDestroyed) {
					t.Fatalf("%s = %v, want ErrDestroyed", name, err)
				}
				if err := s.Destroy(t.Context()); err != nil {
					t.Fatalf("Destroy() = %v", err)
				}
				if got, err := second.Get(t.Context(), "k"); !errors.Is(err, store.ErrDestroyed) {
					t.Errorf("Get() on another handle after %s and Destroy on the first = %q, %v, want ErrDestroyed", name, got, err)
				}
			})
		}
	}
}

// Without the protocol by which the server tells what has changed nothing is kept, whatever the client's options
// say. On a server without HELLO, connections go on without it.
func TestCacheNeedsTheProtocol(t *testing.T) {
	server := testserver.Redis(t, testserver.WithArgs("--rename-command", "HELLO", ""))
	ns := namespace(t)
	b := open(t, dial(t, server.URL), redisstore.Options{Namespace: ns, Cache: &redisstore.CacheOptions{MaxStaleness: time.Hour}})
	elsewhere := open(t, dial(t, server.URL), redisstore.Options{Namespace: ns})
	id, s := create(t, b, store.Entry{Key: "k", Value: []byte("old")})
	other, err := elsewhere.Attach(t.Context(), id, store.Terms{})
	if err != nil {
		t.Fatalf("Attach() = %v", err)
	}
	for i := range 50 {
		want := fmt.Sprint(i)
		if err := other.Set(t.Context(), "k", []byte(want)); err != nil {
			t.Fatalf("Set() = %v", err)
		}
		if redisstore.Caches(b) {
			t.Fatal("the cache is in use, and the server does not tell what has changed")
		}
		wantGet(t, "after another process wrote", s, want)
		time.Sleep(5 * time.Millisecond)
	}
}
