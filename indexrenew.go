package store

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// indexWorkers is how many sessions are asked about their marks at a time.
	indexWorkers = 16

	// errandBatch is how many errands of a kind are done at a time.
	errandBatch = 2048
)

// renewOwned renews the leases of handles. It returns an error or nil for each.
func (r *renewals) renewOwned(ctx context.Context, handles []*Session) []error {
	if r.sessions.indexes == nil || len(handles) == 0 {
		return ask(ctx, r.backend, handles, r.lease)
	}
	return r.renewIndexed(ctx, handles, r.lease)
}

// renewTries is how often a session is renewed on a condition, before it is renewed without: somebody who writes
// to it all the time must not end it.
const renewTries = 3

// renewIndexed makes sessions live for at least lease from now, as long as their entries do.
func (r *renewals) renewIndexed(ctx context.Context, handles []*Session, lease time.Duration) []error {
	ss := r.sessions
	margin := ss.indexMargin()
	errs := make([]error, len(handles))
	todo := make([]int, len(handles))
	for i := range todo {
		todo[i] = i
	}
	for try := 1; len(todo) > 0; try++ {
		known := r.learnAll(ctx, handles, todo, errs)
		todo = living(todo, errs)
		// First the entries, then the session.
		r.cover(ctx, handles, todo, known, errs, lease+margin, lease+ss.lease+margin)
		todo = living(todo, errs)
		if len(todo) == 0 {
			break
		}
		raws := make([]Store, len(todo))
		expect := make([][]Entry, len(todo))
		for n, i := range todo {
			raws[n], expect[n] = handles[i].raw, known[i].seen
		}
		var answers []error
		if try < renewTries {
			answers = ss.indexes.backend.RenewIf(ctx, raws, expect, lease)
		} else {
			answers = r.backend.Renew(ctx, raws, lease)
		}
		if len(answers) == 0 {
			answers = make([]error, len(todo))
		}
		var again, done []int
		for n, i := range todo {
			switch {
			case len(answers) != len(todo):
				errs[i] = errRenewContract
			case answers[n] == nil:
				done = append(done, i)
			case errors.Is(answers[n], ErrConflict):
				handles[i].replaceIndexed(known[i], nil)
				again = append(again, i)
			default:
				errs[i] = answers[n]
			}
		}
		if try == renewTries {
			// Whoever writes from now on sees how long the session lives. What was written up to now is looked at.
			for _, i := range done {
				handles[i].replaceIndexed(known[i], nil)
			}
			known = r.learnAll(ctx, handles, done, errs)
			done = living(done, errs)
		}
		// Then the entries once more, where the next renewal would be beyond them. That they end before it
		// is found then, if it cannot be helped now.
		ignored := make([]error, len(handles))
		r.cover(ctx, handles, done, known, ignored, lease+ss.lease/renewalsPerLease+margin/2, lease+ss.lease+margin)
		todo = again
	}
	return errs
}

// living returns the places in todo that have no error.
func living(todo []int, errs []error) []int {
	left := todo[:0]
	for _, i := range todo {
		if errs[i] == nil {
			left = append(left, i)
		}
	}
	return left
}

// learnAll returns what is known of the handles in todo, by their places.
func (r *renewals) learnAll(ctx context.Context, handles []*Session, todo []int, errs []error) []*indexed {
	known := make([]*indexed, len(handles))
	var unknown []int
	for _, i := range todo {
		if known[i] = handles[i].indexed.Load(); known[i] == nil {
			unknown = append(unknown, i)
		}
	}
	var (
		next    atomic.Int64
		workers sync.WaitGroup
	)
	for range min(indexWorkers, len(unknown)) {
		workers.Go(func() {
			for n := next.Add(1) - 1; int(n) < len(unknown); n = next.Add(1) - 1 {
				i := unknown[n]
				known[i], errs[i] = handles[i].learn(ctx)
			}
		})
	}
	workers.Wait()
	return known
}

