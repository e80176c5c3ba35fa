package store_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
	"github.com/sessionkv/store/codec"
)

const (
	userID = store.Key[string]("userId")
	logins = store.Key[int64]("logins")
	claims = store.Key[tokenClaims]("tokenClaims")
)

type tokenClaims struct {
	Subject string
	Tenant  string
	Admin   bool
	Expires int64
	Level   int
}

// newSessions returns Sessions on backend, which the test closes.
func newSessions(t testing.TB, backend store.Backend, opts *store.Options) *store.Sessions {
	t.Helper()
	sessions, err := store.New(backend, opts)
	if err != nil {
		t.Fatalf("New() = %v, want nil", err)
	}
	return sessions
}

// open returns Sessions on a memory backend, both closed when t ends.
func open(t testing.TB, opts *store.Options) *store.Sessions {
	t.Helper()
	backend := memstore.New(nil)
	sessions := newSessions(t, backend, opts)
	t.Cleanup(func() {
		if err := sessions.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("Sessions.Close() = %v, want nil", err)
		}
		backend.Close()
	})
	return sessions
}

func create(t testing.TB, sessions *store.Sessions, initial ...store.Change) *store.Session {
	t.Helper()
	s, err := sessions.Create(t.Context(), store.NewID(), initial...)
	if err != nil {
		t.Fatalf("Create() = %v, want nil", err)
	}
	return s
}

func wantErr(t testing.TB, call string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s = %v, want %v", call, got, want)
	}
}

func isDone(s *store.Session) bool {
	select {
	case <-s.Done():
		return true
	default:
		return false
	}
}

func TestDestroyIsSeenByEveryHandleOfTheProcess(t *testing.T) {
	ctx := t.Context()
	sessions := open(t, nil)
	owner := create(t, sessions, userID.To("u-42"))
	attached, err := sessions.Attach(ctx, owner.ID())
	if err != nil {
		t.Fatalf("Attach() = %v, want nil", err)
	}
	watched, err := sessions.Attach(ctx, owner.ID())
	if err != nil {
		t.Fatalf("Attach() = %v, want nil", err)
	}
	if isDone(owner) || isDone(watched) {
		t.Fatal("Done() is closed before the end")
	}
	if err := attached.Destroy(ctx); err != nil {
		t.Fatalf("Destroy() = %v, want nil", err)
	}
	for name, s := range map[string]*store.Session{"owner": owner, "attached": attached, "watched": watched} {
		if !isDone(s) {
			t.Errorf("%s.Done() is open after Destroy by another handle of the process", name)
		}
		wantErr(t, name+".Err()", s.Err(), store.ErrDestroyed)
		wantErr(t, name+".Set()", userID.Set(ctx, s, "x"), store.ErrDestroyed)
	}
	if _, ok := sessions.Local(owner.ID()); ok {
		t.Error("Local() finds a destroyed session")
	}
}

func TestEarlierLifeIsFenced(t *testing.T) {
	ctx := t.Context()
	sessions := open(t, nil)
	first := create(t, sessions, userID.To("first"))
	id := first.ID()
	if err := first.Destroy(ctx); err != nil {
		t.Fatalf("Destroy() = %v, want nil", err)
	}
	second, err := sessions.Create(ctx, id, userID.To("second"))
	if err != nil {
		t.Fatalf("Create(same ID) = %v, want nil", err)
	}
	wantErr(t, "first.Set()", userID.Set(ctx, first, "x"), store.ErrDestroyed)
	if err := first.Destroy(ctx); err != nil {
		t.Errorf("first.Destroy() again = %v, want nil", err)
	}
	if got, err := userID.Get(ctx, second); got != "second" || err != nil {
		t.Errorf("second.Get() = %q, %v, want %q", got, err, "second")
	}
	if isDone(second) {
		t.Error("second.Done() is closed by the first life's Destroy")
	}
}

