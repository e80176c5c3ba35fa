package drive

import (
	"context"
	"slices"
	"time"

	"github.com/sessionkv/store/bench/internal/workload"
)

// Turns lets the targets do one operation each, one after the other, until d is
// over or ctx ends, and returns how long each operation of each target took, in
// ascending order. What one caller gets depends so much on the state in which the
// processors happen to be that nothing longer than a call compares fairly.
func Turns[T any](ctx context.Context, targets []*Target[T], w workload.Workload, d time.Duration, seed uint64) ([][]time.Duration, error) {
	took := make([][]time.Duration, len(targets))
	workers := make([]worker[T], len(targets))
	for i, t := range targets {
		workers[i] = worker[T]{t: t, plan: w.Plan(seed, t.initial, len(t.keys))}
	}
	start := time.Now()
	for round := 0; round == 0 || time.Since(start) < d; round++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for k := range workers {
			// Back and forth, so that none always follows the same other.
			i := k
			if round%2 == 1 {
				i = len(workers) - 1 - k
			}
			w := &workers[i]
			op := &w.plan[round&(len(w.plan)-1)]
			begin := time.Now()
			err := w.do(context.WithoutCancel(ctx), op)
			took[i] = append(took[i], time.Since(begin))
			if err != nil {
				return nil, err
			}
		}
	}
	for _, t := range took {
		slices.Sort(t)
	}
	return took, nil
}
