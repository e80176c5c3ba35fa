// Package report turns measurements into tables, JSON and a page with plots.
package report

import (
	"os"
	"regexp"
	"runtime"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/sessionkv/store/bench/internal/drive"
	"github.com/sessionkv/store/bench/internal/workload"
)

// A Case is one thing that was measured, with all its repeats.
type Case struct {
	System   string        `json:"system"`
	Workload string        `json:"workload"`
	Value    string        `json:"value"`
	Workers  int           `json:"workers"`
	Rate     float64       `json:"rate,omitempty"` // operations per second asked for; zero: as many as possible
	Sessions int           `json:"sessions"`
	Keys     int           `json:"keys"`
	Duration time.Duration `json:"duration_ns"` // of each repeat

	BytesPerSession       float64 `json:"bytes_per_session"`
	ServerBytesPerSession float64 `json:"server_bytes_per_session,omitempty"`

	Repeats []Repeat `json:"repeats"`
	Summary Summary  `json:"summary"`

	latencies drive.Latencies
}

// A Repeat is one run of a case.
type Repeat struct {
	PerSecond float64          `json:"ops_per_second"`
	Ops       int64            `json:"ops"`
	Late      int64            `json:"late,omitempty"`
	Allocs    float64          `json:"allocs_per_op"`
	Bytes     float64          `json:"bytes_per_op"`
	Errors    map[string]int64 `json:"errors,omitempty"`
}

// A Summary is over all repeats: medians, and latencies of all of them together.
type Summary struct {
	PerSecond float64 `json:"ops_per_second"`
	// Spread is half the distance from the slowest to the fastest repeat, as a part of the median.
	Spread  float64            `json:"spread"`
	Allocs  float64            `json:"allocs_per_op"`
	Bytes   float64            `json:"bytes_per_op"`
	Late    int64              `json:"late,omitempty"`
	Errors  map[string]int64   `json:"errors,omitempty"`
	Latency Latency            `json:"latency_ns"`
	Kinds   map[string]Latency `json:"latency_ns_by_operation"`
	Curve   []Point            `json:"latency_curve"`
}

// A Latency has percentiles in nanoseconds.
type Latency struct {
	Count int64 `json:"count"`
	P50   int64 `json:"p50"`
	P95   int64 `json:"p95"`
	P99   int64 `json:"p99"`
	P999  int64 `json:"p99_9"`
	Max   int64 `json:"max"`
}

// A Point of a latency curve: this part of the operations took at most so long.
type Point struct {
	Percentile  float64 `json:"percentile"`
	Nanoseconds int64   `json:"ns"`
}

// Add adds a repeat and updates the summary.
func (c *Case) Add(s *drive.Sample) {
	if s.Ops == 0 {
		return
	}
	c.Repeats = append(c.Repeats, Repeat{s.PerSecond(), s.Ops, s.Late, s.Allocs, s.Bytes, s.Errors})
	c.latencies.Merge(&s.Latencies)
	c.summarize()
}

func (c *Case) summarize() {
	sum := &c.Summary
	*sum = Summary{Errors: map[string]int64{}, Kinds: map[string]Latency{}}
	var rates, allocs, bytes []float64
	for _, r := range c.Repeats {
		rates, allocs, bytes = append(rates, r.PerSecond), append(allocs, r.Allocs), append(bytes, r.Bytes)
		sum.Late += r.Late
		for kind, n := range r.Errors {
			sum.Errors[kind] += n
		}
	}
	sum.PerSecond, sum.Allocs, sum.Bytes = Median(rates), Median(allocs), Median(bytes)
	sum.Spread = (slices.Max(rates) - slices.Min(rates)) / 2 / sum.PerSecond
	all := c.latencies.All()
	sum.Latency = latency(all)
	for kind, h := range c.latencies {
		if h != nil {
			sum.Kinds[workload.Kind(kind).String()] = latency(h)
		}
	}
	for _, b := range all.CumulativeDistributionWithTicks(5) {
		if b.Quantile <= 99.9999 {
			sum.Curve = append(sum.Curve, Point{b.Quantile, b.ValueAt})
		}
	}
}

// Median returns the median of x, the mean of the middle two for an even number.
func Median(x []float64) float64 {
	if len(x) == 0 {
		return 0
	}
	x = slices.Sorted(slices.Values(x))
	m := len(x) / 2
	if len(x)%2 == 1 {
		return x[m]
	}
	return (x[m-1] + x[m]) / 2
}

// A Machine says where it was measured.
type Machine struct {
	Go   string `json:"go"`
	OS   string `json:"os"`
	Arch string `json:"arch"`
	CPUs int    `json:"cpus"`
	CPU  string `json:"cpu,omitempty"`
}

// ThisMachine describes the machine.
func ThisMachine() Machine {
	return Machine{runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), cpuName()}
}

// A Report is all of one run.
type Report struct {
	Time        time.Time `json:"time"`
	Command     string    `json:"command"`
	Machine     Machine   `json:"machine"`
	Interrupted bool      `json:"interrupted,omitempty"`
	Cases       []*Case   `json:"cases,omitempty"`
}

func latency(h *hdrhistogram.Histogram) Latency {
	p := h.ValueAtPercentilesSlice([]float64{50, 95, 99, 99.9})
	return Latency{h.TotalCount(), p[0], p[1], p[2], p[3], h.Max()}
}

// cpuName is the processor's name where Linux tells it.
func cpuName() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	if name := regexp.MustCompile(`(?m)^model name\s*: (.*)$`).FindSubmatch(text); name != nil {
		return string(name[1])
	}
	return ""
}
