package hazelcaststore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/testserver"
)

// stalled is a cluster of one member that stalls for longer than the timeout of a
// backend on it, and another process that looks on.
type stalled struct {
	t     *testing.T
	c     *testserver.HazelcastCluster
	b     *Backend
	other *Backend
}

func newStalled(t *testing.T) *stalled {
	if os.Getenv("STORE_TEST_HAZELCAST_ADDRS") != "" {
		t.Skip("needs a member that can be paused")
	}
	c := cluster(t, 1)
	opts := namespace()
	b := open(t, dial(t, c), opts)
	b.timeout = 300 * time.Millisecond // not before: on a busy machine New takes longer
	return &stalled{t, c, b, open(t, dial(t, c), opts)}
}

// whilePaused calls first with the member paused, which must leave its outcome unknown. Then it
// begins second, and returns how that came out after the member went on.
func (st *stalled) whilePaused(s store.Store, first, second func() error) error {
	st.t.Helper()
	st.c.Pause(0)
	for silent := false; !silent; { // it takes the signal a moment to reach all threads
		ctx, cancel := context.WithTimeout(st.t.Context(), 50*time.Millisecond)
		_, err := st.other.grid.Get(ctx, "nothing")
		silent = err != nil
		cancel()
	}
	if err := first(); !errors.Is(err, store.ErrUnknownOutcome) {
		st.t.Errorf("the write to a member that stalls = %v, want %v", err, store.ErrUnknownOutcome)
	}
	result := make(chan error, 1)
	go func() { result <- second() }()
	l := s.(*handle).life
	for begun := false; !begun; { // second has been taken up
		l.mu.Lock()
		begun = l.draining && len(l.queue) == 0
		l.mu.Unlock()
	}
	st.c.Resume(0)
	return <-result
}

