package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/internal/testserver"
)

// cached are the options of a backend that reads through a cache.
var cached = redisstore.Options{Cache: &redisstore.CacheOptions{}}

// warm waits until b keeps what it reads of s, and has taken in the notices of what was
// written before.
func warm(t *testing.T, p *proxy, s store.Store) {
	t.Helper()
	eventually(t, "100 reads of a cached value", func() error {
		p.arm(nothing, "", nil)
		for range 100 {
			if _, err := s.Get(t.Context(), "k"); err != nil {
				return err
			}
		}
		if n := p.count("hmget"); n > 0 {
			return fmt.Errorf("%d commands were sent, want 0", n)
		}
		return nil
	}, func(err error) bool { return err == nil })
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
	b := open(t, dial(t, "redis://"+p.addr), cached)
	_, s := create(t, b, store.Entry{Key: "k", Value: []byte("v")})
	wantGet(t, "the first time", s, "v")
	warm(t, p, s)
	wantGet(t, "again", s, "v")
	if n := p.count("hmget"); n > 0 {
		t.Errorf("Get() of a cached value sent %d commands, want 0", n)
	}
}

// What this process has written, it reads, on every handle and however many
// others fill the cache at the same time.
func TestCacheReadsOwnWrites(t *testing.T) {
	server := testserver.SharedRedis(t)
	b := open(t, dial(t, server.URL), cached)
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
				runtime.Gosched() // the writer has its turn
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
	p := newProxy(t, server.Addr)
	b := open(t, dial(t, "redis://"+p.addr), cached)
	_, s := create(t, b, store.Entry{Key: "k", Value: []byte("v")})
	warm(t, p, s) // so that there is a cache
	for range 200 {
		id, s := create(t, b, store.Entry{Key: "k", Value: []byte("old")})
		other, err := b.Attach(t.Context(), id, store.Terms{})
		if err != nil {
			t.Fatalf("Attach() = %v", err)
		}
		wantGet(t, "before", other, "old")
		wantGet(t, "before on the first handle", s, "old")
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
		if _, err := s.Get(t.Context(), "k"); !errors.Is(err, store.ErrDestroyed) {
			t.Errorf("Get() on the first handle, with the next life in the cache = %v, want ErrDestroyed", err)
		}
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
	for _, flavour := range testserver.Flavours {
		if flavour == testserver.FlavourDragonfly {
			continue // it need not have the mode BCAST
		}
		t.Run(string(flavour), func(t *testing.T) {
			server := testserver.SharedRedis(t, flavour)
			p := newProxy(t, server.Addr)
			ns := namespace(t)
			b := open(t, dial(t, "redis://"+p.addr), redisstore.Options{Namespace: ns, Cache: &redisstore.CacheOptions{MaxStaleness: time.Hour}})
			elsewhere := open(t, dial(t, server.URL), redisstore.Options{Namespace: ns})
			id, s := create(t, b, store.Entry{Key: "k", Value: []byte("v")})
			other, err := elsewhere.Attach(t.Context(), id, store.Terms{})
			if err != nil {
				t.Fatalf("Attach() = %v", err)
			}
			warm(t, p, s)
			for i := range 10 { // by a script, and natively
				want := fmt.Sprint(i)
				if err := other.Set(t.Context(), "k", []byte(want)); err != nil {
					t.Fatalf("Set() = %v", err)
				}
				eventually(t, "reading what another process wrote", func() error {
					value, err := s.Get(t.Context(), "k")
					if err == nil && string(value) != want {
						return fmt.Errorf("Get() = %q", value)
					}
					return err
				}, func(err error) bool { return err == nil })
			}
			warm(t, p, s)
			if err := other.Destroy(t.Context()); err != nil {
				t.Fatalf("Destroy() = %v", err)
			}
			eventually(t, "reading what another process destroyed", func() error {
				_, err := s.Get(t.Context(), "k")
				return err
			}, func(err error) bool { return errors.Is(err, store.ErrDestroyed) })
		})
	}
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
				node := func(url string, o redisstore.Options) (*redisstore.Backend, *store.Sessions) {
					o.Namespace = ns
					b := open(t, dial(t, url), o)
					ss, err := store.New(b, nil)
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { ss.Close(context.Background()) })
					return b, ss
				}
				p := newProxy(t, server.Addr)
				b, here := node("redis://"+p.addr, redisstore.Options{Cache: &redisstore.CacheOptions{MaxStaleness: time.Hour}})
				_, other := node(server.URL, redisstore.Options{})
				// behind returns two handles of a session, the second of which has a cache that
				// does not hear of the last Set. It may hear late of what was before.
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
					p.deafen(true)
					defer p.deafen(false)
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
					if tries == 1000 && redisstore.Caches(b) {
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

// behind returns a session of which b, which reads through p, keeps the value "old". Another process
// has given it the value "new", of which b got no notice.
func behind(t *testing.T, p *proxy, b, elsewhere *redisstore.Backend) store.Store {
	t.Helper()
	id, s := create(t, b, store.Entry{Key: "k", Value: []byte("old")})
	warm(t, p, s)
	other, err := elsewhere.Attach(t.Context(), id, store.Terms{})
	if err != nil {
		t.Fatalf("Attach() = %v", err)
	}
	p.deafen(true)
	if err := other.Set(t.Context(), "k", []byte("new")); err != nil {
		t.Fatalf("Set() = %v", err)
	}
	wantGet(t, "while notices are lost", s, "old")
	return s
}

// What was kept does not outlast the connection on which the server says what has changed.
func TestCacheEndsWithItsConnection(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, p *proxy, server *testserver.Server){
		"cut": func(_ *testing.T, p *proxy, _ *testserver.Server) { p.cut() },
		"killed": func(t *testing.T, _ *proxy, server *testserver.Server) {
			if err := killTracking(server); err != nil {
				t.Fatal(err)
			}
		},
		"everything deleted": func(t *testing.T, p *proxy, server *testserver.Server) {
			p.deafen(false)
			if _, err := server.Do("FLUSHALL"); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := testserver.Redis(t)
			p := newProxy(t, server.Addr)
			ns := namespace(t)
			b := open(t, dial(t, "redis://"+p.addr), redisstore.Options{Namespace: ns, Cache: &redisstore.CacheOptions{MaxStaleness: time.Hour}})
			s := behind(t, p, b, open(t, dial(t, server.URL), redisstore.Options{Namespace: ns}))
			end(t, p, server)
			eventually(t, "reading what is there", func() error {
				value, err := s.Get(t.Context(), "k")
				if string(value) == "old" {
					return errors.New("old")
				}
				if name == "everything deleted" != errors.Is(err, store.ErrDestroyed) {
					t.Errorf("Get() = %q, %v", value, err)
				}
				return nil
			}, func(err error) bool { return err == nil })
		})
	}
}

