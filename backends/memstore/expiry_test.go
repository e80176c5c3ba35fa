package memstore_test

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
)

// at lets d pass and waits until everything that happens then has happened.
func at(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func lives(t *testing.T, s store.Store) bool {
	t.Helper()
	_, err := s.Has(t.Context(), "k")
	if err != nil {
		wantErr(t, "Has", err, store.ErrDestroyed)
	}
	return err == nil
}

func TestExpiresAtItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memstore.New(nil)
		defer b.Close()
		ctx := t.Context()
		for _, lease := range []time.Duration{3 * time.Second, time.Second, 2 * time.Second, math.MaxInt64} {
			s, err := b.Create(ctx, lease.String(), nil, store.Terms{Lease: lease})
			wantErr(t, "Create", err, nil)
			if !lives(t, s) {
				t.Errorf("the session of %v does not live", lease)
			}
		}
		for i := range 3 {
			d := time.Duration(i+1) * time.Second
			at(time.Second - time.Nanosecond)
			s, err := b.Attach(ctx, d.String(), terms)
			wantErr(t, "Attach just before the deadline", err, nil)
			if !lives(t, s) {
				t.Errorf("the session of %v ended early", d)
			}
			at(time.Nanosecond)
			if lives(t, s) {
				t.Errorf("the session of %v lives at its deadline", d)
			}
			_, err = b.Attach(ctx, d.String(), terms)
			wantErr(t, "Attach at the deadline", err, store.ErrNoSession)
			_, err = b.Resume(ctx, d.String(), terms)
			wantErr(t, "Resume at the deadline", err, store.ErrNoSession)
			wantErr(t, "Renew at the deadline", b.Renew(ctx, []store.Store{s}, time.Hour)[0], store.ErrDestroyed)
			wantErr(t, "Suspend at the deadline", b.Suspend(ctx, s, time.Hour), store.ErrDestroyed)
			wantErr(t, "Set at the deadline", s.Set(ctx, "k", nil), store.ErrDestroyed)
			wantErr(t, "Destroy at the deadline", s.Destroy(ctx), nil)
		}
		at(100 * 365 * 24 * time.Hour)
		_, err := b.Attach(ctx, time.Duration(math.MaxInt64).String(), terms)
		wantErr(t, "Attach within the longest lease", err, nil)
	})
}

func TestRenewNeverShortens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memstore.New(nil)
		defer b.Close()
		s, _ := b.Create(t.Context(), "a", nil, store.Terms{Lease: 10 * time.Second})
		renew := func(d time.Duration) {
			t.Helper()
			if errs := b.Renew(t.Context(), []store.Store{s, s}, d); errs != nil {
				t.Errorf("Renew(%v) = %v, want nil", d, errs)
			}
		}
		renew(time.Second)
		renew(0)
		renew(-time.Hour)
		at(9 * time.Second)
		renew(10 * time.Second) // until 19
		at(10*time.Second - 1)
		if !lives(t, s) {
			t.Errorf("a renewed session ended early")
		}
		at(1)
		if lives(t, s) {
			t.Errorf("a renewed session lives at its deadline")
		}
	})
}

func TestSuspendSetsTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memstore.New(nil)
		defer b.Close()
		ctx := t.Context()
		for _, grace := range []time.Duration{time.Second, time.Hour} {
			s := create(t, b, "a", store.Entry{Key: "k", Value: []byte("v")})
			create(t, b, "b") // another one in the queue
			wantErr(t, "Suspend", b.Suspend(ctx, s, grace), nil)
			at(grace - time.Millisecond)
			wantValue(t, s, "k", "v")
			resumed, err := b.Resume(ctx, "a", store.Terms{Lease: time.Minute})
			wantErr(t, "Resume", err, nil)
			if lives(t, s) {
				t.Errorf("the earlier life goes on after Resume")
			}
			at(2 * time.Millisecond)
			wantValue(t, resumed, "k", "v")
			wantErr(t, "Suspend", b.Suspend(ctx, resumed, grace), nil)
			at(grace)
			if lives(t, resumed) {
				t.Errorf("the session lives %v after Suspend", grace)
			}
			if other, err := b.Attach(ctx, "b", terms); err == nil {
				wantErr(t, "Destroy", other.Destroy(ctx), nil)
			}
		}
		s := create(t, b, "a")
		if err := b.Suspend(ctx, s, 0); err == nil {
			t.Errorf("Suspend(0) = nil, want an error")
		}
		wantErr(t, "Destroy", s.Destroy(ctx), nil)
		wantErr(t, "Suspend after Destroy", b.Suspend(ctx, s, time.Second), store.ErrDestroyed)
	})
}

