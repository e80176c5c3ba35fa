package workload

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestZipfFollowsThePowerLaw(t *testing.T) {
	const n, draws = 1000, 400_000
	z, r := NewZipf(n), rand.New(rand.NewPCG(1, 2))
	counts := make([]int, n)
	for range draws {
		k := z.Rank(r)
		if k < 0 || k >= n {
			t.Fatalf("Rank() = %d, want 0 to %d", k, n-1)
		}
		counts[k]++
	}
	share := float64(counts[0]) / draws
	if want := 1 / zeta(n); share < want*0.95 || share > want*1.05 {
		t.Errorf("rank 0 has a share of %.4f, want about %.4f", share, want)
	}
	// The approximation is exact for the first two and close over a range.
	sum := func(from, to int) (s float64) {
		for _, c := range counts[from:to] {
			s += float64(c)
		}
		return s / draws
	}
	if got, want := sum(0, 100), zeta(100)/zeta(n); got < want*0.9 || got > want*1.1 {
		t.Errorf("the first 100 ranks have a share of %.4f, want about %.4f", got, want)
	}
	if sum(0, 10) < sum(500, 510)*20 {
		t.Errorf("ranks 0-9 are not far more popular than 500-509: %.4f and %.4f", sum(0, 10), sum(500, 510))
	}
}

func TestZipfOfFew(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := 1; n <= 5; n++ {
		z := NewZipf(n)
		seen := map[int]bool{}
		for range 10_000 {
			k := z.Rank(r)
			if k < 0 || k >= n {
				t.Fatalf("NewZipf(%d).Rank() = %d", n, k)
			}
			seen[k] = true
		}
		if len(seen) != n {
			t.Errorf("NewZipf(%d) chose only %v", n, seen)
		}
	}
}

func TestScatterIsABijection(t *testing.T) {
	for _, n := range []int{1, 2, 3, 10, 1000, 4096} {
		seen := map[int]bool{}
		for rank := range n {
			seen[Scatter(rank, n)] = true
		}
		if len(seen) != n {
			t.Errorf("Scatter over %d has %d results", n, len(seen))
		}
	}
}

func TestPlanKeepsTheMix(t *testing.T) {
	for _, text := range []string{"a", "b", "c", "d", "f", "life"} {
		w, err := Named(text)
		if err != nil {
			t.Fatal(err)
		}
		checkPlan(t, w)
	}
	w, err := ParseMix("get=60, set=20,has=10,delete=5,update=5")
	if err != nil {
		t.Fatal(err)
	}
	checkPlan(t, w)
}

func checkPlan(t *testing.T, w Workload) {
	t.Helper()
	const sessions, keys = 50, 7
	plan := w.Plan(3, sessions, keys)
	var counts [Kinds]int
	for _, op := range plan {
		counts[op.Kind]++
		if op.Session < 0 || op.Session >= sessions || op.Key < 0 || op.Key >= keys || op.Value < 0 || op.Value >= poolSize {
			t.Fatalf("%s: the plan has %+v", w.Name, op)
		}
	}
	for k, p := range w.Percent {
		got := 100 * float64(counts[k]) / float64(len(plan))
		if got < float64(p)-2 || got > float64(p)+2 || (p == 0) != (got == 0) {
			t.Errorf("%s: %.1f %% of the plan are %v, want %d", w.Name, got, Kind(k), p)
		}
	}
}

func TestParseMixRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":              "cannot read",
		"get":           "cannot read",
		"fly=100":       "cannot read",
		"get=x":         "no percentage",
		"get=-5,set=95": "no percentage",
		"get=50":        "add up to 50",
		"get=90,set=90": "add up to 180",
	} {
		if _, err := ParseMix(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseMix(%q) = %v, want an error with %q", text, err, want)
		}
	}
	if _, err := Named("z"); err == nil {
		t.Error(`Named("z") = nil`)
	}
}
