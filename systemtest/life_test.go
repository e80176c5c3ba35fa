//go:build unix

package systemtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/await"
)

// A late backend lets go of sessions, and takes them over, late or never. All else is
// that of the backend beneath.
type late struct {
	store.Backend // hands out lateStores
	delay         time.Duration
	dead          func() bool // renewals fail; may be nil
}

// hangs is the delay of a backend that answers when the context ends.
const hangs = time.Duration(-1)

func newLate(b store.Backend, delay time.Duration) *late {
	l := &late{delay: delay}
	l.Backend = store.WrapStores(b, func(s store.Store) store.Store { return &lateStore{s, l} })
	return l
}

func (l *late) wait(ctx context.Context) error {
	if l.delay == hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	select {
	case <-time.After(l.delay):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *late) Suspend(ctx context.Context, s store.Store, grace time.Duration) error {
	if err := l.wait(ctx); err != nil {
		return err
	}
	return l.Backend.Suspend(ctx, s, grace)
}

func (l *late) Resume(ctx context.Context, id string, t store.Terms) (store.Store, error) {
	s, err := l.Backend.Resume(ctx, id, t)
	if err == nil && l.delay > 0 {
		time.Sleep(l.delay) // the answer: Close may come before it
	}
	return s, err
}

func (l *late) Renew(ctx context.Context, sessions []store.Store, lease time.Duration) []error {
	if l.dead == nil || lease == 0 || !l.dead() {
		return l.Backend.Renew(ctx, sessions, lease)
	}
	errs := make([]error, len(sessions))
	for i := range errs {
		errs[i] = errDead
	}
	return errs
}

var errDead = errors.New("the network is down")

type lateStore struct {
	store.Store
	l *late
}

func (s *lateStore) Destroy(ctx context.Context) error {
	if err := s.l.wait(ctx); err != nil {
		return err
	}
	return s.Store.Destroy(ctx)
}

// onBackends is onServers with the backend in memory.
func onBackends(t *testing.T, f func(t *testing.T, url string)) {
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		f(t, "memory:")
	})
	onServers(t, f)
}

func createMany(t *testing.T, ss *store.Sessions, n int) (all []*store.Session) {
	t.Helper()
	for range n {
		s, err := ss.Create(t.Context(), store.NewID(), name.To("v"))
		if err != nil {
			t.Fatalf("Create() = %v", err)
		}
		all = append(all, s)
	}
	return all
}

// wantLiving checks that all sessions, or none, live.
func wantLiving(t *testing.T, ss *store.Sessions, all []*store.Session, living bool) {
	t.Helper()
	n := 0
	for _, s := range all {
		if !gone(t, ss, s.ID()) {
			n++
		}
	}
	want := 0
	if living {
		want = len(all)
	}
	if n != want {
		t.Errorf("%d of %d sessions live, want %d", n, len(all), want)
	}
}