// cover makes the entries of the handles in todo stay for ttl, where they do not for need.
func (r *renewals) cover(ctx context.Context, handles []*Session, todo []int, known []*indexed, errs []error, need, ttl time.Duration) {
	now := r.millis()
	enough := now + need.Milliseconds()
	var (
		entries []IndexEntry
		owners  []int
	)
	for _, i := range todo {
		if k := known[i]; k.until < enough && len(k.mark) > 0 {
			if ahead := handles[i].ahead(); ahead > 0 {
				errs[i] = r.coverOne(ctx, handles[i], known, i, ttl+ahead)
				continue
			}
			for m := range k.mark {
				entries = append(entries, k.mark[m].entry(handles[i].id))
				owners = append(owners, i)
			}
		}
	}
	if len(entries) == 0 {
		return
	}
	for n, err := range r.sessions.indexes.put(ctx, entries, ttl) {
		if err != nil && errs[owners[n]] == nil {
			errs[owners[n]] = &indexError{err}
		}
	}
	for n, i := range owners {
		if n > 0 && owners[n-1] == i || errs[i] != nil {
			continue
		}
		next := *known[i]
		next.until = now + ttl.Milliseconds()
		handles[i].replaceIndexed(known[i], &next)
		known[i] = &next
	}
}

// coverOne makes the entries of one handle, number i, stay for ttl.
func (r *renewals) coverOne(ctx context.Context, s *Session, known []*indexed, i int, ttl time.Duration) error {
	next := *known[i]
	next.until = r.millis() + ttl.Milliseconds()
	if err := r.sessions.putEntries(ctx, next.mark.entries(s.id), ttl); err != nil {
		return err
	}
	s.replaceIndexed(known[i], &next)
	known[i] = &next
	return nil
}

// ahead returns by how much Extend has made an owned session live for longer than renewals do.
func (s *Session) ahead() time.Duration {
	if !s.owned {
		return 0
	}
	sh := s.sessions.registry.shard(s.id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return max(0, time.Duration(int32(s.stamp-s.sessions.renewals.now()))*time.Millisecond)
}

// renewOne makes one session live for at least ttl from now.
func (s *Session) renewOne(ctx context.Context, ttl time.Duration) error {
	r := &s.sessions.renewals
	if s.sessions.indexes == nil {
		return ask(ctx, r.backend, []*Session{s}, ttl)[0]
	}
	asked := r.millis()
	err := r.renewIndexed(ctx, []*Session{s}, ttl)[0]
	if known := s.indexed.Load(); err == nil && known != nil && !s.owned {
		next := *known
		next.lives = max(next.lives, asked+ttl.Milliseconds())
		s.replaceIndexed(known, &next)
	}
	return err
}

// suspendRaw makes the session live for exactly grace from now, and its entries for a lease longer: whoever resumes it
// has that long to look after them.
func (s *Session) suspendRaw(ctx context.Context, grace time.Duration) error {
	ss := s.sessions
	if ss.indexes == nil {
		return ss.backend.Suspend(ctx, s.raw, grace)
	}
	for try := 1; ; try++ {
		known, err := s.learn(ctx)
		if err != nil {
			return err
		}
		if len(known.mark) > 0 && known.until < ss.renewals.millis()+(grace+ss.lease).Milliseconds() {
			if err := ss.putEntries(ctx, known.mark.entries(s.id), grace+ss.lease+ss.indexMargin()); err != nil {
				return err
			}
		}
		if try == renewTries {
			if err := ss.backend.Suspend(ctx, s.raw, grace); err != nil {
				return err
			}
			// Whoever writes from now on sees how long the session lives. What was written up to now is looked at.
			if known, err = s.look(ctx); err != nil {
				return err
			}
			return ss.putEntries(ctx, known.mark.entries(s.id), grace+ss.lease+ss.indexMargin())
		}
		err = ss.indexes.backend.SuspendIf(ctx, s.raw, known.seen, grace)
		if !errors.Is(err, ErrConflict) {
			return err
		}
		s.replaceIndexed(known, nil)
	}
}

// destroyRaw ends the session, and then removes its entries. Where nothing is known of them, as of a session that this process has not written
// to, it looks first: a session that nobody owns may have entries for a long time yet.
func (s *Session) destroyRaw(ctx context.Context) error {
	known := s.indexed.Load()
	if s.sessions.indexes != nil && known == nil {
		known, _ = s.look(ctx) // without it they end with their deadlines
	}
	err := s.raw.Destroy(ctx)
	if err == nil && known != nil {
		s.sessions.renewals.unlist(known.mark.entries(s.id))
	}
	return err
}

// errands are what this process has yet to do for its indexes, and nobody waits for.
type errands struct {
	mu      sync.Mutex
	removed []IndexEntry    // guarded by mu; to be removed
	resumed []*Session      // guarded by mu; to be looked at and renewed
	checks  []func()        // guarded by mu
	running bool            // guarded by mu
	idle    []chan struct{} // guarded by mu; closed when nothing is left
}

// unlist removes entries, soon. What cannot be removed ends with its deadline.
func (r *renewals) unlist(entries []IndexEntry) {
	if len(entries) > 0 {
		r.errand(func(e *errands) { e.removed = append(e.removed, entries...) })
	}
}

// index sees to the entries of a session that this process has just taken over.
func (r *renewals) index(s *Session) {
	if r.sessions.indexes != nil && s.indexed.Load() == nil {
		r.errand(func(e *errands) { e.resumed = append(e.resumed, s) })
	}
}

// recheck finds out whether the session was given more time, by somebody who did not see entries that were put for s at the
// same time. Then they get as much.
func (r *renewals) recheck(s *Session, entries []IndexEntry, until int64) {
	check := func() {
		ctx, cancel := context.WithTimeout(r.ctx, cleanupTime)
		defer cancel()
		left, err := r.sessions.indexes.backend.TimeLeft(ctx, s.raw)
		if now := r.millis(); err == nil && now+left.Milliseconds() > until {
			_ = r.sessions.putEntries(ctx, entries, left+r.lease)
		}
	}
	r.errand(func(e *errands) { e.checks = append(e.checks, check) })
}

func (r *renewals) errand(add func(*errands)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return
	}
	e := &r.errands
	e.mu.Lock()
	defer e.mu.Unlock()
	add(e)
	if !e.running {
		e.running = true
		r.loop.Go(r.runErrands)
	}
}