// Many sessions with all kinds of deadlines, renewed, suspended and destroyed:
// each lives exactly as long as it should, and nothing stays behind.
func TestManyDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memstore.New(nil)
		defer b.Close()
		ctx := t.Context()
		const sessions = 5000
		ends := make([]time.Duration, sessions)
		all := make([]store.Store, sessions)
		for i := range all {
			ends[i] = time.Duration(1+i*7919%977) * time.Second
			s, err := b.Create(ctx, fmt.Sprint(i), nil, store.Terms{Lease: ends[i]})
			wantErr(t, "Create", err, nil)
			all[i] = s
		}
		for i, s := range all {
			switch d := time.Duration(1+i*31%1009) * time.Second; i % 5 {
			case 1:
				b.Renew(ctx, []store.Store{s}, d)
				ends[i] = max(ends[i], d)
			case 2:
				_ = b.Suspend(ctx, s, d)
				ends[i] = d
			case 3:
				_ = s.Destroy(ctx)
				ends[i] = 0
			case 4:
				all[i], _ = b.Resume(ctx, fmt.Sprint(i), store.Terms{Lease: d})
				ends[i] = d
			}
		}
		time.Sleep(500 * time.Millisecond)
		for now := time.Duration(0); now < 1010*time.Second; now += 10 * time.Second {
			synctest.Wait()
			for i, s := range all {
				if got, want := lives(t, s), ends[i] > now; got != want {
					t.Fatalf("after %v: session %d lives: %v, want %v (ends at %v)", now, i, got, want, ends[i])
				}
			}
			time.Sleep(10 * time.Second)
		}
		wantHeld(t, b, 0)
	})
}

// A timer that never goes off, because its goroutine does not get to run, must
// not bring anything back.
func TestLateTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memstore.New(nil)
		defer b.Close()
		ctx := t.Context()
		calls := map[string]func(s store.Store) error{
			"Attach":  func(store.Store) error { _, err := b.Attach(ctx, "a", terms); return err },
			"Resume":  func(store.Store) error { _, err := b.Resume(ctx, "a", terms); return err },
			"Renew":   func(s store.Store) error { return b.Renew(ctx, []store.Store{s}, time.Hour)[0] },
			"Suspend": func(s store.Store) error { return b.Suspend(ctx, s, time.Hour) },
		}
		for name, call := range calls {
			s, err := b.Create(ctx, "a", nil, terms)
			wantErr(t, "Create", err, nil)
			release := memstore.HoldTimer(b)
			time.Sleep(terms.Lease)
			err = call(s)
			if want := store.ErrDestroyed; name == "Renew" || name == "Suspend" {
				wantErr(t, name, err, want)
			} else {
				wantErr(t, name, err, store.ErrNoSession)
			}
			if lives(t, s) {
				t.Errorf("the session lives after %s found that it has expired", name)
			}
			release()
		}
		s, _ := b.Create(ctx, "a", nil, terms)
		release := memstore.HoldTimer(b)
		defer release()
		time.Sleep(terms.Lease)
		create(t, b, "a")
		if lives(t, s) {
			t.Errorf("the expired life goes on beside the next")
		}
	})
}