// killTracking makes server end the connections on which it says what changes.
func killTracking(server *testserver.Server) error {
	list, err := server.Do("CLIENT", "LIST")
	if err != nil {
		return err
	}
	for line := range strings.Lines(list.(string)) {
		if id, rest, _ := strings.Cut(strings.TrimPrefix(line, "id="), " "); strings.Contains(rest, "flags=tB") {
			if _, err := server.Do("CLIENT", "KILL", "ID", id); err != nil && !strings.Contains(err.Error(), "No such client") {
				return err
			}
		}
	}
	return nil
}

// A read that began under one connection for notices is not kept under the next: what
// changed in between was not heard of.
func TestCacheKeepsNoReadFromBefore(t *testing.T) {
	server := testserver.SharedRedis(t)
	p := newProxy(t, server.Addr)
	ns := namespace(t)
	b := open(t, dial(t, "redis://"+p.addr), redisstore.Options{Namespace: ns, Cache: &redisstore.CacheOptions{MaxStaleness: time.Hour}})
	elsewhere := open(t, dial(t, server.URL), redisstore.Options{Namespace: ns})
	id, s := create(t, b, store.Entry{Key: "k", Value: []byte("v")}, store.Entry{Key: "cold", Value: []byte("old")})
	other, err := elsewhere.Attach(t.Context(), id, store.Terms{})
	if err != nil {
		t.Fatalf("Attach() = %v", err)
	}
	warm(t, p, s)
	p.arm(late, "hmget", nil)
	read := make(chan string)
	go func() {
		value, _ := s.Get(t.Context(), "cold")
		read <- string(value)
	}()
	eventually(t, "a read that is held up", func() error {
		if !p.sprung() {
			return errors.New("not yet")
		}
		return nil
	}, func(err error) bool { return err == nil })
	// The server may answer it late, but not later than another command to it.
	if got, err := other.Get(t.Context(), "cold"); string(got) != "old" || err != nil {
		t.Fatalf("Get() elsewhere = %q, %v", got, err)
	}
	p.cut()
	eventually(t, "a cache without a connection", func() error {
		if redisstore.Caches(b) {
			return errors.New("not yet")
		}
		return nil
	}, func(err error) bool { return err == nil })
	if err := other.Set(t.Context(), "cold", []byte("new")); err != nil {
		t.Fatalf("Set() = %v", err)
	}
	eventually(t, "a cache with another connection", func() error {
		if !redisstore.Caches(b) {
			return errors.New("not yet")
		}
		return nil
	}, func(err error) bool { return err == nil })
	p.release()
	if got := <-read; got != "old" && got != "new" {
		t.Errorf("Get() that was held up = %q, want old or new", got)
	}
	if got, err := s.Get(t.Context(), "cold"); string(got) != "new" || err != nil {
		t.Errorf("Get() afterwards = %q, %v, want new", got, err)
	}
}