func TestResumeTakesOver(t *testing.T) {
	ctx := t.Context()
	backend := memstore.New(nil)
	defer backend.Close()
	a, b := newSessions(t, backend, nil), newSessions(t, backend, nil)
	defer a.Close(ctx)
	defer b.Close(ctx)

	old := create(t, a, userID.To("u-42"))
	taken, err := b.Resume(ctx, old.ID())
	if err != nil {
		t.Fatalf("Resume(living session) = %v, want nil", err)
	}
	if got, err := userID.Get(ctx, taken); got != "u-42" || err != nil {
		t.Errorf("Get() after Resume = %q, %v, want %q", got, err, "u-42")
	}
	wantErr(t, "old.Suspend()", old.Suspend(ctx, time.Minute), store.ErrDestroyed)
	if err := old.Destroy(ctx); err != nil {
		t.Errorf("old.Destroy() = %v, want nil", err)
	}
	if ok, err := userID.Has(ctx, taken); !ok || err != nil {
		t.Errorf("Has() after the old handle's Destroy = %t, %v, want true", ok, err)
	}
	// Taking over from oneself ends the own older handle at once.
	again, err := b.Resume(ctx, old.ID())
	if err != nil {
		t.Fatalf("Resume() = %v, want nil", err)
	}
	if !isDone(taken) || isDone(again) {
		t.Errorf("Done() of (older, newer) handle is closed: %t, %t, want true, false", isDone(taken), isDone(again))
	}
}

func TestSuspendLetsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		sessions := open(t, nil)
		s := create(t, sessions, userID.To("u-42"))
		id := s.ID()
		if err := s.Suspend(ctx, 10*time.Minute); err != nil {
			t.Fatalf("Suspend() = %v, want nil", err)
		}
		wantErr(t, "Err()", s.Err(), store.ErrSuspended)
		_, err := userID.Get(ctx, s)
		wantErr(t, "Get() after Suspend", err, store.ErrSuspended)
		wantErr(t, "Destroy() after Suspend", s.Destroy(ctx), store.ErrSuspended)
		wantErr(t, "Suspend() again", s.Suspend(ctx, time.Minute), store.ErrSuspended)

		time.Sleep(9 * time.Minute)
		s, err = sessions.Resume(ctx, id)
		if err != nil {
			t.Fatalf("Resume() within the grace = %v, want nil", err)
		}
		if got, err := userID.Get(ctx, s); got != "u-42" || err != nil {
			t.Errorf("Get() after Resume = %q, %v, want %q", got, err, "u-42")
		}
		if err := s.Suspend(ctx, time.Minute); err != nil {
			t.Fatalf("Suspend() = %v, want nil", err)
		}
		time.Sleep(time.Minute)
		_, err = sessions.Resume(ctx, id)
		wantErr(t, "Resume() after the grace", err, store.ErrNoSession)
		if err := create(t, sessions).Suspend(ctx, 0); err == nil {
			t.Error("Suspend(0) = nil, want an error")
		}
	})
}

func TestLeasesAreRenewedWhileTheOwnerLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		backend := memstore.New(nil)
		defer backend.Close()
		for _, lease := range []time.Duration{50 * time.Millisecond, time.Second, time.Minute} {
			sessions := newSessions(t, backend, &store.Options{Lease: lease, AllowShortTimes: true})
			var all []*store.Session
			for range 200 {
				all = append(all, create(t, sessions))
			}
			time.Sleep(20 * lease)
			for _, s := range all {
				if err := userID.Set(ctx, s, "still here"); err != nil {
					t.Fatalf("lease %v: Set() after 20 leases = %v, want nil", lease, err)
				}
			}
			if err := sessions.Close(ctx); err != nil {
				t.Fatalf("Close() = %v, want nil", err)
			}
			for _, s := range all {
				wantErr(t, "Attach() after Close", second(sessions.Attach(ctx, s.ID())), store.ErrClosed)
			}
		}
	})
}

func second[T any](_ T, err error) error { return err }

// deaf is a backend that renews nothing, as if its owner had died.
type deaf struct{ *memstore.Backend }

func (deaf) Renew(context.Context, []store.Store, time.Duration) []error { return nil }

func TestAbandonedSessionExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		backend := memstore.New(nil)
		defer backend.Close()
		dead := newSessions(t, deaf{backend}, &store.Options{Lease: time.Minute})
		defer dead.Close(ctx)
		s := create(t, dead)

		other := newSessions(t, backend, &store.Options{Lease: time.Minute})
		defer other.Close(ctx)
		watcher, err := other.Attach(ctx, s.ID())
		if err != nil {
			t.Fatalf("Attach() = %v, want nil", err)
		}
		done := watcher.Done()
		time.Sleep(59 * time.Second)
		select {
		case <-done:
			t.Fatal("Done() is closed before the lease ran out")
		default:
		}
		wantErr(t, "Set() within the lease", userID.Set(ctx, s, "x"), nil)
		start := time.Now()
		<-done
		if waited := time.Since(start); waited > 31*time.Second {
			t.Errorf("Done() of an attached handle was closed %v after the last second of the lease, want at most half a lease", waited)
		}
		wantErr(t, "Err()", watcher.Err(), store.ErrDestroyed)
		wantErr(t, "Set() after the lease", userID.Set(ctx, s, "x"), store.ErrDestroyed)
		if !isDone(s) {
			t.Error("Done() of the owner is open after a refused operation")
		}
	})
}

// flaky fails the next renewals.
type flaky struct {
	*memstore.Backend
	mu   sync.Mutex
	fail int // guarded by mu
}

var errFlaky = errors.New("backend out of reach")

func (f *flaky) Renew(ctx context.Context, sessions []store.Store, lease time.Duration) []error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail > 0 {
		f.fail--
		errs := make([]error, len(sessions))
		for i := range errs {
			errs[i] = errFlaky
		}
		return errs
	}
	return f.Backend.Renew(ctx, sessions, lease)
}

func TestFailedRenewalsAreTriedAgainAndReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		backend := &flaky{Backend: memstore.New(nil), fail: 4}
		defer backend.Close()
		var mu sync.Mutex
		var seen []error
		sessions := newSessions(t, backend, &store.Options{Lease: time.Minute, OnRenewError: func(err error) {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, err)
		}})
		defer sessions.Close(ctx)
		s := create(t, sessions)
		time.Sleep(10 * time.Minute)
		wantErr(t, "Set() after failed renewals", userID.Set(ctx, s, "x"), nil)
		mu.Lock()
		defer mu.Unlock()
		if len(seen) != 1 {
			t.Fatalf("OnRenewError was called %d times, want once for the round", len(seen))
		}
		if e, ok := errors.AsType[*store.RenewError](seen[0]); !ok || e.Sessions != 1 || e.Overdue != 0 {
			t.Errorf("OnRenewError's error is %v, want a *RenewError about 1 session", seen[0])
		}
		wantErr(t, "OnRenewError's error", seen[0], errFlaky)
		if strings.Contains(seen[0].Error(), s.ID()) {
			t.Errorf("OnRenewError's error %q shows the session ID", seen[0])
		}
	})
}

func TestCloseDestroysOrSuspends(t *testing.T) {
	for _, grace := range []time.Duration{0, time.Minute} {
		t.Run(fmt.Sprintf("grace=%v", grace), func(t *testing.T) {
			ctx := t.Context()
			backend := memstore.New(nil)
			defer backend.Close()
			sessions := newSessions(t, backend, &store.Options{Grace: grace})
			var ids []string
			for range 1000 {
				ids = append(ids, create(t, sessions, userID.To("u")).ID())
			}
			attached, err := sessions.Attach(ctx, ids[0])
			if err != nil {
				t.Fatalf("Attach() = %v, want nil", err)
			}
			done := attached.Done()
			if err := sessions.Close(ctx); err != nil {
				t.Fatalf("Close() = %v, want nil", err)
			}
			<-done
			if err := sessions.Close(ctx); err != nil {
				t.Errorf("Close() again = %v, want nil", err)
			}
			_, err = sessions.Create(ctx, store.NewID())
			wantErr(t, "Create() after Close", err, store.ErrClosed)
			_, err = sessions.Resume(ctx, ids[0])
			wantErr(t, "Resume() after Close", err, store.ErrClosed)

			next := newSessions(t, backend, nil)
			defer next.Close(ctx)
			for _, id := range ids {
				s, err := next.Resume(ctx, id)
				if grace == 0 {
					wantErr(t, "Resume() elsewhere", err, store.ErrNoSession)
					continue
				}
				if err != nil {
					t.Fatalf("Resume() elsewhere = %v, want nil", err)
				}
				if got, err := userID.Get(ctx, s); got != "u" || err != nil {
					t.Fatalf("Get() = %q, %v, want %q", got, err, "u")
				}
			}
		})
	}
}

