package goals

import (
	"context"
	"os"
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

func TestHazelcastGoals(t *testing.T) {
	c := testserver.SharedHazelcast(t)
	url := "hazelcast://" + c.Addrs[0] + "/" + c.ClusterName + "?namespace=ttl-goals"
	if n := len(collect(t, Options{Hazelcast: url}, hazelcast)); n != 2 {
		t.Errorf("%d goals, want 2", n)
	}
}

func TestGoalsWithoutServersSayWhatToDo(t *testing.T) {
	for _, measure := range []func(context.Context, Options, func(report.Goal)) error{redis, redisDelayed, renewal, hazelcast} {
		for _, g := range collect(t, Options{}, measure) {
			if !strings.Contains(g.Skipped, "-store") {
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