// A write of unknown outcome that takes effect later is not taken for the next one,
// whatever the two are.
func TestWriteAfterUnknownOutcome(t *testing.T) {
	st := newStalled(t)
	ctx := t.Context()
	// Renew waits in the session's queue once its owner has a record.
	first, err := st.b.Create(ctx, store.NewID(), nil, store.Terms{Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(st.b.Renew(ctx, []store.Store{first}, time.Hour)...); err != nil {
		t.Fatal(err)
	}
	set := func(s store.Store, value string) func() error {
		return func() error { return s.Set(ctx, "k", []byte(value)) }
	}
	claim := func(s store.Store, value string) func() error {
		return func() error {
			_, err := store.Commit(ctx, s, []store.Entry{{Key: "k"}}, []store.Entry{{Key: "k", Value: []byte(value)}})
			return err
		}
	}
	remove := func(s store.Store, key string) func() error {
		return func() error { return s.Delete(ctx, key) }
	}
	holds := func(want string) func(s store.Store) error {
		return func(s store.Store) error {
			if v, err := s.Get(ctx, "k"); err != nil || string(v) != want {
				return fmt.Errorf("Get(k) by another process = %q, %v, want %s", v, err, want)
			}
			return nil
		}
	}
	lacks := func(s store.Store) error {
		if v, err := s.Get(ctx, "k"); !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("Get(k) by another process = %q, %v, want %v", v, err, store.ErrNotFound)
		}
		return nil
	}
	for _, tt := range []struct {
		name          string
		initial       []byte // of k
		first, second func(s store.Store) func() error
		done          func(s store.Store) error // checks what second's success promises
	}{
		{"Set, Set", []byte("0"), func(s store.Store) func() error { return set(s, "A") }, func(s store.Store) func() error { return set(s, "B") }, holds("B")},
		{"Commit, Commit", nil, func(s store.Store) func() error { return claim(s, "A") }, func(s store.Store) func() error { return claim(s, "B") }, holds("B")},
		{"Set, Delete", []byte("0"), func(s store.Store) func() error { return set(s, "A") }, func(s store.Store) func() error { return remove(s, "k") }, lacks},
		{"Delete, Set", []byte("0"), func(s store.Store) func() error { return remove(s, "k") }, func(s store.Store) func() error { return set(s, "B") }, holds("B")},
		{
			"Set, Renew", []byte("0"), func(s store.Store) func() error { return set(s, "A") },
			func(s store.Store) func() error {
				return func() error { return errors.Join(st.b.Renew(ctx, []store.Store{s}, time.Hour)...) }
			},
			func(s store.Store) error { return st.livesFor(s, 30*time.Minute) },
		},
		{
			"Set, Suspend", []byte("0"), func(s store.Store) func() error { return set(s, "A") },
			func(s store.Store) func() error {
				return func() error { return st.b.Suspend(ctx, s, time.Hour) }
			},
			func(s store.Store) error { return st.livesFor(s, 30*time.Minute) },
		},
		{
			"Set, Destroy", []byte("0"), func(s store.Store) func() error { return set(s, "A") },
			func(s store.Store) func() error { return func() error { return s.Destroy(ctx) } },
			func(s store.Store) error {
				if v, err := s.Get(ctx, "k"); !errors.Is(err, store.ErrDestroyed) {
					return fmt.Errorf("Get(k) by another process = %q, %v, want %v", v, err, store.ErrDestroyed)
				}
				return nil
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id := store.NewID()
			var initial []store.Entry
			if tt.initial != nil {
				initial = []store.Entry{{Key: "k", Value: bytes.Clone(tt.initial)}}
			}
			s, err := st.b.Create(ctx, id, initial, store.Terms{Lease: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			other, err := st.other.Attach(ctx, id, store.Terms{})
			if err != nil {
				t.Fatal(err)
			}
			err = st.whilePaused(s, tt.first(s), tt.second(s))
			if err != nil {
				if !errors.Is(err, store.ErrUnknownOutcome) && !errors.Is(err, store.ErrConflict) && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("the second call = %v, want it done, refused or unknown", err)
				}
				return
			}
			if err := tt.done(other); err != nil {
				t.Errorf("the second call was acknowledged, but %v", err)
			}
		})
	}
}

// livesFor checks that the session of s, a handle of the other process, lives for
// longer than d from now.
func (st *stalled) livesFor(s store.Store, d time.Duration) error {
	v, err := s.(*handle).life.view(st.t.Context())
	if err != nil {
		return err
	}
	earliest, _ := st.other.clock.now()
	if left := time.Duration(v.Deadline()-earliest) * time.Millisecond; left < d {
		return fmt.Errorf("the session lives for %v, want more than %v", left, d)
	}
	return nil
}

// The handle of a life that this process saw end does not come back with the entry,
// as it does when a split cluster merges. A new handle works.
func TestEntryThatCameBack(t *testing.T) {
	r := newRig(t, testserver.SharedHazelcast(t), namespace())
	ctx := t.Context()
	id, s := r.session(t)
	key := entryKey(id)
	doc, err := r.b.read(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.attach(t, id).Destroy(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Set(ctx, "k", nil); !errors.Is(err, store.ErrDestroyed) {
		t.Fatalf("Set after Destroy = %v, want %v", err, store.ErrDestroyed)
	}
	if err := r.raw.SetWithTTL(ctx, key, doc, time.Minute); err != nil {
		t.Fatal(err)
	}
	again, err := r.b.Attach(ctx, id, store.Terms{})
	if err != nil {
		t.Fatalf("Attach = %v, want no error", err)
	}
	if err := again.Set(ctx, "k", []byte("1")); err != nil {
		t.Errorf("Set on the new handle = %v, want no error", err)
	}
	if err := s.Set(ctx, "k", nil); !errors.Is(err, store.ErrDestroyed) {
		t.Errorf("Set on the old handle = %v, want %v", err, store.ErrDestroyed)
	}
}

// A write that could not tell the entry to stay for the lease, or whose own reply was lost, is not
// acknowledged. The entry is told later all the same.
func TestWriteThatShortensTheEntry(t *testing.T) {
	r := newRig(t, testserver.SharedHazelcast(t), namespace())
	ctx := t.Context()
	r.b.timeout = time.Second
	terms := store.Terms{Lease: 3 * time.Hour} // the default is one hour
	set := func(_ string, s store.Store) error { return s.Set(ctx, "k", []byte("1")) }
	resume := func(id string, _ store.Store) error { _, err := r.b.Resume(ctx, id, terms); return err }
	for _, tt := range []struct {
		name  string
		lost  string // what gets no reply
		write func(id string, s store.Store) error
	}{
		{"Set, time to live", "ttl", set},
		{"Set, reply", "replace", set},
		{"Resume, time to live", "ttl", resume},
		{"Resume, reply", "replace", resume},
		{"Suspend, time to live", "ttl", func(_ string, s store.Store) error { return r.b.Suspend(ctx, s, 4*time.Hour) }},
		{"Renew, time to live", "ttl", func(_ string, s store.Store) error {
			return errors.Join(r.b.Renew(ctx, []store.Store{s}, 4*time.Hour)...)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id := store.NewID()
			s, err := r.b.Create(ctx, id, nil, terms)
			if err != nil {
				t.Fatal(err)
			}
			var over atomic.Bool
			defer func() { r.faults.before, r.faults.after = nil, nil }()
			defer awaitCalls(r.b)
			r.faults.before = func(op string) error {
				// A first write takes effect, and then nothing gets through.
				if !over.Load() && (op == "ttl" || op == tt.lost && r.faults.writes.Load() > 1) {
					return errLost
				}
				return nil
			}
			r.faults.after = func(op string, done bool, err error) (bool, error) {
				if !over.Load() && op == tt.lost {
					return false, errLost
				}
				return done, err
			}
			r.faults.writes.Store(0)
			blind := &blindReads{grid: r.faults.grid, writes: &r.faults.writes, off: &over}
			if tt.lost == "replace" {
				r.faults.grid = blind
				defer func() { r.faults.grid = blind.grid }()
			}
			if err := tt.write(id, s); !errors.Is(err, store.ErrUnknownOutcome) {
				t.Errorf("the write = %v, want %v", err, store.ErrUnknownOutcome)
			}
			over.Store(true)
			for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
				view, err := r.raw.GetEntryView(ctx, entryKey(id))
				if err != nil || view == nil {
					t.Fatalf("GetEntryView = %v, %v, want an entry", view, err)
				}
				if time.Duration(view.TTL)*time.Millisecond > 2*time.Hour {
					break
				}
				if time.Now().After(end) {
					t.Fatalf("the entry's time to live is %d ms, want more than two hours", view.TTL)
				}
			}
		})
	}
}

// awaitCalls waits for what goes on in the background.
func awaitCalls(b *Backend) { b.calls.Wait() }

// blindReads is a grid that answers no read of a session after the first write, until off is
// set.
type blindReads struct {
	grid
	writes *atomic.Int64
	off    *atomic.Bool
}

func (g *blindReads) Get(ctx context.Context, key any) (any, error) {
	if k, ok := key.(string); ok && !g.off.Load() && g.writes.Load() > 0 && k[0] != ':' {
		return nil, errLost
	}
	return g.grid.Get(ctx, key)
}
