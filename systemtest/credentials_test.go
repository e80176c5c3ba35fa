package systemtest

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/await"
	"github.com/sessionkv/store/internal/testserver"
)

// An appServer is a server whose user app has a password that changes.
type appServer struct {
	t      *testing.T
	server *testserver.Server
}

const (
	rightPassword = ">right"
	otherPassword = ">other"
)

func newAppServer(t *testing.T) *appServer {
	server := testserver.Redis(t, testserver.WithACL("user app on "+rightPassword+" ~* &* +@all"))
	watchRedis(t, server)
	return &appServer{t, server}
}

// url returns the URL of the store for the user app with the right password.
func (a *appServer) url(params ...string) string {
	u, err := url.Parse(a.server.URL)
	if err != nil {
		a.t.Fatal(err)
	}
	u.User = url.UserPassword("app", rightPassword[1:])
	return withParams(u.String(), append(params, "read_timeout=1s", "dial_timeout=1s")...)
}

// rotate gives the user a password. With cut it also ends the connections that have
// come in by an earlier one, as administrators do.
func (a *appServer) rotate(password string, cut bool) {
	if _, err := a.server.Do("ACL", "SETUSER", "app", "resetpass", password); err != nil {
		a.t.Errorf("ACL SETUSER = %v", err)
	}
	if cut {
		if _, err := a.server.Do("CLIENT", "KILL", "USER", "app"); err != nil {
			a.t.Errorf("CLIENT KILL = %v", err)
		}
	}
}

// changingCredentials rotates the password and back.
func changingCredentials(t *testing.T, chance *rand.Rand) ([]*store.Sessions, func()) {
	a := newAppServer(t)
	nodes := twoNodes(t, a.url(newNamespace()))
	disturb := func() {
		a.rotate(otherPassword, true)
		time.Sleep(time.Duration(chance.Int64N(int64(30 * time.Millisecond))))
		a.rotate(rightPassword, chance.IntN(2) == 0)
	}
	return nodes, disturb
}

// A countedBackend counts renewals that failed otherwise than by the end of a life.
type countedBackend struct {
	store.Backend
	failed, ended atomic.Int64
}

func (b *countedBackend) Renew(ctx context.Context, sessions []store.Store, lease time.Duration) []error {
	errs := b.Backend.Renew(ctx, sessions, lease)
	for _, err := range errs {
		switch {
		case errors.Is(err, store.ErrDestroyed):
			b.ended.Add(1)
		case err != nil:
			b.failed.Add(1)
		}
	}
	return errs
}