// Callers who ask for the same at the same time share one command, and one of them who leaves takes
// nothing from the others.
func TestCacheSharesMisses(t *testing.T) {
	server := testserver.SharedRedis(t)
	both(t, func(t *testing.T, o redisstore.Options) {
		p := newProxy(t, server.Addr)
		o.Cache = &redisstore.CacheOptions{MaxStaleness: time.Hour}
		b := open(t, dial(t, "redis://"+p.addr), o)
		_, s := create(t, b, store.Entry{Key: "k", Value: []byte("v")}, store.Entry{Key: "cold", Value: []byte("w")})
		warm(t, p, s)
		p.arm(late, "hmget", nil)
		ctx, leave := context.WithCancel(t.Context())
		first := make(chan error)
		go func() {
			_, err := s.Get(ctx, "cold")
			first <- err
		}()
		eventually(t, "the first command", func() error {
			if !p.sprung() {
				return errors.New("not yet")
			}
			return nil
		}, func(err error) bool { return err == nil })
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				if got, err := s.Get(t.Context(), "cold"); string(got) != "w" || err != nil {
					t.Errorf("Get() = %q, %v, want w", got, err)
				}
			})
		}
		eventually(t, "65 callers who wait", func() error {
			if n := redisstore.Waiting(s); n < 65 {
				return fmt.Errorf("%d", n)
			}
			return nil
		}, func(err error) bool { return err == nil })
		leave()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("Get() with a context that has ended = %v, want %v", err, context.Canceled)
		}
		p.release()
		wg.Wait()
		if n := p.count("hmget"); n != 1 {
			t.Errorf("65 callers sent %d commands, want 1", n)
		}
	})
}

// Reads that the cache cannot answer share pipelines, as others do.
func TestCacheMissesShareAPipeline(t *testing.T) {
	server := testserver.SharedRedis(t)
	p := newProxy(t, server.Addr)
	b := open(t, dial(t, "redis://"+p.addr), cached)
	var sessions []store.Store
	for range 256 {
		_, s := create(t, b, store.Entry{Key: "k", Value: []byte("v")})
		sessions = append(sessions, s)
	}
	_, s := create(t, b, store.Entry{Key: "k", Value: []byte("v")})
	warm(t, p, s)
	p.arm(nothing, "", nil)
	var wg sync.WaitGroup
	for _, s := range sessions {
		wg.Go(func() { wantGet(t, "cold", s, "v") })
	}
	wg.Wait()
	if n, pipelines := p.count("hmget"), p.chunks("hmget"); n < len(sessions) || pipelines > n/2 {
		t.Errorf("%d cold reads sent %d commands in %d pipelines, want half as many or fewer", len(sessions), n, pipelines)
	}
}