func TestDestroyWorksWithAnEndedContext(t *testing.T) {
	sessions := open(t, nil)
	s := create(t, sessions)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantErr(t, "Set(ended context)", userID.Set(ctx, s, "x"), context.Canceled)
	if err := s.Destroy(ctx); err != nil {
		t.Errorf("Destroy(ended context) = %v, want nil", err)
	}
	_, err := sessions.Attach(t.Context(), s.ID())
	wantErr(t, "Attach() afterwards", err, store.ErrNoSession)
}

func TestLocalAndAll(t *testing.T) {
	ctx := t.Context()
	sessions := open(t, nil)
	want := map[string]bool{}
	for range 100 {
		want[create(t, sessions).ID()] = true
	}
	for s := range sessions.All() {
		if !want[s.ID()] {
			t.Error("All() yields a session twice or one that is not owned")
		}
		delete(want, s.ID())
		if got, ok := sessions.Local(s.ID()); !ok || got != s {
			t.Errorf("Local() = %v, %t, want the handle that All yields", got, ok)
		}
		if err := s.Destroy(ctx); err != nil { // while ranging
			t.Errorf("Destroy() = %v, want nil", err)
		}
	}
	if len(want) > 0 {
		t.Errorf("All() left out %d sessions", len(want))
	}
}

func TestSessionIDsStayOutOfTexts(t *testing.T) {
	ctx := t.Context()
	sessions := open(t, nil)
	s := create(t, sessions)
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "session", s)
	texts := []string{log.String(), fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s", s, s, s, s)}
	for _, err := range []error{
		second(sessions.Create(ctx, s.ID())),
		second(sessions.Attach(ctx, s.ID()+"x")),
		second(sessions.Resume(ctx, s.ID()+"x")),
		second(userID.Get(ctx, s)),
		userID.Set(ctx, s, strings.Repeat("x", store.DefaultValueSize)),
	} {
		if err == nil {
			t.Error("an operation that must fail succeeded")
			continue
		}
		texts = append(texts, err.Error())
	}
	for _, text := range texts {
		if strings.Contains(text, s.ID()) {
			t.Errorf("%q shows the session ID", text)
		}
	}
}

func TestNilSessionIsRefused(t *testing.T) {
	ctx := t.Context()
	var s *store.Session
	_, err := userID.Get(ctx, s)
	wantErr(t, "Get(nil)", err, store.ErrNoSession)
	wantErr(t, "Set(nil)", userID.Set(ctx, s, "x"), store.ErrNoSession)
	wantErr(t, "Destroy of nil", s.Destroy(ctx), store.ErrNoSession)
	wantErr(t, "Save(nil)", store.Save(ctx, s, userID.To("x")), store.ErrNoSession)
	wantErr(t, "Update of nil", s.Update(ctx, func(*store.Tx) error { return nil }), store.ErrNoSession)
}

func TestContextCarriesTheSession(t *testing.T) {
	if s, ok := store.FromContext(t.Context()); s != nil || ok {
		t.Errorf("FromContext(empty) = %v, %t, want nil, false", s, ok)
	}
	want := create(t, open(t, nil))
	if got, ok := store.FromContext(store.NewContext(t.Context(), want)); got != want || !ok {
		t.Errorf("FromContext() = %v, %t, want the session", got, ok)
	}
}

func TestDefaultCodecIsMsgpack(t *testing.T) {
	ctx := t.Context()
	s := create(t, open(t, nil), userID.To("u"))
	raw, err := s.Store().Get(ctx, "userId")
	want, _ := codec.Append(codec.Msgpack, nil, new("u"))
	if err != nil || string(raw) != string(want) {
		t.Errorf("Store().Get() = %x, %v, want %x", raw, err, want)
	}
}
