package store_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
	"github.com/sessionkv/store/internal/heap"
)

// staged is a backend in memory on which every operation that begins or ends a
// life, and Renew, first calls what let was given with its name.
type staged struct {
	*memstore.Backend
	first atomic.Pointer[func(ctx context.Context, op string) error]
}

func (b *staged) let(first func(ctx context.Context, op string) error) { b.first.Store(&first) }

func (b *staged) before(ctx context.Context, op string) error { return (*b.first.Load())(ctx, op) }

type stagedStore struct {
	store.Store
	b *staged
}

func (b *staged) wrap(s store.Store, err error) (store.Store, error) {
	if err != nil {
		return nil, err
	}
	return stagedStore{s, b}, nil
}

func (b *staged) Create(ctx context.Context, id string, initial []store.Entry, t store.Terms) (store.Store, error) {
	if err := b.before(ctx, "create"); err != nil {
		return nil, err
	}
	return b.wrap(b.Backend.Create(ctx, id, initial, t))
}

func (b *staged) Attach(ctx context.Context, id string, t store.Terms) (store.Store, error) {
	return b.wrap(b.Backend.Attach(ctx, id, t))
}

func (b *staged) Resume(ctx context.Context, id string, t store.Terms) (store.Store, error) {
	s, err := b.wrap(b.Backend.Resume(ctx, id, t))
	if err != nil {
		return nil, err
	}
	return s, b.before(ctx, "resume") // after it: Close may come before the answer
}

