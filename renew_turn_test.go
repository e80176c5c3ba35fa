package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
)

// A roll counts the renewals of each session, and answers as the test says.
type roll struct {
	*memstore.Backend
	mu     sync.Mutex
	times  map[store.Store][]time.Time // guarded by mu
	calls  int                         // guarded by mu
	most   int                         // guarded by mu; sessions of a call
	answer func(ctx context.Context, sessions []store.Store, errs []error) []error
}

func newRoll(t *testing.T) *roll {
	b := &roll{Backend: memstore.New(nil), times: make(map[store.Store][]time.Time)}
	b.answer = func(_ context.Context, _ []store.Store, errs []error) []error { return errs }
	t.Cleanup(func() { b.Backend.Close() })
	return b
}

func (b *roll) Renew(ctx context.Context, sessions []store.Store, lease time.Duration) []error {
	now := time.Now()
	if lease == 0 { // New looks whether its Stores are recognised
		return b.Backend.Renew(ctx, sessions, lease)
	}
	b.mu.Lock()
	b.calls++
	b.most = max(b.most, len(sessions))
	for _, s := range sessions {
		b.times[s] = append(b.times[s], now)
	}
	b.mu.Unlock()
	return b.answer(ctx, sessions, b.Backend.Renew(ctx, sessions, lease))
}

// TestEverySessionOncePerTurn counts renewals: each session gets one in every half lease, however
// many there are and however short the lease is.
func TestEverySessionOncePerTurn(t *testing.T) {
	for _, c := range []struct {
		sessions int
		lease    time.Duration
	}{
		{1, time.Minute},
		{63, time.Minute},
		{64, time.Minute},
		{65, time.Minute},
		{9000, time.Millisecond},
		{65, time.Second},
		{65, 100 * time.Millisecond},
		{65, 31 * time.Millisecond},
		{65, 10 * time.Millisecond},
		{65, time.Millisecond},
	} {
		t.Run(fmt.Sprint(c.sessions, " for ", c.lease), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				backend := newRoll(t)
				sessions := newSessions(t, backend, &store.Options{Lease: c.lease, AllowShortTimes: true})
				for range c.sessions {
					create(t, sessions)
				}
				const turns = 6
				time.Sleep(turns*c.lease/2 + c.lease/8)
				synctest.Wait()
				backend.mu.Lock()
				if len(backend.times) != c.sessions {
					t.Errorf("%d of %d sessions were renewed", len(backend.times), c.sessions)
				}
				for _, times := range backend.times {
					if n := len(times); n < turns || n > turns+1 {
						t.Errorf("a session was renewed %d times in %d turns", n, turns)
						break
					}
					for i, at := range times[1:] {
						if gap := at.Sub(times[i]); gap < c.lease/2-c.lease/8 || gap > c.lease/2+c.lease/8 {
							t.Errorf("renewals are %v apart, want %v", gap, c.lease/2)
							break
						}
					}
				}
				if backend.most > 8192 {
					t.Errorf("a call of Renew was for %d sessions, want at most 8192", backend.most)
				}
				if c.lease == time.Minute && backend.calls > (turns+1)*20 {
					t.Errorf("%d calls of Renew in %d turns, want at most 20 a turn", backend.calls, turns)
				}
				backend.mu.Unlock()
				if st := sessions.Stats(); st.Owned != c.sessions || st.Overdue+st.Left != 0 || st.Lost+st.RenewFailures != 0 {
					t.Errorf("Stats = %+v, want %d owned", st, c.sessions)
				}
				if err := sessions.Close(t.Context()); err != nil {
					t.Errorf("Close = %v", err)
				}
			})
		})
	}
}

// TestRoundThatFailsForSome lets a backend fail for some sessions of all shards. Only those are asked
// about again, and the figures come back to what they were.
func TestRoundThatFailsForSome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := newRoll(t)
		const lease, n = time.Minute, 500
		errAway := errors.New("away")
		bad, dead := make(map[store.Store]bool), make(map[store.Store]bool)
		var mode atomic.Pointer[string]
		set := func(m string) { mode.Store(&m) }
		set("")
		backend.answer = func(ctx context.Context, sessions []store.Store, _ []error) []error {
			errs := make([]error, len(sessions))
			switch *mode.Load() {
			case "":
				return nil
			case "too few": // or as many, where there is one
				return make([]error, max(1, len(sessions)-1))
			case "too many":
				return make([]error, len(sessions)+1)
			case "hangs":
				<-ctx.Done()
				for i := range errs {
					errs[i] = ctx.Err()
				}
				return errs
			}
			for i, s := range sessions {
				switch {
				case bad[s]:
					errs[i] = errAway
				case dead[s]:
					errs[i] = store.ErrDestroyed
				}
			}
			return errs
		}
		sessions := newSessions(t, backend, &store.Options{Lease: lease})
		for range n {
			create(t, sessions)
		}
		time.Sleep(lease + time.Second) // all are known, and no round begins now
		synctest.Wait()
		all := func() (all []store.Store) {
			backend.mu.Lock()
			defer backend.mu.Unlock()
			for s := range backend.times {
				all = append(all, s)
			}
			clear(backend.times)
			return all
		}()
		if len(all) != n {
			t.Fatalf("%d of %d sessions were renewed", len(all), n)
		}
		for i, s := range all {
			bad[s], dead[s] = i%5 == 0, i%5 == 1 && i < 100
		}
		set("some")
		time.Sleep(lease / 2)
		set("")
		time.Sleep(lease / 2)
		synctest.Wait()
		backend.mu.Lock()
		for s, times := range backend.times { // of two turns
			n := len(times)
			switch {
			case bad[s] && (n < 3 || n > 5):
				t.Errorf("a session whose renewals failed was asked about %d times in a turn and the next, want 3 to 5", n)
			case dead[s] && n != 1:
				t.Errorf("a session that had ended was asked about %d times, want 1", n)
			case !bad[s] && !dead[s] && n != 2:
				t.Errorf("a session whose renewals did not fail was asked about %d times in two turns, want 2", n)
			}
		}
		backend.mu.Unlock()
		st := sessions.Stats()
		if st.Owned != n-20 || st.Lost != 20 || st.Overdue != 0 || st.RenewFailures != 100 {
			t.Errorf("Stats = %+v, want %d owned, 20 lost, none overdue and 100 failures", st, n-20)
		}
		for _, m := range []string{"too few", "too many", "hangs"} {
			set(m)
			if time.Sleep(lease / 2); sessions.Stats().Overdue == 0 {
				t.Errorf("while the backend answers %s, Stats.Overdue = 0", m)
			}
			set("")
			time.Sleep(lease)
			synctest.Wait()
			if st := sessions.Stats(); st.Owned != n-20 || st.Overdue != 0 {
				t.Errorf("after the backend answered %s, Stats = %+v, want %d owned and none overdue", m, st, n-20)
			}
		}
		if err := sessions.Close(t.Context()); err != nil {
			t.Errorf("Close = %v", err)
		}
		st = sessions.Stats()
		if st.Created != uint64(st.Owned+st.Left)+st.Suspended+st.Destroyed+st.Lost || st.Owned != 0 || st.Overdue != 0 {
			t.Errorf("after Close Stats = %+v do not add up", st)
		}
	})
}
