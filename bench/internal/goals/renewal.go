package goals

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends"
	"github.com/sessionkv/store/bench/internal/address"
	"github.com/sessionkv/store/bench/internal/cpu"
	"github.com/sessionkv/store/bench/internal/drive"
	"github.com/sessionkv/store/bench/internal/report"
)

// renewal keeps 10⁵ sessions alive on Redis for one default lease and counts what
// that takes of client and server, or of all primaries of a cluster.
func renewal(ctx context.Context, o Options, add func(report.Goal)) (err error) {
	text := fmt.Sprintf("Redis: renewing 10⁵ leases of %.0f s, client and server together, of one core", store.DefaultLease.Seconds())
	limit := 1.5
	if address.Cluster(o.Redis) {
		text, limit = "Redis Cluster: renewing"+strings.TrimPrefix(text, "Redis: renewing"), 2
	} else if o.Redis == "" || !address.Single(o.Redis) {
		add(report.Goal{Goal: text, Skipped: "give -store redis://host:port or redis+cluster://host:port to measure it"})
		return nil
	}
	if _, ok := cpu.Used(); !ok {
		add(report.Goal{Goal: text, Skipped: "this system does not tell the CPU time of a process"})
		return nil
	}
	o.Say("Redis: creating 10⁵ sessions to renew")
	backend, err := backends.Open(ctx, address.Own(o.Redis))
	if err != nil {
		return err
	}
	defer backend.Close()
	ss, err := store.New(backend, nil)
	if err != nil {
		return err
	}
	defer func() {
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, ss.Close(cleanup))
	}()
	if err := fill(ctx, ss, manySessions); err != nil {
		return err
	}
	meter := drive.NewServerMeter(o.Redis)
	defer meter.Close()

	o.Say(fmt.Sprintf("Redis: watching renewals for %v", store.DefaultLease))
	before, start := usage(ctx, meter), time.Now()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(store.DefaultLease):
	}
	after, elapsed := usage(ctx, meter), time.Since(start)
	client := 100 * (after.client - before.client) / elapsed.Seconds()
	server := 100 * (after.server - before.server) / elapsed.Seconds()
	commands := (after.commands - before.commands) / elapsed.Seconds()
	add(report.Goal{
		Goal: text, Ratio: client + server, Bound: limit, Met: client+server < limit,
		Measured: fmt.Sprintf("%.2f %% (less than %g %%): client %.2f %%, server %.2f %%, %.0f commands/s", client+server, limit, client, server, commands),
	})
	return nil
}

func fill(ctx context.Context, ss *store.Sessions, n int) error {
	const workers = 256
	var wg sync.WaitGroup
	errs := make([]error, workers)
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n && errs[w] == nil && ctx.Err() == nil; i += workers {
				_, errs[w] = ss.Create(ctx, store.NewID(), userID.To("u-42-abcdef"))
			}
		})
	}
	wg.Wait()
	return errors.Join(append(errs, ctx.Err())...)
}

// used is CPU seconds and commands since the processes began.
type used struct{ client, server, commands float64 }

func usage(ctx context.Context, m drive.ServerMeter) used {
	client, _ := cpu.Used()
	return used{
		client:   client.Seconds(),
		server:   m.Info(ctx, "cpu", "used_cpu_sys") + m.Info(ctx, "cpu", "used_cpu_user"),
		commands: m.Info(ctx, "stats", "total_commands_processed"),
	}
}