func (b *staged) Renew(ctx context.Context, sessions []store.Store, lease time.Duration) []error {
	if err := b.before(ctx, "renew"); err != nil {
		errs := make([]error, len(sessions))
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	inner := make([]store.Store, len(sessions))
	for i, s := range sessions {
		inner[i] = s.(stagedStore).Store
	}
	return b.Backend.Renew(ctx, inner, lease)
}

func (b *staged) Suspend(ctx context.Context, s store.Store, grace time.Duration) error {
	if err := b.before(ctx, "suspend"); err != nil {
		return err
	}
	return b.Backend.Suspend(ctx, s.(stagedStore).Store, grace)
}

func (s stagedStore) Destroy(ctx context.Context) error {
	if err := s.b.before(ctx, "destroy"); err != nil {
		return err
	}
	return s.Store.Destroy(ctx)
}

func (s stagedStore) Keys(ctx context.Context) ([]string, error) { return store.Keys(ctx, s.Store) }

func (s stagedStore) GetMany(ctx context.Context, keys []string) ([][]byte, error) {
	return store.GetMany(ctx, s.Store, keys)
}

func (s stagedStore) Commit(ctx context.Context, expect, write []store.Entry) ([][]byte, error) {
	return store.Commit(ctx, s.Store, expect, write)
}

func (s stagedStore) DestroyIf(ctx context.Context, values []store.Entry) error {
	if err := s.b.before(ctx, "destroyif"); err != nil {
		return err
	}
	return store.DestroyIf(ctx, s.Store, values)
}

// healthy lets everything pass.
func healthy(context.Context, string) error { return nil }

// slow lets each Suspend and Destroy take 300 ms.
func slow(ctx context.Context, op string) error {
	if op != "suspend" && op != "destroy" && op != "resume" {
		return nil
	}
	select {
	case <-time.After(300 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hang lets each Suspend, Destroy and Renew hang until its context ends.
func hang(ctx context.Context, op string) error {
	if op == "create" || op == "resume" {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

// newStaged returns a staged backend that is closed when t ends.
func newStaged(t testing.TB, before func(context.Context, string) error) *staged {
	b := &staged{Backend: memstore.New(nil)}
	b.let(before)
	t.Cleanup(func() { b.Close() })
	return b
}

// alive counts the sessions that can be attached to.
func alive(t testing.TB, backend store.Backend, ids []string) (n int) {
	t.Helper()
	for _, id := range ids {
		_, err := backend.Attach(context.WithoutCancel(t.Context()), id, store.Terms{})
		switch {
		case err == nil:
			n++
		case !errors.Is(err, store.ErrNoSession):
			t.Fatalf("Attach() = %v, want nil or ErrNoSession", err)
		}
	}
	return n
}

// TestLeavingKeepsThePromiseOfGrace: connections that defer Destroy or Release meet a
// Close with a grace, as at every rolling restart, on a backend that takes its time.
func TestLeavingKeepsThePromiseOfGrace(t *testing.T) {
	leave := map[string]func(context.Context, *store.Session) error{
		"Destroy": func(ctx context.Context, s *store.Session) error {
			if err := s.Destroy(ctx); !errors.Is(err, store.ErrSuspended) {
				return fmt.Errorf("Destroy() during Close = %w, want ErrSuspended", err)
			}
			return nil
		},
		"Release": func(ctx context.Context, s *store.Session) error { return s.Release(ctx) },
		"Suspend": func(ctx context.Context, s *store.Session) error {
			if err := s.Suspend(ctx, time.Second); err != nil && !errors.Is(err, store.ErrSuspended) {
				return err
			}
			return nil
		},
	}
	for name, leave := range leave {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				backend := newStaged(t, slow)
				sessions := newSessions(t, backend, &store.Options{Grace: 10 * time.Minute})
				var ids []string
				var handlers sync.WaitGroup
				for i := range 2000 {
					s := create(t, sessions, userID.To("u"))
					ids = append(ids, s.ID())
					done := s.Done()
					handlers.Go(func() {
						if i%2 == 0 { // wakes up while its Suspend is on its way
							time.Sleep(100 * time.Millisecond)
						} else {
							<-done
						}
						if err := leave(t.Context(), s); err != nil && name != "Suspend" {
							t.Error(err)
						}
					})
				}
				if err := sessions.Close(t.Context()); err != nil {
					t.Errorf("Close() = %v, want nil", err)
				}
				handlers.Wait()
				if name == "Suspend" {
					return // which half won is a matter of taste; nothing is destroyed
				}
				time.Sleep(9 * time.Minute)
				if n := alive(t, backend, ids); n != len(ids) {
					t.Errorf("%d of %d sessions are left within the grace, want all", n, len(ids))
				}
			})
		})
	}
}

func TestDestroyWaitsForSuspendAndGoesOnAfterItsFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		boom := errors.New("boom")
		backend := newStaged(t, func(ctx context.Context, op string) error {
			if op == "suspend" {
				time.Sleep(300 * time.Millisecond)
				return boom
			}
			return nil
		})
		sessions := newSessions(t, backend, nil)
		defer sessions.Close(ctx)
		s := create(t, sessions)
		suspended := make(chan error)
		go func() { suspended <- s.Suspend(ctx, time.Minute) }()
		synctest.Wait()
		if isDone(s) || s.Err() != nil {
			t.Errorf("Done() is closed, Err() = %v, before the backend has confirmed", s.Err())
		}
		wantErr(t, "Set() during Suspend", userID.Set(ctx, s, "x"), store.ErrSuspended)
		destroyed := make(chan error)
		go func() { destroyed <- s.Destroy(ctx) }()
		synctest.Wait()
		select {
		case err := <-destroyed:
			t.Errorf("Destroy() = %v while Suspend is on its way, want it to wait", err)
		default:
		}
		wantErr(t, "Suspend()", <-suspended, boom)
		wantErr(t, "Destroy() after a failed Suspend", <-destroyed, nil)
		wantErr(t, "Err()", s.Err(), store.ErrDestroyed)
		if n := alive(t, backend, []string{s.ID()}); n != 0 {
			t.Error("the session lives after Destroy")
		}
	})
}

func TestCloseWaitsForCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		backend := newStaged(t, slow)
		sessions := newSessions(t, backend, nil)
		calls := map[string]func(*store.Session) error{
			"Suspend": func(s *store.Session) error { return s.Suspend(ctx, time.Minute) },
			"Destroy": func(s *store.Session) error { return s.Destroy(ctx) },
			"Release": func(s *store.Session) error { return s.Release(ctx) },
		}
		results := make(map[string]error)
		var mu sync.Mutex
		for name, call := range calls {
			s := create(t, sessions)
			go func() {
				err := call(s)
				mu.Lock()
				defer mu.Unlock()
				results[name] = err
			}()
		}
		synctest.Wait()
		var closes sync.WaitGroup
		for range 2 {
			closes.Go(func() {
				wantErr(t, "Close()", sessions.Close(ctx), nil)
				backend.Close()
			})
		}
		closes.Wait()
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		for name := range calls {
			if err, ok := results[name]; !ok || err != nil {
				t.Errorf("%s() = %v, returned: %t; want nil before Close and the backend's Close", name, err, ok)
			}
		}
	})
}

func TestDoneDuringCloseEndsNothing(t *testing.T) {
	for _, grace := range []time.Duration{0, 10 * time.Minute} {
		t.Run(fmt.Sprintf("grace=%v", grace), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				backend := newStaged(t, slow)
				sessions := newSessions(t, backend, &store.Options{Grace: grace})
				var ids []string
				var all []*store.Session
				for range 1000 {
					s := create(t, sessions)
					all, ids = append(all, s), append(ids, s.ID())
				}
				go func() {
					for {
						for _, s := range all {
							s.Done()
						}
						time.Sleep(time.Millisecond)
						if isDone(all[0]) {
							return
						}
					}
				}()
				if err := sessions.Close(t.Context()); err != nil {
					t.Errorf("Close() = %v, want nil", err)
				}
				want := 0
				if grace > 0 {
					want = len(ids)
				}
				time.Sleep(2 * time.Minute)
				if n := alive(t, backend, ids); n != want {
					t.Errorf("%d sessions are alive after Close and two minutes, want %d", n, want)
				}
				for _, s := range all {
					if !isDone(s) || errors.Is(s.Err(), store.ErrClosed) {
						t.Fatalf("Done() is closed: %t, Err() = %v; want how Close let go of it", isDone(s), s.Err())
					}
				}
			})
		})
	}
}

func TestResumeRacingCloseKeepsTheSession(t *testing.T) {
	for _, grace := range []time.Duration{0, 10 * time.Minute} {
		t.Run(fmt.Sprintf("grace=%v", grace), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				backend := newStaged(t, slow)
				other := newSessions(t, backend, nil)
				s := create(t, other, userID.To("u"))
				if err := s.Suspend(ctx, time.Hour); err != nil {
					t.Fatal(err)
				}
				sessions := newSessions(t, backend, &store.Options{Grace: grace})
				resumed := make(chan error)
				go func() { resumed <- second(sessions.Resume(ctx, s.ID())) }()
				synctest.Wait()
				wantErr(t, "Close()", sessions.Close(ctx), nil)
				wantErr(t, "Resume() that Close overtook", <-resumed, store.ErrClosed)
				time.Sleep(max(grace, store.DefaultLease) - time.Second)
				if n := alive(t, backend, []string{s.ID()}); n != 1 {
					t.Error("the session is gone; a Resume that failed must not end it")
				}
			})
		})
	}
}

func TestCloseHasOneBudget(t *testing.T) {
	for _, n := range []int{1000, 10_000} {
		synctest.Test(t, func(t *testing.T) {
			backend := newStaged(t, hang)
			sessions := newSessions(t, backend, &store.Options{Grace: time.Minute})
			var all []*store.Session
			for range n {
				all = append(all, create(t, sessions))
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			start := time.Now()
			err := sessions.Close(ctx)
			if took := time.Since(start); took > 6*time.Second {
				t.Errorf("Close(1 s) on a server that hangs took %v, want at most 6 s", took)
			}
			if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%d of %d sessions", n, n)) {
				t.Errorf("Close() = %v, want an error that counts %d sessions", err, n)
			}
			for _, s := range all {
				if !isDone(s) || s.Err() == nil {
					t.Fatal("a handle is usable after Close")
				}
			}
			wantErr(t, "Close() again", sessions.Close(t.Context()), err)
		})
	}
}

func TestCallbackMayCloseAndPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := newStaged(t, func(ctx context.Context, op string) error {
			if op == "renew" {
				return errFlaky
			}
			return hang(ctx, op)
		})
		var sessions *store.Sessions
		var running, calls atomic.Int64
		closed := make(chan error, 1)
		sessions = newSessions(t, backend, &store.Options{Lease: time.Minute, OnRenewError: func(err error) {
			if running.Add(1) > 1 {
				t.Error("OnRenewError runs twice at once")
			}
			defer running.Add(-1)
			e, ok := errors.AsType[*store.RenewError](err)
			if !ok || e.Sessions != 500 {
				t.Errorf("OnRenewError(%v), want a *RenewError about 500 sessions", err)
			}
			switch calls.Add(1) {
			case 1:
				panic("a callback with a mistake")
			case 2:
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				defer cancel()
				closed <- sessions.Close(ctx)
			}
		}})
		var all []*store.Session
		for range 500 {
			all = append(all, create(t, sessions))
		}
		if err := <-closed; err == nil {
			t.Error("Close() on a backend that hangs = nil, want an error")
		}
		for _, s := range all {
			if s.Err() == nil {
				t.Fatal("Err() = nil after Close")
			}
		}
		if n := calls.Load(); n != 2 {
			t.Errorf("OnRenewError was called %d times, want 2", n)
		}
	})
}

func TestAttachedHandles(t *testing.T) {
	ctx := t.Context()
	backend := memstore.New(nil)
	defer backend.Close()
	owner := newSessions(t, backend, nil)
	defer owner.Close(ctx)
	s := create(t, owner, userID.To("u"))
	node := newSessions(t, backend, nil)
	attach := func() *store.Session {
		t.Helper()
		h, err := node.Attach(ctx, s.ID())
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	h := attach()
	wantErr(t, "Suspend() of an attached handle", h.Suspend(ctx, time.Minute), store.ErrNotOwner)
	wantErr(t, "Set() after that", userID.Set(ctx, h, "v"), nil)
	if h.Owned() || !s.Owned() {
		t.Errorf("Owned() of (attached, owner) = %t, %t, want false, true", h.Owned(), s.Owned())
	}

	watched, released := attach(), attach()
	done := watched.Done()
	wantErr(t, "Release()", released.Release(ctx), nil)
	wantErr(t, "Get() after Release", second(userID.Get(ctx, released)), store.ErrReleased)
	wantErr(t, "Err() after Release", released.Err(), store.ErrReleased)
	wantErr(t, "Destroy() after Release", released.Destroy(ctx), store.ErrReleased)
	if !isDone(released) {
		t.Error("Done() is open after Release")
	}

	wantErr(t, "Close()", node.Close(ctx), nil)
	<-done
	wantErr(t, "Get() after Close", second(userID.Get(ctx, h)), store.ErrClosed)
	wantErr(t, "Err() after Close", h.Err(), store.ErrClosed)
	unused := watched
	wantErr(t, "Err() of a handle nobody used", unused.Err(), store.ErrClosed)
	if got, err := userID.Get(ctx, s); got != "v" || err != nil {
		t.Errorf("owner's Get() = %q, %v, want %q: the session lives on", got, err, "v")
	}
}

func TestOwnerThatCannotRenewExpires(t *testing.T) {
	for name, before := range map[string]func(context.Context, string) error{
		"hangs": hang,
		"fails": func(ctx context.Context, op string) error {
			if op == "renew" {
				return errFlaky
			}
			return nil
		},
		"hangs and ignores the context": func(ctx context.Context, op string) error {
			if op == "renew" {
				time.Sleep(time.Hour)
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				backend := newStaged(t, before)
				var told atomic.Int64
				sessions := newSessions(t, backend, &store.Options{OnRenewError: func(error) { told.Add(1) }})
				var all []*store.Session
				start := time.Now()
				for range 200 {
					all = append(all, create(t, sessions))
				}
				for _, s := range all {
					<-s.Done()
					wantErr(t, "Err()", s.Err(), store.ErrExpired)
					wantErr(t, "Err()", s.Err(), store.ErrDestroyed)
				}
				took := time.Since(start)
				if lease := store.DefaultLease; took < lease || took > lease+lease/4 {
					t.Errorf("the handles ended after %v, want a little more than the lease of %v", took, lease)
				}
				if n := told.Load(); n > 3 {
					t.Errorf("OnRenewError was called %d times, want once per round", n)
				}
				if st := sessions.Stats(); st.Lost != 200 || st.Expired != 200 || st.TakenOver != 0 || st.Owned != 0 {
					t.Errorf("Stats() = %+v, want 200 lost by expiry and none owned", st)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				sessions.Close(ctx)
				time.Sleep(2 * time.Hour) // until the last call on the backend has returned
			})
		})
	}
}

