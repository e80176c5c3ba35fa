package system

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/bench/internal/workload"
)

// The library and its rivals on the same values:
//
//	go test -run '^$' -bench Get -count 6 ./internal/system | benchstat -col /impl -

func BenchmarkGet(b *testing.B) {
	each(b, func(b *testing.B, spec Spec) {
		run(b, spec, "string", workload.StringPool([]int{100}), func(s Session[string], _ string) error {
			_, err := s.Get(b.Context(), "one")
			return err
		})
		run(b, spec, "claims", workload.ClaimsPool(), func(s Session[workload.Claims], _ workload.Claims) error {
			_, err := s.Get(b.Context(), "one")
			return err
		})
	})
}

func BenchmarkSet(b *testing.B) {
	each(b, func(b *testing.B, spec Spec) {
		run(b, spec, "string", workload.StringPool([]int{100}), func(s Session[string], v string) error {
			return s.Set(b.Context(), "one", v)
		})
		run(b, spec, "claims", workload.ClaimsPool(), func(s Session[workload.Claims], v workload.Claims) error {
			return s.Set(b.Context(), "one", v)
		})
	})
}

func each(b *testing.B, f func(*testing.B, Spec)) {
	for _, kind := range kinds {
		b.Run("server="+kind, func(b *testing.B) {
			for _, spec := range specsFor(b, kind) {
				f(b, spec)
			}
		})
	}
}

// run measures one caller, and on servers 64 with a session each as well.
func run[T any](b *testing.B, spec Spec, value string, pool []T, op func(Session[T], T) error) {
	callers := []int{1}
	if spec.Server() {
		callers = append(callers, 64)
	}
	for _, n := range callers {
		impl := spec.Name
		if spec.Codec != "" {
			impl += "-" + spec.Codec
		}
		b.Run(fmt.Sprintf("value=%s/callers=%d/impl=%s", value, n, impl), func(b *testing.B) {
			ctx := b.Context()
			sys, err := Open[T](ctx, spec)
			if err != nil {
				b.Fatal(err)
			}
			sessions := make([]Session[T], n)
			for i := range sessions {
				if sessions[i], err = sys.Create(ctx, store.NewID(), []string{"one", "two", "three"}, pool[:3]); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			if n == 1 {
				for i := 0; b.Loop(); i++ {
					if err := op(sessions[0], pool[i%len(pool)]); err != nil {
						b.Fatal(err)
					}
				}
				if err := sessions[0].Destroy(ctx); err != nil {
					b.Error(err)
				}
				sys.Close(ctx)
				return
			}
			b.ResetTimer()
			var wg sync.WaitGroup
			var next atomic.Int64
			for _, s := range sessions {
				wg.Go(func() {
					for i := int(next.Add(1)); i <= b.N; i = int(next.Add(1)) {
						if err := op(s, pool[i%len(pool)]); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			for _, s := range sessions {
				if err := s.Destroy(ctx); err != nil {
					b.Error(err)
				}
			}
			if err := sys.Close(ctx); err != nil {
				b.Error(err)
			}
		})
	}
}
