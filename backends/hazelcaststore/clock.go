package hazelcaststore

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// calibration is good for so long: clocks that drift apart by 100 parts in a
	// million are then 30 ms apart. It is redone in the background before.
	calibrationLife = 5 * time.Minute
	calibrationAge  = time.Minute

	// clockTTL is the least time to live of the entry that calibration uses.
	clockTTL = 10 * time.Second
)

// A clock tells the time of the cluster. Deadlines are written on it, so that
// processes whose own clocks are wrong agree about them. Between calibrations
// only the monotonic clock of this process is used.
type clock struct {
	origin time.Time
	bounds atomic.Pointer[bounds]
	busy   sync.Mutex // held while calibrating
}

// bounds say that at the clock's origin it was between lo and hi on the cluster,
// in nanoseconds since 1970.
type bounds struct {
	lo, hi int64
	at     time.Time // when this was found out
}

// now returns the earliest and the latest time that it can be on the cluster, in
// milliseconds since 1970. Deadlines are counted from the latest and judged by
// the earliest, so that no session ends before its lease.
func (c *clock) now() (earliest, latest int64) {
	b := c.bounds.Load()
	gone := time.Since(c.origin).Nanoseconds()
	return (b.lo + gone) / 1e6, (b.hi+gone)/1e6 + 1
}

// age returns how long ago the clock was calibrated. The monotonic clock stands
// still while the machine sleeps; the wall clock tells then.
func (c *clock) age() time.Duration {
	at := c.bounds.Load().at
	now := time.Now()
	age, wall := now.Sub(at), now.Round(0).Sub(at.Round(0))
	if d := wall - age; d > time.Second || d < -time.Second {
		return calibrationLife
	}
	return age
}

// keepTime sees to it that the clock is calibrated. It hardly ever waits.
func (b *Backend) keepTime(ctx context.Context) {
	switch age := b.clock.age(); {
	case age < calibrationAge:
	case age < calibrationLife:
		if b.begin() != nil {
			return
		}
		go func() {
			defer b.calls.Done()
			b.recalibrate(b.limited())
		}()
	default:
		// On failure the old calibration has to do; the operation itself will
		// hardly fare better.
		await(b, ctx, func(ctx context.Context) (struct{}, error) {
			b.recalibrate(ctx)
			return struct{}{}, nil
		})
	}
}

func (b *Backend) recalibrate(ctx context.Context) {
	if !b.clock.busy.TryLock() {
		return
	}
	defer b.clock.busy.Unlock()
	if b.clock.age() < calibrationAge {
		return
	}
	b.calibrate(ctx)
}

// calibrate finds the cluster's time by bisection. A member keeps the time at
// which an entry expires rounded down to seconds, and rounds after it has added
// the time to live, which is in milliseconds: so by its fraction, the time to live
// asks in which part of a second the member is.
func (b *Backend) calibrate(ctx context.Context) error {
	const second, ms = int64(time.Second), int64(time.Millisecond)
	key := probeKey("clock")
	mark := []byte{0}
	defer b.grid.RemoveIfSame(ctx, key, mark) // otherwise it expires
	var lo, hi int64
	ttl := clockTTL
	for round := range 16 {
		t0 := time.Since(b.clock.origin).Nanoseconds()
		if err := b.grid.SetWithTTL(ctx, key, mark, ttl); err != nil {
			return err
		}
		t1 := time.Since(b.clock.origin).Nanoseconds()
		view, err := b.grid.GetEntryView(ctx, key)
		if err != nil {
			return err
		}
		if view == nil {
			continue
		}
		set := view.ExpirationTime*ms - int64(ttl) // at the earliest
		low, high := set-t1, set+second-t0
		if round == 0 || low >= hi || high <= lo { // the member's clock was moved
			lo, hi = low, high
		} else {
			lo, hi = max(lo, low), min(hi, high)
		}
		if hi-lo <= 2*ms+2*(t1-t0) {
			break
		}
		middle := (lo + hi) / 2
		ahead := (middle + time.Since(b.clock.origin).Nanoseconds() + (t1-t0)/2) % second
		ttl = clockTTL + time.Duration((second-ahead)/ms*ms)
	}
	b.clock.bounds.Store(&bounds{lo: lo, hi: hi, at: time.Now()})
	return nil
}

// probeKey returns a name for an entry that is no session's: escaped IDs have no
// colon.
func probeKey(what string) string {
	return ":" + what + ":" + strconv.FormatUint(rand.Uint64(), 36)
}
