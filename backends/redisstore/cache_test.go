package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/internal/testserver"
)

// cached makes a client read through a cache.
func cached(o *redis.Options) {
	o.Protocol = 3
	o.ClientSideCache = redisstore.NewCache(redis.CacheConfig{})
}

func wantGet(t *testing.T, what string, s store.Store, want string) {
	t.Helper()
	if got, err := s.Get(t.Context(), "k"); string(got) != want || err != nil {
		t.Errorf("Get() %s = %q, %v, want %q", what, got, err, want)
	}
}

func TestCacheAnswersReads(t *testing.T) {
	server := testserver.SharedRedis(t)
	p := newProxy(t, server.Addr)
	b := open(t, dial(t, "redis://"+p.addr, cached), redisstore.Options{})
	_, s := create(t, b, store.Entry{Key: "k", Value: []byte("v")})
	wantGet(t, "the first time", s, "v")
	// The server's notice of Create may come late and cost one more read.
	eventually(t, "100 reads of a cached value", func() error {
		p.arm(nothing, "", nil)
		for range 100 {
			wantGet(t, "again", s, "v")
		}
		if n := p.count("hmget"); n > 0 {
			return fmt.Errorf("%d commands were sent, want 0", n)
		}
		return nil
	}, func(err error) bool { return err == nil })
}

// What this process has written, it reads, on every handle and however many
// others fill the cache at the same time.
func TestCacheReadsOwnWrites(t *testing.T) {
	server := testserver.SharedRedis(t)
	b := open(t, dial(t, server.URL, cached), redisstore.Options{})
	id, s := create(t, b, store.Entry{Key: "k", Value: []byte("v")})
	other, err := b.Attach(t.Context(), id, store.Terms{})
	if err != nil {
		t.Fatalf("Attach() = %v", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				_, _ = other.Get(ctx, "k")
			}
		})
	}
	for i := range 500 {
		want := fmt.Sprint(i)
		if i%2 == 0 {
			err = s.Set(t.Context(), "k", []byte(want))
		} else {
			_, err = store.Commit(t.Context(), s, nil, []store.Entry{{Key: "k", Value: []byte(want)}})
		}
		if err != nil {
			t.Fatalf("write %d = %v", i, err)
		}
		wantGet(t, "after a write", s, want)
		wantGet(t, "on another handle", other, want)
	}
	if err := s.Delete(t.Context(), "k"); err != nil {
		t.Fatalf("Delete() = %v", err)
	}
	if _, err := other.Get(t.Context(), "k"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get() after Delete = %v, want ErrNotFound", err)
	}
	stop()
	wg.Wait()
}

// No value of a session that this process has ended, by Destroy or Resume, is
// read on any of its handles, also when the ID lives again.
func TestCacheForgetsEndedSessions(t *testing.T) {
	server := testserver.SharedRedis(t)
	b := open(t, dial(t, server.URL, cached), redisstore.Options{})
	for range 200 {
		id, s := create(t, b, store.Entry{Key: "k", Value: []byte("old")})
		other, err := b.Attach(t.Context(), id, store.Terms{})
		if err != nil {
			t.Fatalf("Attach() = %v", err)
		}
		wantGet(t, "before", other, "old")
		resumed, err := b.Resume(t.Context(), id, store.Terms{Lease: lease})
		if err != nil {
			t.Fatalf("Resume() = %v", err)
		}
		if _, err := other.Get(t.Context(), "k"); !errors.Is(err, store.ErrDestroyed) {
			t.Errorf("Get() after Resume = %v, want ErrDestroyed", err)
		}
		if other, err = b.Attach(t.Context(), id, store.Terms{}); err != nil {
			t.Fatalf("Attach() = %v", err)
		}
		wantGet(t, "of the next life", other, "old")
		if err := resumed.Destroy(t.Context()); err != nil {
			t.Fatalf("Destroy() = %v", err)
		}
		if _, err := other.Get(t.Context(), "k"); !errors.Is(err, store.ErrDestroyed) {
			t.Errorf("Get() after Destroy = %v, want ErrDestroyed", err)
		}
		if _, err := s.Get(t.Context(), "k"); !errors.Is(err, store.ErrDestroyed) {
			t.Errorf("Get() on the first handle = %v, want ErrDestroyed", err)
		}
		if s, err = b.Create(t.Context(), id, []store.Entry{{Key: "k", Value: []byte("new")}}, store.Terms{Lease: lease}); err != nil {
			t.Fatalf("Create() = %v", err)
		}
		wantGet(t, "of a new session", s, "new")
	}
}

// What others do is noticed in the end, without being asked for.
func TestCacheNoticesOthers(t *testing.T) {
	server := testserver.SharedRedis(t)
	ns := namespace(t)
	b := open(t, dial(t, server.URL, cached), redisstore.Options{Namespace: ns})
	elsewhere := open(t, dial(t, server.URL), redisstore.Options{Namespace: ns})
	id, s := create(t, b, store.Entry{Key: "k", Value: []byte("v")})
	other, err := elsewhere.Attach(t.Context(), id, store.Terms{})
	if err != nil {
		t.Fatalf("Attach() = %v", err)
	}
	wantGet(t, "before", s, "v")
	if err := other.Set(t.Context(), "k", []byte("new")); err != nil {
		t.Fatalf("Set() = %v", err)
	}
	read := func() error {
		value, err := s.Get(t.Context(), "k")
		if err == nil && string(value) != "new" {
			return fmt.Errorf("Get() = %q", value)
		}
		return err
	}
	eventually(t, "reading what another process wrote", read, func(err error) bool { return err == nil })
	if err := other.Destroy(t.Context()); err != nil {
		t.Fatalf("Destroy() = %v", err)
	}
	eventually(t, "reading what another process destroyed", read, func(err error) bool { return errors.Is(err, store.ErrDestroyed) })
}

