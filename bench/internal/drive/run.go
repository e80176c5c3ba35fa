package drive

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sessionkv/store/bench/internal/system"
	"github.com/sessionkv/store/bench/internal/workload"
)

// Options say how load is made.
type Options struct {
	Workload workload.Workload
	Workers  int
	Duration time.Duration

	// Rate is the number of operations per second that are started, whether or not earlier ones have come back;
	// latency counts from the intended start. Zero means that each worker starts the next when the last is done.
	Rate float64

	// Seed makes the plan.
	Seed uint64
}

// A Sample is what one run measured.
type Sample struct {
	Ops       int64
	Elapsed   time.Duration
	Latencies Latencies
	Errors    map[string]int64 // by kind
	Late      int64            // operations whose intended start passed without a free worker
	Allocs    float64          // per operation, of the whole process
	Bytes     float64
}

// PerSecond is the throughput.
func (s *Sample) PerSecond() float64 { return float64(s.Ops) / s.Elapsed.Seconds() }

// sampleEvery is how often operations within the process are timed: reading the
// clock twice takes longer than they do. It is coprime to the plan's size.
const sampleEvery = 61

// Run makes load until the duration is over or ctx ends. Operations in progress are waited for.
func (t *Target[T]) Run(ctx context.Context, o Options) *Sample {
	plan := o.Workload.Plan(o.Seed, t.initial, len(t.keys))
	rec := newRecorder(o.Workers)
	var stop atomic.Bool
	every := 1
	if !t.Spec.Server() && o.Rate == 0 {
		every = sampleEvery
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)

	var pace *pacer
	start := time.Now()
	if o.Rate > 0 {
		pace = &pacer{start: start, interval: float64(time.Second) / o.Rate, end: start.Add(o.Duration)}
	}
	timer := time.AfterFunc(o.Duration, func() { stop.Store(true) })
	defer timer.Stop()
	defer context.AfterFunc(ctx, func() { stop.Store(true) })()

	var ops atomic.Int64
	var wg sync.WaitGroup
	for w := range o.Workers {
		wg.Go(func() {
			worker := worker[T]{t: t, rec: rec.of(w), plan: plan, at: w * (len(plan) / o.Workers), every: every, stop: &stop}
			if pace != nil {
				ops.Add(worker.open(pace))
			} else {
				ops.Add(worker.closed())
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(start)
	runtime.ReadMemStats(&after)

	s := &Sample{Ops: ops.Load(), Elapsed: elapsed}
	s.Latencies, s.Errors = rec.sum()
	if pace != nil && ctx.Err() == nil {
		s.Late = pace.late(&s.Latencies, plan)
	}
	if s.Ops > 0 {
		s.Allocs = float64(after.Mallocs-before.Mallocs) / float64(s.Ops)
		s.Bytes = float64(after.TotalAlloc-before.TotalAlloc) / float64(s.Ops)
	}
	return s
}

// A worker does operations, one after the other.
type worker[T any] struct {
	t     *Target[T]
	rec   *shard
	plan  []workload.Op
	at    int
	every int
	stop  *atomic.Bool
}

// next returns the next operation of the plan.
func (w *worker[T]) next() *workload.Op {
	op := &w.plan[w.at&(len(w.plan)-1)]
	w.at++
	return op
}

// Caller returns a function that does the next operation of a plan.
func (t *Target[T]) Caller(w workload.Workload, seed uint64) func() error {
	caller := worker[T]{t: t, plan: w.Plan(seed, t.initial, len(t.keys))}
	return func() error { return caller.do(context.Background(), caller.next()) }
}

// closed starts the next operation when the last is done, and returns their
// number: at least one, so that a short run on a busy machine measures something.
func (w *worker[T]) closed() int64 {
	ctx := context.Background()
	var n int64
	for until := 0; n == 0 || !w.stop.Load(); until-- {
		op := w.next()
		n++
		if until > 0 {
			w.count(w.do(ctx, op))
			continue
		}
		until = w.every
		start := time.Now()
		err := w.do(ctx, op)
		w.rec.latency(op.Kind, time.Since(start))
		w.count(err)
	}
	return n
}

func (w *worker[T]) count(err error) {
	if err != nil && !errors.Is(err, system.ErrAbsent) { // an absent value is an answer
		w.rec.failed(errorKind(err))
	}
}

// do does one operation.
func (w *worker[T]) do(ctx context.Context, op *workload.Op) error {
	switch op.Kind {
	case workload.Insert:
		return w.t.insert(ctx)
	case workload.Life:
		return w.t.life(ctx, int(op.Value))
	}
	s := w.t.choose(op.Session)
	key, value := w.t.keys[op.Key], w.t.pool[int(op.Value)%len(w.t.pool)]
	switch op.Kind {
	case workload.Get:
		_, err := s.Get(ctx, key)
		return err
	case workload.Set:
		return s.Set(ctx, key, value)
	case workload.Has:
		_, err := s.Has(ctx, key)
		return err
	case workload.Delete:
		return s.Delete(ctx, key)
	default:
		return update(ctx, s, key, value)
	}
}

// choose returns a session. For workload D the number counts back from the newest.
func (t *Target[T]) choose(n int32) system.Session[T] {
	i := int(n)
	if count := int(t.count.Load()); count > t.initial {
		i = min(count, len(t.sessions)) - 1 - i
	}
	if s := t.sessions[i].Load(); s != nil {
		return *s
	}
	return *t.sessions[0].Load() // the newest is not in its place yet
}

func update[T any](ctx context.Context, s system.Session[T], key string, value T) error {
	if u, ok := s.(system.Updater[T]); ok {
		return u.Update(ctx, key, func(T) T { return value })
	}
	if _, err := s.Get(ctx, key); err != nil && !errors.Is(err, system.ErrAbsent) {
		return err
	}
	return s.Set(ctx, key, value)
}

const readsPerLife = 10

// life is a client that connects, works and leaves: its session is created, every
// key written once more, ten values read, and the session destroyed.
func (t *Target[T]) life(ctx context.Context, n int) error {
	s, err := t.create(ctx, n)
	if err != nil {
		return err
	}
	for i, k := range t.keys {
		if err = s.Set(ctx, k, t.pool[(n+i+1)%len(t.pool)]); err != nil {
			break
		}
	}
	for i := 0; i < readsPerLife && err == nil; i++ {
		_, err = s.Get(ctx, t.keys[i%len(t.keys)])
	}
	return errors.Join(err, s.Destroy(ctx))
}
