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
// goal, see also setBound. p99 is a multiple of go-redis' latency.
type bounds struct{ goredis, rueidis, p99 float64 }

var loopbackBounds = map[string]map[int]bounds{
	"get": {1: {goredis: 0.9}, 256: {goredis: 4, rueidis: 1.5, p99: 0.5}, 2048: {goredis: 4}},
	"set": {1: {goredis: 0.8}, 256: {goredis: 3, p99: 0.5}, 2048: {goredis: 4}},
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
	if o.Redis == "" || !address.Single(o.Redis) && (lag > 0 || !address.Cluster(o.Redis)) {
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
	bound := setBound(ctx, o.Redis)
	for _, n := range callers {
		for _, op := range []string{"get", "set"} {
			o.Say(fmt.Sprintf("%s: %s, %d callers", where, op, n))
			limit := limits[op][n]
			if op == "set" && n > 1 {
				limit.rueidis = bound
			}
			if err := redisDuel(ctx, o, add, where, op, n, targets, limit); err != nil {
				return err
			}
		}
	}
	return nil
}

// setBound is what a fenced Set of many callers is held to, as a multiple of rueidis' HSET: more where the server takes
// native writes.
func setBound(ctx context.Context, url string) float64 {
	m := drive.NewServerMeter(url)
	defer m.Close()
	if m.Has(ctx, "hsetex") {
		return 1.1
	}
	return 1
}

// redisDuel measures one operation with n callers and adds its goals.
func redisDuel(ctx context.Context, o Options, add func(report.Goal), where, op string, n int, targets []*drive.Target[string], b bounds) error {
	w, err := workload.ParseMix(op + "=100")
	if err != nil {
		return err
	}
	w.Choice = workload.Uniform
	var d redisFigures
	if n == 1 {
		err = d.alone(ctx, o, w, targets)
	} else {
		err = d.together(ctx, o, w, n, targets)
	}
	if err != nil {
		return err
	}
	d.report(add, where, op, n, b)
	return nil
}

// redisFigures are of this library, go-redis and rueidis, in this order; one of
// each for every round.
type redisFigures struct {
	rates, p99s               [3][]float64
	toGoRedis, toRueidis, p99 []float64
}

// add adds a round.
func (d *redisFigures) add(rates, p99s [3]float64) {
	for i := range rates {
		d.rates[i], d.p99s[i] = append(d.rates[i], rates[i]), append(d.p99s[i], p99s[i])
	}
	d.toGoRedis = append(d.toGoRedis, rates[0]/rates[1])
	d.toRueidis = append(d.toRueidis, rates[0]/rates[2])
	d.p99 = append(d.p99, p99s[0]/p99s[1])
}

// alone measures one caller, who calls each client in turn. The rate is what the
// quickest 95 of 100 calls would make.
func (d *redisFigures) alone(ctx context.Context, o Options, w workload.Workload, targets []*drive.Target[string]) error {
	for round := range o.Repeat {
		took, err := drive.Turns(ctx, targets, w, o.Duration*time.Duration(len(targets)), uint64(round))
		if err != nil {
			return err
		}
		var rates, p99s [3]float64
		for i, t := range took {
			quick, sum := max(1, len(t)*95/100), time.Duration(0)
			for _, d := range t[:quick] {
				sum += d
			}
			rates[i], p99s[i] = float64(quick)/sum.Seconds(), float64(t[len(t)*99/100])
		}
		d.add(rates, p99s)
	}
	return nil
}

// turnsPerRun is how often the clients take turns within the time of one run: what
// disturbs the machine for a moment then decides nothing.
const turnsPerRun = 5

// longTurn is the least time of a turn for each caller, so that most of a turn is
// not its begin and end. A run is never exceeded.
const longTurn = 100 * time.Microsecond

// together measures n callers of each client, the clients one after the other.
func (d *redisFigures) together(ctx context.Context, o Options, w workload.Workload, n int, targets []*drive.Target[string]) error {
	turn := min(o.Duration, max(o.Duration/turnsPerRun, time.Duration(n)*longTurn))
	for round := range o.Repeat * int((o.Duration+turn-1)/turn) {
		var rates, p99s [3]float64
		for k := range targets {
			i := (k + round) % len(targets)
			s := targets[i].Run(ctx, drive.Options{Workload: w, Workers: n, Duration: turn, Seed: uint64(round)})
			if err := ctx.Err(); err != nil {
				return err
			}
			if len(s.Errors) > 0 {
				return fmt.Errorf("%s failed with errors of the kinds %v", targets[i].Spec, s.Errors)
			}
			rates[i], p99s[i] = s.PerSecond(), float64(s.Latencies.All().ValueAtPercentile(99))
		}
		d.add(rates, p99s)
	}
	return nil
}

// report adds the goals and what has no goal.
func (d *redisFigures) report(add func(report.Goal), where, op string, n int, b bounds) {
	name := map[string]string{"get": "typed Get", "set": "fenced typed Set"}[op]
	text := func(rival string) string {
		if n == 1 {
			return fmt.Sprintf("%s, 1 caller: %s beside %s", where, name, rival)
		}
		return fmt.Sprintf("%s, %d callers: %s beside %s", where, n, name, rival)
	}
	per := func(i int) float64 { return report.Median(d.rates[i]) / 1000 }
	both := func(i int) string { return fmt.Sprintf("%.1fk/s beside %.1fk/s", per(0), per(i)) }
	command := map[string]string{"get": "HGET", "set": "HSET"}[op]
	addBounded(add, text("go-redis "+command), report.Median(d.toGoRedis), b.goredis, both(1))
	addBounded(add, text("rueidis "+command), report.Median(d.toRueidis), b.rueidis, both(2))
	times := fmt.Sprintf("%s beside %s (rueidis %s)", report.Duration(int64(report.Median(d.p99s[0]))), report.Duration(int64(report.Median(d.p99s[1]))), report.Duration(int64(report.Median(d.p99s[2]))))
	if b.p99 > 0 {
		add(atMost(text("go-redis "+command)+", p99", report.Median(d.p99), b.p99, "%s", times))
	} else {
		addBounded(add, text("go-redis "+command)+", p99", report.Median(d.p99), 0, times)
	}
}

// addBounded adds a goal, or where there is no bound the figure alone.
func addBounded(add func(report.Goal), text string, ratio, bound float64, measured string) {
	if bound > 0 {
		add(atLeast(text, ratio, bound, "%s", measured))
		return
	}
	add(report.Goal{Goal: text, Ratio: ratio, Measured: fmt.Sprintf("%.2f × (no goal): %s", ratio, measured), Met: true})
}