// runErrands does what there is to do until nothing is left.
func (r *renewals) runErrands() {
	e := &r.errands
	for {
		e.mu.Lock()
		removed := cut(&e.removed, errandBatch)
		resumed := cut(&e.resumed, errandBatch)
		checks := cut(&e.checks, indexWorkers)
		if len(removed)+len(resumed)+len(checks) == 0 {
			e.running = false
			for _, idle := range e.idle {
				close(idle)
			}
			e.idle = nil
			e.mu.Unlock()
			return
		}
		e.mu.Unlock()
		var calls sync.WaitGroup
		for _, check := range checks {
			calls.Go(check)
		}
		if len(removed) > 0 {
			calls.Go(func() {
				ctx, cancel := context.WithTimeout(r.ctx, cleanupTime)
				defer cancel()
				_ = r.sessions.indexes.backend.RemoveEntries(ctx, removed) // otherwise they end with their deadline
			})
		}
		if len(resumed) > 0 {
			r.lookAfter(resumed)
		}
		calls.Wait()
	}
}

// lookAfter renews handles before it is their turn.
func (r *renewals) lookAfter(handles []*Session) {
	ctx, cancel := context.WithTimeout(r.ctx, r.lease/renewalsPerLease)
	defer cancel()
	live := handles[:0]
	for _, s := range handles {
		if s.kept() {
			live = append(live, s)
		}
	}
	_, _ = r.judge(live, r.renewOwned(ctx, live)) // a round comes later, too
}

// cut takes up to n elements from the front of list.
func cut[T any](list *[]T, n int) []T {
	n = min(n, len(*list))
	front := (*list)[:n:n]
	if *list = (*list)[n:]; len(*list) == 0 {
		*list = nil
	}
	return front
}

// finishErrands waits until nothing is left to do, or until ctx ends.
func (r *renewals) finishErrands(ctx context.Context) {
	e := &r.errands
	e.mu.Lock()
	if !e.running {
		e.mu.Unlock()
		return
	}
	idle := make(chan struct{})
	e.idle = append(e.idle, idle)
	e.mu.Unlock()
	select {
	case <-idle:
	case <-ctx.Done():
	}
}
