// Package goals measures the performance goals of the library, each beside the
// thing that it is compared with, in turns in the same run.
package goals

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/sessionkv/store/bench/internal/address"
	"github.com/sessionkv/store/bench/internal/drive"
	"github.com/sessionkv/store/bench/internal/report"
)

// Options say what is there to measure on and how long.
type Options struct {
	Redis, Hazelcast string        // URLs, "" for none
	FurtherRedis     []string      // URLs of more servers, for the groups that are about Redis
	Duration         time.Duration // of a run on a server
	Repeat           int           // runs
	Say              func(string)  // told what is going on
	Only             []string      // of [Groups]; none for all
}

// A group is goals that are measured together.
type group struct {
	name    string
	measure func(context.Context, Options, func(report.Goal)) error
	redis   bool // about Redis: for each server
}

var groups = []group{
	{"memory", memory, false},
	{"many", many, false},
	{"footprint", footprint, false},
	{"redis", redis, true},
	{"cache", cache, true},
	{"delayed", redisDelayed, true},
	{"burst", burst, true},
	{"renewal", renewal, true},
	{"index", index, false},
	{"hazelcast", hazelcast, false},
	{"hazelcast-cost", hazelcastCost, false},
	{"hazelcast-renewal", hazelcastRenewal, false},
}

// Groups returns the names for [Options].Only.
func Groups() (names []string) {
	for _, g := range groups {
		names = append(names, g.name)
	}
	return names
}

// All measures the goals and hands each to add as soon as it is known.
func All(ctx context.Context, o Options, add func(report.Goal)) error {
	for _, g := range groups {
		if len(o.Only) > 0 && !slices.Contains(o.Only, g.name) {
			continue
		}
		if g.redis && len(o.FurtherRedis) > 0 {
			if err := g.everywhere(ctx, o, add); err != nil {
				return err
			}
		} else if err := g.measure(ctx, o, add); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// everywhere measures the group on each Redis server, and names that where the texts say "Redis".
func (g group) everywhere(ctx context.Context, o Options, add func(report.Goal)) error {
	say := o.Say
	for _, url := range append([]string{o.Redis}, o.FurtherRedis...) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		name := serverName(ctx, url)
		named := func(text string) string { return strings.Replace(text, "Redis", name, 1) }
		o.Redis, o.Say = url, func(text string) { say(named(text)) }
		err := g.measure(ctx, o, func(goal report.Goal) {
			goal.Goal = named(strings.Replace(goal.Goal, "Redis Cluster", "Redis", 1))
			add(goal)
		})
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// serverName returns what a server calls itself, with its version.
func serverName(ctx context.Context, url string) string {
	m := drive.NewServerMeter(url)
	defer m.Close()
	name := "Redis"
	for _, field := range []struct{ name, title string }{{"dragonfly_version", "Dragonfly"}, {"valkey_version", "Valkey"}, {"redis_version", "Redis"}} {
		if version := m.Text(ctx, "server", field.name); version != "" {
			name = field.title + " " + version
			break
		}
	}
	if address.Cluster(url) {
		name += " Cluster"
	}
	return name
}

// atMost is a goal whose ratio must not exceed bound.
func atMost(text string, ratio, bound float64, format string, args ...any) report.Goal {
	return report.Goal{
		Goal: text, Ratio: ratio, Bound: bound, Met: ratio <= bound,
		Measured: fmt.Sprintf("%.2f × (at most %g): ", ratio, bound) + fmt.Sprintf(format, args...),
	}
}

// atLeast is a goal whose ratio must reach bound.
func atLeast(text string, ratio, bound float64, format string, args ...any) report.Goal {
	return report.Goal{
		Goal: text, Ratio: ratio, Bound: bound, Met: ratio >= bound,
		Measured: fmt.Sprintf("%.2f × (at least %g): ", ratio, bound) + fmt.Sprintf(format, args...),
	}
}

// A pair is two loops that alternate. Each does n operations.
type pair struct{ ours, theirs func(n int) }

// A duel is the outcome of a pair.
type duel struct {
	ratio        float64 // the median over the rounds of ours to theirs
	ours, theirs float64 // median nanoseconds per operation
	allocs       float64 // of ours, per operation
}

const (
	duelRounds = 81
	duelTime   = 4 * time.Millisecond // of each loop in a round
)

// fight runs the loops in turns. Who goes first changes from round to round.
func (p pair) fight() duel {
	n := 1000
	for {
		start := time.Now()
		p.theirs(n)
		if time.Since(start) > duelTime {
			break
		}
		n *= 2
	}
	p.ours(n)
	var ours, theirs, ratios []float64
	time1 := func(f func(int)) float64 {
		start := time.Now()
		f(n)
		return float64(time.Since(start).Nanoseconds()) / float64(n)
	}
	runtime.GC()
	for round := range duelRounds {
		var a, b float64
		if round%2 == 0 {
			a, b = time1(p.ours), time1(p.theirs)
		} else {
			b, a = time1(p.theirs), time1(p.ours)
		}
		ours, theirs, ratios = append(ours, a), append(theirs, b), append(ratios, a/b)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	p.ours(n)
	runtime.ReadMemStats(&after)
	return duel{report.Median(ratios), report.Median(ours), report.Median(theirs), float64((after.Mallocs - before.Mallocs) / uint64(n))}
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}
