package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
	"github.com/sessionkv/store/storetest"
)

func TestUpdateKeepsAndRemoves(t *testing.T) {
	ctx := t.Context()
	s := create(t, open(t, nil), logins.To(3))
	answer := func(v int64, err error) func(int64, bool) (int64, error) {
		return func(int64, bool) (int64, error) { return v, err }
	}
	before, _ := s.Store().Get(ctx, "logins")
	if got, err := logins.Update(ctx, s, answer(9, store.Keep)); got != 3 || err != nil {
		t.Errorf("Update(Keep) = %d, %v, want 3", got, err)
	}
	if after, _ := s.Store().Get(ctx, "logins"); &after[0] != &before[0] {
		t.Error("Update(Keep) wrote the value again")
	}
	if got, err := logins.Update(ctx, s, answer(9, fmt.Errorf("spent: %w", store.Remove))); got != 0 || err != nil {
		t.Errorf("Update(Remove) = %d, %v, want 0", got, err)
	}
	if ok, err := logins.Has(ctx, s); ok || err != nil {
		t.Errorf("Has() after Update(Remove) = %t, %v, want false", ok, err)
	}
	for _, verdict := range []error{store.Keep, store.Remove} {
		if got, err := logins.Update(ctx, s, answer(9, verdict)); got != 0 || err != nil {
			t.Errorf("Update(%v) of an absent value = %d, %v, want 0", verdict, got, err)
		}
	}
	if ok, err := logins.Has(ctx, s); ok || err != nil {
		t.Errorf("Has() = %t, %v, want false", ok, err)
	}
}

func TestSessionsThatNobodyOwns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		backend := memstore.New(nil)
		defer backend.Close()
		sessions := newSessions(t, backend, nil)
		id := store.NewID()
		s, err := sessions.CreateFor(ctx, id, time.Hour, userID.To("u"))
		if err != nil || s.Owned() {
			t.Fatalf("CreateFor() = %v, owned %t, %v", s, s.Owned(), err)
		}
		wantErr(t, "Create(same ID)", second(sessions.Create(ctx, id)), store.ErrExists)
		wantErr(t, "Close()", sessions.Close(ctx), nil)

		sessions = newSessions(t, backend, nil)
		defer sessions.Close(ctx)
		time.Sleep(59 * time.Minute)
		s, err = sessions.Attach(ctx, id)
		if err != nil {
			t.Fatalf("Attach() after Close and within ttl = %v, want nil", err)
		}
		wantErr(t, "Extend(2 h) through Attach", s.Extend(ctx, 2*time.Hour), nil)
		wantErr(t, "Extend(1 min)", s.Extend(ctx, time.Minute), nil)
		time.Sleep(2*time.Hour - time.Minute)
		wantErr(t, "Set() before the extended end", userID.Set(ctx, s, "v"), nil)
		time.Sleep(time.Minute + time.Second)
		wantErr(t, "Set() after it", userID.Set(ctx, s, "v"), store.ErrDestroyed)
		wantErr(t, "Extend() after it", s.Extend(ctx, time.Hour), store.ErrDestroyed)
		for _, ttl := range []time.Duration{-1, 0, time.Millisecond, 1 << 62} {
			if _, err := sessions.CreateFor(ctx, store.NewID(), ttl); err == nil {
				t.Errorf("CreateFor(%v) = nil, want an error", ttl)
			}
		}
	})
}

func TestExtendedOwnerOutlivesItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := newStaged(t, healthy)
		sessions := newSessions(t, backend, nil)
		s := create(t, sessions)
		wantErr(t, "Extend()", s.Extend(t.Context(), time.Hour), nil)
		backend.let(func(ctx context.Context, op string) error {
			if op == "renew" {
				return errFlaky
			}
			return nil
		})
		time.Sleep(50 * time.Minute)
		wantErr(t, "Set() after 50 minutes without renewals", userID.Set(t.Context(), s, "x"), nil)
		<-s.Done()
		wantErr(t, "Err()", s.Err(), store.ErrExpired)
		sessions.Close(t.Context())
	})
}

