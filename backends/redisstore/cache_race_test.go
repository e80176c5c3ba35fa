package redisstore_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/internal/testserver"
)

// A recorded is a sequence of events, each with the time at which it was over.
type recorded struct {
	n  atomic.Int64
	at [1 << 16]atomic.Int64 // nanoseconds since the test began, at 1 to n
}

// overBefore reports whether event i was over before at.
func (r *recorded) overBefore(i int64, at time.Duration) bool {
	over := r.at[i].Load()
	return over > 0 && time.Duration(over) < at
}

// add records that the next event is over.
func (r *recorded) add(at time.Duration) {
	n := r.n.Load() + 1
	r.at[n].Store(int64(at))
	r.n.Store(n)
}

// Reads through a cache keep what the package comment says, whatever becomes of the server's
// notices. Meanwhile this process and another one write, take the session over and destroy it.
func TestCacheUnderRaces(t *testing.T) {
	const staleness = 200 * time.Millisecond
	for _, tt := range []struct {
		name    string
		disturb func(ctx context.Context, p *proxy, server *testserver.Server)
	}{
		{"undisturbed", nil},
		{"notices lost", func(ctx context.Context, p *proxy, _ *testserver.Server) {
			for ctx.Err() == nil {
				p.deafen(true)
				pauseFor(ctx, rand.N(2*staleness))
				p.deafen(false)
				pauseFor(ctx, rand.N(staleness/4))
			}
		}},
		{"connection cut", func(ctx context.Context, p *proxy, _ *testserver.Server) {
			for ctx.Err() == nil {
				pauseFor(ctx, rand.N(staleness))
				p.cut()
			}
		}},
		{"connection killed by the server", func(ctx context.Context, _ *proxy, server *testserver.Server) {
			for ctx.Err() == nil {
				pauseFor(ctx, rand.N(staleness))
				_ = killTracking(server)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := testserver.Redis(t)
			p := newProxy(t, server.Addr)
			ns := namespace(t)
			r := &cacheRace{
				began: time.Now(), staleness: staleness,
				here:  open(t, dial(t, "redis://"+p.addr), redisstore.Options{Namespace: ns, Cache: &redisstore.CacheOptions{MaxStaleness: staleness}}),
				there: open(t, dial(t, server.URL), redisstore.Options{Namespace: ns}),
			}
			ctx, stop := context.WithTimeout(t.Context(), 2*time.Second)
			defer stop()
			_, first := create(t, r.here)
			eventually(t, "a cache", func() error {
				if _, err := first.Get(t.Context(), "k"); !errors.Is(err, store.ErrNotFound) || redisstore.Caches(r.here) {
					return err
				}
				return errNoCache
			}, func(err error) bool { return err != errNoCache })
			p.arm(nothing, "", nil)
			var disturbing sync.WaitGroup
			if tt.disturb != nil {
				disturbing.Go(func() { tt.disturb(ctx, p, server) })
			}
			// On a busy machine it may take longer until the cache has answered anything.
			shown := func() bool { return int64(p.count("hmget")) < r.reads.Load()/2 }
			for begun := time.Now(); ctx.Err() == nil || !shown() && time.Since(begun) < time.Minute; {
				r.session(t)
			}
			stop()
			disturbing.Wait()
			if !shown() {
				t.Errorf("%d reads sent %d commands, so they show nothing about a cache", r.reads.Load(), p.count("hmget"))
			}
			t.Logf("%d lives, %d reads, %d commands, %d writes there, %d here", r.lives, r.reads.Load(), p.count("hmget"), r.writes[0], r.writes[1])
		})
	}
}

var errNoCache = errors.New("there is no cache yet")

func pauseFor(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

type cacheRace struct {
	began       time.Time
	staleness   time.Duration
	here, there *redisstore.Backend

	reads  atomic.Int64
	lives  int
	writes [2]int
}

func (r *cacheRace) now() time.Duration { return time.Since(r.began) }

// session runs one session: several lives, each of which is begun there, read and written here
// and there, and ended there.
func (r *cacheRace) session(t *testing.T) {
	id := store.NewID()
	owner, err := r.there.Create(t.Context(), id, nil, store.Terms{Lease: lease})
	if err != nil {
		t.Fatalf("Create() = %v", err)
	}
	for life := range 3 {
		var theirs, mine recorded
		var ended atomic.Int64 // when the life had ended
		var here [3]store.Store
		for i := range here {
			if here[i], err = r.here.Attach(t.Context(), id, store.Terms{}); err != nil {
				t.Fatalf("Attach() = %v", err)
			}
		}
		for _, key := range []string{"theirs", "mine"} {
			if err := owner.Set(t.Context(), key, []byte("0")); err != nil {
				t.Fatalf("Set() = %v", err)
			}
		}
		// What was there before this life must not be taken for one of its values.
		until := r.now() + r.staleness
		var wg sync.WaitGroup
		writer := func(s store.Store, key string, of *recorded, stop func() bool) {
			for i := int64(1); !stop() && i < int64(len(of.at)); i++ {
				if err := s.Set(t.Context(), key, []byte(strconv.FormatInt(i, 10))); err != nil {
					t.Errorf("Set() = %v", err)
					return
				}
				of.add(r.now())
				time.Sleep(rand.N(2 * time.Millisecond))
			}
		}
		length := r.staleness/2 + rand.N(r.staleness)
		wg.Go(func() { // another process
			begun := r.now()
			writer(owner, "theirs", &theirs, func() bool { return r.now()-begun > length })
		})
		writing := make(chan struct{})
		wg.Go(func() {
			defer close(writing)
			if life == 1 { // only the other process writes: what this one writes makes it forget
				time.Sleep(length)
				return
			}
			begun := r.now()
			writer(here[0], "mine", &mine, func() bool { return r.now()-begun > length })
		})
		for _, s := range here {
			wg.Go(func() { r.read(t, s, "mine", &mine, &ended, true, until) })
			wg.Go(func() { r.read(t, s, "theirs", &theirs, &ended, false, until) })
		}
		wg.Go(func() { // another process ends the life
			<-writing
			time.Sleep(length / 4)
			before := owner
			if rand.N(2) == 0 {
				owner, err = r.there.Resume(t.Context(), id, store.Terms{Lease: lease})
			} else if err = owner.Destroy(t.Context()); err == nil {
				ended.Store(int64(r.now()))
				owner, err = r.there.Create(t.Context(), id, nil, store.Terms{Lease: lease})
			}
			if err != nil {
				t.Errorf("ending a life = %v", err)
				ended.Store(1)
				owner = before
			}
			ended.CompareAndSwap(0, int64(r.now()))
		})
		wg.Wait()
		r.lives++
		r.writes[0] += int(theirs.n.Load())
		r.writes[1] += int(mine.n.Load())
		if t.Failed() {
			t.FailNow()
		}
	}
	if err := owner.Destroy(t.Context()); err != nil {
		t.Fatalf("Destroy() = %v", err)
	}
}

// read reads key of s until that fails because the life has ended.
func (r *cacheRace) read(t *testing.T, s store.Store, key string, of *recorded, ended *atomic.Int64, own bool, until time.Duration) {
	for !t.Failed() {
		acknowledged := of.n.Load()
		begun := r.now()
		over := time.Duration(ended.Load())
		value, err := s.Get(t.Context(), key)
		r.reads.Add(1)
		switch {
		case errors.Is(err, store.ErrDestroyed):
			return
		case err != nil:
			t.Errorf("Get(%s) = %v", key, err)
			return
		case over > 0 && over < begun-r.staleness:
			t.Errorf("Get(%s) = %q %v after the life had ended, want ErrDestroyed", key, value, begun-over)
			return
		}
		got, err := strconv.ParseInt(string(value), 10, 64)
		switch {
		case err != nil:
			t.Errorf("Get(%s) = %q", key, value)
		case got < acknowledged && own:
			t.Errorf("Get(%s) = %d, want %d at least, which this process had written", key, got, acknowledged)
		case begun > until && of.overBefore(got+1, begun-r.staleness):
			t.Errorf("Get(%s) = %d, but %d had been written %v before", key, got, got+1, begun-time.Duration(of.at[got+1].Load()))
		}
		time.Sleep(rand.N(100 * time.Microsecond)) // others have their turn
	}
}
