package goals

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/sessionkv/store/bench/internal/address"
	"github.com/sessionkv/store/bench/internal/drive"
	"github.com/sessionkv/store/bench/internal/report"
	"github.com/sessionkv/store/bench/internal/system"
	"github.com/sessionkv/store/bench/internal/workload"
)

// cacheBound is what reads through the client-side cache are held to, as a multiple of
// rueidis' cache.
const cacheBound = 2

// cache measures YCSB B and C with claims through the client-side cache, beside that of rueidis.
func cache(ctx context.Context, o Options, add func(report.Goal)) (err error) {
	if o.Redis == "" || !address.Single(o.Redis) {
		add(report.Goal{Goal: "Redis: reads through the client-side cache beside rueidis", Skipped: "give -store redis://host:port to measure it"})
		return nil
	}
	cached, err := withCache(o.Redis)
	if err != nil {
		return err
	}
	o.Say("Redis with a cache: creating sessions")
	var targets []*drive.Target[workload.Claims]
	defer func() {
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		for _, t := range targets {
			err = errors.Join(err, t.Close(cleanup))
		}
	}()
	for _, spec := range []system.Spec{{Name: "store", URL: cached, Codec: "msgpack"}, {Name: "rueidis-cache", URL: o.Redis}} {
		t, err := drive.Open(ctx, spec, 1000, 3, workload.ClaimsPool())
		if err != nil {
			return err
		}
		targets = append(targets, t)
	}
	for _, name := range []string{"b", "c"} {
		w, err := workload.Named(name)
		if err != nil {
			return err
		}
		for _, n := range []int{16, 256} {
			o.Say(fmt.Sprintf("Redis with a cache: YCSB %s, %d callers", name, n))
			var rates [2][]float64
			var ratios []float64
			for round := range o.Repeat {
				var rate [2]float64
				for k := range targets {
					i := (k + round) % len(targets)
					s := targets[i].Run(ctx, drive.Options{Workload: w, Workers: n, Duration: o.Duration, Seed: uint64(round)})
					if err := ctx.Err(); err != nil {
						return err
					}
					if len(s.Errors) > 0 {
						return fmt.Errorf("%s failed with errors of the kinds %v", targets[i].Spec, s.Errors)
					}
					rate[i] = s.PerSecond()
					rates[i] = append(rates[i], rate[i])
				}
				ratios = append(ratios, rate[0]/rate[1])
			}
			add(atLeast(fmt.Sprintf("Redis, %d callers: YCSB %s with claims through the cache beside rueidis' cache", n, name), report.Median(ratios), cacheBound,
				"%.1fk/s beside %.1fk/s", report.Median(rates[0])/1000, report.Median(rates[1])/1000))
		}
	}
	return nil
}

// withCache returns the URL of a backend with a cache.
func withCache(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", err
	}
	q := u.Query()
	q.Set("cache", "on")
	u.RawQuery = q.Encode()
	return u.String(), nil
}