// contents returns the typed values of a session.
func contents(t testing.TB, s *store.Session) map[string]any {
	t.Helper()
	ctx := t.Context()
	keys, err := s.Keys(ctx)
	if err != nil {
		t.Fatalf("Keys() = %v", err)
	}
	all := make(map[string]any)
	for _, key := range keys {
		switch key {
		case "userId":
			all[key], err = userID.Get(ctx, s)
		case "logins":
			all[key], err = logins.Get(ctx, s)
		case "tokenClaims":
			all[key], err = claims.Get(ctx, s)
		}
		if err != nil {
			t.Fatalf("Get(%q) = %v", key, err)
		}
	}
	return all
}

func TestRotate(t *testing.T) {
	ring, err := store.NewKeyRing(store.SealingKey{ID: 1, Secret: bytes.Repeat([]byte{7}, 32)})
	if err != nil {
		t.Fatal(err)
	}
	for name, opts := range map[string]*store.Options{"plain": nil, "sealed": {Sealer: ring}} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			backend := memstore.New(nil)
			defer backend.Close()
			sessions := newSessions(t, backend, opts)
			defer sessions.Close(ctx)
			other := newSessions(t, backend, opts)
			defer other.Close(ctx)

			old := create(t, sessions, userID.To("guest"), logins.To(3), claims.To(tokenClaims{Subject: "s"}))
			elsewhere, err := other.Attach(ctx, old.ID())
			if err != nil {
				t.Fatal(err)
			}
			id := store.NewID()
			s, err := sessions.Rotate(ctx, old, id, userID.To("u-42"), claims.Unset())
			if err != nil || s.ID() != id || !s.Owned() {
				t.Fatalf("Rotate() = %v, %v, want an owned session with the new ID", s, err)
			}
			if diff := cmp.Diff(map[string]any{"userId": "u-42", "logins": int64(3)}, contents(t, s)); diff != "" {
				t.Errorf("values after Rotate (-want +got):\n%s", diff)
			}
			for who, h := range map[string]*store.Session{"old": old, "elsewhere": elsewhere} {
				wantErr(t, who+".Set()", userID.Set(ctx, h, "x"), store.ErrDestroyed)
			}
			wantErr(t, "Attach(old ID)", second(other.Attach(ctx, old.ID())), store.ErrNoSession)
			wantErr(t, "Resume(old ID)", second(other.Resume(ctx, old.ID())), store.ErrNoSession)
			if got := sessions.Owned(); got != 1 {
				t.Errorf("Owned() = %d, want 1", got)
			}

			for what, call := range map[string]func(s *store.Session) error{
				"the same ID":     func(s *store.Session) error { return second(sessions.Rotate(ctx, s, s.ID())) },
				"no ID":           func(s *store.Session) error { return second(sessions.Rotate(ctx, s, "")) },
				"another process": func(s *store.Session) error { return second(other.Rotate(ctx, s, store.NewID())) },
				"a bad key": func(s *store.Session) error {
					return second(sessions.Rotate(ctx, s, store.NewID(), store.Key[int]("").To(1)))
				},
				"a key twice": func(s *store.Session) error {
					return second(sessions.Rotate(ctx, s, store.NewID(), userID.To("a"), userID.To("b")))
				},
			} {
				if err := call(s); err == nil {
					t.Errorf("Rotate with %s = nil, want an error", what)
				}
				wantErr(t, "Set() after a Rotate that was refused", userID.Set(ctx, s, "u-42"), nil)
			}
			wantErr(t, "Rotate(nil)", second(sessions.Rotate(ctx, nil, store.NewID())), store.ErrNoSession)
			wantErr(t, "Rotate(ended)", second(sessions.Rotate(ctx, old, store.NewID())), store.ErrResumed)
		})
	}
}

// TestRotateLosesNoWrite: writers go on until they are refused. What was
// acknowledged is in the rotated session.
func TestRotateLosesNoWrite(t *testing.T) {
	ctx := t.Context()
	sessions := open(t, nil)
	for range 200 {
		s := create(t, sessions, logins.To(0))
		acknowledged := make([]int64, 4)
		var writers sync.WaitGroup
		for i := range acknowledged {
			key := store.Key[int64](fmt.Sprintf("w%d", i))
			writers.Go(func() {
				for n := int64(1); ; n++ {
					if err := key.Set(ctx, s, n); err != nil {
						if !errors.Is(err, store.ErrDestroyed) {
							t.Errorf("Set() = %v, want ErrDestroyed at the end", err)
						}
						return
					}
					acknowledged[i] = n
				}
			})
		}
		n, err := sessions.Rotate(ctx, s, store.NewID())
		if err != nil {
			t.Fatalf("Rotate() = %v, want nil", err)
		}
		writers.Wait()
		for i, want := range acknowledged {
			if got, err := store.Key[int64](fmt.Sprintf("w%d", i)).GetOr(ctx, n, 0); got != want || err != nil {
				t.Fatalf("writer %d: %d, %v after Rotate, want %d, the last write that was acknowledged", i, got, err, want)
			}
		}
	}
}