// While credentials are rotated, and rotated back, under load, every renewal that fails
// is reported, no handle ends, and every session goes on.
func TestRenewalsWhileCredentialsChange(t *testing.T) {
	const (
		count    = 300
		rounds   = 3
		failures = 50              // in a round: those of a part of a second
		lease    = 8 * time.Second // outlasts a round by far
	)
	for _, batching := range []string{"batching=on", "batching=off"} {
		t.Run(batching, func(t *testing.T) {
			t.Parallel()
			a := newAppServer(t)
			b := &countedBackend{Backend: open(t, a.url(newNamespace(), batching))}
			var (
				mu      sync.Mutex
				reports []*store.RenewError
			)
			reported := func() []*store.RenewError {
				mu.Lock()
				defer mu.Unlock()
				return slices.Clone(reports)
			}
			ss := sessions(t, b, &store.Options{Lease: lease, OnRenewError: func(err error) {
				var renewal *store.RenewError
				if !errors.As(err, &renewal) || renewal.Overdue > 0 {
					t.Errorf("OnRenewError(%v), want a *RenewError about sessions that go on", err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				reports = append(reports, renewal)
			}})
			all := make([]*store.Session, count)
			for i := range all {
				s, err := ss.Create(t.Context(), store.NewID(), counter.To(i))
				if err != nil {
					t.Fatalf("Create() = %v", err)
				}
				all[i] = s
			}
			var over atomic.Bool
			var load sync.WaitGroup
			for i := range 8 {
				load.Go(func() {
					for n := i; !over.Load(); n = (n + 8) % count {
						if err := counter.Set(t.Context(), all[n], n); errors.Is(err, store.ErrDestroyed) {
							t.Errorf("Set() = %v, although the session lives", err)
							return
						}
					}
				})
			}
			for range rounds {
				before, said := b.failed.Load(), len(reported())
				a.rotate(otherPassword, true)
				await.Until(t, "renewals fail", func() bool { return b.failed.Load() > before+failures })
				a.rotate(rightPassword, false)
				await.Until(t, "that is reported, and the sessions are renewed again", func() bool {
					return len(reported()) > said && ss.Stats().Overdue == 0
				})
			}
			over.Store(true)
			load.Wait()
			await.Until(t, "every failure is reported", func() bool {
				n := uint64(0)
				for _, r := range reported() {
					n += uint64(r.Sessions)
				}
				return n == ss.Stats().RenewFailures
			})
			// What fails is tried again within its round, which is reported once.
			const tries = 8
			st, failed := ss.Stats(), b.failed.Load()
			if n := int64(st.RenewFailures); n == 0 || failed < n || failed > tries*n {
				t.Errorf("%d renewals failed, and those of %d sessions were reported, want all, and some", failed, n)
			}
			if b.ended.Load() > 0 || st.Lost > 0 || st.Owned != count {
				t.Errorf("%d renewals found an end; Stats() = %+v, want no end, and %d sessions", b.ended.Load(), st, count)
			}
			for i, s := range all {
				if err := s.Err(); err != nil {
					t.Errorf("Err() of a session = %v, want nil", err)
				}
				if got, err := counter.Get(t.Context(), s); got != i || err != nil {
					t.Errorf("Get() afterwards = %d, %v, want %d", got, err, i)
				}
			}
			t.Logf("%d renewals failed, %d of them reported in %d reports", failed, st.RenewFailures, len(reports))
		})
	}
}

// A Close that meets a rotation of the credentials lets go of all sessions, or counts in
// its error those that it left. None is lost, and none stays that it says it ended.
func TestCloseWhileCredentialsChange(t *testing.T) {
	for _, grace := range []time.Duration{0, time.Hour} {
		t.Run("grace="+grace.String(), func(t *testing.T) {
			a := newAppServer(t)
			b := open(t, a.url(newNamespace()))
			chance := newRand(t)
			const count, rounds, most = 300, 12, 200
			refused := 0
			// Whether a rotation meets a Close is a matter of chance.
			for n := 0; n < rounds || refused == 0; n++ {
				if n == most {
					t.Fatal("no Close has met a rotation, so nothing was shown")
				}
				ss := sessions(t, b, &store.Options{Lease: long, Grace: grace})
				var ids []string
				for range count {
					s, err := ss.Create(t.Context(), store.NewID(), name.To("v"))
					if err != nil {
						t.Fatalf("Create() = %v", err)
					}
					ids = append(ids, s.ID())
				}
				back := chance.IntN(3) > 0
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				closed := make(chan error, 1)
				go func() { closed <- ss.Close(ctx) }()
				time.Sleep(time.Duration(chance.Int64N(int64(5 * time.Millisecond))))
				a.rotate(otherPassword, true)
				if back {
					time.Sleep(time.Duration(chance.Int64N(int64(20 * time.Millisecond))))
					a.rotate(rightPassword, false)
				}
				err := <-closed
				cancel()
				a.rotate(rightPassword, false)
				lives := 0
				after := sessions(t, b, &store.Options{Lease: long})
				for _, id := range ids {
					var err error
					await.Until(t, "the session can be asked for", func() bool {
						_, err = after.Attach(t.Context(), id)
						return err == nil || errors.Is(err, store.ErrNoSession)
					})
					if err == nil {
						lives++
					}
				}
				switch {
				case grace > 0 && lives < count:
					t.Errorf("Close() = %v, and %d of %d sessions live, want all", err, lives, count)
				case grace == 0 && err == nil && lives > 0:
					t.Errorf("Close() = nil, and %d of %d sessions live, want none", lives, count)
				}
				if err != nil {
					refused++
					for _, id := range ids {
						if strings.Contains(err.Error(), id) {
							t.Errorf("Close() = %v, which shows a session's ID", err)
						}
					}
					t.Logf("Close() = %v; %d live", err, lives)
				}
			}
		})
	}
}
