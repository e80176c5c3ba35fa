package hazelcaststore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/testserver"
)

// A halting grid calls halt before the nth call about a session since it was set up, or
// after that has been carried out.
type halting struct {
	grid

	mu    sync.Mutex
	calls int    // guarded by mu
	nth   int    // guarded by mu
	after bool   // guarded by mu
	halt  func() // guarded by mu; nil once it is over
}

// set has halt called.
func (g *halting) set(nth int, after bool, halt func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls, g.nth, g.after, g.halt = 0, nth, after, halt
}

// stop has nothing called any more.
func (g *halting) stop() { g.set(0, false, nil) }

func (g *halting) moment(nth int, after bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.halt != nil && nth == g.nth && after == g.after {
		g.halt()
	}
}

func (g *halting) around(key any, call func()) {
	if k, _ := key.(string); k == "" || k[0] == ':' {
		call() // a probe, or an owner's record
		return
	}
	g.mu.Lock()
	g.calls++
	nth := g.calls
	g.mu.Unlock()
	g.moment(nth, false)
	call()
	g.moment(nth, true)
}

func (g *halting) Get(ctx context.Context, key any) (v any, err error) {
	g.around(key, func() { v, err = g.grid.Get(ctx, key) })
	return v, err
}

func (g *halting) PutIfAbsentWithTTL(ctx context.Context, key, value any, ttl time.Duration) (v any, err error) {
	g.around(key, func() { v, err = g.grid.PutIfAbsentWithTTL(ctx, key, value, ttl) })
	return v, err
}

func (g *halting) ReplaceIfSame(ctx context.Context, key, old, new any) (done bool, err error) {
	g.around(key, func() { done, err = g.grid.ReplaceIfSame(ctx, key, old, new) })
	return done, err
}

func (g *halting) RemoveIfSame(ctx context.Context, key, value any) (done bool, err error) {
	g.around(key, func() { done, err = g.grid.RemoveIfSame(ctx, key, value) })
	return done, err
}