func TestReleaseAndAfterEnd(t *testing.T) {
	ctx := t.Context()
	for _, grace := range []time.Duration{0, time.Minute} {
		sessions := open(t, &store.Options{Grace: grace})
		s := create(t, sessions)
		ended := make(chan error, 2)
		s.AfterEnd(func(err error) { ended <- err })
		stop := s.AfterEnd(func(err error) { t.Errorf("a stopped function is called with %v", err) })
		if !stop() || stop() {
			t.Error("stop() = false, or true twice")
		}
		bound, cancel := s.Context(ctx)
		defer cancel()
		if got, ok := store.FromContext(bound); got != s || !ok {
			t.Errorf("FromContext(Context()) = %v, %t, want the session", got, ok)
		}
		for range 2 {
			wantErr(t, "Release()", s.Release(ctx), nil)
		}
		want, lives := store.ErrDestroyed, store.ErrNoSession
		if grace > 0 {
			want, lives = store.ErrSuspended, nil
		}
		wantErr(t, "AfterEnd's reason", <-ended, want)
		<-bound.Done()
		wantErr(t, "Cause(Context())", context.Cause(bound), want)
		wantErr(t, "Attach() after Release", second(sessions.Attach(ctx, s.ID())), lives)
		s.AfterEnd(func(err error) { ended <- err })
		wantErr(t, "AfterEnd's reason after the end", <-ended, want)
		late, cancel := s.Context(ctx)
		defer cancel()
		wantErr(t, "Cause(Context()) after the end", context.Cause(late), want)
	}
}

func TestWaitingCostsNoGoroutine(t *testing.T) {
	sessions := open(t, nil)
	create(t, sessions) // starts the renewals
	before := runtime.NumGoroutine()
	for range 1000 {
		s := create(t, sessions)
		s.AfterEnd(func(error) {})
		_, cancel := s.Context(t.Context())
		defer cancel()
		s.Done()
	}
	if n := runtime.NumGoroutine(); n > before+10 {
		t.Errorf("%d goroutines after 1000 sessions are waited for, %d before", n, before)
	}
}

func TestCancelledContextForgetsTheSession(t *testing.T) {
	s := create(t, open(t, nil))
	parent, cancelParent := context.WithCancel(t.Context())
	ctx, cancel := s.Context(parent)
	cancelParent()
	<-ctx.Done()
	cancel()
	wantErr(t, "Cause()", context.Cause(ctx), context.Canceled)
	wantErr(t, "Err()", s.Err(), nil)
}

func TestContextEndsDuringRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := newStaged(t, slow)
		sessions := newSessions(t, backend, &store.Options{Grace: time.Minute})
		defer sessions.Close(t.Context())
		s := create(t, sessions)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond) // the client goes meanwhile
		defer cancel()
		wantErr(t, "Release()", s.Release(ctx), nil)
		wantErr(t, "Err()", s.Err(), store.ErrSuspended)
	})
	synctest.Test(t, func(t *testing.T) {
		backend := newStaged(t, hang)
		sessions := newSessions(t, backend, &store.Options{Grace: time.Minute})
		s := create(t, sessions)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		wantErr(t, "Release() on a backend that hangs", s.Release(ctx), context.DeadlineExceeded)
		if took := time.Since(start); took != 6*time.Second {
			t.Errorf("Release(1 s) took %v, want 6 s", took)
		}
		if !isDone(s) {
			t.Error("Done() is open after a Release that failed")
		}
		backend.let(healthy)
		wantErr(t, "Close()", sessions.Close(t.Context()), nil)
		if n := alive(t, backend, []string{s.ID()}); n != 1 {
			t.Error("Close did not try again what Release could not do")
		}
		wantErr(t, "Err()", s.Err(), store.ErrSuspended)
	})
}

func TestOpen(t *testing.T) {
	ctx := t.Context()
	backend := memstore.New(nil)
	defer backend.Close()
	a, b := newSessions(t, backend, nil), newSessions(t, backend, nil)
	defer a.Close(ctx)
	defer b.Close(ctx)
	denied := errors.New("another user")
	only := func(user string) func(context.Context, *store.Session) error {
		return func(ctx context.Context, s *store.Session) error {
			got, err := userID.Get(ctx, s)
			if err == nil && got != user {
				err = denied
			}
			return err
		}
	}

	for _, claimed := range []string{"", store.NewID(), strings.Repeat("x", 1000), "chosen"} {
		s, resumed, err := b.Open(ctx, claimed, only("ann"), userID.To("ann"))
		if err != nil || resumed || s.ID() == claimed {
			t.Fatalf("Open(unknown ID) = %v, %t, %v, want a new session with an ID of its own", s, resumed, err)
		}
		wantErr(t, "Attach(claimed)", second(b.Attach(ctx, claimed)), map[bool]error{true: store.ErrNoSession, false: store.ErrInvalidID}[store.CheckID(claimed) == nil])
	}

	owned := create(t, a, userID.To("ann"))
	_, _, err := b.Open(ctx, owned.ID(), only("bob"))
	wantErr(t, "Open() that allow refuses", err, denied)
	if strings.Contains(err.Error(), owned.ID()) {
		t.Errorf("%q shows the session ID", err)
	}
	wantErr(t, "the owner's Set() after that", userID.Set(ctx, owned, "ann"), nil)

	s, resumed, err := b.Open(ctx, owned.ID(), only("ann"))
	if err != nil || !resumed || s.ID() != owned.ID() {
		t.Fatalf("Open() = %v, %t, %v, want the session", s, resumed, err)
	}
	wantErr(t, "the former owner's Set()", userID.Set(ctx, owned, "x"), store.ErrDestroyed)

	// The session changes its user, or its life, when allow has just agreed. After b's Resume allow is asked again, and
	// these are refused.
	for name, meanwhile := range map[string]func(*store.Session){
		"another user": func(s *store.Session) { must(t, userID.Set(ctx, s, "bob")) },
		"another life": func(s *store.Session) {
			must(t, s.Destroy(ctx))
			_, err := a.Create(ctx, s.ID(), userID.To("bob"))
			must(t, err)
		},
	} {
		s := create(t, a, userID.To("ann"))
		asked := 0
		_, _, err := b.Open(ctx, s.ID(), func(ctx context.Context, seen *store.Session) error {
			err := only("ann")(ctx, seen)
			if asked++; asked == 1 {
				wantErr(t, "the first allow()", err, nil)
				meanwhile(s)
			}
			return err
		})
		wantErr(t, "Open() while "+name+" comes in", err, denied)
		if asked != 2 {
			t.Errorf("Open() while %s comes in asked allow %d times, want 2", name, asked)
		}
		if n := alive(t, backend, []string{s.ID()}); n != 1 {
			t.Errorf("%s: the session is gone", name)
		}
	}

	// A life that ends under allow is one that is not alive.
	s = create(t, a, userID.To("ann"))
	_, resumed, err = b.Open(ctx, s.ID(), func(ctx context.Context, seen *store.Session) error {
		must(t, s.Destroy(ctx))
		return only("ann")(ctx, seen)
	})
	if err != nil || resumed {
		t.Errorf("Open() of a session that ends under allow = resumed %t, %v, want a new one", resumed, err)
	}
}

