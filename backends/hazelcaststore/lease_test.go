package hazelcaststore

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/keyspace"
	"github.com/sessionkv/store/internal/testserver"
)

// No entry is without an end at any instant, whatever is done to its session, with
// leases below and beyond the map's default time to live.
func TestEveryEntryHasAnEnd(t *testing.T) {
	r := newRig(t, testserver.SharedHazelcast(t), namespace())
	ctx := t.Context()
	for _, lease := range []time.Duration{time.Minute, 3 * r.b.defaultTTL(), math.MaxInt64} {
		t.Run(lease.String(), func(t *testing.T) {
			id := store.NewID()
			var over atomic.Bool
			var watchers sync.WaitGroup
			var seen atomic.Int64
			for range 2 {
				watchers.Go(func() {
					for !over.Load() {
						view, err := r.raw.GetEntryView(ctx, keyspace.Escape(id))
						if err != nil {
							t.Error(err)
							return
						}
						if view == nil {
							continue
						}
						seen.Add(1)
						if view.TTL <= 0 || view.TTL == math.MaxInt64 || view.ExpirationTime == math.MaxInt64 {
							t.Errorf("the entry has a time to live of %d ms and expires at %d, want an end", view.TTL, view.ExpirationTime)
							return
						}
					}
				})
			}
			terms := store.Terms{Lease: lease}
			for i := 0; i < 30 || seen.Load() < 300; i++ {
				s, err := r.b.Create(ctx, id, nil, terms)
				if err != nil {
					t.Fatal(err)
				}
				other := r.attach(t, id)
				var wg sync.WaitGroup
				for _, h := range []store.Store{s, other} {
					wg.Go(func() {
						for k := range 5 {
							if err := h.Set(ctx, fmt.Sprint(k), nil); err != nil {
								t.Errorf("Set = %v", err)
							}
						}
					})
				}
				wg.Wait()
				err = errors.Join(
					errors.Join(r.b.Renew(ctx, []store.Store{s}, lease)...),
					r.b.Suspend(ctx, s, lease),
					other.Delete(ctx, "1"),
				)
				if err != nil {
					t.Fatal(err)
				}
				if s, err = r.other.Resume(ctx, id, terms); err != nil {
					t.Fatal(err)
				}
				if err := s.Set(ctx, "0", nil); err != nil {
					t.Fatal(err)
				}
				// Not shorter than the session's life either.
				view, err := r.raw.GetEntryView(ctx, keyspace.Escape(id))
				if err != nil || view == nil {
					t.Fatalf("GetEntryView = %v, %v, want an entry", view, err)
				}
				_, latest := r.b.clock.now()
				if left, want := time.Duration(view.ExpirationTime-latest)*time.Millisecond, min(lease, maxLease)-time.Second; left < want {
					t.Errorf("the entry stays for %v, want at least %v", left, want)
				}
				if err := s.Destroy(ctx); err != nil {
					t.Fatal(err)
				}
			}
			over.Store(true)
			watchers.Wait()
		})
	}
}

// A session that has outlived its lease is gone although its entry is not, and
// another can be begun in its place.
func TestDeadlineEndsBeforeEntry(t *testing.T) {
	r := newRig(t, testserver.SharedHazelcast(t), namespace())
	ctx := t.Context()
	short := store.Terms{Lease: 50 * time.Millisecond}
	expired := func(t *testing.T) (id string, s store.Store) {
		id = store.NewID()
		s, err := r.b.Create(ctx, id, nil, short)
		if err != nil {
			t.Fatal(err)
		}
		err = s.Set(ctx, "k", []byte("v")) // from here on the entry stays for an hour
		if err != nil && !errors.Is(err, store.ErrDestroyed) {
			t.Fatal(err)
		}
		l := s.(*handle).life
		for { // by the clock only: nobody looks at the session meanwhile
			l.mu.Lock()
			base := l.base
			l.mu.Unlock()
			if base.Bytes() == nil || r.b.expired(base) {
				return id, s
			}
		}
	}
	for name, call := range map[string]struct {
		want error
		f    func(id string, s store.Store) error
	}{
		"Get":    {store.ErrDestroyed, func(_ string, s store.Store) error { _, err := s.Get(ctx, "k"); return err }},
		"Set":    {store.ErrDestroyed, func(_ string, s store.Store) error { return s.Set(ctx, "k", nil) }},
		"Attach": {store.ErrNoSession, func(id string, _ store.Store) error { _, err := r.b.Attach(ctx, id, short); return err }},
		"Resume": {store.ErrNoSession, func(id string, _ store.Store) error { _, err := r.b.Resume(ctx, id, short); return err }},
		"Renew": {store.ErrDestroyed, func(_ string, s store.Store) error {
			return errors.Join(r.b.Renew(ctx, []store.Store{s}, time.Hour)...)
		}},
		"Create": {nil, func(id string, _ store.Store) error {
			_, err := r.b.Create(ctx, id, nil, store.Terms{Lease: time.Minute})
			return err
		}},
	} {
		id, s := expired(t)
		if err := call.f(id, s); !errors.Is(err, call.want) {
			t.Errorf("%s after the lease = %v, want %v", name, err, call.want)
		}
		if call.want == nil {
			if err := s.Set(ctx, "k", nil); !errors.Is(err, store.ErrDestroyed) {
				t.Errorf("Set in the life before = %v, want %v", err, store.ErrDestroyed)
			}
			continue
		}
		// Whoever says that a life has ended has ended it for all.
		if there, err := r.raw.ContainsKey(ctx, keyspace.Escape(id)); there || err != nil {
			t.Errorf("after %s the entry is there: %v, %v", name, there, err)
		}
	}
}

// The members of the tests run on this machine, so that their clock is known.
func TestClock(t *testing.T) {
	c := testserver.SharedHazelcast(t)
	if c.External {
		t.Skip("the clock of members elsewhere is not known here")
	}
	b := open(t, dial(t, c), namespace())
	before := time.Now().UnixMilli()
	earliest, latest := b.clock.now()
	after := time.Now().UnixMilli()
	// The monotonic and the wall clock may drift apart by a little.
	const drift = 20
	if earliest > after+drift || latest < before-drift {
		t.Errorf("now() = %d to %d, want a part of %d to %d", earliest, latest, before, after)
	}
	if known := b.clock.bounds.Load(); known.hi-known.lo > int64(400*time.Millisecond) {
		t.Errorf("the clock is known to %v, want it found by bisection", time.Duration(known.hi-known.lo))
	}
}

// A process whose calibration is old asks again, even when its clock stopped.
func TestClockIsRenewed(t *testing.T) {
	b := open(t, dial(t, testserver.SharedHazelcast(t)), namespace())
	s, err := b.Create(t.Context(), store.NewID(), nil, store.Terms{Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	wrong := *b.clock.bounds.Load()
	wrong.lo += int64(time.Hour)
	wrong.hi += int64(time.Hour)
	wrong.at = wrong.at.Add(-calibrationLife)
	b.clock.bounds.Store(&wrong)
	if err := s.Set(t.Context(), "k", nil); err != nil {
		t.Errorf("Set with a clock that had gone wrong = %v, want no error", err)
	}
	if now := b.clock.bounds.Load(); now.lo > wrong.lo-int64(30*time.Minute) {
		t.Error("the clock was not calibrated again")
	}
}
