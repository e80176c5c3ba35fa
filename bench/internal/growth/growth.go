// Package growth measures this library on memory as sessions and keys become more.
package growth

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
	"github.com/sessionkv/store/bench/internal/report"
	"github.com/sessionkv/store/bench/internal/workload"
	"github.com/sessionkv/store/internal/heap"
)

// A Size is a number of sessions and of keys in each.
type Size struct{ Sessions, Keys int }

// mostValues bounds what is held at a time: they take about 2 GB.
const mostValues = 20_000_000

// Sizes returns what is measured: up to a million sessions of three and of twenty
// keys, and ten thousand of a thousand keys.
func Sizes() []Size {
	var sizes []Size
	for _, keys := range []int{3, 20, 1000} {
		for _, sessions := range []int{1, 1000, 10_000, 100_000, 1_000_000} {
			if sessions*keys <= mostValues {
				sizes = append(sizes, Size{sessions, keys})
			}
		}
	}
	return sizes
}

const (
	ops    = 400_000 // of a round
	rounds = 5
)

// Measure measures one size. Sessions and keys are chosen at random, so that at
// large sizes cache misses count, as they do in a server.
func Measure(ctx context.Context, size Size) (report.Growth, error) {
	g := report.Growth{Sessions: size.Sessions, Keys: size.Keys}
	keys := make([]store.Key[string], size.Keys)
	for i := range keys {
		keys[i] = store.Key[string](fmt.Sprintf("key%03d", i))
	}
	handles := make([]*store.Session, size.Sessions)
	backend := memstore.New(nil)
	defer backend.Close()
	before := heap.Live()
	// Renewals would disturb what is timed.
	ss, err := store.New(backend, &store.Options{Lease: 24 * time.Hour})
	if err != nil {
		return g, err
	}
	defer ss.Close(context.WithoutCancel(ctx))
	changes := make([]store.Change, size.Keys)
	for i := range handles {
		if err := ctx.Err(); err != nil {
			return g, err
		}
		for k := range keys {
			changes[k] = keys[k].To(values[(i+k)%len(values)])
		}
		s, err := ss.Create(ctx, store.NewID(), changes...)
		if err != nil {
			return g, err
		}
		handles[i] = s
	}
	if after := heap.Live(); after > before {
		g.BytesPerSession = float64(after-before) / float64(size.Sessions)
	}
	var gets, sets []float64
	r := rand.New(rand.NewPCG(1, 1))
	choice := make([]uint32, 1<<16)
	for range rounds {
		for i := range choice {
			choice[i] = r.Uint32()
		}
		at := func(i int) (*store.Session, store.Key[string]) {
			c := int(choice[i&(len(choice)-1)]) + i
			return handles[c%len(handles)], keys[(c>>3)%len(keys)]
		}
		start := time.Now()
		for i := range ops {
			s, k := at(i)
			if _, err := k.Get(ctx, s); err != nil {
				return g, err
			}
		}
		gets = append(gets, float64(time.Since(start).Nanoseconds())/ops)
		start = time.Now()
		for i := range ops {
			s, k := at(i)
			if err := k.Set(ctx, s, values[i%len(values)]); err != nil {
				return g, err
			}
		}
		sets = append(sets, float64(time.Since(start).Nanoseconds())/ops)
		if err := ctx.Err(); err != nil {
			return g, err
		}
	}
	g.GetNs, g.SetNs = report.Median(gets), report.Median(sets)
	err = structs(ctx, &g, handles, before)
	return g, err
}

// structs measures what each session costs that has a struct besides, which was read.
func structs(ctx context.Context, g *report.Growth, handles []*store.Session, before uint64) error {
	const claims = store.Key[workload.Claims]("claims")
	value := workload.NewClaims(1)
	for _, s := range handles {
		if err := claims.Set(ctx, s, value); err != nil {
			return err
		}
	}
	for _, bytes := range []*float64{&g.StructRead, &g.StructReadAgain} {
		for _, s := range handles {
			if _, err := claims.Get(ctx, s); err != nil {
				return err
			}
		}
		if after := heap.Live(); after > before {
			*bytes = float64(after-before) / float64(len(handles))
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

var values = [...]string{"u-42-abcdef", "acme", "room-17", "2026-09-10", "moderator", "en-GB", "web", "x"}
