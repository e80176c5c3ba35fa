package drive

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/sessionkv/store/bench/internal/workload"
)

const (
	// longest is the longest latency that is told apart from longer ones.
	longest = time.Minute
	// digits is the precision of latencies. Three digits would take ten times
	// the memory, for a machine whose noise is in the second one.
	digits = 2
	// maxShards bounds the memory; beyond it workers share a histogram.
	maxShards = 64
)

// A Latencies is a histogram for each kind of operation.
type Latencies [workload.Kinds]*hdrhistogram.Histogram

// add records d, which is capped at longest.
func (l *Latencies) add(k workload.Kind, d time.Duration) {
	if l[k] == nil {
		l[k] = newHistogram()
	}
	_ = l[k].RecordValue(int64(min(max(d, 1), longest)))
}

// Merge adds what from has.
func (l *Latencies) Merge(from *Latencies) {
	for k, h := range from {
		if h == nil {
			continue
		}
		if l[k] == nil {
			l[k] = newHistogram()
		}
		l[k].Merge(h)
	}
}

// All returns one histogram over all kinds.
func (l *Latencies) All() *hdrhistogram.Histogram {
	all := newHistogram()
	for _, h := range l {
		if h != nil {
			all.Merge(h)
		}
	}
	return all
}

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, int64(longest), digits) }

// A recorder is shared by the workers of one run.
type recorder struct{ shards []shard }

type shard struct {
	mu        sync.Mutex
	latencies Latencies
	errors    map[string]int64
	_         [64]byte // keeps neighbours out of one cache line
}

func newRecorder(workers int) *recorder {
	r := &recorder{make([]shard, min(workers, maxShards))}
	for i := range r.shards {
		r.shards[i].errors = map[string]int64{}
	}
	return r
}

func (r *recorder) of(worker int) *shard { return &r.shards[worker%len(r.shards)] }

func (s *shard) latency(k workload.Kind, d time.Duration) {
	s.mu.Lock()
	s.latencies.add(k, d)
	s.mu.Unlock()
}

func (s *shard) failed(kind string) {
	s.mu.Lock()
	s.errors[kind]++
	s.mu.Unlock()
}

func (r *recorder) sum() (Latencies, map[string]int64) {
	var l Latencies
	errors := map[string]int64{}
	for i := range r.shards {
		l.Merge(&r.shards[i].latencies)
		for kind, n := range r.shards[i].errors {
			errors[kind] += n
		}
	}
	return l, errors
}