// After a write, one command reads all that was in use.
func TestCacheReadsAgainAtOnce(t *testing.T) {
	server := testserver.SharedRedis(t)
	p := newProxy(t, server.Addr)
	b := open(t, dial(t, "redis://"+p.addr), cached)
	large := strings.Repeat("x", 5<<10)
	_, s := create(t, b, store.Entry{Key: "k", Value: []byte("v")}, store.Entry{Key: "a", Value: []byte("1")},
		store.Entry{Key: "b", Value: []byte("2")}, store.Entry{Key: "large", Value: []byte(large)}, store.Entry{Key: "unused", Value: []byte("-")})
	get := func(key, want string) {
		t.Helper()
		if got, err := s.Get(t.Context(), key); string(got) != want || err != nil {
			t.Errorf("Get(%s) = %q, %v, want %q", key, got, err, want)
		}
	}
	eventually(t, "one command", func() error {
		warm(t, p, s)
		get("a", "1")
		get("b", "2")
		get("large", large)
		if err := s.Set(t.Context(), "k", []byte("v")); err != nil {
			t.Fatalf("Set() = %v", err)
		}
		p.arm(nothing, "", nil)
		get("a", "1")
		get("b", "2")
		get("k", "v")
		// The notice of the Set may have come in between, and cost one more.
		if n := p.count("hmget"); n != 1 {
			return fmt.Errorf("%d commands were sent, want 1", n)
		}
		if p.count("large") > 0 || p.count("unused") > 0 {
			t.Error("a large or an unused value was read, want those that were in use only")
		}
		return nil
	}, func(err error) bool { return err == nil })
}

// The cache is for one server that tells what has changed.
func TestCacheIsRefused(t *testing.T) {
	server := testserver.SharedRedis(t)
	if b, err := redisstore.New(dial(t, server.URL, func(o *redis.Options) { o.Protocol = 2 }), &cached); err == nil {
		b.Close()
		t.Error("New() of a client with protocol 2 = nil, want an error")
	}
	cluster := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{server.Addr}})
	defer cluster.Close()
	if b, err := redisstore.New(cluster, &cached); err == nil {
		b.Close()
		t.Error("New() of a Cluster's client = nil, want an error")
	}
}

// A database other than the first has a cache, too.
func TestCacheOfAnotherDatabase(t *testing.T) {
	server := testserver.SharedRedis(t)
	p := newProxy(t, server.Addr)
	b := open(t, dial(t, "redis://"+p.addr+"/3"), cached)
	elsewhere := open(t, dial(t, server.URL+"/3"), redisstore.Options{Namespace: b.Namespace()})
	id, s := create(t, b, store.Entry{Key: "k", Value: []byte("v")})
	warm(t, p, s)
	readsWhatIsWritten(t, s, elsewhere, id)
}

// readsWhatIsWritten checks that s reads what elsewhere writes to the session.
func readsWhatIsWritten(t *testing.T, s store.Store, elsewhere *redisstore.Backend, id string) {
	t.Helper()
	other, err := elsewhere.Attach(t.Context(), id, store.Terms{})
	if err != nil {
		t.Fatalf("Attach() = %v", err)
	}
	if err := other.Set(t.Context(), "k", []byte("new")); err != nil {
		t.Fatalf("Set() = %v", err)
	}
	eventually(t, "reading what another process wrote", func() error {
		if value, err := s.Get(t.Context(), "k"); string(value) != "new" {
			return fmt.Errorf("Get() = %q, %v", value, err)
		}
		return nil
	}, func(err error) bool { return err == nil })
}

// A hit allocates nothing.
func TestCacheHitsAllocateNothing(t *testing.T) {
	server := testserver.SharedRedis(t)
	p := newProxy(t, server.Addr)
	b := open(t, dial(t, "redis://"+p.addr), redisstore.Options{Cache: &redisstore.CacheOptions{MaxStaleness: time.Hour}})
	_, s := create(t, b, store.Entry{Key: "k", Value: []byte("v")})
	warm(t, p, s)
	ctx := t.Context()
	if n := testing.AllocsPerRun(1000, func() { _, _ = s.Get(ctx, "k") }); n > 0 {
		t.Errorf("Get() of a cached value allocates %v times, want 0", n)
	}
}
