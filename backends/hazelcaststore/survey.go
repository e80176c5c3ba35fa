package hazelcaststore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hazelcast/hazelcast-go-client/types"
	"github.com/sessionkv/store/internal/median"
)

const (
	// A survey asks about random keys, which the members share evenly, because the client does not
	// tell who holds what. The first survey, and the next after a member has joined, misses one of
	// ten members with a probability of 10⁻⁵. The others are repeated every minute. To tell who is
	// right when members disagree takes more. Of three members the one that is wrong holds half of
	// so many keys with a probability of 10⁻⁶.
	surveyAll     = 128
	surveySome    = 32
	surveyDispute = 192

	// surveyors is how many probes are in progress at once.
	surveyors = 16

	// probeTTL is the least time to live of an entry that serves as a probe.
	probeTTL = 10 * time.Second
)

// probeKey returns a name for an entry that is not a session's: escaped IDs have no
// colon.
func probeKey(what string) string {
	return ":" + what + ":" + strconv.FormatUint(rand.Uint64(), 36)
}

// A finding is what a probe finds out about the member that has its partition.
type finding struct {
	key        string
	defaultTTL time.Duration // of entries that are replaced
	lo, hi     int64         // what the clock of the cluster may have been, in nanoseconds since 1970, at the origin of ours
	err        error
}

// A survey is what all probes together found out.
type survey struct {
	findings   []finding
	defaultTTL time.Duration // the shortest
	config     error         // what is wrong with the map's configuration on some member
	lo, hi     int64         // the median of the findings
	apart      time.Duration // how far the clocks differ at least, beyond what findings leave open
	majority   bool          // more than half of the findings agree with the median
}

// errNoTime is a calibration that has seen nothing.
var errNoTime = errors.New("hazelcaststore: the members did not tell the time; see that they do not evict entries of the map")

// survey asks the members that hold n random keys how they keep entries of the map and
// what time it is.
func (b *Backend) survey(ctx context.Context, n int) (*survey, error) {
	s := &survey{findings: make([]finding, n), defaultTTL: maxLease}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(surveyors, n) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				s.findings[i] = b.probe(ctx, probeKey("probe"))
			}
		})
	}
	wg.Wait()
	var lows, highs []int64
	for _, f := range s.findings {
		switch {
		case errors.Is(f.err, ErrMapConfig):
			s.config = f.err
		case f.err != nil:
			return nil, f.err
		}
		s.defaultTTL = min(s.defaultTTL, f.defaultTTL)
		if f.hi != 0 {
			lows, highs = append(lows, f.lo), append(highs, f.hi)
		}
	}
	if len(lows) == 0 {
		if s.config != nil {
			return s, nil
		}
		return nil, errNoTime
	}
	s.lo, s.hi = median.Of(lows), median.Of(highs)
	agree := 0
	for _, f := range s.findings {
		if f.hi == 0 {
			continue
		}
		gap := max(f.lo-s.hi, s.lo-f.hi, 0)
		s.apart = max(s.apart, time.Duration(gap))
		if time.Duration(gap) <= entrySlack {
			agree++
		}
	}
	s.majority = 2*agree > len(lows)
	return s, nil
}

// probe looks at one member by way of an entry that lives for a moment.
func (b *Backend) probe(ctx context.Context, key string) (f finding) {
	f = finding{key: key}
	before, after := []byte{0}, []byte{1}
	defer func() {
		if f.err != nil && b.ctx.Err() != nil { // Close has ended the calls, also that which removes
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), firstAttempt)
			defer cancel()
			_, _ = b.grid.RemoveIfSame(ctx, key, after) // otherwise it expires
			_, _ = b.grid.RemoveIfSame(ctx, key, before)
		}
	}()
	if _, f.err = b.grid.PutIfAbsentWithTTL(b.attempt(ctx, 2), key, before, probeTTL); f.err != nil {
		return f
	}
	t0 := time.Since(b.clock.origin).Nanoseconds()
	same, err := b.grid.ReplaceIfSame(b.attempt(ctx, 2), key, before, after)
	t1 := time.Since(b.clock.origin).Nanoseconds()
	if err == nil && !same {
		_, _ = b.grid.RemoveIfSame(b.attempt(ctx, 2), key, before)
		f.err = b.misconfigured("the map does not compare values by their bytes",
			"<in-memory-format>BINARY</in-memory-format>", "in-memory-format: BINARY")
		return f
	}
	var view *types.SimpleEntryView
	if err == nil {
		view, err = b.grid.GetEntryView(b.attempt(ctx, 2), key)
	}
	gone, removing := b.grid.RemoveIfSame(b.attempt(ctx, 2), key, after)
	if err = errors.Join(err, removing); err != nil {
		f.err = err
		return f
	}
	if view == nil || !gone {
		f.err = b.misconfigured("an entry vanished within a moment", ttlXML, ttlYAML)
		return f
	}
	switch ttl := view.TTL; {
	case ttl <= 0 || ttl == math.MaxInt64:
		f.err = b.misconfigured("entries have no default time to live, so sessions whose owner dies would stay for ever", ttlXML, ttlYAML)
		return f
	case time.Duration(ttl)*time.Millisecond < minDefaultTTL:
		f.err = b.misconfigured(fmt.Sprintf("the default time to live is less than %v", minDefaultTTL), ttlXML, ttlYAML)
		return f
	case view.MaxIdle > 0 && view.MaxIdle != math.MaxInt64:
		f.err = b.misconfigured("entries that are idle are dropped, and with them sessions before their leases end",
			"<max-idle-seconds>0</max-idle-seconds>", "max-idle-seconds: 0")
	}
	f.defaultTTL = time.Duration(min(view.TTL, maxLease.Milliseconds())) * time.Millisecond
	set := (view.ExpirationTime - view.TTL) * 1e6 // at the earliest, and less than a second later
	f.lo, f.hi = set-t1, set+1e9-t0
	return f
}
