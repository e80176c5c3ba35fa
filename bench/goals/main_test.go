// Package goals has the performance goals of the library, each measured beside the thing that it is compared with, in turns in
// the same run:
//
//	go test -v -timeout 3h ./goals -args -measure
//	go test -v -timeout 3h -run 'Test(Redis|Renewal)$' ./goals -args -measure -redis redis://127.0.0.1:6379 -redis redis+cluster://127.0.0.1:7000
//
// Without -measure everything is measured for a moment only, and only that it was is checked.
package goals

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends"
	"github.com/sessionkv/store/bench/internal/address"
	"github.com/sessionkv/store/bench/internal/delay"
	"github.com/sessionkv/store/bench/internal/drive"
	"github.com/sessionkv/store/bench/internal/report"
	"github.com/sessionkv/store/bench/internal/system"
	"github.com/sessionkv/store/internal/testserver"
)

var (
	measure      = flag.Bool("measure", false, "measure at full size; a goal that is missed fails")
	duration     = flag.Duration("duration", 500*time.Millisecond, "of a run at full size")
	repeat       = flag.Int("repeat", 5, "runs at full size")
	hazelcastURL = flag.String("hazelcast", "", "`URL` of a Hazelcast cluster (default: one of the test's own)")
	redisURLs    []string
)

func TestMain(m *testing.M) {
	delay.Main()
	goredis.SetLogger(quiet{})
	flag.Func("redis", "`URL` of a Redis server or cluster; may be repeated (default: one of the test's own)", func(url string) error {
		redisURLs = append(redisURLs, url)
		return nil
	})
	flag.Parse()
	if !*measure {
		*duration, *repeat = 5*time.Millisecond, 1
	}
	code := testserver.Main(m)
	if *measure {
		w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintf(w, "\ngoal\tmeasured\tmet\n%s\n", strings.Join(table, "\n"))
		w.Flush()
	}
	os.Exit(code)
}

// quiet keeps the Redis client from logging: what matters comes back as an error.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

// full returns at where everything is measured at full size, and moment elsewhere.
func full[T any](at, moment T) T {
	if *measure {
		return at
	}
	return moment
}

// table has a line for each goal that was measured.
var table []string

// A bound is what a goal holds a figure to; the zero bound is no goal.
type bound struct {
	word  string
	value float64
	unit  string
}

func atMost(value float64, unit string) bound  { return bound{"at most", value, unit} }
func atLeast(value float64, unit string) bound { return bound{"at least", value, unit} }

// check reports what was measured, and in which figures that shows.
func (b bound) check(t *testing.T, goal string, value float64, figures string, args ...any) {
	t.Helper()
	t.Run(goal, func(t *testing.T) {
		measured, verdict := fmt.Sprintf("%.2f", value), "met"
		if value >= 100 {
			measured = fmt.Sprintf("%.0f", value)
		}
		missed := b.word == "at most" && !(value <= b.value) || b.word == "at least" && !(value >= b.value)
		if b.word == "" {
			measured, verdict = measured+" × (no goal)", "-"
		} else {
			measured += fmt.Sprintf(" %s (%s %g)", b.unit, b.word, b.value)
		}
		if missed {
			verdict = "MISSED"
		}
		if figures != "" {
			measured += ": " + fmt.Sprintf(figures, args...)
		}
		t.Logf("%s: %s: %s", goal, measured, verdict)
		table = append(table, goal+"\t"+measured+"\t"+verdict)
		if !(value > 0) && b != allocationFree || math.IsInf(value, 0) {
			t.Errorf("%v was measured, want a figure above zero", value)
		}
		if missed && *measure {
			t.Error("the goal is missed")
		}
	})
}

var allocationFree = atMost(0, "allocations")

// check ends the test where err is not nil.
func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// later calls end when the test is over, and fails it where end does.
func later(t *testing.T, end func(context.Context) error) {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		if err := end(ctx); err != nil {
			t.Error(err)
		}
	})
}

// everyRedis calls f with each Redis server, and what it calls itself with its version.
func everyRedis(t *testing.T, f func(t *testing.T, name, url string)) {
	for _, url := range redisServers(t) {
		m := drive.NewServerMeter(url)
		name := "Redis"
		for _, title := range []string{"Dragonfly", "Valkey", "Redis"} {
			if version := m.Text(t.Context(), "server", strings.ToLower(title)+"_version"); version != "" {
				name = title + " " + version
				break
			}
		}
		m.Close()
		if address.Cluster(url) {
			name += " Cluster"
		}
		t.Run(name, func(t *testing.T) { f(t, name, url) })
	}
}

func redisServers(t *testing.T) []string {
	if len(redisURLs) > 0 {
		return redisURLs
	}
	return []string{testserver.SharedRedis(t).URL}
}

// single skips what a cluster is not compared in.
func single(t *testing.T, url string) {
	if !address.Single(url) {
		t.Skip("this is measured on a single server, without TLS")
	}
}

func hazelcast(t *testing.T) string {
	if *hazelcastURL != "" {
		return *hazelcastURL
	}
	var c *testserver.HazelcastCluster
	if *measure { // needs more memory than the tests' member has
		c = testserver.Hazelcast(t, 1, testserver.WithMap(testserver.MapsWithTTL, time.Hour, 0), testserver.WithJVMFlags("-Xmx1500m"))
	} else {
		c = testserver.SharedHazelcast(t)
	}
	return "hazelcast://" + c.Addrs[0] + "/" + c.ClusterName + "?namespace=ttl-goals"
}

// open opens the store at url; its sessions end with the test.
func open(t *testing.T, url string, o *store.Options) *store.Sessions {
	backend, err := backends.Open(t.Context(), address.Own(url))
	check(t, err)
	later(t, func(context.Context) error { return backend.Close() })
	ss, err := store.New(backend, o)
	check(t, err)
	later(t, ss.Close)
	return ss
}

// fill creates n sessions, several at once.
func fill(t *testing.T, ss *store.Sessions, n int, value func(i int) store.Change) {
	check(t, drive.Each(t.Context(), n, 256, func(i int) error {
		_, err := ss.Create(t.Context(), store.NewID(), value(i))
		return err
	}))
}

// targets opens systems with sessions of three keys.
func targets[T any](t *testing.T, sessions int, pool []T, specs ...system.Spec) (all []*drive.Target[T]) {
	for _, spec := range specs {
		target, err := drive.Open(t.Context(), spec, sessions, 3, pool)
		check(t, err)
		later(t, target.Close)
		all = append(all, target)
	}
	return all
}

// turns lets calls take turns, back and forth, n times each, and returns the nanoseconds of a call in each round.
func turns(t *testing.T, d time.Duration, n int, calls ...func(n int) error) [][]float64 {
	took := make([][]float64, len(calls))
	for round, start := 0, time.Now(); round < 5 || time.Since(start) < d; round++ {
		for k := range calls {
			if round%2 == 1 {
				k = len(calls) - 1 - k
			}
			begin := time.Now()
			err := calls[k](n)
			took[k] = append(took[k], float64(time.Since(begin))/float64(n))
			check(t, errors.Join(err, t.Context().Err()))
		}
	}
	return took
}

// again makes one call into n.
func again(call func() error) func(n int) error {
	return func(n int) error {
		for range n {
			if err := call(); err != nil {
				return err
			}
		}
		return nil
	}
}

// ratio is the median over the rounds of a to b.
func ratio(a, b []float64) float64 {
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = a[i] / b[i]
	}
	return report.Median(ratios)
}

// took writes the median of nanoseconds.
func took(ns []float64) string { return report.Duration(int64(report.Median(ns))) }
