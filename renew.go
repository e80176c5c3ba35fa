package store

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// renewalsPerLease is how often a lease is renewed within its length. Half of
	// it is left then for further attempts, as with the leases of DHCP (RFC 2131,
	// section 4.4.5).
	renewalsPerLease = 2

	// renewAttempts is how often a round asks for the sessions that the backend
	// could not be asked about.
	renewAttempts = 4

	// renewBatch bounds the sessions of one call of Backend.Renew.
	renewBatch = 2048
)

// renewals is the one timer of a process that keeps its leases alive. Each turn
// of half a lease visits every shard of the registry once, evenly spread,
// so that the backend sees a steady trickle of batches.
type renewals struct {
	ctx     context.Context
	cancel  context.CancelFunc
	running atomic.Bool // the loop runs; it ends when there is nothing to look after

	mu      sync.Mutex
	stopped bool // guarded by mu
	loop    sync.WaitGroup
}

func (r *renewals) init() {
	r.ctx, r.cancel = context.WithCancel(context.Background())
}

// stop ends the loop and waits for the rounds under way.
func (r *renewals) stop() {
	r.mu.Lock()
	r.stopped = true
	r.mu.Unlock()
	r.cancel()
	r.loop.Wait()
}

// register lists s and sees to it that its lease is renewed. It reports false
// when the Sessions were closed.
func (ss *Sessions) register(s *Session) bool {
	if !ss.registry.add(s) {
		return false
	}
	ss.startRenewals()
	return true
}

// watch returns the Done channel of s.
func (ss *Sessions) watch(s *Session) <-chan struct{} {
	done, listed := ss.registry.done(s)
	switch {
	case listed:
		ss.startRenewals()
	case ss.closed.Load():
		s.end(endClosed)
	}
	return done
}

func (ss *Sessions) startRenewals() {
	r := &ss.renewals
	if r.running.Load() || !r.running.CompareAndSwap(false, true) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.stopped {
		r.loop.Go(ss.renewLoop)
	}
}

func (ss *Sessions) renewLoop() {
	r := &ss.renewals
	// Timers below a millisecond are not worth their wake-ups: short leases
	// take several shards at a time.
	step, every := 1, ss.lease/renewalsPerLease/shardCount
	for every < time.Millisecond && step < shardCount {
		step, every = step*2, every*2
	}
	ticker := time.NewTicker(max(every, time.Microsecond))
	defer ticker.Stop()
	for i := 0; ; i = (i + step) % shardCount {
		select {
		case <-r.ctx.Done():
			return
		case <-ticker.C:
		}
		for k := range step {
			ss.startRound(&ss.registry.shards[i+k])
		}
		if i == 0 && ss.registry.empty() {
			r.running.Store(false)
			// Whoever registered before this line did not start a loop.
			if ss.registry.empty() || !r.running.CompareAndSwap(false, true) {
				return
			}
		}
	}
}

// startRound renews the leases of one shard in the background, unless the round
// before is still at it.
func (ss *Sessions) startRound(sh *shard) {
	if !sh.renewing.CompareAndSwap(false, true) {
		return
	}
	handles := sh.list()
	if len(handles) == 0 {
		sh.renewing.Store(false)
		return
	}
	ss.renewals.loop.Go(func() {
		defer sh.renewing.Store(false)
		ss.renewRound(handles)
	})
}

// renewRound renews the leases of handles, and of those that the backend could
// not be asked about again and again until the next round is due.
func (ss *Sessions) renewRound(handles []*Session) {
	turn := ss.lease / renewalsPerLease
	// A little less than a turn, so that this round is over when the next is due.
	ctx, cancel := context.WithTimeout(ss.renewals.ctx, turn*7/8)
	defer cancel()
	for {
		var again []*Session
		for batch := range slices.Chunk(handles, renewBatch) {
			failed, err := ss.renew(ctx, batch)
			if err != nil && ss.renewals.ctx.Err() == nil && ss.onRenewError != nil {
				ss.onRenewError(&Error{Op: "renew", Err: err})
			}
			again = append(again, failed...)
		}
		if len(again) == 0 {
			return
		}
		handles = again
		select {
		case <-ctx.Done():
			return
		case <-time.After(turn / renewAttempts):
		}
	}
}

// renew renews the leases of the handles that this process owns, asks after the
// others, and ends those whose life is over. It returns the handles that the
// backend could not be asked about, with the first reason.
func (ss *Sessions) renew(ctx context.Context, handles []*Session) (failed []*Session, err error) {
	var owned, watched []*Session
	for _, s := range handles {
		switch {
		case s.ended.Load() != nil:
		case s.owned:
			owned = append(owned, s)
		default:
			watched = append(watched, s)
		}
	}
	failed, err = ss.ask(ctx, owned, ss.lease)
	more, err2 := ss.ask(ctx, watched, 0)
	if err == nil {
		err = err2
	}
	return append(failed, more...), err
}

// verify finds out at once which of the handles have ended. What cannot be
// asked now comes out at the next renewal.
func (ss *Sessions) verify(ctx context.Context, handles []*Session) {
	ss.ask(ctx, handles, 0)
}

func (ss *Sessions) ask(ctx context.Context, handles []*Session, lease time.Duration) (failed []*Session, err error) {
	if len(handles) == 0 {
		return nil, nil
	}
	raws := make([]Store, len(handles))
	for i, s := range handles {
		raws[i] = s.raw
	}
	for i, e := range ss.backend.Renew(ctx, raws, lease) {
		switch {
		case e == nil:
		case errors.Is(e, ErrDestroyed):
			handles[i].end(endDestroyed)
		default:
			failed = append(failed, handles[i])
			if err == nil {
				err = e
			}
		}
	}
	return failed, err
}
