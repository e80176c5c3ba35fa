package goals

import (
	"context"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sessionkv/store/bench/internal/delay"
	"github.com/sessionkv/store/bench/internal/report"
	"github.com/sessionkv/store/internal/testserver"
)

func TestMain(m *testing.M) {
	delay.Main()
	os.Exit(testserver.Main(m))
}

// collect runs one group of goals for a moment: what they come to does not
// matter here, only that they are measured.
func collect(t *testing.T, o Options, measure func(context.Context, Options, func(report.Goal)) error) []report.Goal {
	t.Helper()
	o.Duration, o.Repeat, o.Say = 5*time.Millisecond, 1, func(string) {}
	var all []report.Goal
	if err := measure(t.Context(), o, func(g report.Goal) { all = append(all, g) }); err != nil {
		t.Fatal(err)
	}
	for _, g := range all {
		if g.Skipped == "" && (g.Ratio <= 0 || g.Measured == "") {
			t.Errorf("%s: nothing was measured: %+v", g.Goal, g)
		}
	}
	return all
}

func TestMemoryGoals(t *testing.T) {
	if n := len(collect(t, Options{}, memory)); n != 3 {
		t.Errorf("%d goals, want 3", n)
	}
}

func TestRedisGoals(t *testing.T) {
	url := testserver.SharedRedis(t).URL
	if n := len(collect(t, Options{Redis: url}, redis)); n != 24 {
		t.Errorf("%d goals, want 24", n)
	}
}

func TestCacheGoals(t *testing.T) {
	url := testserver.SharedRedis(t).URL
	if n := len(collect(t, Options{Redis: url}, cache)); n != 4 {
		t.Errorf("%d goals, want 4", n)
	}
}

func TestBurstGoals(t *testing.T) {
	url := testserver.Redis(t, testserver.WithArgs("--loglevel", "warning")).URL // it stalls
	if n := len(collect(t, Options{Redis: url}, burst)); n != 2 {
		t.Errorf("%d goals, want 2", n)
	}
}

func TestHazelcastGoals(t *testing.T) {
	c := testserver.SharedHazelcast(t)
	url := "hazelcast://" + c.Addrs[0] + "/" + c.ClusterName + "?namespace=ttl-goals"
	if n := len(collect(t, Options{Hazelcast: url}, hazelcast)); n != 2 {
		t.Errorf("%d goals, want 2", n)
	}
}

func TestHazelcastCostGoals(t *testing.T) {
	c := testserver.SharedHazelcast(t)
	o := Options{
		Redis:     testserver.SharedRedis(t).URL,
		Hazelcast: "hazelcast://" + c.Addrs[0] + "/" + c.ClusterName + "?namespace=ttl-cost",
	}
	if n := len(collect(t, o, hazelcastCost)); n != 8 {
		t.Errorf("%d goals, want 8", n)
	}
	few := func(ctx context.Context, o Options, add func(report.Goal)) error {
		return hazelcastRenewals(ctx, o, 500, add)
	}
	if n := len(collect(t, o, few)); n != 2 {
		t.Errorf("%d goals, want 2", n)
	}
}

// The CPU time of a member is that of the process that listens.
func TestListeners(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("processes are looked up on Linux only")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got, want := listeners([]string{l.Addr().String()}), []int{os.Getpid()}; !slices.Equal(got, want) {
		t.Errorf("listeners() = %v, want %v", got, want)
	}
	l.Close()
	if got := listeners([]string{l.Addr().String(), "192.0.2.1:22"}); len(got) != 0 {
		t.Errorf("listeners() of nobody = %v, want none", got)
	}
	before := cpuOf(os.Getpid())
	for cpuOf(os.Getpid()) == before { // ends, because it takes CPU time itself
	}
}

func TestGoalsWithoutServersSayWhatToDo(t *testing.T) {
	for _, g := range groups {
		if g.name == "memory" || g.name == "many" || g.name == "footprint" {
			continue // they need none
		}
		measure := g.measure
		for _, g := range collect(t, Options{}, measure) {
			inMemory := strings.HasPrefix(g.Goal, "Memory: ") && g.Measured != ""
			if !inMemory && !strings.Contains(g.Skipped, "-store") {
				t.Errorf("%s: skipped because %q, want what to do", g.Goal, g.Skipped)
			}
		}
	}
}

func TestBounds(t *testing.T) {
	for _, c := range []struct {
		goal report.Goal
		want bool
	}{{atMost("x", 1, 1, ""), true}, {atMost("x", 1.1, 1, ""), false}, {atLeast("x", 4, 4, ""), true}, {atLeast("x", 3.9, 4, ""), false}} {
		if c.goal.Met != c.want {
			t.Errorf("%+v: met is %v, want %v", c.goal, c.goal.Met, c.want)
		}
	}
}
