package hazelcaststore

import (
	"errors"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/testserver"
)

// TestLeasesInTurn renews the same sessions for several leases at the same time, while lives
// lapse and end. Each is in one cohort at most, and no owner keeps anything of those that are over.
func TestLeasesInTurn(t *testing.T) {
	r := newRig(t, testserver.SharedHazelcast(t), namespace())
	ctx := t.Context()
	leases := []time.Duration{10 * time.Minute, 11 * time.Minute, 12 * time.Minute}
	var sessions []store.Store
	for range 40 {
		_, s := r.session(t)
		sessions = append(sessions, s)
	}
	var work sync.WaitGroup
	for range 6 {
		work.Go(func() {
			for range 60 {
				from := rand.N(len(sessions))
				some := sessions[from:min(len(sessions), from+1+rand.N(8))]
				lease := leases[rand.N(len(leases))]
				switch err := errors.Join(r.b.Renew(ctx, some, lease)...); {
				case err == nil, errors.Is(err, store.ErrDestroyed):
				default:
					t.Errorf("Renew = %v, want no error, or that a session was destroyed", err)
				}
				switch l := some[0].(*handle).life; rand.N(8) {
				case 0: // as if nobody had renewed it
					o := r.b.owner(lease)
					earliest, _ := r.b.clock.now()
					o.keep(l, earliest-1)
					o.sweep()
				case 1:
					if err := some[0].Destroy(ctx); err != nil {
						t.Errorf("Destroy = %v, want no error", err)
					}
				}
			}
		})
	}
	work.Wait()
	for _, lease := range leases {
		o := r.b.owner(lease)
		o.mu.Lock()
		for _, c := range o.cohorts {
			left := make(map[*life]bool) // one that has been elsewhere and come back is in lives twice
			for _, l := range c.lives {
				if l.cohort.Load() == c {
					left[l] = true
				}
			}
			if len(left) > c.left || c.owner != o {
				t.Errorf("a cohort for %v counts %d lives and has %d", lease, c.left, len(left))
			}
		}
		o.mu.Unlock()
		lives, _ := o.lapsed(math.MaxInt64)
		if len(o.byToken) > 0 || len(o.cohorts) > 0 {
			t.Errorf("the owner for %v has %d lives and %d cohorts after all have lapsed, want none", lease, len(o.byToken), len(o.cohorts))
		}
		for _, l := range lives {
			if c := l.cohort.Load(); c != nil && c.owner == o {
				t.Errorf("a life that has lapsed is in a cohort yet")
			}
		}
	}
}
