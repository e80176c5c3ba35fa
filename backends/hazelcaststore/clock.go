package hazelcaststore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sessionkv/store/internal/median"
)

const (
	// calibration is good for so long: clocks that drift apart by 100 parts in a
	// million are then 30 ms apart. It is redone in the background before.
	calibrationLife = 5 * time.Minute
	calibrationAge  = time.Minute

	// freshness is how old a calibration may be that a session is removed by.
	freshness = time.Second

	// askedClocks is the number of keys the time of whose members time is found out to the millisecond.
	askedClocks = 3
)

// ErrClocks: the clocks of the members differ by more than two seconds, so that nobody
// can say which sessions have outlived their leases. Keep the members' clocks in step,
// by NTP for instance.
//
// [New] fails with it. A Backend that runs already goes by the median of the members' clocks where
// most of them agree. Where it must not go by time, it fails with this error.
var ErrClocks = errors.New("the clocks of the Hazelcast members differ; keep them in step, by NTP for instance")

// A clock tells the time of the cluster. Deadlines are written on it, so that
// processes whose own clocks are wrong agree about them. Between calibrations
// only the monotonic clock of this process is used.
type clock struct {
	origin time.Time
	bounds atomic.Pointer[bounds]
	due    atomic.Bool   // the cluster has changed since the calibration
	busy   chan struct{} // holds a value while somebody calibrates
	asked  sync.Mutex    // held by the one that calibrates in the background
}

// bounds say that at the clock's origin it was between lo and hi on the cluster,
// in nanoseconds since 1970.
type bounds struct {
	lo, hi   int64
	at       time.Time // when this was begun to be found out
	disputed error     // nil, or an ErrClocks: some member has another time
}

// now returns the earliest and the latest time that it can be on the cluster, in
// milliseconds since 1970. Deadlines are counted from the latest and judged by
// the earliest, so that no session ends before its lease.
func (c *clock) now() (earliest, latest int64) {
	b := c.bounds.Load()
	gone := time.Since(c.origin).Nanoseconds()
	return (b.lo + gone) / 1e6, (b.hi+gone)/1e6 + 1
}

// age returns how long ago the clock was calibrated. The monotonic clock stops while the machine
// sleeps; the wall clock tells then.
func (c *clock) age() time.Duration {
	b := c.bounds.Load()
	if b == nil {
		return calibrationLife
	}
	now := time.Now()
	age, wall := now.Sub(b.at), now.Round(0).Sub(b.at.Round(0))
	if d := wall - age; d > time.Second || d < -time.Second {
		return calibrationLife
	}
	return age
}

// keepTime sees to it that the clock is calibrated. It hardly ever waits. Where the calibration is
// too old to go by, for instance because the machine slept, it does, and fails without a new one.
func (b *Backend) keepTime(ctx context.Context) error {
	switch age := b.clock.age(); {
	case age < calibrationAge && !b.clock.due.Load():
		return nil
	case age < calibrationLife:
		if !b.clock.asked.TryLock() {
			return nil
		}
		if b.begin() != nil {
			b.clock.asked.Unlock()
			return nil
		}
		go func() {
			defer b.calls.Done()
			defer b.clock.asked.Unlock()
			_ = b.recalibrate(b.limited(), calibrationAge) // otherwise the next call that finds it old tries
		}()
		return nil
	}
	_, err := await(b, ctx, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, b.recalibrate(ctx, calibrationLife)
	})
	return err
}

// recalibrate returns when the last calibration was begun less than most ago. Of those who need
// that at the same time one does it, and the others wait.
func (b *Backend) recalibrate(ctx context.Context, most time.Duration) error {
	select {
	case b.clock.busy <- struct{}{}:
		defer func() { <-b.clock.busy }()
	case <-ctx.Done():
		return b.describe(b.mapName(), ctx.Err())
	}
	if b.clock.age() < most && !b.clock.due.Load() {
		return nil
	}
	for n := 1; ; n++ {
		err := b.calibrate(ctx)
		if err == nil || errors.Is(err, ErrClocks) || errors.Is(err, ErrMapConfig) || b.final(err) || !pause(ctx, n, failurePause, failurePauseMost) {
			return b.describe(b.mapName(), err)
		}
	}
}

