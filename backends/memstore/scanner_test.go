package memstore_test

import (
	"sync"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
)

// A scan beside those who begin, resume and end sessions names each that stays.
func TestScanBesideWriters(t *testing.T) {
	b := memstore.New(nil)
	defer b.Close()
	ctx, terms := t.Context(), store.Terms{Lease: time.Hour}
	stay := make([]string, 500)
	for i := range stay {
		stay[i] = store.NewID()
		if _, err := b.Create(ctx, stay[i], nil, terms); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan struct{})
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := w; ; i += 4 {
				select {
				case <-done:
					return
				default:
				}
				s, err := b.Create(ctx, store.NewID(), nil, terms)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := b.Resume(ctx, stay[i%len(stay)], terms); err != nil {
					t.Error(err)
					return
				}
				if err := s.Destroy(ctx); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 20 {
		named := make(map[string]bool)
		for cursor, more := "", true; more; more = cursor != "" {
			ids, next, err := b.Scan(ctx, cursor)
			if err != nil {
				t.Fatal(err)
			}
			for _, id := range ids {
				named[id] = true
			}
			cursor = next
		}
		for _, id := range stay {
			if !named[id] {
				t.Fatalf("a scan of %d IDs misses a session that stays", len(named))
			}
		}
	}
	close(done)
	writers.Wait()
}
