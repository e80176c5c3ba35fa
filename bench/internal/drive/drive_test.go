package drive

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/bench/internal/system"
	"github.com/sessionkv/store/bench/internal/workload"
)

func TestPacerHandsOutEvenStarts(t *testing.T) {
	start := time.Now()
	p := &pacer{start: start, end: start.Add(10 * time.Millisecond), interval: float64(2 * time.Millisecond)}
	for i := range 3 {
		at, ok := p.next()
		if want := start.Add(time.Duration(i) * 2 * time.Millisecond); !ok || !at.Equal(want) {
			t.Fatalf("next() number %d = %v, %v, want %v", i, at.Sub(start), ok, want.Sub(start))
		}
	}
	// Two are left, at 6 and 8 ms: nobody was free for them.
	plan := []workload.Op{{Kind: workload.Set}, {Kind: workload.Get}}
	var l Latencies
	if n := p.late(&l, plan); n != 2 {
		t.Fatalf("late() = %d, want 2", n)
	}
	if l[workload.Set].TotalCount() != 1 || l[workload.Get].TotalCount() != 1 {
		t.Error("late() did not record an operation of each kind")
	}
	all := l.All()
	if lo, hi := all.Min(), all.Max(); lo < 19e5 || lo > 21e5 || hi < 39e5 || hi > 41e5 {
		t.Errorf("late() recorded %d to %d ns, want about 2 and 4 ms", lo, hi)
	}
}

// stalling is a session whose first operation takes long.
type stalling struct {
	system.Session[string]
	stalled bool
}

const stall = 80 * time.Millisecond

func (s *stalling) Get(context.Context, string) (string, error) {
	if !s.stalled {
		s.stalled = true
		time.Sleep(stall) // what a stalled server does
	}
	return "", nil
}

func TestOpenLoopShowsWhatAStallHolds(t *testing.T) {
	w, err := workload.ParseMix("get=100")
	if err != nil {
		t.Fatal(err)
	}
	run := func(rate float64) *Sample {
		target, err := Open[string](t.Context(), system.Spec{Name: "syncmap", URL: "memory:"}, 1, 1, []string{"x"})
		if err != nil {
			t.Fatal(err)
		}
		var s system.Session[string] = &stalling{}
		target.sessions[0].Store(&s)
		return target.Run(t.Context(), Options{Workload: w, Workers: 1, Duration: 4 * stall, Rate: rate})
	}
	// At 1000 operations a second the stall held up about 80 of 320, which
	// therefore took up to 80 ms; a closed loop would show one.
	open := run(1000)
	if p80 := time.Duration(open.Latencies.All().ValueAtPercentile(90)); p80 < stall/8 {
		t.Errorf("open loop: the 90th percentile is %v, want the stall of %v to show", p80, stall)
	}
	if total := open.Latencies.All().TotalCount(); total < 300 || total > 321 {
		t.Errorf("open loop: %d latencies for 320 intended operations", total)
	}
}

func TestEveryWorkloadRunsWithoutErrors(t *testing.T) {
	target, err := Open(t.Context(), system.Spec{Name: "store", URL: "memory:", Codec: "msgpack"}, 20, 3, workload.ClaimsPool())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "c", "d", "f", "life"} {
		w, err := workload.Named(name)
		if err != nil {
			t.Fatal(err)
		}
		s := target.Run(t.Context(), Options{Workload: w, Workers: 4, Duration: 10 * time.Millisecond})
		if s.Ops == 0 || len(s.Errors) > 0 {
			t.Errorf("workload %s: %d operations, errors %v", name, s.Ops, s.Errors)
		}
	}
	if err := target.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestErrorKinds(t *testing.T) {
	for want, err := range map[string]error{
		"outcome unknown": fmt.Errorf("x: %w", store.ErrUnknownOutcome),
		"session ended":   store.ErrDestroyed,
		"timeout":         context.DeadlineExceeded,
		"other":           errors.New("x"),
	} {
		if got := errorKind(err); got != want {
			t.Errorf("errorKind(%v) = %q, want %q", err, got, want)
		}
	}
}
