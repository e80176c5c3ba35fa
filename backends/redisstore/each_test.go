package redisstore_test

import (
	"sync"
	"sync/atomic"
	"testing"
)

// each runs b.N operations on n goroutines, each with a number of its own.
func each(b *testing.B, n int, f func(i int) error) {
	b.Helper()
	var (
		wg   sync.WaitGroup
		left atomic.Int64
	)
	left.Store(int64(b.N))
	b.ResetTimer()
	for i := range n {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := f(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}