func TestRotateThatFailsLeavesTheSession(t *testing.T) {
	boom := errors.New("boom")
	for _, step := range []string{"create", "destroyif"} {
		t.Run(step, func(t *testing.T) {
			ctx := t.Context()
			backend := newStaged(t, healthy)
			sessions := newSessions(t, backend, nil)
			defer sessions.Close(ctx)
			s := create(t, sessions, userID.To("u"))
			backend.let(func(_ context.Context, op string) error {
				if op == step {
					return boom
				}
				return nil
			})
			id := store.NewID()
			wantErr(t, "Rotate()", second(sessions.Rotate(ctx, s, id)), boom)
			wantErr(t, "Set() after a Rotate that failed", userID.Set(ctx, s, "v"), nil)
			wantErr(t, "Attach(new ID)", second(sessions.Attach(ctx, id)), store.ErrNoSession)
			backend.let(healthy)
			n, err := sessions.Rotate(ctx, s, id)
			if err != nil {
				t.Fatalf("Rotate() again = %v, want nil", err)
			}
			if got, err := userID.Get(ctx, n); got != "v" || err != nil {
				t.Errorf("Get() = %q, %v, want %q", got, err, "v")
			}
		})
	}
	t.Run("unsupported", func(t *testing.T) {
		ctx := t.Context()
		backend := memstore.New(nil)
		defer backend.Close()
		sessions := newSessions(t, bareBackend{backend}, nil)
		defer sessions.Close(ctx)
		s := create(t, sessions, userID.To("u"))
		wantErr(t, "Rotate()", second(sessions.Rotate(ctx, s, store.NewID())), errors.ErrUnsupported)
		wantErr(t, "Set() after that", userID.Set(ctx, s, "v"), nil)
	})
	t.Run("resumed elsewhere meanwhile", func(t *testing.T) {
		ctx := t.Context()
		backend := newStaged(t, healthy)
		sessions := newSessions(t, backend, nil)
		defer sessions.Close(ctx)
		other := newSessions(t, backend, nil)
		defer other.Close(ctx)
		s := create(t, sessions, userID.To("u"))
		var winner *store.Session
		backend.let(func(ctx context.Context, op string) error {
			if op == "create" { // Rotate has read the values
				backend.let(healthy)
				var err error
				if winner, err = other.Resume(ctx, s.ID()); err != nil {
					return err
				}
				return userID.Set(ctx, winner, "written elsewhere")
			}
			return nil
		})
		id := store.NewID()
		wantErr(t, "Rotate()", second(sessions.Rotate(ctx, s, id)), store.ErrResumed)
		if got, err := userID.Get(ctx, winner); got != "written elsewhere" || err != nil {
			t.Errorf("Get() of the session that was resumed = %q, %v", got, err)
		}
		wantErr(t, "Attach(new ID)", second(sessions.Attach(ctx, id)), store.ErrNoSession)
	})
}