func TestCloseLeavesNothing(t *testing.T) {
	before := runtime.NumGoroutine()
	synctest.Test(t, func(t *testing.T) { // fails when a goroutine is left
		ctx := t.Context()
		b := memstore.New(nil)
		s := create(t, b, "a", store.Entry{Key: "k", Value: []byte("v")})
		ended := create(t, b, "b")
		wantErr(t, "Destroy", ended.Destroy(ctx), nil)
		other, _ := b.Attach(ctx, "a", store.Terms{MaxKeys: 1})
		wantErr(t, "Close", b.Close(), nil)
		wantErr(t, "Close again", b.Close(), nil)
		for _, s := range []store.Store{s, ended, other} {
			_, err := s.Get(ctx, "k")
			wantErr(t, "Get", err, store.ErrClosed)
			_, err = s.Has(ctx, "k")
			wantErr(t, "Has", err, store.ErrClosed)
			wantErr(t, "Set", s.Set(ctx, "k", nil), store.ErrClosed)
			wantErr(t, "Delete", s.Delete(ctx, "k"), store.ErrClosed)
			wantErr(t, "Destroy", s.Destroy(ctx), store.ErrClosed)
			_, err = store.GetMany(ctx, s, []string{"k"})
			wantErr(t, "GetMany", err, store.ErrClosed)
			_, err = store.Keys(ctx, s)
			wantErr(t, "Keys", err, store.ErrClosed)
			_, err = store.Commit(ctx, s, nil, nil)
			wantErr(t, "Commit", err, store.ErrClosed)
			wantErr(t, "Suspend", b.Suspend(ctx, s, time.Second), store.ErrClosed)
			wantErr(t, "Renew", b.Renew(ctx, []store.Store{s}, time.Second)[0], store.ErrClosed)
		}
		_, err := b.Create(ctx, "c", nil, terms)
		wantErr(t, "Create", err, store.ErrClosed)
		_, err = b.Attach(ctx, "a", terms)
		wantErr(t, "Attach", err, store.ErrClosed)
		_, err = b.Resume(ctx, "a", terms)
		wantErr(t, "Resume", err, store.ErrClosed)
		wantHeld(t, b, 0)
	})
	// The goroutines of the bubble and of the test runner need a moment to end.
	deadline := time.Now().Add(10 * time.Second)
	for runtime.NumGoroutine() > before {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines before, %d after Close", before, runtime.NumGoroutine())
		}
		time.Sleep(time.Millisecond)
	}
}

// TestTheWayALifeEnded: what an ended life says tells how it ended.
func TestTheWayALifeEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		b := memstore.New(nil)
		defer b.Close()
		terms := store.Terms{Lease: time.Minute}
		for name, tt := range map[string]struct {
			end  func(s store.Store)
			want error
		}{
			"destroyed": {func(s store.Store) { wantErr(t, "Destroy", s.Destroy(ctx), nil) }, store.ErrDestroyed},
			"resumed":   {func(store.Store) { _, err := b.Resume(ctx, "id", terms); wantErr(t, "Resume", err, nil) }, store.ErrResumed},
			"expired":   {func(store.Store) { time.Sleep(2 * time.Minute) }, store.ErrExpired},
		} {
			s, err := b.Create(ctx, "id", nil, terms)
			if err != nil {
				t.Fatal(err)
			}
			tt.end(s)
			_, get := s.Get(ctx, "k")
			for call, err := range map[string]error{
				"Get":     get,
				"Set":     s.Set(ctx, "k", nil),
				"Suspend": b.Suspend(ctx, s, time.Minute),
				"Renew":   b.Renew(ctx, []store.Store{s}, time.Minute)[0],
			} {
				if !errors.Is(err, store.ErrDestroyed) || err != tt.want {
					t.Errorf("%s: %s() = %v, want %v", name, call, err, tt.want)
				}
			}
			if again, err := b.Attach(ctx, "id", terms); err == nil {
				wantErr(t, "Destroy", again.Destroy(ctx), nil)
			}
		}
	})
}
