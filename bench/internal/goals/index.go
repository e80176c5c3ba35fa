package goals

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends"
	"github.com/sessionkv/store/bench/internal/address"
	"github.com/sessionkv/store/bench/internal/cpu"
	"github.com/sessionkv/store/bench/internal/drive"
	"github.com/sessionkv/store/bench/internal/report"
)

// indexLease is the lease of the sessions whose renewals are measured, and how long that takes.
const indexLease = 30 * time.Second

// theme is a key that is not indexed.
const theme = store.Key[string]("theme")

// index measures what an index costs, beside the library without it: calls in turns on one backend, and then renewals.
func index(ctx context.Context, o Options, add func(report.Goal)) error {
	for _, on := range []struct{ name, url, needs string }{
		{"Memory", "memory:", ""}, {"Redis", o.Redis, "give -store redis://host:port to measure it"}, {"Hazelcast", o.Hazelcast, needsHazelcast},
	} {
		if on.url == "" {
			add(report.Goal{Goal: on.name + ": the cost of an index", Skipped: on.needs})
			continue
		}
		if err := indexCalls(ctx, o, add, on.name, on.url); err != nil {
			return err
		}
	}
	if o.Redis == "" || !address.Single(o.Redis) {
		add(report.Goal{Goal: "Redis: renewals of indexed sessions", Skipped: "give -store redis://host:port to measure it"})
		return nil
	}
	return indexRenewals(ctx, o, add)
}

// indexCalls lets sessions with and without an index do one call each, in turns.
func indexCalls(ctx context.Context, o Options, add func(report.Goal), name, url string) (err error) {
	o.Say(name + ": calls with and without an index")
	if name != "Memory" {
		url = address.Own(url)
	}
	backend, err := backends.Open(ctx, url)
	if err != nil {
		return err
	}
	defer backend.Close()
	var handles [2]*store.Session // with, without
	for i, indexes := range [][]store.Index{{userID.Index()}, nil} {
		ss, err := store.New(backend, &store.Options{Indexes: indexes})
		if err != nil {
			return err
		}
		defer ss.Close(context.WithoutCancel(ctx))
		if handles[i], err = ss.Create(ctx, store.NewID(), userID.To("u"), theme.To("dark")); err != nil {
			return err
		}
	}
	n := 0
	for _, call := range []struct {
		name  string
		bound float64
		do    func(s *store.Session) error
	}{
		{"a Set of the indexed key to another value", 0, func(s *store.Session) error {
			n++
			return userID.Set(ctx, s, "u-"+strconv.Itoa(n))
		}},
		{"a Set of the indexed key to the same value", 0, func(s *store.Session) error { return userID.Set(ctx, s, "u-same") }},
		{"a Set of another key", 1.05, func(s *store.Session) error { return theme.Set(ctx, s, "light") }},
		{"a Get of the indexed key", 1.05, func(s *store.Session) error { _, err := userID.Get(ctx, s); return err }},
	} {
		const batch = 16 // calls at a time, so that the clock does not count
		var took [2][]time.Duration
		start := time.Now()
		for round := 0; round < 8 || time.Since(start) < o.Duration; round++ {
			for turn := range 2 {
				i := (turn + round) % 2 // back and forth
				begin := time.Now()
				for range batch {
					if err := call.do(handles[i]); err != nil {
						return err
					}
				}
				took[i] = append(took[i], time.Since(begin)/batch)
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		with, without := median(took[0]), median(took[1])
		ratio := float64(with) / float64(without)
		goal := report.Goal{
			Goal: fmt.Sprintf("%s: %s, one caller, with an index beside without", name, call.name), Ratio: ratio, Bound: call.bound,
			Met: call.bound == 0 || ratio <= call.bound, Measured: fmt.Sprintf("%.2f ×: %v, %v", ratio, with, without),
		}
		add(goal)
	}
	return nil
}

// indexRenewals keeps 10⁵ sessions alive for a lease, first without and then with an index.
func indexRenewals(ctx context.Context, o Options, add func(report.Goal)) error {
	if _, ok := cpu.Used(); !ok {
		add(report.Goal{Goal: "Redis: renewals of indexed sessions", Skipped: "this system does not tell the CPU time of a process"})
		return nil
	}
	var cost [2]used
	for i, indexes := range [][]store.Index{nil, {userID.Index()}} {
		if err := indexRenewal(ctx, o, indexes, &cost[i]); err != nil {
			return err
		}
	}
	total := func(u used) float64 { return u.client + u.server }
	ratio := total(cost[1]) / total(cost[0])
	add(report.Goal{
		Goal: fmt.Sprintf("Redis: renewing 10⁵ leases of %v with an index beside without, client and server together", indexLease), Ratio: ratio, Bound: 1.6, Met: ratio <= 1.6,
		Measured: fmt.Sprintf("%.2f × (at most 1.6): %.2f %% of a core (client %.2f, server %.2f) beside %.2f %% (client %.2f, server %.2f)",
			ratio, total(cost[1]), cost[1].client, cost[1].server, total(cost[0]), cost[0].client, cost[0].server),
	})
	return nil
}

// indexRenewal measures the renewals of one lease in percent of a core.
func indexRenewal(ctx context.Context, o Options, indexes []store.Index, cost *used) (err error) {
	o.Say(fmt.Sprintf("Redis: creating 10⁵ sessions with %d indexes, and watching their renewals for %v", len(indexes), indexLease))
	backend, err := backends.Open(ctx, address.Own(o.Redis))
	if err != nil {
		return err
	}
	defer backend.Close()
	ss, err := store.New(backend, &store.Options{Lease: indexLease, Indexes: indexes})
	if err != nil {
		return err
	}
	defer func() {
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, ss.Close(cleanup))
	}()
	// Ten sessions for each user.
	const workers = 256
	errs := make(chan error, workers)
	for w := range workers {
		go func() {
			var err error
			for i := w; i < manySessions && err == nil && ctx.Err() == nil; i += workers {
				_, err = ss.Create(ctx, store.NewID(), userID.To("u-"+strconv.Itoa(i/10)))
			}
			errs <- err
		}()
	}
	for range workers {
		err = errors.Join(err, <-errs)
	}
	if err != nil {
		return err
	}
	meter := drive.NewServerMeter(o.Redis)
	defer meter.Close()
	// Two leases, so that every kind of renewal is among them as often as it comes.
	before, start := usage(ctx, meter), time.Now()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(2 * indexLease):
	}
	after, elapsed := usage(ctx, meter), time.Since(start)
	cost.client = 100 * (after.client - before.client) / elapsed.Seconds()
	cost.server = 100 * (after.server - before.server) / elapsed.Seconds()
	return nil
}