// TestLivesThatEndSlowly: the faults that a life can have, on a backend whose Suspend and
// Destroy take 300 ms.
func TestLivesThatEndSlowly(t *testing.T) {
	const delay = 300 * time.Millisecond
	onBackends(t, func(t *testing.T, url string) {
		b := open(t, url)
		slow := newLate(b, delay)
		next := sessions(t, b, nil)
		t.Run("a deferred Destroy meets Close with a grace", func(t *testing.T) {
			t.Parallel()
			ss := sessions(t, slow, &store.Options{Grace: time.Minute})
			all := createMany(t, ss, 200)
			var handlers sync.WaitGroup
			claimed := make(chan struct{})
			for i, s := range all {
				done := s.Done()
				handlers.Go(func() {
					if i%2 == 0 {
						<-done
					} else {
						<-claimed // its Suspend is in progress, or Close is about to begin it
					}
					if err := s.Destroy(t.Context()); !errors.Is(err, store.ErrSuspended) {
						t.Errorf("Destroy() after Close has begun = %v, want ErrSuspended", err)
					}
				})
			}
			closed := make(chan error, 1)
			go func() { closed <- ss.Close(t.Context()) }()
			await.Until(t, "Close has claimed the sessions", func() bool { return ss.Owned() == 0 })
			close(claimed)
			if err := <-closed; err != nil {
				t.Errorf("Close() = %v", err)
			}
			handlers.Wait()
			wantLiving(t, next, all, true)
		})
		t.Run("Close waits for the calls of handlers", func(t *testing.T) {
			t.Parallel()
			ss := sessions(t, slow, nil)
			all := createMany(t, ss, 30)
			var mu sync.Mutex
			returned := make(map[int]error)
			for i, s := range all {
				go func() {
					err := []func(context.Context) error{
						s.Release, s.Destroy, func(ctx context.Context) error { return s.Suspend(ctx, time.Minute) },
					}[i%3](t.Context())
					mu.Lock()
					defer mu.Unlock()
					returned[i] = err
				}()
			}
			await.Until(t, "all calls have begun", func() bool { return ss.Owned() == 0 })
			var closes sync.WaitGroup
			for range 2 {
				closes.Go(func() {
					if err := ss.Close(t.Context()); err != nil {
						t.Errorf("Close() = %v", err)
					}
				})
			}
			closes.Wait()
			st := ss.Stats()
			if st.Suspended != 10 || st.Destroyed != 20 || st.Left != 0 {
				t.Errorf("Stats() when Close has returned = %+v, want 10 suspended and 20 destroyed", st)
			}
			await.Until(t, "all calls have returned", func() bool {
				mu.Lock()
				defer mu.Unlock()
				return len(returned) == len(all)
			})
			for _, err := range returned {
				if err != nil {
					t.Errorf("a call that Close waited for = %v", err)
				}
			}
		})
		for _, grace := range []time.Duration{0, time.Minute} {
			t.Run(fmt.Sprintf("Done is asked for during Close, grace %v", grace), func(t *testing.T) {
				t.Parallel()
				ss := sessions(t, slow, &store.Options{Grace: grace})
				all := createMany(t, ss, 200)
				var asking sync.WaitGroup
				for _, s := range all {
					asking.Go(func() { <-s.Done() })
				}
				if err := ss.Close(t.Context()); err != nil {
					t.Errorf("Close() = %v", err)
				}
				asking.Wait()
				for _, s := range all {
					if err := s.Err(); err == nil || errors.Is(err, store.ErrClosed) {
						t.Fatalf("Err() = %v, want how Close let go of it", err)
					}
				}
				wantLiving(t, next, all, grace > 0)
			})
			t.Run(fmt.Sprintf("Close overtakes a Resume, grace %v", grace), func(t *testing.T) {
				t.Parallel()
				all := createMany(t, next, 50)
				for _, s := range all {
					if err := s.Suspend(t.Context(), time.Minute); err != nil {
						t.Fatalf("Suspend() = %v", err)
					}
				}
				ss := sessions(t, slow, &store.Options{Grace: grace})
				var resumes sync.WaitGroup
				began := make(chan struct{}, len(all))
				for _, s := range all {
					resumes.Go(func() {
						began <- struct{}{}
						if _, err := ss.Resume(t.Context(), s.ID()); err != nil && !errors.Is(err, store.ErrClosed) {
							t.Errorf("Resume() = %v, want nil or ErrClosed", err)
						}
					})
				}
				for range all {
					<-began
				}
				if err := ss.Close(t.Context()); err != nil {
					t.Errorf("Close() = %v", err)
				}
				resumes.Wait()
				wantLiving(t, next, all, true)
			})
		}
	})
}

// TestLivesOnABackendThatHangs: Close keeps one deadline for all, counts, and may be called
// from OnRenewError.
func TestLivesOnABackendThatHangs(t *testing.T) {
	onBackends(t, func(t *testing.T, url string) {
		b := open(t, url)
		next := sessions(t, b, nil)
		t.Run("Close", func(t *testing.T) {
			t.Parallel()
			ss := sessions(t, newLate(b, hangs), &store.Options{Grace: time.Minute})
			all := createMany(t, ss, 1000)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			err := ss.Close(ctx) // takes 6 s, and with a budget for each session minutes
			if err == nil || !strings.Contains(err.Error(), "1000 of 1000 sessions") {
				t.Errorf("Close() = %v, want an error that counts the sessions", err)
			}
			for _, s := range all {
				if s.Err() == nil {
					t.Fatal("a handle is usable after Close")
				}
			}
			if st := ss.Stats(); st.Left+int(st.Lost) != 1000 {
				t.Errorf("Stats() = %+v, want 1000 that are left or lost", st)
			}
			wantLiving(t, next, all[:100], true) // until their leases run out
		})
		t.Run("Close from OnRenewError", func(t *testing.T) {
			t.Parallel()
			l := newLate(b, hangs)
			l.dead = func() bool { return true }
			closed := make(chan error, 1)
			var ss *store.Sessions
			var ready sync.WaitGroup
			ready.Add(1)
			var once sync.Once
			ss = sessions(t, l, &store.Options{Lease: 2 * time.Second, OnRenewError: func(error) {
				ready.Wait()
				once.Do(func() {
					ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
					defer cancel()
					closed <- ss.Close(ctx)
				})
			}})
			all := createMany(t, ss, 20)
			ready.Done()
			if err := <-closed; err == nil {
				t.Error("Close() on a backend that hangs = nil, want an error")
			}
			for _, s := range all {
				<-s.Done()
			}
			await.Until(t, "the sessions end with their leases", func() bool { return gone(t, next, all[0].ID()) })
		})
	})
}

