package hazelcaststore

import (
	"fmt"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/median"
	"github.com/sessionkv/store/internal/testserver"
)

// The client looks at the context of a request where wire expects it to: a small
// request goes ahead of each large one.
func TestLargeWriteHasOneAhead(t *testing.T) {
	b := open(t, dial(t, testserver.SharedHazelcast(t)), namespace())
	s, err := b.Create(t.Context(), store.NewID(), nil, store.Terms{Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	key := s.(*handle).life.key
	for _, size := range []int{largeWrite - 1, largeWrite, 64 << 10} {
		ahead := 0
		l := &lookout{Context: b.limited(), nth: lookHandOver, at: func() { ahead++ }}
		if _, err := b.wire.current.Load().ReplaceIfSame(l, key, make([]byte, size), []byte{1}); err != nil {
			t.Fatal(err)
		}
		if looks := l.looks.Load(); looks < lookAnswer || ahead != 1 {
			t.Errorf("the client looked %d times at the context, want at least %d", looks, lookAnswer)
		}
	}
}

// BenchmarkSetBySize writes a small value into documents of growing size.
func BenchmarkSetBySize(b *testing.B) {
	backend := open(b, dial(b, testserver.SharedHazelcast(b)), namespace())
	for _, size := range []int{64, 1 << 10, 8 << 10, 16 << 10, 45 << 10, 64 << 10} {
		filler := []store.Entry{{Key: "filler", Value: make([]byte, size)}}
		s, err := backend.Create(b.Context(), store.NewID(), filler, store.Terms{Lease: time.Minute})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprint("size=", size), func(b *testing.B) {
			var times []float64
			for b.Loop() {
				start := time.Now()
				if err := s.Set(b.Context(), "k", []byte("value")); err != nil {
					b.Fatal(err)
				}
				times = append(times, float64(time.Since(start)))
			}
			b.ReportMetric(median.Of(times), "median-ns")
			b.ReportMetric(times[len(times)*99/100], "p99-ns")
		})
	}
}
