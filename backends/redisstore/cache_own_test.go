package redisstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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

// An ownLife is one life of a session, with the handles that this process has to it.
type ownLife struct {
	handles []store.Store
	written atomic.Int64 // the last value that was acknowledged; -1: it may be any
	ended   atomic.Bool  // Destroy, Resume or Create of the next has returned
}

// What this process has done, it reads without any notice of the server. That is values that were written
// together, on every handle, and the end of lives.
func TestCacheSeesWhatItsProcessDoes(t *testing.T) {
	server := testserver.SharedRedis(t)
	for _, most := range []int{0, 64 * 700} { // room for all, and for one session or none in each shard
		t.Run(fmt.Sprint("MaxBytes=", most), func(t *testing.T) {
			both(t, func(t *testing.T, o redisstore.Options) {
				p := newProxy(t, server.Addr)
				o.Namespace, o.Cache = namespace(t), &redisstore.CacheOptions{MaxStaleness: time.Hour, MaxBytes: most}
				b := open(t, dial(t, "redis://"+p.addr), o)
				_, first := create(t, b, store.Entry{Key: "k", Value: []byte("v")})
				eventually(t, "a cache", func() error {
					if _, err := first.Get(t.Context(), "k"); err != nil || redisstore.Caches(b) {
						return err
					}
					return errNoCache
				}, func(err error) bool { return err != errNoCache })
				p.deafen(true)
				var wg sync.WaitGroup
				for range 8 {
					wg.Go(func() { ownSession(t, b) })
				}
				wg.Wait()
			})
		})
	}
}

// ownSession runs one session through several lives, read by others all the time.
func ownSession(t *testing.T, b *redisstore.Backend) {
	id := store.NewID()
	var current atomic.Pointer[ownLife]
	var lives []*ownLife
	var reads sync.WaitGroup
	begin := func(s store.Store) {
		l := &ownLife{handles: []store.Store{s}}
		l.written.Store(-1)
		for range 2 {
			other, err := b.Attach(t.Context(), id, store.Terms{})
			if err != nil {
				t.Errorf("Attach() = %v", err)
				return
			}
			l.handles = append(l.handles, other)
		}
		for _, s := range l.handles {
			reads.Go(func() { readOwn(t, l, s) })
		}
		lives = append(lives, l)
		current.Store(l)
	}
	s, err := b.Create(t.Context(), id, pair(0), store.Terms{Lease: lease})
	if err != nil {
		t.Errorf("Create() = %v", err)
		return
	}
	begin(s)
	n := 0
	for range 120 {
		if t.Failed() {
			break
		}
		l := current.Load()
		s := l.handles[rand.N(len(l.handles))]
		n++
		switch rand.N(12) {
		case 0:
			if err := s.Destroy(t.Context()); err != nil {
				t.Errorf("Destroy() = %v", err)
			}
			l.ended.Store(true)
			wantEnded(t, "Destroy", lives)
			s, err := b.Create(t.Context(), id, pair(n), store.Terms{Lease: lease})
			if err != nil {
				t.Errorf("Create() = %v", err)
				return
			}
			begin(s)
		case 1:
			next, err := b.Resume(t.Context(), id, store.Terms{Lease: lease})
			if err != nil {
				t.Errorf("Resume() = %v", err)
				return
			}
			l.ended.Store(true)
			wantEnded(t, "Resume", lives)
			begin(next)
		case 2: // it may be lost
			ctx, cancel := context.WithTimeout(t.Context(), rand.N(300*time.Microsecond))
			l.written.Store(-1)
			_, err := store.Commit(ctx, s, nil, pair(n))
			cancel()
			if err == nil {
				l.written.Store(int64(n))
				break
			}
			// What was on its way arrives before another life begins, or not any more.
			next, err := b.Resume(t.Context(), id, store.Terms{Lease: lease})
			if err != nil {
				t.Errorf("Resume() = %v", err)
				return
			}
			l.ended.Store(true)
			wantEnded(t, "Resume", lives)
			begin(next)
		case 3:
			if err := b.Suspend(t.Context(), s, lease); err != nil {
				t.Errorf("Suspend() = %v", err)
			}
		default:
			if _, err := store.Commit(t.Context(), s, nil, pair(n)); err != nil {
				t.Errorf("Commit() = %v", err)
				return
			}
			l.written.Store(int64(n))
			for _, s := range l.handles {
				if v, err := s.Get(t.Context(), "a"); string(v) != strconv.Itoa(n) || err != nil {
					t.Errorf("Get() after Commit of %d on another handle = %q, %v", n, v, err)
				}
			}
		}
	}
	l := current.Load()
	_ = l.handles[0].Destroy(context.Background())
	l.ended.Store(true)
	wantEnded(t, "Destroy", lives)
	reads.Wait()
}

func pair(n int) []store.Entry {
	v := []byte(strconv.Itoa(n))
	return []store.Entry{{Key: "a", Value: v}, {Key: "b", Value: v}}
}

func wantEnded(t *testing.T, after string, lives []*ownLife) {
	for _, l := range lives[max(0, len(lives)-2):] {
		for _, s := range l.handles {
			if l.ended.Load() {
				if v, err := s.Get(t.Context(), "a"); !errors.Is(err, store.ErrDestroyed) {
					t.Errorf("Get() of a life that has ended, after %s = %q, %v, want ErrDestroyed", after, v, err)
				}
			}
		}
	}
}

// readOwn reads until the life has ended.
func readOwn(t *testing.T, l *ownLife, s store.Store) {
	for !t.Failed() {
		ended, written := l.ended.Load(), l.written.Load()
		var a, b []byte
		var err error
		if rand.N(2) == 0 {
			var values [][]byte
			if values, err = store.GetMany(t.Context(), s, []string{"a", "b"}); err == nil {
				a, b = values[0], values[1]
			}
		} else if a, err = s.Get(t.Context(), "a"); err == nil {
			b = a
		}
		switch {
		case errors.Is(err, store.ErrDestroyed):
			return
		case err != nil:
			t.Errorf("reading = %v", err)
			return
		case ended:
			t.Errorf("reading a life that had ended = %q", a)
		case !bytes.Equal(a, b):
			t.Errorf("GetMany() = %q and %q, which were never there together", a, b)
		}
		if n, err := strconv.ParseInt(string(a), 10, 64); err != nil || n < written {
			t.Errorf("reading = %q, want %d or later", a, written)
		}
		time.Sleep(rand.N(100 * time.Microsecond)) // others have their turn
	}
}
