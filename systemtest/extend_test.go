//go:build unix

package systemtest

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/sessionkv/store"
)

// TestExtendRacingExpiry: Extend that comes when the session is about to end says nil if the
// session lives on, and only then.
func TestExtendRacingExpiry(t *testing.T) {
	onBackends(t, func(t *testing.T, url string) {
		ss, other := sessions(t, open(t, url), nil), sessions(t, open(t, url), nil)
		if url == "memory:" { // which is not shared by two that open it
			other = ss
		}
		const count, ttl, longer = 100, 2 * time.Second, 30 * time.Second
		var mu sync.Mutex
		extended, expired := 0, 0
		var all sync.WaitGroup
		for range count {
			all.Go(func() {
				begun := time.Now()
				s, err := ss.CreateFor(t.Context(), store.NewID(), ttl, name.To("v"))
				if err != nil {
					t.Errorf("CreateFor() = %v", err)
					return
				}
				h, err := other.Attach(t.Context(), s.ID())
				if err != nil {
					return // so late on a busy machine
				}
				// Servers, the network and a busy machine shift the end.
				time.Sleep(time.Until(begun.Add(ttl - 400*time.Millisecond + rand.N(600*time.Millisecond))))
				err = h.Extend(t.Context(), longer)
				mu.Lock()
				if err == nil {
					extended++
				} else {
					expired++
				}
				mu.Unlock()
				switch {
				case err == nil:
					time.Sleep(ttl) // what was about to end has ended
					if v, err := name.Get(t.Context(), s); v != "v" || err != nil {
						t.Errorf("Extend() = nil, and then Get() = %q, %v", v, err)
					}
				case errors.Is(err, store.ErrDestroyed):
					if !gone(t, ss, s.ID()) {
						t.Errorf("Extend() = %v, and the session lives", err)
					}
				default:
					t.Errorf("Extend() = %v, want nil or ErrDestroyed", err)
				}
			})
		}
		all.Wait()
		t.Logf("%d sessions were extended, %d had expired", extended, expired)
	})
}
