package drive

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/sessionkv/store/bench/internal/workload"
)

// A pacer hands out intended starts at even distances. Because latency counts from there, an operation that had to
// wait for a stalled one shows it: the stall is not hidden by the load that it kept away ("coordinated omission").
type pacer struct {
	start, end time.Time
	interval   float64 // nanoseconds
	taken      atomic.Int64
}

// next returns the next intended start, or false when it lies at or after the end.
func (p *pacer) next() (time.Time, bool) {
	n := p.taken.Add(1) - 1
	at := p.start.Add(time.Duration(float64(n) * p.interval))
	return at, at.Before(p.end)
}

// late records the operations that should have started before the end and did
// not, with the latency that they had reached by then, and returns their number.
func (p *pacer) late(l *Latencies, plan []workload.Op) int64 {
	var n int64
	for {
		at, ok := p.next()
		if !ok {
			return n
		}
		l.add(plan[n&int64(len(plan)-1)].Kind, p.end.Sub(at))
		n++
	}
}

// open starts operations at their intended times, as far as there are workers, and returns their number.
func (w *worker[T]) open(p *pacer) int64 {
	ctx := context.Background()
	var n int64
	for !w.stop.Load() {
		at, ok := p.next()
		if !ok {
			break
		}
		time.Sleep(time.Until(at))
		op := w.next()
		n++
		err := w.do(ctx, op)
		w.rec.latency(op.Kind, time.Since(at))
		w.count(err)
	}
	return n
}
