package report

import (
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/sessionkv/store/bench/internal/drive"
	"github.com/sessionkv/store/bench/internal/workload"
)

// sample is a run of n operations in a second, of 1 to n microseconds.
func sample(n int64, errors map[string]int64) *drive.Sample {
	s := &drive.Sample{Ops: n, Elapsed: time.Second, Errors: errors, Allocs: 2, Bytes: 100}
	h := hdrhistogram.New(1, int64(time.Minute), 2)
	for i := range n {
		if err := h.RecordValue((i + 1) * 1000); err != nil {
			panic(err)
		}
	}
	s.Latencies[workload.Get] = h
	return s
}

func TestSummaryIsOverAllRepeats(t *testing.T) {
	c := &Case{System: "x", Workload: "c", Workers: 1, Sessions: 10}
	for _, n := range []int64{100, 300, 200} {
		c.Add(sample(n, map[string]int64{"timeout": 2}))
	}
	s := c.Summary
	if s.PerSecond != 200 || s.Spread != 0.5 || s.Allocs != 2 || s.Errors["timeout"] != 6 {
		t.Errorf("summary %+v, want a median of 200/s with a spread of 0.5 and 6 timeouts", s)
	}
	// Of the 600 operations, 300 took at most 100 µs.
	if l := s.Latency; l.Count != 600 || l.P50 < 98_000 || l.P50 > 102_000 || l.Max < 297_000 || l.Max > 303_000 {
		t.Errorf("latency %+v, want 600 with a median of 100 µs and a maximum of 300 µs", l)
	}
	if c.Add(&drive.Sample{}); len(c.Repeats) != 3 {
		t.Error("a run without operations counts as a repeat")
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		x    []float64
		want float64
	}{{nil, 0}, {[]float64{5}, 5}, {[]float64{9, 1}, 5}, {[]float64{9, 1, 2}, 2}} {
		if got := Median(c.x); got != c.want {
			t.Errorf("Median(%v) = %v, want %v", c.x, got, c.want)
		}
	}
}

func TestDuration(t *testing.T) {
	for ns, want := range map[int64]string{7: "7ns", 1500: "1.5µs", 150_000: "150µs", 1_500_000: "1.5ms", 150_000_000: "150ms", 1_500_000_000: "1.5s"} {
		if got := Duration(ns); got != want {
			t.Errorf("Duration(%d) = %q, want %q", ns, got, want)
		}
	}
}

func full() *Report {
	c := &Case{System: "store <memory:>", Workload: "c", Workers: 4, Sessions: 10, BytesPerSession: 400, ServerBytesPerSession: 70}
	c.Add(sample(100, map[string]int64{"timeout": 3}))
	return &Report{
		Command: "go run ./bench", Machine: ThisMachine(), Interrupted: true,
		Cases: []*Case{c, {System: "unmeasured", Workload: "c", Workers: 4}},
	}
}

func TestTextShowsEverything(t *testing.T) {
	var b strings.Builder
	if err := full().Text(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"3 timeout", "400+70", "not measured", "interrupted"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the text has no %q:\n%s", want, b.String())
		}
	}
}

func TestHTMLDrawsAndEscapes(t *testing.T) {
	var b strings.Builder
	if err := full().HTML(&b); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "<svg"); n != 3 {
		t.Errorf("the page has %d plots, want 3", n)
	}
	if strings.Contains(b.String(), "<memory:>") {
		t.Error("a name is in the page without escapes")
	}
	if err := (&Report{}).HTML(&b); err != nil {
		t.Errorf("HTML of an empty report: %v", err)
	}
}
