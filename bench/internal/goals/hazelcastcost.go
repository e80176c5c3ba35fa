package goals

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends"
	"github.com/sessionkv/store/bench/internal/address"
	"github.com/sessionkv/store/bench/internal/report"
)

const (
	needsHazelcast = "give -store hazelcast://host:port/cluster to measure it"
	needsBoth      = "give -store hazelcast://host:port/cluster and -store redis://host:port to measure it"

	// loadedKeys is the number of keys of one Load, and manyLoaded that of one which
	// shows how it grows.
	loadedKeys = 1024
	manyLoaded = 4 * loadedKeys

	// blindWriters is how many processes write to one session.
	blindWriters = 8
)

// documentSizes are those of sessions that a small value is written to; the first is
// what the others are compared with.
var documentSizes = []int{1 << 10, 64, 8 << 10, 16 << 10, 45 << 10, 64 << 10}

// opened is a backend with its sessions.
type opened struct {
	backend store.Backend
	*store.Sessions
}

// openOwn opens the store at raw for the tool's own sessions.
func openOwn(ctx context.Context, raw string, o *store.Options) (*opened, error) {
	b, err := backends.Open(ctx, address.Own(raw))
	if err != nil {
		return nil, err
	}
	ss, err := store.New(b, o)
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return &opened{b, ss}, nil
}

// close destroys the sessions, whether or not ctx has ended.
func (o *opened) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
	defer cancel()
	return errors.Join(o.Sessions.Close(ctx), o.backend.Close())
}

// hazelcastCost measures what operations on Hazelcast cost that move more than a small
// document, or meet others.
func hazelcastCost(ctx context.Context, o Options, add func(report.Goal)) error {
	for _, measure := range []func(context.Context, Options, func(report.Goal)) error{bySize, loads, blind} {
		if err := measure(ctx, o, add); err != nil {
			return err
		}
	}
	return nil
}

// bySize writes a small value into documents of several sizes, in turns.
func bySize(ctx context.Context, o Options, add func(report.Goal)) (err error) {
	text := func(size int) string {
		return fmt.Sprintf("Hazelcast: Set in a session of %s beside one of 1 KB", byteSize(size))
	}
	if o.Hazelcast == "" {
		for _, size := range documentSizes[1:] {
			add(report.Goal{Goal: text(size), Skipped: needsHazelcast})
		}
		return nil
	}
	o.Say("Hazelcast: writes by the size of the session")
	ss, err := openOwn(ctx, o.Hazelcast, &store.Options{Lease: 10 * time.Minute})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ss.close(ctx)) }()
	sessions := make([]*store.Session, len(documentSizes))
	for i, size := range documentSizes {
		sessions[i], err = ss.Create(ctx, store.NewID(), userID.To("u-42-abcdef"), store.Key[[]byte]("filler").To(make([]byte, size)))
		if err != nil {
			return err
		}
	}
	times := make([][]time.Duration, len(sessions))
	names := []string{"u-42-abcdef", "u-43-abcdef"}
	for round, start := 0, time.Now(); round < 5 || time.Since(start) < 4*o.Duration; round++ {
		for i, s := range sessions {
			begin := time.Now()
			if err := errors.Join(userID.Set(ctx, s, names[round&1]), ctx.Err()); err != nil {
				return err
			}
			times[i] = append(times[i], time.Since(begin))
		}
	}
	one := median(times[0])
	for i, size := range documentSizes[1:] {
		t := median(times[i+1])
		add(atMost(text(size), float64(t)/float64(one), 3, "%s beside %s", report.Duration(int64(t)), report.Duration(int64(one))))
	}
	return nil
}

func byteSize(n int) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%d KB", n>>10)
}

