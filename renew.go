package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime/debug"
	"strings"
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

	// roundsPerTurn is how many rounds of renewals a turn has, of some shards each. A round takes one
	// call of Backend.Renew at least. The client of Hazelcast takes up to a millisecond of CPU for
	// it, however few sessions it is for.
	roundsPerTurn = 16

	// renewBatch bounds the sessions of one call of Backend.Renew.
	renewBatch = 8192

	// overdueLooks is how often per turn the shards are searched for leases that
	// have run out unrenewed.
	overdueLooks = 8
)

// A RenewError tells [Options].OnRenewError about a round of renewals in which some
// failed, for another reason than the end of a session.
type RenewError struct {
	Sessions int   // owned and watched sessions whose renewal failed
	Overdue  int   // owned sessions that were given up: no renewal came through for longer than their lease
	Err      error // the first failure
}

// Error returns one line.
func (e *RenewError) Error() string {
	if e == nil {
		return "store: no error"
	}
	var parts []string
	if e.Sessions > 0 {
		parts = append(parts, fmt.Sprintf("the leases of %d sessions could not be renewed and are tried again", e.Sessions))
	}
	if e.Overdue > 0 {
		parts = append(parts, fmt.Sprintf("%d sessions have expired unrenewed", e.Overdue))
	}
	if e.Err != nil {
		parts = append(parts, "the first failure: "+e.Err.Error())
	}
	return strings.Join(parts, "; ")
}

// Unwrap returns the first failure.
func (e *RenewError) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.Err
}

// A renewer is what renewals need of a backend.
type renewer interface {
	Renew(ctx context.Context, sessions []Store, lease time.Duration) []error
}

// renewals is the one timer of a process that keeps its leases alive. Each turn of half a lease
// visits every shard of the registry once, some in each round. The rounds are evenly spread, so
// that the backend gets a steady trickle of batches. It learns about ends from the answers and
// passes them on to Session.end.
type renewals struct {
	registry *registry
	sessions *Sessions // that these are of
	backend  renewer
	lease    time.Duration
	onError  func(error) // may be nil
	epoch    time.Time   // that Session.stamp counts from

	ctx     context.Context
	cancel  context.CancelFunc
	running atomic.Bool   // the loop runs; it ends when there is nothing to look after
	failed  atomic.Uint64 // renewals that have failed

	mu        sync.Mutex
	stopped   bool                  // guarded by mu
	reporting bool                  // guarded by mu; onError runs
	report    RenewError            // guarded by mu; what the next call of onError will say
	hints     []*Session            // guarded by mu; to be asked about at once
	hinting   map[*Session]struct{} // guarded by mu; those in hints
	asking    bool                  // guarded by mu; follow runs
	vain      vanity                // of follow
	loop      sync.WaitGroup

	errands errands
}

// A turn is one visit to all shards. What failed in it is reported when its last round
// has asked for the first time.
type turn struct {
	renewals *renewals
	failed   RenewError // guarded by renewals.mu
	pending  int        // guarded by renewals.mu; rounds that still ask for the first time, and the loop
}

func (r *renewals) init() {
	r.epoch = time.Now()
	r.ctx, r.cancel = context.WithCancel(context.Background())
}

// stop ends the loop and waits for the rounds that still run, or until ctx ends.
func (r *renewals) stop(ctx context.Context) {
	r.mu.Lock()
	r.stopped = true
	r.mu.Unlock()
	r.cancel()
	through := make(chan struct{})
	go func() {
		r.loop.Wait()
		close(through)
	}()
	select {
	case <-through:
	case <-ctx.Done():
	}
}

// now returns the time as Session.stamp keeps it: milliseconds that wrap around
// after 49 days. Only differences count, and no lease is nearly as long.
func (r *renewals) now() uint32 { return uint32(time.Since(r.epoch).Milliseconds()) }

// overdueAfter is the age of the last confirmed renewal at which the backend
// cannot hold a session any more. Leases are rounded up to whole seconds by some
// backends, and a renewal spends time on its way there.
func (r *renewals) overdueAfter() time.Duration { return r.lease + r.lease/8 + time.Second }

// start sees to it that the loop runs.
func (r *renewals) start() {
	if r.running.Load() || !r.running.CompareAndSwap(false, true) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.stopped {
		r.loop.Go(r.run)
	}
}

func (r *renewals) run() {
	// Timers below a millisecond are not worth their wake-ups: short leases
	// take more shards at a time.
	step, every := shardCount/roundsPerTurn, r.lease/renewalsPerLease/roundsPerTurn
	for every < time.Millisecond && step < shardCount {
		step, every = step*2, every*2
	}
	looks := min(overdueLooks, shardCount/step)
	ticker := time.NewTicker(max(every, time.Microsecond))
	defer ticker.Stop()
	now := &turn{renewals: r, pending: 1}
	for i := 0; ; i = (i + step) % shardCount {
		select {
		case <-r.ctx.Done():
			return
		case <-ticker.C:
		}
		// Every tick looks at one in so many shards; a turn looks at each
		// overdueLooks times.
		ticks := shardCount / step
		for k := i / step % (ticks / looks); k < shardCount; k += ticks / looks {
			r.giveUp(&r.registry.shards[k])
		}
		r.startRound(r.registry.shards[i:i+step], now)
		if i+step < shardCount {
			continue
		}
		now.asked(0, nil)
		now = &turn{renewals: r, pending: 1}
		if r.registry.empty() {
			r.running.Store(false)
			// Whoever registered before this line did not start a loop.
			if r.registry.empty() || !r.running.CompareAndSwap(false, true) {
				return
			}
		}
	}
}

