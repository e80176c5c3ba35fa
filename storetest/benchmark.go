package storetest

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sessionkv/store"
)

// Benchmark measures the raw operations of the backend that h opens, the same
// bodies for all backends, under names that benchstat and its filters read:
//
//	op=get/size=64    op=getmany/keys=3    op=life/keys=3    op=get/callers=256
//
// What the backend cannot do is left out. Without callers one goroutine works on
// one session; with them each has a session of its own. It runs outside any
// bubble: time is real, also with [Harness.Synctest].
func Benchmark(b *testing.B, h Harness) {
	backend := openOne(b, h.Open)
	ctx := b.Context()
	session := func(b *testing.B, initial ...store.Entry) store.Store {
		s, err := backend.Create(ctx, store.NewID(), initial, store.Terms{Lease: long})
		if err != nil {
			b.Fatalf("Create() = %v, want nil", err)
		}
		b.Cleanup(func() {
			if err := s.Destroy(b.Context()); err != nil && b.Context().Err() == nil {
				b.Errorf("Destroy() = %v, want nil", err)
			}
		})
		return s
	}
	// measure runs op until the benchmark has run long enough.
	measure := func(b *testing.B, op func() error) {
		b.ReportAllocs()
		for b.Loop() {
			if err := op(); err != nil {
				if errors.Is(err, errors.ErrUnsupported) {
					b.Skip(err)
				}
				b.Fatal(err)
			}
		}
	}
	for _, size := range []int{16, 256, 4096, 65536} {
		value := []byte(strings.Repeat("v", size))
		b.Run(fmt.Sprintf("op=get/size=%d", size), func(b *testing.B) {
			s := session(b, store.Entry{Key: "k", Value: value})
			b.SetBytes(int64(size))
			measure(b, func() error { _, err := s.Get(ctx, "k"); return err })
		})
		b.Run(fmt.Sprintf("op=set/size=%d", size), func(b *testing.B) {
			s := session(b)
			b.SetBytes(int64(size))
			measure(b, func() error { return s.Set(ctx, "k", value) })
		})
		b.Run(fmt.Sprintf("op=has/size=%d", size), func(b *testing.B) {
			s := session(b, store.Entry{Key: "k", Value: value})
			measure(b, func() error { _, err := s.Has(ctx, "k"); return err })
		})
	}
	for _, n := range []int{3, 20, 300} {
		var (
			names  []string
			values []store.Entry
		)
		for i := range n {
			names = append(names, fmt.Sprint("key", i))
			values = append(values, store.Entry{Key: names[i], Value: []byte("a value of 24 bytes, say")})
		}
		b.Run(fmt.Sprintf("op=get/keys=%d", n), func(b *testing.B) {
			s := session(b, values...)
			i := 0
			measure(b, func() error { i++; _, err := s.Get(ctx, names[i%n]); return err })
		})
		b.Run(fmt.Sprintf("op=set/keys=%d", n), func(b *testing.B) {
			s := session(b, values...)
			i := 0
			measure(b, func() error { i++; return s.Set(ctx, names[i%n], values[0].Value) })
		})
		b.Run(fmt.Sprintf("op=getmany/keys=%d", n), func(b *testing.B) {
			s := session(b, values...)
			measure(b, func() error { _, err := store.GetMany(ctx, s, names); return err })
		})
		b.Run(fmt.Sprintf("op=commit/keys=%d", n), func(b *testing.B) {
			s := session(b, values...)
			measure(b, func() error { _, err := store.Commit(ctx, s, values, values); return err })
		})
		b.Run(fmt.Sprintf("op=life/keys=%d", n), func(b *testing.B) {
			measure(b, func() error {
				s, err := backend.Create(ctx, store.NewID(), values, store.Terms{Lease: long})
				if err != nil {
					return err
				}
				return s.Destroy(ctx)
			})
		})
	}
	b.Run("op=delete/size=absent", func(b *testing.B) {
		s := session(b)
		measure(b, func() error { return s.Delete(ctx, "k") })
	})
	for _, n := range []int{1, 1000} {
		b.Run(fmt.Sprintf("op=renew/sessions=%d", n), func(b *testing.B) {
			sessions := make([]store.Store, n)
			for i := range sessions {
				sessions[i] = session(b)
			}
			measure(b, func() error {
				return errors.Join(backend.Renew(ctx, sessions, long)...)
			})
		})
	}
	for _, callers := range []int{16, 256} {
		for _, op := range []struct {
			name string
			do   func(store.Store) error
		}{
			{"get", func(s store.Store) error { _, err := s.Get(ctx, "k"); return err }},
			{"set", func(s store.Store) error { return s.Set(ctx, "k", []byte("a value of 24 bytes, say")) }},
		} {
			b.Run(fmt.Sprintf("op=%s/callers=%d", op.name, callers), func(b *testing.B) {
				sessions := make([]store.Store, callers)
				for i := range sessions {
					sessions[i] = session(b, store.Entry{Key: "k", Value: []byte("a value of 24 bytes, say")})
				}
				concurrently(b, callers, func(i int) error { return op.do(sessions[i]) })
			})
		}
	}
}

// concurrently shares b.N operations among callers goroutines.
func concurrently(b *testing.B, callers int, op func(caller int) error) {
	var left atomic.Int64
	left.Store(int64(b.N))
	errs := make(chan error, callers)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range callers {
		go func() {
			for left.Add(-1) >= 0 {
				if err := op(i); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range callers {
		if err := <-errs; err != nil {
			b.Error(err)
		}
	}
}