func TestNilAndZeroReceivers(t *testing.T) {
	ctx := t.Context()
	for name, s := range map[string]*store.Session{"nil": nil, "zero": new(store.Session)} {
		if !isDone(s) || s.ID() != "" || s.Owned() || s.Store() != nil {
			t.Errorf("%s: Done open, or ID, Owned or Store of something", name)
		}
		wantErr(t, name+": Err()", s.Err(), store.ErrNoSession)
		wantErr(t, name+": Release()", s.Release(ctx), store.ErrNoSession)
		wantErr(t, name+": Destroy()", s.Destroy(ctx), store.ErrNoSession)
		wantErr(t, name+": Suspend()", s.Suspend(ctx, time.Minute), store.ErrNoSession)
		wantErr(t, name+": Keys()", second(s.Keys(ctx)), store.ErrNoSession)
		wantErr(t, name+": Get()", second(userID.Get(ctx, s)), store.ErrNoSession)
		wantErr(t, name+": Update()", s.Update(ctx, func(*store.Tx) error { return nil }), store.ErrNoSession)
		bound, cancel := s.Context(ctx)
		wantErr(t, name+": Cause(Context())", context.Cause(bound), store.ErrNoSession)
		cancel()
		ended := make(chan error)
		s.AfterEnd(func(err error) { ended <- err })()
		wantErr(t, name+": AfterEnd's reason", <-ended, store.ErrNoSession)
		_ = fmt.Sprintf("%v %+v %#v", s, s, s)
		s.LogValue()
	}
	for name, ss := range map[string]*store.Sessions{"nil": nil, "zero": new(store.Sessions)} {
		for call, err := range map[string]error{
			"Create": second(ss.Create(ctx, "x")),
			"Attach": second(ss.Attach(ctx, "x")),
			"Resume": second(ss.Resume(ctx, "x")),
			"Open":   func() error { _, _, err := ss.Open(ctx, "x", nil); return err }(),
		} {
			if err == nil {
				t.Errorf("%s: %s() = nil, want an error", name, call)
			}
		}
		wantErr(t, name+": Close()", ss.Close(ctx), nil)
		for range ss.All() {
			t.Error("All() yields something")
		}
		if _, ok := ss.Local("x"); ok {
			t.Error("Local() finds something")
		}
	}
}

func TestRegistryShrinks(t *testing.T) {
	if testing.Short() {
		t.Skip("creates many sessions")
	}
	ctx := t.Context()
	sessions := open(t, nil)
	create(t, sessions)
	before := heap.Live()
	const n = 20_000
	all := make([]*store.Session, n)
	for i := range all {
		all[i] = create(t, sessions)
	}
	for i, s := range all {
		if err := s.Destroy(ctx); err != nil {
			t.Fatal(err)
		}
		all[i] = nil
	}
	clear(all)
	if left := int64(heap.Live()) - int64(before); left > 8*n+4<<20 { // the slice all, and a little
		t.Errorf("%d bytes are kept after %d sessions were destroyed", left, n)
	}
	runtime.KeepAlive(sessions)
}
