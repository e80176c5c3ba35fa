package hazelcaststore

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/testserver"
)

// BenchmarkRivals measures eight processes' clients that set one key of one session. It
// reports how evenly their writes are spread and how long the slowest took.
func BenchmarkRivals(b *testing.B) {
	server := testserver.SharedHazelcast(b)
	name := namespace()
	handles := make([]store.Store, 8)
	for i := range handles {
		backend := open(b, dial(b, server), name)
		if i == 0 {
			if _, err := backend.Create(b.Context(), "id", nil, store.Terms{Lease: time.Minute}); err != nil {
				b.Fatal(err)
			}
		}
		h, err := backend.Attach(b.Context(), "id", store.Terms{Lease: time.Minute})
		if err != nil {
			b.Fatal(err)
		}
		handles[i] = h
	}
	b.ResetTimer()
	var (
		left    atomic.Int64
		wg      sync.WaitGroup
		counts  = make([]float64, len(handles))
		longest = make([]time.Duration, len(handles))
	)
	left.Store(int64(b.N))
	for i, h := range handles {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				begun := time.Now()
				if err := h.Set(b.Context(), "userId", []byte("u-43-abcdef")); err != nil {
					b.Error(err)
					return
				}
				counts[i]++
				longest[i] = max(longest[i], time.Since(begun))
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
	b.ReportMetric(slices.Min(counts)/slices.Max(counts), "least/most")
	b.ReportMetric(float64(slices.Max(longest).Milliseconds()), "longest-ms")
}
