package goals

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sessionkv/store/bench/internal/address"
	"github.com/sessionkv/store/bench/internal/delay"
	"github.com/sessionkv/store/bench/internal/drive"
	"github.com/sessionkv/store/bench/internal/report"
	"github.com/sessionkv/store/bench/internal/system"
	"github.com/sessionkv/store/bench/internal/workload"
)

// callers are the numbers of concurrent callers that are measured.
var callers = []int{1, 16, 256, 2048}

// networkDelay is the round trip of the delayed goals.
const networkDelay = time.Millisecond

// bounds are what throughput is held to, as multiples of the rival's; zero for no
// goal. p99 is a multiple of go-redis' latency.
type bounds struct{ goredis, rueidis, p99 float64 }

var loopbackBounds = map[string]map[int]bounds{
	"get": {1: {goredis: 0.9}, 256: {goredis: 4, rueidis: 1.5, p99: 0.5}, 2048: {goredis: 4}},
	"set": {1: {goredis: 0.8}, 256: {goredis: 3, rueidis: 1.2, p99: 0.5}, 2048: {goredis: 4}},
}

var delayedBounds = map[string]map[int]bounds{
	"get": {16: {goredis: 1}, 256: {goredis: 8}},
	"set": {16: {goredis: 1}, 256: {goredis: 8}},
}

func redis(ctx context.Context, o Options, add func(report.Goal)) error {
	return redisGoals(ctx, o, add, 0, loopbackBounds)
}

func redisDelayed(ctx context.Context, o Options, add func(report.Goal)) error {
	return redisGoals(ctx, o, add, networkDelay, delayedBounds)
}

func redisGoals(ctx context.Context, o Options, add func(report.Goal), lag time.Duration, limits map[string]map[int]bounds) (err error) {
	where := "Redis"
	if lag > 0 {
		where += fmt.Sprintf(" with %v of network delay", lag)
	}
	if o.Redis == "" || !address.Single(o.Redis) {
		add(report.Goal{Goal: where + ": typed Get and Set beside go-redis and rueidis", Skipped: "give -store redis://host:port to measure it"})
		return nil
	}
	proxies := delay.NewPool(lag)
	defer proxies.Close()
	url, err := proxies.URL(o.Redis)
	if err != nil {
		return err
	}
	o.Say(where + ": creating sessions")
	var targets []*drive.Target[string]
	defer func() {
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		for _, t := range targets {
			err = errors.Join(err, t.Close(cleanup))
		}
	}()
	for _, spec := range []system.Spec{{Name: "store", URL: url, Codec: "msgpack"}, {Name: "goredis", URL: url}, {Name: "rueidis", URL: url}} {
		t, err := drive.Open(ctx, spec, 2048, 3, workload.StringPool([]int{16}))
		if err != nil {
			return err
		}
		targets = append(targets, t)
	}
	for _, n := range callers {
		for _, op := range []string{"get", "set"} {
			o.Say(fmt.Sprintf("%s: %s, %d callers", where, op, n))
			if err := redisDuel(ctx, o, add, where, op, n, targets, limits[op][n]); err != nil {
				return err
			}
		}
	}
	return nil
}

// turnsPerRun is how often the clients take turns within the time of one run: what
// disturbs the machine for a moment then decides nothing.
const turnsPerRun = 5

// longTurn is the least time of a turn for each caller, so that most of a turn is
// not its begin and end. A run is never exceeded.
const longTurn = 100 * time.Microsecond

// redisDuel measures one operation with n callers and adds its goals.
func redisDuel(ctx context.Context, o Options, add func(report.Goal), where, op string, n int, targets []*drive.Target[string], b bounds) error {
	w, err := workload.ParseMix(op + "=100")
	if err != nil {
		return err
	}
	w.Choice = workload.Uniform
	rates, p99s := make([][]float64, len(targets)), make([][]float64, len(targets))
	var toGoRedis, toRueidis, p99 []float64
	turn := min(o.Duration, max(o.Duration/turnsPerRun, time.Duration(n)*longTurn))
	for round := range o.Repeat * int((o.Duration+turn-1)/turn) {
		for k := range targets {
			i := (k + round) % len(targets)
			s := targets[i].Run(ctx, drive.Options{Workload: w, Workers: n, Duration: turn, Seed: uint64(round)})
			if err := ctx.Err(); err != nil {
				return err
			}
			if len(s.Errors) > 0 {
				return fmt.Errorf("%s failed with errors of the kinds %v", targets[i].Spec, s.Errors)
			}
			rates[i] = append(rates[i], s.PerSecond())
			p99s[i] = append(p99s[i], float64(s.Latencies.All().ValueAtPercentile(99)))
		}
		toGoRedis = append(toGoRedis, rates[0][round]/rates[1][round])
		toRueidis = append(toRueidis, rates[0][round]/rates[2][round])
		p99 = append(p99, p99s[0][round]/p99s[1][round])
	}
	name := map[string]string{"get": "typed Get", "set": "fenced typed Set"}[op]
	text := func(rival string) string { return fmt.Sprintf("%s, %d callers: %s beside %s", where, n, name, rival) }
	per := func(i int) float64 { return report.Median(rates[i]) / 1000 }
	both := func(i int) string { return fmt.Sprintf("%.1fk/s beside %.1fk/s", per(0), per(i)) }
	command := map[string]string{"get": "HGET", "set": "HSET"}[op]
	addBounded(add, text("go-redis "+command), report.Median(toGoRedis), b.goredis, both(1))
	addBounded(add, text("rueidis "+command), report.Median(toRueidis), b.rueidis, both(2))
	times := fmt.Sprintf("%s beside %s (rueidis %s)", report.Duration(int64(report.Median(p99s[0]))), report.Duration(int64(report.Median(p99s[1]))), report.Duration(int64(report.Median(p99s[2]))))
	if b.p99 > 0 {
		add(atMost(text("go-redis "+command)+", p99", report.Median(p99), b.p99, "%s", times))
	} else {
		addBounded(add, text("go-redis "+command)+", p99", report.Median(p99), 0, times)
	}
	return nil
}

// addBounded adds a goal, or where there is no bound the figure alone.
func addBounded(add func(report.Goal), text string, ratio, bound float64, measured string) {
	if bound > 0 {
		add(atLeast(text, ratio, bound, "%s", measured))
		return
	}
	add(report.Goal{Goal: text, Ratio: ratio, Measured: fmt.Sprintf("%.2f × (no goal): %s", ratio, measured), Met: true})
}