// TestRotateWithLostReplies: what became of the last step cannot be known, or only by
// asking.
func TestRotateWithLostReplies(t *testing.T) {
	for _, tt := range []struct {
		name       string
		lose       func(*storetest.FaultyBackend)
		want       error
		lives, old bool // under the new ID, and for a lease under the old one
	}{
		{"it was not done", func(b *storetest.FaultyBackend) { b.FailOnce(storetest.OpDestroyIf, store.ErrUnknownOutcome) }, nil, true, false},
		{"it was done", func(b *storetest.FaultyBackend) { b.LoseReply(storetest.OpDestroyIf) }, store.ErrUnknownOutcome, true, false},
		{"again and again", func(b *storetest.FaultyBackend) { b.Fail(storetest.OpDestroyIf, store.ErrUnknownOutcome) }, store.ErrUnknownOutcome, true, true},
		{"and the server is gone", func(b *storetest.FaultyBackend) {
			b.Fail(storetest.OpDestroyIf, store.ErrUnknownOutcome)
			b.Fail(storetest.OpResume, nil)
		}, store.ErrUnknownOutcome, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				memory := memstore.New(nil)
				defer memory.Close()
				backend := storetest.Faulty(memory)
				sessions := newSessions(t, backend, nil)
				defer sessions.Close(ctx)
				s := create(t, sessions, userID.To("u"))
				tt.lose(backend)
				id := store.NewID()
				wantErr(t, "Rotate()", second(sessions.Rotate(ctx, s, id)), tt.want)
				backend.Heal()
				wantErr(t, "Err() of the old handle", s.Err(), store.ErrResumed)
				old := store.ErrNoSession
				if tt.old {
					old = nil
				}
				wantErr(t, "Attach(old ID)", second(sessions.Attach(ctx, s.ID())), old)
				time.Sleep(store.DefaultLease - 2*time.Second)
				n, err := sessions.Resume(ctx, id)
				if err != nil {
					t.Fatalf("Resume(new ID) = %v, want nil", err)
				}
				if got, err := userID.Get(ctx, n); got != "u" || err != nil {
					t.Errorf("Get() = %q, %v, want %q", got, err, "u")
				}
				time.Sleep(10 * time.Second)
				wantErr(t, "Attach(old ID) after its lease", second(sessions.Attach(ctx, s.ID())), store.ErrNoSession)
			})
		})
	}
}

// TestRotateCarriesWhatComesInBetween: a handle that somebody attaches while Rotate
// has read the values writes, or ends the session.
func TestRotateCarriesWhatComesInBetween(t *testing.T) {
	for name, tt := range map[string]struct {
		meanwhile func(ctx context.Context, h *store.Session) error
		want      map[string]any // nil: the session has ended
	}{
		"another value": {func(ctx context.Context, h *store.Session) error { return userID.Set(ctx, h, "v") }, map[string]any{"userId": "v", "tokenClaims": tokenClaims{Subject: "s"}}},
		"a new key":     {func(ctx context.Context, h *store.Session) error { return logins.Set(ctx, h, 7) }, map[string]any{"userId": "u", "logins": int64(7), "tokenClaims": tokenClaims{Subject: "s"}}},
		"no value":      {func(ctx context.Context, h *store.Session) error { return claims.Delete(ctx, h) }, map[string]any{"userId": "u"}},
		"the end":       {func(ctx context.Context, h *store.Session) error { return h.Destroy(ctx) }, nil},
	} {
		for _, times := range []int{1, 5} { // five times is more than Rotate puts up with before it fences
			t.Run(fmt.Sprint(name, " ", times), func(t *testing.T) {
				ctx := t.Context()
				backend := newStaged(t, healthy)
				sessions, other := newSessions(t, backend, nil), newSessions(t, backend, nil)
				defer sessions.Close(ctx)
				defer other.Close(ctx)
				s := create(t, sessions, userID.To("u"), claims.To(tokenClaims{Subject: "s"}))
				noise := store.Key[int]("noise")
				round := 0
				backend.let(func(ctx context.Context, op string) error {
					if op != "destroyif" {
						return nil
					}
					round++
					h, err := other.Attach(ctx, s.ID())
					if err != nil {
						t.Errorf("Attach(old ID) before Rotate has ended it = %v, want nil", err)
						return nil
					}
					switch {
					case round < times:
						err = noise.Set(ctx, h, round)
					case round == times:
						err = errors.Join(noise.Delete(ctx, h), tt.meanwhile(ctx, h))
					}
					if err != nil {
						t.Errorf("round %d: %v, want no error", round, err)
					}
					return nil
				})
				id := store.NewID()
				n, err := sessions.Rotate(ctx, s, id)
				if tt.want == nil {
					wantErr(t, "Rotate() of a session that is destroyed meanwhile", err, store.ErrDestroyed)
					wantErr(t, "Attach(new ID)", second(sessions.Attach(ctx, id)), store.ErrNoSession)
					return
				}
				if err != nil {
					t.Fatalf("Rotate() = %v, want nil", err)
				}
				if diff := cmp.Diff(tt.want, contents(t, n)); diff != "" {
					t.Errorf("values after Rotate (-want +got):\n%s", diff)
				}
				wantErr(t, "Attach(old ID)", second(sessions.Attach(ctx, s.ID())), store.ErrNoSession)
			})
		}
	}
}