// loads loads many keys at once from Hazelcast and from Redis, in turns.
func loads(ctx context.Context, o Options, add func(report.Goal)) (err error) {
	beside := fmt.Sprintf("Hazelcast: Load of %d keys beside Redis", loadedKeys)
	growth := fmt.Sprintf("Hazelcast: Load of %d keys beside four of %d", manyLoaded, loadedKeys)
	if o.Hazelcast == "" || o.Redis == "" {
		add(report.Goal{Goal: beside, Skipped: needsBoth})
		add(report.Goal{Goal: growth, Skipped: needsBoth})
		return nil
	}
	o.Say("Hazelcast: Load of many keys")
	options := &store.Options{Lease: 10 * time.Minute, Limits: store.Limits{Keys: -1}}
	var load [3]func() error
	for i, c := range []struct {
		url string
		n   int
	}{{o.Redis, loadedKeys}, {o.Hazelcast, loadedKeys}, {o.Hazelcast, manyLoaded}} {
		ss, err := openOwn(ctx, c.url, options)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, ss.close(ctx)) }()
		values, into := make([]store.Change, c.n), make([]store.Target, c.n)
		got := make([]string, c.n)
		for k := range c.n {
			key := store.Key[string](fmt.Sprintf("key-%04d", k))
			values[k], into[k] = key.To(fmt.Sprintf("value-%06d", k)), key.Into(&got[k])
		}
		s, err := ss.Create(ctx, store.NewID(), values...)
		if err != nil {
			return err
		}
		load[i] = func() error { return store.Load(ctx, s, into...) }
	}
	var times [3][]time.Duration
	for round, start := 0, time.Now(); round < 5 || time.Since(start) < 4*o.Duration; round++ {
		for i := range load {
			begin := time.Now()
			if err := errors.Join(load[i](), ctx.Err()); err != nil {
				return err
			}
			times[i] = append(times[i], time.Since(begin))
		}
	}
	redis, one, four := median(times[0]), median(times[1]), median(times[2])
	add(atMost(beside, float64(one)/float64(redis), 2, "%s beside %s", report.Duration(int64(one)), report.Duration(int64(redis))))
	add(atMost(growth, float64(four)/float64(4*one), 1.5, "%s beside %s", report.Duration(int64(four)), report.Duration(4*int64(one))))
	return nil
}

// blind writes to one session through several clients at once, as fast as they can.
func blind(ctx context.Context, o Options, add func(report.Goal)) (err error) {
	text := fmt.Sprintf("Hazelcast: Sets of %d clients in one session, a second", blindWriters)
	if o.Hazelcast == "" {
		add(report.Goal{Goal: text, Skipped: needsHazelcast})
		return nil
	}
	o.Say("Hazelcast: several clients write to one session")
	id := store.NewID()
	var sessions []*store.Session
	for i := range blindWriters {
		ss, err := openOwn(ctx, o.Hazelcast, &store.Options{Lease: 10 * time.Minute})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, ss.close(ctx)) }()
		s, err := ss.Attach(ctx, id)
		if i == 0 {
			s, err = ss.Create(ctx, id, userID.To("u-42-abcdef"))
		}
		if err != nil {
			return err
		}
		sessions = append(sessions, s)
	}
	var rates, lone []float64
	for range max(o.Repeat, 1) {
		for _, m := range []struct {
			writers []*store.Session
			rates   *[]float64
		}{{sessions[:1], &lone}, {sessions, &rates}} {
			rate, err := writeBlindly(ctx, m.writers, 2*o.Duration)
			if err != nil {
				return err
			}
			*m.rates = append(*m.rates, rate)
		}
	}
	slices.Sort(lone)
	slices.Sort(rates)
	const bound = 4000
	rate := rates[len(rates)/2]
	add(report.Goal{
		Goal: text, Ratio: rate, Bound: bound, Met: rate >= bound,
		// Each write rests on the one before, so that one session is a chain of round trips.
		Measured: fmt.Sprintf("%.0f (at least %d), at best %.0f; one client alone %.0f", rate, bound, rates[len(rates)-1], lone[len(lone)/2]),
	})
	return nil
}

// writeBlindly writes through all handles at once for d, and returns how many writes that
// were a second.
func writeBlindly(ctx context.Context, handles []*store.Session, d time.Duration) (rate float64, err error) {
	var (
		wg   sync.WaitGroup
		done atomic.Int64
		errs = make([]error, len(handles))
	)
	start := time.Now()
	for i, s := range handles {
		wg.Go(func() {
			for time.Since(start) < d && errs[i] == nil {
				errs[i] = errors.Join(userID.Set(ctx, s, "u-43-abcdef"), ctx.Err())
				done.Add(1)
			}
		})
	}
	wg.Wait()
	return float64(done.Load()) / time.Since(start).Seconds(), errors.Join(errs...)
}