// giveUp ends the handles of sh whose lease has run out although their renewal was
// tried.
func (r *renewals) giveUp(sh *shard) {
	stuck := sh.renewing.Load()
	limit := int32(r.overdueAfter().Milliseconds())
	now := r.now()
	var expired []*Session
	sh.mu.Lock()
	if stuck || sh.failing > 0 || sh.loose > 0 {
		for _, s := range sh.all() {
			if !s.owned || int32(now-s.stamp) <= limit {
				continue
			}
			switch e := s.ended.Load(); {
			case e == nil && (stuck || s.failing):
				expired = append(expired, s)
			case e != nil && e.phase == loose:
				sh.remove(s)
			}
		}
	}
	sh.mu.Unlock()
	lost := 0
	for _, s := range expired {
		if s.turn(nil, endExpired) {
			lost++
		}
	}
	if lost > 0 {
		r.mu.Lock()
		r.report.Overdue += lost
		r.mu.Unlock()
	}
}

// A part is what a round renews of one shard.
type part struct {
	shard   *shard
	handles []*Session
}

// startRound renews the leases of shards in the background, apart from those of which
// the round before is still at it.
func (r *renewals) startRound(shards []shard, t *turn) {
	var parts []part
	for i := range shards {
		sh := &shards[i]
		if !sh.renewing.CompareAndSwap(false, true) {
			continue
		}
		handles := sh.list()
		if len(handles) == 0 {
			sh.renewing.Store(false)
			continue
		}
		parts = append(parts, part{sh, handles})
	}
	if len(parts) == 0 {
		return
	}
	r.mu.Lock()
	t.pending++
	r.mu.Unlock()
	r.loop.Go(func() {
		defer func() {
			for _, p := range parts {
				p.shard.renewing.Store(false)
			}
		}()
		r.round(parts, t)
	})
}

// round renews the leases of parts. For those that the backend could not be asked about, it tries
// again until the next round is due.
func (r *renewals) round(parts []part, t *turn) {
	length := r.lease / renewalsPerLease
	// A little less than a turn, so that this round is over when the next is due.
	ctx, cancel := context.WithTimeout(r.ctx, length*7/8)
	defer cancel()
	for attempt := 0; ; attempt++ {
		var again []part
		var first error
		failed := 0
		for batch := range batches(parts) {
			left, err := r.renew(ctx, batch)
			for _, p := range left {
				failed += len(p.handles)
			}
			again = append(again, left...)
			if first == nil {
				first = err
			}
		}
		if attempt == 0 {
			t.asked(failed, first)
		}
		if len(again) == 0 {
			return
		}
		parts = again
		select {
		case <-ctx.Done():
			return
		case <-time.After(length / renewAttempts):
		}
	}
}

// batches divides parts into batches of up to renewBatch handles.
func batches(parts []part) iter.Seq[[]part] {
	return func(yield func([]part) bool) {
		var batch []part
		room := renewBatch
		for _, p := range parts {
			for handles := p.handles; len(handles) > 0; {
				n := min(room, len(handles))
				batch = append(batch, part{p.shard, handles[:n]})
				handles, room = handles[n:], room-n
				if room > 0 {
					continue
				}
				if !yield(batch) {
					return
				}
				batch, room = nil, renewBatch
			}
		}
		if len(batch) > 0 {
			yield(batch)
		}
	}
}

// renew renews the leases of the handles of batch that this process owns, asks after
// the others, and ends those whose life is over. It returns the handles that the
// backend could not be asked about, with the first reason.
func (r *renewals) renew(ctx context.Context, batch []part) (failed []part, err error) {
	var owned, watched group
	most := 0
	for _, p := range batch {
		most += len(p.handles)
	}
	owned.handles = make([]*Session, 0, most)
	for _, p := range batch {
		for _, s := range p.handles {
			switch {
			case !s.kept():
			case s.owned:
				owned.handles = append(owned.handles, s)
			default:
				watched.handles = append(watched.handles, s)
			}
		}
		owned.ends = append(owned.ends, len(owned.handles))
		watched.ends = append(watched.ends, len(watched.handles))
	}
	sent := r.now()
	errs := r.renewOwned(ctx, owned.handles)
	owned.mark(batch, errs, sent)
	failed, err = r.judgeAll(batch, &owned, errs)
	more, err2 := r.judgeAll(batch, &watched, ask(ctx, r.backend, watched.handles, 0))
	return append(failed, more...), cmp.Or(err, err2)
}