// TestRotateOfAnEarlierLife: a handle whose session goes on elsewhere, which this
// process has not learned yet, takes nothing from its owner.
func TestRotateOfAnEarlierLife(t *testing.T) {
	ctx := t.Context()
	backend := memstore.New(nil)
	defer backend.Close()
	sessions, other := newSessions(t, backend, nil), newSessions(t, backend, nil)
	defer sessions.Close(ctx)
	defer other.Close(ctx)
	s := create(t, sessions, userID.To("u"))
	owner, err := other.Resume(ctx, s.ID())
	if err != nil {
		t.Fatal(err)
	}
	wantErr(t, "Rotate() through the earlier life", second(sessions.Rotate(ctx, s, store.NewID())), store.ErrResumed)
	wantErr(t, "Set() of the owner", userID.Set(ctx, owner, "v"), nil)
}

// TestRotateRacingClose: the session that Close finds between two IDs keeps its new
// one, which the caller is told.
func TestRotateRacingClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		backend := newStaged(t, healthy)
		sessions := newSessions(t, backend, &store.Options{Grace: time.Hour})
		s := create(t, sessions, userID.To("u"))
		closed := make(chan error, 1)
		backend.let(func(ctx context.Context, op string) error {
			if op == "destroyif" {
				go func() { closed <- sessions.Close(ctx) }()
				synctest.Wait()
			}
			return nil
		})
		n, err := sessions.Rotate(ctx, s, store.NewID())
		if err != nil {
			t.Fatalf("Rotate() = %v, want nil", err)
		}
		wantErr(t, "Close()", <-closed, nil)
		wantErr(t, "Err() of the rotated session", n.Err(), store.ErrSuspended)
		time.Sleep(time.Hour - time.Second)
		if n := alive(t, backend, []string{n.ID()}); n != 1 {
			t.Error("the session is gone within its grace")
		}
	})
}

func TestRotateOfASessionThatNobodyOwns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		sessions := open(t, nil)
		s, err := sessions.CreateFor(ctx, store.NewID(), 5*time.Hour, userID.To("u"))
		if err != nil {
			t.Fatal(err)
		}
		n, err := sessions.Rotate(ctx, s, store.NewID())
		if err != nil || n.Owned() {
			t.Fatalf("Rotate() = owned %t, %v, want a session that nobody owns", n.Owned(), err)
		}
		time.Sleep(5*time.Hour - time.Second)
		wantErr(t, "Set() before the ttl", userID.Set(ctx, n, "v"), nil)
		time.Sleep(2 * time.Second)
		wantErr(t, "Set() after the ttl", userID.Set(ctx, n, "v"), store.ErrDestroyed)
	})
}

func TestStatsAndPing(t *testing.T) {
	ctx := t.Context()
	backend := memstore.New(nil)
	a, b := newSessions(t, backend, &store.Options{Grace: time.Minute}), newSessions(t, backend, nil)
	defer b.Close(ctx)
	wantErr(t, "Ping()", a.Ping(ctx), nil)
	var all []*store.Session
	for range 4 {
		all = append(all, create(t, a))
	}
	if _, err := b.Resume(ctx, all[0].ID()); err != nil {
		t.Fatal(err)
	}
	wantErr(t, "Set() after Resume on another node", userID.Set(ctx, all[0], "x"), store.ErrResumed) // a learns of it
	if _, err := a.Attach(ctx, all[1].ID()); err != nil {
		t.Fatal(err)
	}
	must(t, all[1].Destroy(ctx))
	must(t, all[2].Release(ctx))
	want := store.Stats{Owned: 1, Created: 4, Attached: 1, Suspended: 1, Destroyed: 1, Lost: 1, TakenOver: 1}
	if diff := cmp.Diff(want, a.Stats()); diff != "" {
		t.Errorf("Stats() (-want +got):\n%s", diff)
	}
	wantErr(t, "Close()", a.Close(ctx), nil)
	if st := a.Stats(); st.Owned != 0 || st.Suspended != 2 {
		t.Errorf("Stats() after Close = %+v, want none owned, 2 suspended", st)
	}
	wantErr(t, "Ping() after Close", a.Ping(ctx), store.ErrClosed)
	backend.Close()
	wantErr(t, "Ping() of a closed backend", b.Ping(ctx), store.ErrClosed)
}
