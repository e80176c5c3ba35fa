package goals

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/bench/internal/address"
	"github.com/sessionkv/store/bench/internal/report"
)

const (
	burstCallers = 10_000
	burstStall   = 5 * time.Second // how long the server answers nobody
	burstTimeout = 5 * time.Second // of dialling, reading and writing, of both clients
	burstRounds  = 3

	burstWait   = 1.2  // the longest wait beside go-redis
	burstMemory = 2048 // bytes for each caller
)

// burst has 10 000 callers without a deadline write at once to a server that stalls,
// and measures how long the last of them waits and what they take meanwhile. CLIENT
// PAUSE stalls it, for all of its clients.
func burst(ctx context.Context, o Options, add func(report.Goal)) (err error) {
	waits := fmt.Sprintf("Redis, a burst of %d callers on a server that stalls for %v: longest wait for a fenced typed Set beside go-redis HSET", burstCallers, burstStall)
	bytes := "Redis, the same burst: memory that a call takes, its growth of the stack included, beside 2048 bytes"
	if o.Redis == "" || !address.Single(o.Redis) {
		for _, text := range []string{waits, bytes} {
			add(report.Goal{Goal: text, Skipped: "give -store redis://host:port to measure it"})
		}
		return nil
	}
	client := func() (*goredis.Client, error) {
		opts, err := address.Redis(o.Redis)
		if err != nil {
			return nil, err
		}
		opts.DialTimeout, opts.ReadTimeout, opts.WriteTimeout = burstTimeout, burstTimeout, burstTimeout
		return goredis.NewClient(opts), nil
	}
	mine, err := client()
	if err != nil {
		return err
	}
	defer mine.Close()
	theirs, err := client()
	if err != nil {
		return err
	}
	defer theirs.Close()
	admin, err := client()
	if err != nil {
		return err
	}
	defer admin.Close()

	o.Say("Redis: creating sessions for a burst")
	backend, err := redisstore.New(mine, &redisstore.Options{Namespace: "bench"})
	if err != nil {
		return err
	}
	defer backend.Close()
	ss, err := store.New(backend, &store.Options{Lease: 10 * time.Minute})
	if err != nil {
		return err
	}
	defer func() {
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, ss.Close(cleanup))
	}()
	const sessions = 1000
	handles := make([]*store.Session, sessions)
	names := make([]string, sessions)
	for i := range handles {
		if handles[i], err = ss.Create(ctx, store.NewID()); err != nil {
			return err
		}
		names[i] = "raw:" + store.NewID()
		if err := theirs.HSet(ctx, names[i], "userId", "u-42").Err(); err != nil {
			return err
		}
		if err := theirs.Expire(ctx, names[i], 10*time.Minute).Err(); err != nil {
			return err
		}
	}
	defer theirs.Del(context.WithoutCancel(ctx), names...)

	background := context.WithoutCancel(ctx) // no deadline
	ours := func(i int) error { return userID.Set(background, handles[i%sessions], "u-42-abcdef") }
	raw := func(i int) error {
		return theirs.HSet(background, names[i%sessions], "userId", "u-42-abcdef").Err()
	}
	var ratios, took, rival, memory, rivalMemory, failed, rivalFailed []float64
	for round := range min(max(o.Repeat, 1), burstRounds) {
		o.Say(fmt.Sprintf("Redis: burst %d", round+1))
		var a, b stalled
		for _, first := range []bool{round%2 == 0, round%2 != 0} {
			if first {
				a, err = stall(ctx, admin, ours)
			} else {
				b, err = stall(ctx, admin, raw)
			}
			if err != nil {
				return err
			}
		}
		ratios = append(ratios, a.longest.Seconds()/b.longest.Seconds())
		took, rival = append(took, a.longest.Seconds()), append(rival, b.longest.Seconds())
		memory, rivalMemory = append(memory, a.bytes), append(rivalMemory, b.bytes)
		failed, rivalFailed = append(failed, float64(a.failed)), append(rivalFailed, float64(b.failed))
	}
	add(atMost(waits, report.Median(ratios), burstWait, "%.2f s beside %.2f s; %.0f and %.0f callers failed",
		report.Median(took), report.Median(rival), report.Median(failed), report.Median(rivalFailed)))
	add(atMost(bytes, report.Median(memory)/burstMemory, 1, "%.0f bytes (go-redis %.0f)", report.Median(memory), report.Median(rivalMemory)))
	return nil
}

// stalled is what became of a burst.
type stalled struct {
	longest time.Duration
	bytes   float64 // of memory for each caller while the server stalled
	failed  int
}

// stall lets all callers call at once while the server answers nobody.
func stall(ctx context.Context, admin *goredis.Client, call func(i int) error) (s stalled, err error) {
	var (
		ready, over sync.WaitGroup
		start       = make(chan struct{})
		took        = make([]time.Duration, burstCallers)
		errs        = make([]error, burstCallers)
	)
	for i := range burstCallers {
		ready.Add(1)
		over.Go(func() {
			ready.Done()
			<-start
			begun := time.Now()
			errs[i] = call(i)
			took[i] = time.Since(begun)
		})
	}
	ready.Wait()
	before := inUse()
	if err := admin.Do(ctx, "client", "pause", burstStall.Milliseconds(), "all").Err(); err != nil {
		close(start)
		over.Wait()
		return s, err
	}
	close(start)
	time.Sleep(burstStall / 5)
	s.bytes = max(0, float64(inUse()-before)/burstCallers)
	over.Wait()
	for i, t := range took {
		s.longest = max(s.longest, t)
		if errs[i] != nil {
			s.failed++
		}
	}
	// What the server still has of the burst is not the next one's.
	for deadline := time.Now().Add(time.Minute); ; {
		if err = admin.Ping(ctx).Err(); err == nil || time.Now().After(deadline) || ctx.Err() != nil {
			return s, err
		}
	}
}

// inUse is the memory of objects and stacks.
func inUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
