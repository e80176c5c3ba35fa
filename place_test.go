package store_test

import (
	"context"
	"fmt"
	"hash/crc32"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
)

// A county has places, and notes which of them a call of Renew is for.
type county struct {
	*memstore.Backend
	mu    sync.Mutex
	names map[store.Store]string // guarded by mu; the IDs
	calls [][]uint32             // guarded by mu
}

func placeOf(id string) uint32 { return crc32.ChecksumIEEE([]byte(id)) }

func (b *county) Places() func(id string) uint32 { return placeOf }

func (b *county) Create(ctx context.Context, id string, initial []store.Entry, t store.Terms) (store.Store, error) {
	s, err := b.Backend.Create(ctx, id, initial, t)
	b.mu.Lock()
	b.names[s] = id
	b.mu.Unlock()
	return s, err
}

func (b *county) Renew(ctx context.Context, sessions []store.Store, lease time.Duration) []error {
	if lease > 0 {
		var places []uint32
		b.mu.Lock()
		for _, s := range sessions {
			places = append(places, placeOf(b.names[s]))
		}
		b.calls = append(b.calls, places)
		b.mu.Unlock()
	}
	return b.Backend.Renew(ctx, sessions, lease)
}

// TestRoundsGoByPlaces renews sessions whose backend has places: those of a call are a sixteenth of all places, also where
// the Stores are wrapped.
func TestRoundsGoByPlaces(t *testing.T) {
	for _, wrapped := range []bool{false, true} {
		t.Run(fmt.Sprint("wrapped ", wrapped), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &county{Backend: memstore.New(nil), names: make(map[store.Store]string)}
				t.Cleanup(func() { b.Backend.Close() })
				var backend store.Backend = b
				if wrapped {
					backend = store.WrapStores(b, func(s store.Store) store.Store { return struct{ store.Store }{s} })
				}
				sessions := newSessions(t, backend, &store.Options{Lease: time.Minute})
				const count = 1000
				for range count {
					create(t, sessions)
				}
				time.Sleep(40 * time.Second)
				synctest.Wait()
				if err := sessions.Close(t.Context()); err != nil {
					t.Errorf("Close = %v", err)
				}
				renewed := 0
				for _, places := range b.calls {
					renewed += len(places)
					for _, at := range places {
						if at>>28 != places[0]>>28 {
							t.Fatalf("a call of Renew is for the places %#x and %#x, want a sixteenth of all", places[0], at)
						}
					}
				}
				if renewed < count {
					t.Errorf("%d sessions were renewed, want %d", renewed, count)
				}
			})
		})
	}
}