// judge makes sure that the time is exact enough to remove a session by it. It was found out just
// now, and the members agree about it.
func (b *Backend) judge(ctx context.Context) error {
	if b.clock.age() >= freshness {
		if err := b.recalibrate(ctx, freshness); err != nil {
			return err
		}
	}
	return b.clock.bounds.Load().disputed
}

// calibrate surveys the cluster and then finds the time of some members by bisection.
func (b *Backend) calibrate(ctx context.Context) error {
	begun := time.Now()
	n := surveySome
	if b.clock.due.Swap(false) {
		n = surveyAll
	}
	s, err := b.survey(ctx, n)
	if err == nil && s.apart > entrySlack {
		s, err = b.survey(ctx, surveyDispute)
	}
	if err != nil {
		b.clock.due.Store(true)
		return err
	}
	b.configured(s)
	if s.config != nil && b.clock.bounds.Load() == nil {
		return s.config
	}
	next := &bounds{at: begun}
	if s.apart > entrySlack {
		next.disputed = fmt.Errorf("%w: they are more than %v apart", ErrClocks, s.apart.Round(time.Second))
		if !s.majority {
			return next.disputed
		}
	}
	var lows, highs []int64
	var mu sync.Mutex
	var wg sync.WaitGroup
	asked := askedClocks
	for _, i := range rand.Perm(len(s.findings)) {
		f := s.findings[i]
		if f.hi == 0 || max(f.lo-s.hi, s.lo-f.hi) > int64(entrySlack) {
			continue
		}
		wg.Go(func() {
			lo, hi, e := b.bisect(ctx, f)
			mu.Lock()
			defer mu.Unlock()
			if err = errors.Join(err, e); e == nil {
				lows, highs = append(lows, lo), append(highs, hi)
			}
		})
		if asked--; asked == 0 {
			break
		}
	}
	wg.Wait()
	if err != nil {
		return err
	}
	if len(lows) == 0 {
		return errNoTime
	}
	next.lo, next.hi = median.Of(lows), median.Of(highs)
	b.clock.bounds.Store(next)
	return nil
}

// bisect finds the time of the member that f is about. A member keeps the time at which an entry
// expires rounded down to seconds. It rounds after it has added the time to live, which is in
// milliseconds. So by its fraction, the time to live asks in which part of a second the member is.
func (b *Backend) bisect(ctx context.Context, f finding) (lo, hi int64, err error) {
	const second, ms = int64(time.Second), int64(time.Millisecond)
	mark := []byte{0}
	defer func() { _, _ = b.grid.RemoveIfSame(b.attempt(ctx, 2), f.key, mark) }() // otherwise it expires
	lo, hi = f.lo, f.hi
	seen := false
	for range 16 {
		middle := (lo + hi) / 2
		ahead := (middle + time.Since(b.clock.origin).Nanoseconds()) % second
		ttl := probeTTL + time.Duration((second-ahead)/ms*ms)
		t0 := time.Since(b.clock.origin).Nanoseconds()
		if err := b.grid.SetWithTTL(b.attempt(ctx, 2), f.key, mark, ttl); err != nil {
			return 0, 0, err
		}
		t1 := time.Since(b.clock.origin).Nanoseconds()
		view, err := b.grid.GetEntryView(b.attempt(ctx, 2), f.key)
		if err != nil {
			return 0, 0, err
		}
		if view == nil {
			continue
		}
		set := view.ExpirationTime*ms - int64(ttl) // at the earliest
		low, high := set-t1, set+second-t0
		if low >= hi || high <= lo { // the member's clock was moved
			lo, hi = low, high
		} else {
			lo, hi = max(lo, low), min(hi, high)
		}
		seen = true
		if hi-lo <= 2*ms+2*(t1-t0) {
			break
		}
	}
	if !seen {
		return 0, 0, errNoTime
	}
	return lo, hi, nil
}

// configured takes over what a survey found out about the map's configuration. A member that joined
// with another one makes entries without an end. No session is begun then, and after each write the
// entry is told how long to stay.
func (b *Backend) configured(s *survey) {
	if s.config != nil {
		b.misconfiguration.Store(&s.config)
		b.setDefaultTTL(0)
		return
	}
	b.misconfiguration.Store(nil)
	b.setDefaultTTL(s.defaultTTL)
}