// A cache that is none of ours gives no guarantee, so it is not read.
func TestForeignCacheIsBypassed(t *testing.T) {
	server := testserver.SharedRedis(t)
	both(t, func(t *testing.T, o redisstore.Options) {
		o.Namespace = namespace(t)
		client := dial(t, server.URL, func(o *redis.Options) {
			o.Protocol, o.ClientSideCacheConfig = 3, &redis.ClientSideCacheConfig{}
		})
		b := open(t, client, o)
		elsewhere := open(t, dial(t, server.URL), redisstore.Options{Namespace: o.Namespace})
		id, s := create(t, b)
		other, err := elsewhere.Attach(t.Context(), id, store.Terms{})
		if err != nil {
			t.Fatalf("Attach() = %v", err)
		}
		for i := range 200 {
			want := fmt.Sprint(i)
			if err := other.Set(t.Context(), "k", []byte(want)); err != nil {
				t.Fatalf("Set() = %v", err)
			}
			wantGet(t, "after another process wrote", s, want)
		}
		if stats := client.CSCStats(); stats.Entries > 0 {
			t.Errorf("the cache has %d entries, want 0", stats.Entries)
		}
	})
}

// A cache that has not seen the server's notice of another process's write misleads no
// write that depends on a value.
func TestCacheMisleadsNoWrite(t *testing.T) {
	server := testserver.SharedRedis(t)
	const key = store.Key[string]("k")
	update := func(change func(string, bool) (string, error)) func(context.Context, *store.Session) (string, error) {
		return func(ctx context.Context, s *store.Session) (string, error) { return key.Update(ctx, s, change) }
	}
	for _, c := range []struct {
		name string
		run  func(ctx context.Context, s *store.Session) (string, error)
		want string // returned
		left string // on the server; empty: nothing
	}{
		{"Take", key.Take, "new", ""},
		{"Update that keeps", update(func(string, bool) (string, error) { return "", store.Keep }), "new", "new"},
		{"Update that removes", update(func(string, bool) (string, error) { return "", store.Remove }), "", ""},
		{"Update that appends", update(func(old string, _ bool) (string, error) { return old + "+", nil }), "new+", "new+"},
		{"Session.Update that reads", func(ctx context.Context, s *store.Session) (v string, err error) {
			err = s.Update(ctx, func(tx *store.Tx) error { v, err = key.In(tx).Get(); return err })
			return v, err
		}, "new", "new"},
	} {
		for _, before := range []string{"", "old"} { // what the cache has: that there is nothing, or a value
			t.Run(fmt.Sprintf("%s, cached %q", c.name, before), func(t *testing.T) {
				ns := namespace(t)
				node := func(change ...func(*redis.Options)) *store.Sessions {
					ss, err := store.New(open(t, dial(t, server.URL, change...), redisstore.Options{Namespace: ns}), nil)
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { ss.Close(context.Background()) })
					return ss
				}
				here := node(func(o *redis.Options) {
					o.Protocol = 3
					o.ClientSideCache = redisstore.NewCache(redis.CacheConfig{DrainInterval: time.Hour, MaxStaleness: time.Hour})
				})
				other := node()
				// behind returns two handles of a session, the second of which has a cache that
				// does not have the last Set yet. The client may have heard of it all the same.
				behind := func() (owned, s *store.Session, ok bool) {
					owned, err := other.Create(t.Context(), store.NewID())
					if err != nil {
						t.Fatal(err)
					}
					if before != "" {
						if err := key.Set(t.Context(), owned, before); err != nil {
							t.Fatal(err)
						}
					}
					if s, err = here.Attach(t.Context(), owned.ID()); err != nil {
						t.Fatal(err)
					}
					if v, _, err := key.Lookup(t.Context(), s); v != before || err != nil {
						t.Fatalf("Lookup() = %q, %v, want %q", v, err, before)
					}
					if err := key.Set(t.Context(), owned, "new"); err != nil {
						t.Fatal(err)
					}
					v, _, err := key.Lookup(t.Context(), s)
					if v != before && v != "new" || err != nil {
						t.Fatalf("Lookup() = %q, %v, want %q from the cache", v, err, before)
					}
					return owned, s, v == before
				}
				owned, s, ok := behind()
				for tries := 1; !ok; tries++ {
					if tries == 100 {
						t.Fatal("the cache is never behind, so nothing can be shown")
					}
					owned, s, ok = behind()
				}
				if got, err := c.run(t.Context(), s); got != c.want || err != nil {
					t.Errorf("%s = %q, %v, want %q", c.name, got, err, c.want)
				}
				if left, _, err := key.Lookup(t.Context(), owned); left != c.left || err != nil {
					t.Errorf("after %s the server has %q, %v, want %q", c.name, left, err, c.left)
				}
			})
		}
	}
}