// TestHowLivesEnd: each end is told from the others, where the backend can tell.
func TestHowLivesEnd(t *testing.T) {
	onBackends(t, func(t *testing.T, url string) {
		b := open(t, url)
		ss, other := sessions(t, b, nil), sessions(t, b, nil)
		ended := func(t *testing.T, what string, s *store.Session, want error, not ...error) {
			t.Helper()
			_, err := name.Get(t.Context(), s)
			for _, err := range []error{err, s.Err()} {
				if !errors.Is(err, want) {
					t.Errorf("%s: %v, want %v", what, err, want)
				}
				for _, not := range not {
					if errors.Is(err, not) {
						t.Errorf("%s: %v, and it is no %v", what, err, not)
					}
				}
			}
		}
		attach := func(t *testing.T, s *store.Session) *store.Session {
			t.Helper()
			h, err := other.Attach(t.Context(), s.ID())
			if err != nil {
				t.Fatalf("Attach() = %v", err)
			}
			return h
		}
		t.Run("destroyed elsewhere", func(t *testing.T) {
			t.Parallel()
			s := createMany(t, ss, 1)[0]
			if err := attach(t, s).Destroy(t.Context()); err != nil {
				t.Fatalf("Destroy() = %v", err)
			}
			ended(t, "the owner", s, store.ErrDestroyed, store.ErrResumed)
		})
		t.Run("resumed elsewhere", func(t *testing.T) {
			t.Parallel()
			s := createMany(t, ss, 1)[0]
			h := attach(t, s)
			n, err := other.Resume(t.Context(), s.ID())
			if err != nil {
				t.Fatalf("Resume() = %v", err)
			}
			ended(t, "the owner of before", s, store.ErrResumed, store.ErrExpired)
			ended(t, "a handle of before", h, store.ErrResumed, store.ErrExpired)
			if err := s.Suspend(t.Context(), time.Minute); !errors.Is(err, store.ErrResumed) {
				t.Errorf("Suspend() by the owner of before = %v, want ErrResumed", err)
			}
			if err := s.Destroy(t.Context()); err != nil {
				t.Errorf("Destroy() by the owner of before = %v, want nil", err)
			}
			if _, err := name.Get(t.Context(), n); err != nil {
				t.Errorf("Get() by the owner = %v", err)
			}
		})
		t.Run("not renewed for longer than the lease", func(t *testing.T) {
			t.Parallel()
			l := newLate(b, 0)
			l.dead = func() bool { return true }
			dying := sessions(t, l, &store.Options{Lease: time.Second})
			s := createMany(t, dying, 1)[0]
			<-s.Done()
			if err := s.Err(); !errors.Is(err, store.ErrDestroyed) {
				t.Errorf("Err() = %v, want one that is ErrDestroyed", err)
			}
			await.Until(t, "the session has ended", func() bool { return gone(t, other, s.ID()) })
		})
		t.Run("handles from Attach", func(t *testing.T) {
			t.Parallel()
			s := createMany(t, ss, 1)[0]
			node := sessions(t, b, nil)
			var handles []*store.Session
			for range 3 {
				h, err := node.Attach(t.Context(), s.ID())
				if err != nil {
					t.Fatalf("Attach() = %v", err)
				}
				handles = append(handles, h)
			}
			if err := handles[0].Suspend(t.Context(), time.Minute); !errors.Is(err, store.ErrNotOwner) {
				t.Errorf("Suspend() = %v, want ErrNotOwner", err)
			}
			if err := handles[1].Release(t.Context()); err != nil {
				t.Errorf("Release() = %v", err)
			}
			ended(t, "a handle that was released", handles[1], store.ErrReleased, store.ErrDestroyed)
			done := handles[2].Done()
			if err := node.Close(t.Context()); err != nil {
				t.Errorf("Close() = %v", err)
			}
			<-done
			ended(t, "a handle after Close", handles[0], store.ErrClosed, store.ErrDestroyed)
			if err := name.Set(t.Context(), s, "w"); err != nil {
				t.Errorf("Set() by the owner after all that = %v", err)
			}
		})
	})
}