// A group is the handles of one kind in a batch.
type group struct {
	handles []*Session
	ends    []int // of each part in handles
}

// part returns the handles of part i, and what errs, which is of all handles, has of them.
func (g *group) part(i int, errs []error) ([]*Session, []error) {
	first := 0
	if i > 0 {
		first = g.ends[i-1]
	}
	return g.handles[first:g.ends[i]], errs[first:g.ends[i]]
}

// mark notes what came of the renewals of the group, which were sent at that time.
func (g *group) mark(batch []part, errs []error, sent uint32) {
	for i, p := range batch {
		handles, errs := g.part(i, errs)
		p.shard.mu.Lock()
		for k, s := range handles {
			p.shard.renewed(s, errs[k], sent)
		}
		p.shard.mu.Unlock()
	}
}

// kept reports whether the life of s goes on as far as this process is concerned.
func (s *Session) kept() bool {
	e := s.ended.Load()
	return e == nil || e.phase == claimed
}

// renewed notes what came of the renewal of s that was sent at that time. Its
// caller holds mu.
func (sh *shard) renewed(s *Session, err error, sent uint32) {
	if s.ended.Load() != nil {
		return
	}
	if err == nil && int32(sent-s.stamp) > 0 { // Extend may reach further
		s.stamp = sent
	}
	if failing := err != nil; failing != s.failing {
		s.failing = failing
		if failing {
			sh.failing++
		} else {
			sh.failing--
		}
	}
}

// judge ends the handles whose life is over according to errs. It returns those that the backend
// could not be asked about, with the first reason.
func (r *renewals) judge(handles []*Session, errs []error) (failed []*Session, err error) {
	for i, e := range errs {
		if e == nil {
			continue
		}
		if why := endedBy(e); why != nil {
			handles[i].end(why)
			continue
		}
		failed = append(failed, handles[i])
		if err == nil {
			err = e
		}
	}
	return failed, err
}

// judgeAll is judge for a group of the handles in batch.
func (r *renewals) judgeAll(batch []part, g *group, errs []error) (failed []part, err error) {
	for i, p := range batch {
		left, why := r.judge(g.part(i, errs))
		if len(left) > 0 {
			failed = append(failed, part{p.shard, left})
		}
		err = cmp.Or(err, why)
	}
	return failed, err
}

// verify finds out at once which of the handles have ended. What cannot be
// asked now comes out at the next renewal.
func (r *renewals) verify(ctx context.Context, handles []*Session) {
	_, _ = r.judge(handles, ask(ctx, r.backend, handles, 0))
}

// ask renews the leases of handles. It returns an error or nil for each.
func ask(ctx context.Context, backend renewer, handles []*Session, lease time.Duration) []error {
	if len(handles) == 0 {
		return nil
	}
	raws := make([]Store, len(handles))
	for i, s := range handles {
		raws[i] = s.raw
	}
	errs := backend.Renew(ctx, raws, lease)
	switch len(errs) {
	case len(handles):
		return errs
	case 0:
		return make([]error, len(handles))
	}
	errs = make([]error, len(handles))
	for i := range errs {
		errs[i] = errRenewContract
	}
	return errs
}

// errRenewContract keeps a mistake in a backend from becoming a panic above it.
var errRenewContract = errors.New("the backend breaks the contract of Renew: as many errors as sessions, or none")

// asked notes that a shard was asked about, or that the loop is through with the
// turn. The last of them reports what failed.
func (t *turn) asked(failed int, err error) {
	r := t.renewals
	if r.ctx.Err() != nil {
		return // Close has stopped the renewals
	}
	r.failed.Add(uint64(failed))
	r.mu.Lock()
	defer r.mu.Unlock()
	t.failed.Sessions += failed
	if t.failed.Err == nil {
		t.failed.Err = err
	}
	if t.pending--; t.pending > 0 {
		return
	}
	r.report.Sessions += t.failed.Sessions
	if r.report.Err == nil {
		r.report.Err = t.failed.Err
	}
	r.tell()
}

// tell passes the report to the Logger and to OnRenewError, unless that still runs: then the report
// is passed when it has returned. Its caller holds mu.
func (r *renewals) tell() {
	if r.reporting || r.report.Sessions+r.report.Overdue == 0 {
		return
	}
	report := r.report
	r.report = RenewError{}
	if r.onError == nil && r.sessions.logger == nil {
		return
	}
	r.reporting = true
	// Not in the loop, which must not wait for it, nor counted by it: the
	// function may call Close.
	go func() {
		defer func() {
			if p := recover(); p != nil {
				logger := r.sessions.faults()
				logger.Error("store: Options.OnRenewError panicked; renewals go on", "panic", p, "stack", string(debug.Stack()))
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			r.reporting = false
			if r.ctx.Err() == nil {
				r.tell()
			}
		}()
		if logger := r.sessions.logger; logger != nil {
			logger.Warn("store: leases could not be renewed", "sessions", report.Sessions, "overdue", report.Overdue, "error", report.Err)
		}
		if r.onError != nil {
			r.onError(&Error{Op: "renew", Err: &report})
		}
	}()
}
