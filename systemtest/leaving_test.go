//go:build unix

package systemtest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/await"
	"github.com/sessionkv/store/internal/testserver"
)

// TestLeavingKeepsThePromise: handlers that defer Destroy or Release wake up while their
// process closes with a grace, and not a session is lost.
func TestLeavingKeepsThePromise(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		const count = 500
		b := open(t, url)
		ss := sessions(t, b, &store.Options{Grace: time.Minute})
		next := sessions(t, b, nil)
		var ids []string
		var handlers sync.WaitGroup
		closing := make(chan struct{})
		for i := range count {
			s, err := ss.Create(t.Context(), store.NewID(), name.To("v"))
			if err != nil {
				t.Fatalf("Create() = %v", err)
			}
			ids = append(ids, s.ID())
			handlers.Go(func() {
				if i%2 == 0 {
					<-s.Done()
				} else {
					<-closing
				}
				var err error
				if i%4 < 2 {
					err = s.Release(t.Context())
				} else if err = s.Destroy(t.Context()); errors.Is(err, store.ErrSuspended) {
					err = nil
				}
				if err != nil {
					t.Errorf("leaving = %v", err)
				}
			})
		}
		// Who of the two woken by closing wins is a matter of chance until Close has claimed its
		// sessions. It does that before it ends anything.
		first := ss.All()
		var probe *store.Session
		for s := range first {
			probe = s
			break
		}
		closed := make(chan error, 1)
		go func() { closed <- ss.Close(t.Context()) }()
		await.Until(t, "the first session of Close has ended", func() bool { return probe.Err() != nil })
		close(closing)
		if err := <-closed; err != nil {
			t.Errorf("Close() = %v", err)
		}
		handlers.Wait()
		lost := 0
		for _, id := range ids {
			s, err := next.Resume(t.Context(), id)
			if err != nil {
				lost++
				continue
			}
			if v, err := name.Get(t.Context(), s); v != "v" || err != nil {
				t.Errorf("Get() = %q, %v, want %q", v, err, "v")
			}
		}
		if lost > 0 {
			t.Errorf("%d of %d sessions were lost although a grace was set", lost, count)
		}
	})
}

// TestResumesRacingClose: whatever a Resume says that Close meets on its way, the
// session lives on.
func TestResumesRacingClose(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		b := open(t, url)
		other := sessions(t, b, nil)
		var ids []string
		for range 200 {
			s, err := other.Create(t.Context(), store.NewID(), name.To("v"))
			if err == nil {
				err = s.Suspend(t.Context(), time.Minute)
			}
			if err != nil {
				t.Fatalf("Create() and Suspend() = %v", err)
			}
			ids = append(ids, s.ID())
		}
		ss := sessions(t, b, &store.Options{Grace: time.Minute})
		var resumes sync.WaitGroup
		for _, id := range ids {
			resumes.Go(func() {
				if _, err := ss.Resume(t.Context(), id); err != nil && !errors.Is(err, store.ErrClosed) {
					t.Errorf("Resume() = %v, want nil or ErrClosed", err)
				}
			})
		}
		time.Sleep(time.Millisecond)
		if err := ss.Close(t.Context()); err != nil {
			t.Errorf("Close() = %v", err)
		}
		resumes.Wait()
		for _, id := range ids {
			if _, err := other.Attach(t.Context(), id); err != nil {
				t.Fatalf("Attach() after the race = %v, want nil", err)
			}
		}
	})
}

// TestFrozenServer: Close keeps its deadline and counts, and owners that cannot renew
// end with ErrExpired.
func TestFrozenServer(t *testing.T) {
	server := testserver.Redis(t)
	b := open(t, redisURL(server))
	watching := sessions(t, b, &store.Options{Lease: 2 * time.Second})
	s, err := watching.Create(t.Context(), store.NewID())
	if err != nil {
		t.Fatalf("Create() = %v", err)
	}
	ss := sessions(t, b, &store.Options{Grace: time.Minute})
	const count = 2000
	for range count {
		if _, err := ss.Create(t.Context(), store.NewID()); err != nil {
			t.Fatalf("Create() = %v", err)
		}
	}
	server.Pause()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	start := time.Now()
	err = ss.Close(ctx)
	if err == nil || !strings.Contains(err.Error(), "of 2000 sessions were left to their leases") {
		t.Errorf("Close() on a frozen server = %v, want an error that counts the sessions", err)
	}
	// It takes 6 s; with a budget for each session it would take minutes.
	if took := time.Since(start); took > patience {
		t.Errorf("Close(1 s) on a frozen server took %v, want 6 s", took)
	}
	select {
	case <-s.Done():
		if !errors.Is(s.Err(), store.ErrExpired) {
			t.Errorf("Err() = %v, want ErrExpired", s.Err())
		}
	case <-time.After(patience):
		t.Errorf("Done() is open %v after the server froze, with a lease of 2 s", time.Since(start))
	}
}

// TestRotateOnServers: writers go on until they are refused, and what was acknowledged is
// in the rotated session.
func TestRotateOnServers(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		ss, other := sessions(t, open(t, url), nil), sessions(t, open(t, url), nil)
		for range 20 {
			s, err := ss.Create(t.Context(), store.NewID(), name.To("v"))
			if err != nil {
				t.Fatalf("Create() = %v", err)
			}
			counter := store.Key[int]("counter")
			written := make([]int, 2)
			var writers sync.WaitGroup
			for i, nodes := range []*store.Sessions{ss, other} {
				h, err := nodes.Attach(t.Context(), s.ID())
				if err != nil {
					t.Fatalf("Attach() = %v", err)
				}
				key := store.Key[int](string(counter) + string(rune('a'+i)))
				writers.Go(func() {
					for n := 1; ; n++ {
						if err := key.Set(t.Context(), h, n); err != nil {
							if !errors.Is(err, store.ErrDestroyed) {
								t.Errorf("Set() = %v, want ErrDestroyed at the end", err)
							}
							return
						}
						written[i] = n
					}
				})
			}
			// One more attaches anew for each write, as an HTTP request does.
			visits := store.Key[int]("visits")
			visited := 0
			writers.Go(func() {
				for {
					h, err := other.Attach(t.Context(), s.ID())
					if errors.Is(err, store.ErrNoSession) {
						return
					}
					if err != nil {
						t.Errorf("Attach() = %v", err)
						return
					}
					switch err := visits.Set(t.Context(), h, visited+1); {
					case err == nil:
						visited++
					case !errors.Is(err, store.ErrDestroyed):
						t.Errorf("Set() = %v, want ErrDestroyed at the end", err)
					}
				}
			})
			time.Sleep(2 * time.Millisecond)
			n, err := ss.Rotate(t.Context(), s, store.NewID())
			if err != nil {
				t.Fatalf("Rotate() = %v", err)
			}
			writers.Wait()
			for i, want := range written {
				key := store.Key[int](string(counter) + string(rune('a'+i)))
				if got, err := key.GetOr(t.Context(), n, 0); got != want || err != nil {
					t.Errorf("%d, %v after Rotate, want %d, the last write that was acknowledged", got, err, want)
				}
			}
			if got, err := visits.GetOr(t.Context(), n, 0); got != visited || err != nil {
				t.Errorf("%d, %v visits after Rotate, want %d, as many as were acknowledged", got, err, visited)
			}
			if _, err := other.Resume(t.Context(), s.ID()); !errors.Is(err, store.ErrNoSession) {
				t.Errorf("Resume(old ID) = %v, want ErrNoSession", err)
			}
		}
	})
}
