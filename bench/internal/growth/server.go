package growth

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends"
	"github.com/sessionkv/store/bench/internal/address"
	"github.com/sessionkv/store/bench/internal/cpu"
	"github.com/sessionkv/store/bench/internal/drive"
	"github.com/sessionkv/store/bench/internal/report"
	"github.com/sessionkv/store/internal/heap"
)

// ServerSizes returns the numbers of sessions that are measured on a server.
func ServerSizes() []int { return []int{10_000, 100_000, 1_000_000} }

const (
	serverKeys = 3
	callers    = 256
	pipelined  = 1000 // plain hashes in one pipeline
)

// MeasureServer measures n sessions of three small keys on a Redis server, beside plain hashes with the same fields, names
// of the same length and an expiry. Renewals are watched for half a lease, within which each session is renewed once.
func MeasureServer(ctx context.Context, url string, n int, lease time.Duration) (g report.ServerGrowth, err error) {
	g = report.ServerGrowth{Server: address.Redact(url), Sessions: n, Keys: serverKeys}
	meter := drive.NewServerMeter(url)
	defer meter.Close()
	empty := meter.Info(ctx, "memory", "used_memory")
	if g.PlainBytes, g.PlainPerSecond, err = plain(ctx, url, n, func() float64 { return (meter.Info(ctx, "memory", "used_memory") - empty) / float64(n) }); err != nil {
		return g, err
	}

	before := heap.Live()
	backend, err := backends.Open(ctx, address.Own(url))
	if err != nil {
		return g, err
	}
	defer backend.Close()
	ss, err := store.New(backend, &store.Options{Lease: lease})
	if err != nil {
		return g, err
	}
	closed := false
	defer func() {
		if !closed {
			err = errors.Join(err, ss.Close(context.WithoutCancel(ctx)))
		}
	}()
	begin := time.Now()
	err = each(ctx, n, callers, func(i int) error {
		_, err := ss.Create(ctx, store.NewID(), changes(i)...)
		return err
	})
	if err != nil {
		return g, err
	}
	g.CreatePerSecond = float64(n) / time.Since(begin).Seconds()
	g.Bytes = (meter.Info(ctx, "memory", "used_memory") - empty) / float64(n)
	if after := heap.Live(); after > before {
		g.ClientBytes = float64(after-before) / float64(n)
	}

	client, _ := cpu.Used()
	server := serverCPU(ctx, meter)
	begin = time.Now()
	select {
	case <-ctx.Done():
		return g, ctx.Err()
	case <-time.After(lease / 2):
	}
	elapsed := time.Since(begin).Seconds()
	now, _ := cpu.Used()
	g.RenewClient = 100 * (now - client).Seconds() / elapsed
	g.RenewServer = 100 * (serverCPU(ctx, meter) - server) / elapsed

	begin = time.Now()
	closed = true
	if err := ss.Close(ctx); err != nil {
		return g, err
	}
	g.ClosePerSecond = float64(n) / time.Since(begin).Seconds()
	return g, nil
}

func serverCPU(ctx context.Context, m drive.ServerMeter) float64 {
	return m.Info(ctx, "cpu", "used_cpu_sys") + m.Info(ctx, "cpu", "used_cpu_user")
}

// changes are the values of session i.
func changes(i int) []store.Change {
	all := make([]store.Change, serverKeys)
	for k := range all {
		all[k] = store.Key[string](fmt.Sprintf("key%03d", k)).To(values[(i+k)%len(values)])
	}
	return all
}

// plain writes n hashes with an expiry, and says what weigh returns while they are there and how many it wrote in a second.
func plain(ctx context.Context, url string, n int, weigh func() float64) (bytes, perSecond float64, err error) {
	o, err := address.Redis(url)
	if err != nil {
		return 0, 0, err
	}
	client := redis.NewClient(o)
	defer client.Close()
	names := make([]string, n)
	for i := range names {
		names[i] = address.Namespace + ":" + store.NewID()
	}
	pipelines := (n + pipelined - 1) / pipelined
	pipeline := func(ctx context.Context, command func(p redis.Pipeliner, i int)) error {
		return each(ctx, pipelines, 4, func(at int) error {
			p := client.Pipeline()
			for i := at * pipelined; i < min(n, (at+1)*pipelined); i++ {
				command(p, i)
			}
			_, err := p.Exec(ctx)
			return err
		})
	}
	defer func() {
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, pipeline(cleanup, func(p redis.Pipeliner, i int) { p.Del(cleanup, names[i]) }))
	}()
	begin := time.Now()
	err = pipeline(ctx, func(p redis.Pipeliner, i int) {
		fields := make([]any, 0, 2*serverKeys)
		for k := range serverKeys {
			fields = append(fields, fmt.Sprintf("key%03d", k), values[(i+k)%len(values)])
		}
		p.HSet(ctx, names[i], fields...)
		p.Expire(ctx, names[i], time.Hour)
	})
	return weigh(), float64(n) / time.Since(begin).Seconds(), err
}

// each calls f for all numbers below n, from several goroutines.
func each(ctx context.Context, n, workers int, f func(i int) error) error {
	var wg sync.WaitGroup
	errs := make([]error, workers)
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n && errs[w] == nil && ctx.Err() == nil; i += workers {
				errs[w] = f(i)
			}
		})
	}
	wg.Wait()
	return errors.Join(append(errs, ctx.Err())...)
}