// Whichever member stalls, at whichever moment of whichever operation, and for longer than the
// operation waits, no session stays beyond its lease. What was acknowledged holds, and what was
// refused has not happened.
func TestMemberStallsAtEachMoment(t *testing.T) {
	if os.Getenv("STORE_TEST_HAZELCAST_ADDRS") != "" {
		t.Skip("needs members that can be paused")
	}
	const members = 3
	c := testserver.Hazelcast(t, members, maps(time.Hour), testserver.WithHeartbeat(10*time.Minute))
	r := newRig(t, c, namespace())
	g := &halting{grid: r.faults}
	r.b.grid = g
	ctx := t.Context()
	const lease = 20 * time.Second
	terms := store.Terms{Lease: lease}
	value := func(s store.Store) string {
		v, err := s.Get(ctx, "k")
		return fmt.Sprintf("%s %v", v, err)
	}
	attached := func(id string) string {
		s, err := r.other.Attach(ctx, id, store.Terms{})
		if err != nil {
			return err.Error()
		}
		return value(s)
	}
	gone := store.ErrNoSession.Error()
	for _, op := range []struct {
		name   string
		call   func(id string, s store.Store) error
		before string                                // what another process sees when it did not happen
		after  string                                // and when it did
		also   func(id string, s store.Store) string // what else is wrong then
	}{
		{"Create", func(id string, _ store.Store) error {
			_, err := r.b.Create(ctx, id+"-new", []store.Entry{{Key: "k", Value: []byte("0")}}, terms)
			return err
		}, gone, "0 <nil>", nil},
		{
			"Resume", func(id string, _ store.Store) error { _, err := r.b.Resume(ctx, id, terms); return err },
			"0 <nil>", "0 <nil>", func(_ string, s store.Store) string {
				if err := s.Set(ctx, "k", nil); !errors.Is(err, store.ErrDestroyed) {
					return fmt.Sprintf("Set on the handle before = %v", err)
				}
				return ""
			},
		},
		{"Suspend", func(_ string, s store.Store) error { return r.b.Suspend(ctx, s, lease) }, "0 <nil>", "0 <nil>", nil},
		{"Commit", func(_ string, s store.Store) error {
			_, err := store.Commit(ctx, s, []store.Entry{{Key: "k", Value: []byte("0")}}, []store.Entry{{Key: "k", Value: []byte("1")}})
			return err
		}, "0 <nil>", "1 <nil>", nil},
		{
			"Renew", func(_ string, s store.Store) error {
				return errors.Join(r.b.Renew(ctx, []store.Store{s}, lease+time.Second)...)
			},
			"0 <nil>", "0 <nil>", nil,
		},
		{"Destroy", func(_ string, s store.Store) error { return s.Destroy(ctx) }, "0 <nil>", gone, nil},
	} {
		var all []string
		unknowns := 0
		for member := range members {
			for moment := range 3 { // before the first call, after it, after the second
				id := store.NewID()
				s, err := r.b.Create(ctx, id, []store.Entry{{Key: "k", Value: []byte("0")}}, terms)
				if err != nil {
					t.Fatalf("Create = %v", err)
				}
				halted := false
				g.set(1+moment/2, moment > 0, func() {
					c.Pause(member)
					halted = true
				})
				limited, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
				ctx = limited
				err = op.call(id, s)
				ctx = t.Context()
				cancel()
				g.stop()
				if halted {
					c.Resume(member)
				}
				if op.name == "Create" {
					_ = s.Destroy(ctx)
					id += "-new"
				}
				all = append(all, id)
				what := fmt.Sprintf("%s with member %d stalled at moment %d = %v", op.name, member, moment, err)
				switch got := attached(id); {
				case errors.Is(err, store.ErrUnknownOutcome):
					unknowns++
					if got != op.before && got != op.after {
						t.Errorf("%s: another process sees %s, want %s or %s", what, got, op.before, op.after)
					}
				case err == nil:
					if got != op.after {
						t.Errorf("%s: another process sees %s, want %s", what, got, op.after)
					}
					if op.also != nil {
						if wrong := op.also(id, s); wrong != "" {
							t.Errorf("%s, but %s", what, wrong)
						}
					}
				case errors.Is(err, context.DeadlineExceeded):
					if got != op.before {
						t.Errorf("%s: another process sees %s, want %s", what, got, op.before)
					}
				default:
					t.Errorf("%s, want no error, an unknown outcome or the end of the context", what)
				}
			}
		}
		t.Logf("%s: %d of %d outcomes unknown", op.name, unknowns, len(all))
		for end := time.Now().Add(3 * lease); len(all) > 0; time.Sleep(50 * time.Millisecond) {
			if attached(all[0]) == gone {
				if v, err := r.raw.Get(ctx, entryKey(all[0])); err != nil || v != nil {
					t.Errorf("%s: an entry is left of a session that has ended: %v, %v", op.name, v, err)
				}
				all = all[1:]
			} else if time.Now().After(end) {
				t.Errorf("%s: %d sessions have outlived their leases", op.name, len(all))
				break
			}
		}
	}
}

// An entry under the name of an owner's record that is none costs a renewal, and no session.
func TestRecordIsNoRecord(t *testing.T) {
	r := newRig(t, testserver.SharedHazelcast(t), namespace())
	_, sessions := r.owned(t, 3, time.Minute)
	before := r.b.owner(time.Minute)
	if err := r.raw.SetWithTTL(t.Context(), recordKey(before.id), []byte("something else"), time.Minute); err != nil {
		t.Fatal(err)
	}
	before.until.Store(before.until.Load() - time.Minute.Milliseconds()/2) // so that it is written again
	r.renews(t, sessions, time.Minute)
	after := r.b.owner(time.Minute)
	for _, s := range sessions {
		if l := s.(*handle).life; l.ownedBy() != after.id || after == before {
			t.Errorf("the session has owner %d, want the new one %d", l.ownedBy(), after.id)
		}
		if _, err := s.Get(t.Context(), "k"); err != nil {
			t.Errorf("Get = %v, want no error", err)
		}
	}
}
