package store

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// indexWorkers is how many sessions are asked about their marks at a time.
	indexWorkers = 16

	// errandBatch is how many errands of a kind are done at a time.
	errandBatch = 2048

	// firstAgain is after how long an errand for entries that may end too early is tried again. Each further time it takes twice as long.
	firstAgain = 50 * time.Millisecond
)

// renewOwned renews the leases of handles. It returns an error or nil for each.
func (r *renewals) renewOwned(ctx context.Context, handles []*Session) []error {
	if r.sessions.indexes == nil || len(handles) == 0 {
		return ask(ctx, r.backend, handles, r.lease)
	}
	return r.renewIndexed(ctx, handles, r.lease, enoughAfter(r.lease))
}

// renewTries is how often a session is renewed on a condition, before it is renewed without: somebody who writes
// to it all the time must not end it.
const renewTries = 3

// renewIndexed makes sessions live for at least lease from now, as long as their entries do. Those of which it was found out in the time recent before
// that nobody else has changed the mark are renewed without asking again:
//
//  1. What another process has put into the index since then stays for a lease beyond the session, and so for a lease and a half from
//     then on: a session has at least half a lease left when it is renewed, or was found out to have less.
//  2. Of the renewals that come every half lease, two are as those of sessions without an index, and the third looks at the mark.
//
// To look at all marks in each renewal took twice the CPU on Redis.
func (r *renewals) renewIndexed(ctx context.Context, handles []*Session, lease, recent time.Duration) []error {
	margin := marginOf(r.lease)
	errs := make([]error, len(handles))
	todo := make([]int, len(handles))
	for i := range todo {
		todo[i] = i
	}
	for try := 1; len(todo) > 0; try++ {
		known := r.learnAll(ctx, handles, todo, errs)
		todo = living(todo, errs)
		// First the entries, then the session.
		r.cover(ctx, handles, todo, known, errs, lease+margin/2, lease+r.lease+margin)
		todo = living(todo, errs)
		if len(todo) == 0 {
			break
		}
		done, again := todo, []int(nil)
		if try < renewTries {
			seen := recently(todo, known, r.millis()-recent.Milliseconds())
			r.renewAll(ctx, handles, todo[:seen], known, errs, lease)
			// One that took effect late makes the session live for longer than entries that others have put since the look.
			r.lookAgain(ctx, handles, todo[:seen], known, errs, r.millis()-recent.Milliseconds())
			again = r.renewAsSeen(ctx, handles, todo[seen:], known, errs, lease)
			done = todo[:len(todo)-len(again)]
		} else {
			r.renewAll(ctx, handles, todo, known, errs, lease)
			// Whoever writes from now on sees how long the session lives. What was written up to now is looked at.
			r.lookAgain(ctx, handles, todo, known, errs, math.MaxInt64)
		}
		// Then the entries once more, where the renewal took so long that the session may live for longer. That they end before
		// it is found then, if it cannot be helped now.
		done = living(done, errs)
		r.cover(ctx, handles, done, known, nil, lease, lease+r.lease+margin)
		todo = again
	}
	for i, err := range errs {
		if err != nil {
			r.unlistEnded(handles[i], err, handles[i].indexed.Load())
		}
	}
	return errs
}

// recently puts those places first of which the mark was looked at after since, and returns how many they are.
func recently(places []int, known []*indexed, since int64) int {
	n := 0
	for at, i := range places {
		if looked := known[i].checked.Load(); looked > 0 && looked > since {
			places[n], places[at] = places[at], places[n]
			n++
		}
	}
	return n
}

// lookAgain looks at the marks of those of the renewed handles at places that were looked at before since.
func (r *renewals) lookAgain(ctx context.Context, handles []*Session, places []int, known []*indexed, errs []error, since int64) {
	var stale []int
	for _, i := range places {
		if errs[i] == nil && known[i].checked.Load() < since {
			handles[i].forgetIndexed(known[i])
			stale = append(stale, i)
		}
	}
	if len(stale) == 0 {
		return
	}
	looked := r.learnAll(ctx, handles, stale, errs)
	for _, i := range stale {
		known[i] = looked[i]
	}
}

// renewAll renews the handles at places, whatever others have written.
func (r *renewals) renewAll(ctx context.Context, handles []*Session, places []int, known []*indexed, errs []error, lease time.Duration) {
	if len(places) == 0 {
		return
	}
	raws := make([]Store, len(places))
	for n, i := range places {
		raws[n] = handles[i].raw
	}
	sent := r.millis()
	answers := r.backend.Renew(ctx, raws, lease)
	for n, i := range places {
		switch {
		case len(answers) != 0 && len(answers) != len(places):
			errs[i] = errRenewContract
		case len(answers) != 0 && answers[n] != nil:
			errs[i] = answers[n]
		default:
			raise(&known[i].lives, sent+lease.Milliseconds())
		}
	}
}

// renewAsSeen renews those of the handles at places whose marks and indexed values are as known. It moves the places of
// the others to the end, and returns them.
func (r *renewals) renewAsSeen(ctx context.Context, handles []*Session, places []int, known []*indexed, errs []error, lease time.Duration) (others []int) {
	if len(places) == 0 {
		return nil
	}
	x := r.sessions.indexes
	raws := make([]Store, len(places))
	expect := make([][]Entry, len(places))
	all := make([]Entry, 0, len(places)*len(x.absent))
	for n, i := range places {
		from := len(all)
		all = known[i].appendSeen(all, x)
		raws[n], expect[n] = handles[i].raw, all[from:len(all):len(all)]
	}
	sent := r.millis()
	answers := x.backend.RenewIf(ctx, raws, expect, lease)
	same := 0
	for n, i := range places {
		var err error
		switch {
		case len(answers) == len(places):
			err = answers[n]
		case len(answers) != 0:
			err = errRenewContract
		}
		if errors.Is(err, ErrConflict) {
			handles[i].forgetIndexed(known[i])
			continue
		}
		places[n], places[same] = places[same], places[n]
		same++
		if errs[i] = err; err == nil {
			known[i].looked(sent, lease, r.lease)
		}
	}
	return places[same:]
}

// looked notes that the session was renewed at a time when its mark was as known. An entry that was put for a lease beyond the session
// before that, and whose write came after it, stays for half a lease less than if it was put afterwards, or less still
// where the renewal was late.
func (k *indexed) looked(sent int64, renewed, lease time.Duration) {
	before := k.lives.Load()
	raise(&k.lives, sent+renewed.Milliseconds())
	if renewed >= lease {
		raise(&k.checked, min(sent, before-(lease/renewalsPerLease).Milliseconds()))
	}
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

// cover makes the entries of the handles in todo stay for ttl, where they do not for need. What fails it notes in errs, where these are given.
func (r *renewals) cover(ctx context.Context, handles []*Session, todo []int, known []*indexed, errs []error, need, ttl time.Duration) {
	now := r.millis()
	enough := now + need.Milliseconds()
	var (
		put  entryWriter
		some []int // with entries to put
		ends []int // of each of some among the entries
	)
	for _, i := range todo {
		if known[i].until.Load() >= enough || !known[i].listed() { // the time is at hand, the mark is elsewhere
			continue
		}
		if ahead := handles[i].ahead(); ahead > 0 {
			if err := r.coverOne(ctx, handles[i], known[i], ttl+ahead); errs != nil {
				errs[i] = err
			}
			continue
		}
		if some == nil {
			some = make([]int, 0, len(todo))
		}
		some = append(some, i)
	}
	if len(some) == 0 {
		return
	}
	ends = make([]int, len(some))
	put.grow(len(some)*(len(r.sessions.indexes.absent)-1), len(handles[some[0]].id))
	for n, i := range some {
		put.write(known[i].rawMark(), handles[i].id)
		ends[n] = len(put.entries)
	}
	failed := r.sessions.indexes.put(ctx, put.entries, ttl)
	from := 0
	for n, i := range some {
		var err error
		if len(failed) > 0 {
			err = cmp.Or(failed[from:ends[n]]...)
		}
		from = ends[n]
		switch {
		case err == nil:
			raise(&known[i].until, now+ttl.Milliseconds())
		case errs != nil:
			errs[i] = &indexError{err}
		}
	}
}

// coverOne makes the entries of one handle stay for ttl.
func (r *renewals) coverOne(ctx context.Context, s *Session, known *indexed, ttl time.Duration) error {
	until := r.millis() + ttl.Milliseconds()
	err := r.sessions.putEntries(ctx, known.mark().entries(s.id), ttl)
	if err == nil {
		raise(&known.until, until)
	}
	return err
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
	return r.renewIndexed(ctx, []*Session{s}, ttl, 0)[0]
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
		if known.until.Load() < ss.renewals.millis()+(grace+ss.lease).Milliseconds() {
			if err := ss.putEntries(ctx, known.mark().entries(s.id), grace+withMargin(ss.lease)); err != nil {
				return err
			}
		}
		if try == renewTries {
			if err := ss.backend.Suspend(ctx, s.raw, grace); err != nil {
				ss.renewals.unlistEnded(s, err, known)
				return err
			}
			// Whoever writes from now on sees how long the session lives. What was written up to now is looked at.
			if known, err = s.look(ctx); err != nil {
				return err
			}
			return ss.putEntries(ctx, known.mark().entries(s.id), grace+withMargin(ss.lease))
		}
		err = ss.indexes.backend.SuspendIf(ctx, s.raw, known.seen(ss.indexes), grace)
		if !errors.Is(err, ErrConflict) {
			ss.renewals.unlistEnded(s, err, known)
			return err
		}
		s.forgetIndexed(known)
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
		s.sessions.renewals.unlist(known.mark().entries(s.id))
	}
	return err
}

// errands are what this process has yet to do for its indexes, and nobody waits for.
type errands struct {
	mu      sync.Mutex
	removed []IndexEntry    // guarded by mu; to be removed
	resumed []*Session      // guarded by mu; to be looked at and renewed
	checks  []func()        // guarded by mu
	running bool            // guarded by mu; what removes and checks
	looking bool            // guarded by mu; what looks at resumed: nothing else keeps it waiting
	idle    []chan struct{} // guarded by mu; closed when nothing is left
}

// unlist removes entries, soon. What cannot be removed ends with its deadline.
func (r *renewals) unlist(entries []IndexEntry) {
	if len(entries) > 0 {
		r.errand(func(e *errands) { e.removed = append(e.removed, entries...) })
	}
}

// unlistEnded removes the entries of a session of which err says that it has ended: they were put for a time that it did not get. Where
// a backend cannot tell that somebody has resumed it, the session and its entries are still there.
func (r *renewals) unlistEnded(s *Session, err error, known *indexed) {
	if known == nil || !known.listed() || !errors.Is(err, ErrDestroyed) || errors.Is(err, ErrResumed) {
		return
	}
	r.errand(func(e *errands) {
		e.checks = append(e.checks, func() {
			ctx, cancel := context.WithTimeout(r.ctx, cleanupTime)
			defer cancel()
			if _, err := r.sessions.backend.Attach(ctx, s.id, r.sessions.terms(r.lease)); errors.Is(err, ErrNoSession) {
				r.unlist(known.mark().entries(s.id))
			}
		})
	})
}

// index sees to the entries of a session that this process has just taken over.
func (r *renewals) index(s *Session) {
	if r.sessions.indexes != nil && s.indexed.Load() == nil {
		r.errand(func(e *errands) { e.resumed = append(e.resumed, s) })
	}
}

// recheck finds out whether the session was given more time, by somebody who did not see entries that were put for s at the
// same time. Then they get as much.
func (r *renewals) recheck(s *Session, entries []IndexEntry, until int64, lease time.Duration) {
	check := func(ctx context.Context) (done bool) {
		left, err := r.sessions.indexes.backend.TimeLeft(ctx, s.raw)
		if err == nil && r.livesFor(left)+enoughAfter(lease).Milliseconds() > until {
			err = r.sessions.putEntries(ctx, entries, left+withMargin(lease))
		}
		return err == nil || errors.Is(err, ErrDestroyed)
	}
	r.check(r.till(until), check)
}

// attend lets the entries of the session id stay as long as it lives now, and a lease: a Resume whose reply was lost may have given it more time,
// and nobody looks after it.
func (r *renewals) attend(id string) {
	ss := r.sessions
	r.check(r.lease, func(ctx context.Context) (done bool) {
		raw, err := ss.backend.Attach(ctx, id, ss.terms(r.lease))
		if err != nil {
			return errors.Is(err, ErrNoSession)
		}
		s := ss.handle(id, false)
		s.bind(raw)
		known, err := s.learn(ctx)
		if err != nil {
			return errors.Is(err, ErrDestroyed)
		}
		left, err := ss.indexes.backend.TimeLeft(ctx, raw)
		if err == nil {
			mark := known.mark()
			err = ss.putEntries(ctx, mark.entries(id), left+withMargin(ss.leaseFor(mark)))
		}
		return err == nil || errors.Is(err, ErrDestroyed)
	})
}

// check runs an errand, and where it is not done again and again for a time.
func (r *renewals) check(within time.Duration, do func(context.Context) (done bool)) {
	r.errand(func(e *errands) {
		e.checks = append(e.checks, func() {
			ctx, cancel := context.WithTimeout(r.ctx, cleanupTime)
			defer cancel()
			if !do(ctx) {
				r.loop.Go(func() {
					ctx, cancel := context.WithTimeout(r.ctx, within)
					defer cancel()
					r.again(ctx, do)
				})
			}
		})
	})
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
	if !e.running && len(e.removed)+len(e.checks) > 0 {
		e.running = true
		r.loop.Go(r.runErrands)
	}
	if !e.looking && len(e.resumed) > 0 {
		e.looking = true
		r.loop.Go(r.lookAfterAll)
	}
}

// through notes that one of two kinds of errands is done. Its caller holds mu.
func (e *errands) through(busy *bool) {
	if *busy = false; e.running || e.looking {
		return
	}
	for _, idle := range e.idle {
		close(idle)
	}
	e.idle = nil
}

// runErrands removes and checks until nothing is left.
func (r *renewals) runErrands() {
	e := &r.errands
	for {
		e.mu.Lock()
		removed := cut(&e.removed, errandBatch)
		checks := cut(&e.checks, indexWorkers)
		if len(removed)+len(checks) == 0 {
			e.through(&e.running)
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
		calls.Wait()
	}
}

// lookAfterAll looks after what was resumed until nothing is left.
func (r *renewals) lookAfterAll() {
	e := &r.errands
	for {
		e.mu.Lock()
		resumed := cut(&e.resumed, errandBatch)
		if len(resumed) == 0 {
			e.through(&e.looking)
			e.mu.Unlock()
			return
		}
		e.mu.Unlock()
		ctx, cancel := context.WithTimeout(r.ctx, r.lease/renewalsPerLease)
		if failed := r.lookAfter(ctx, resumed); len(failed) == 0 {
			cancel()
		} else {
			r.loop.Go(func() {
				defer cancel()
				r.again(ctx, func(ctx context.Context) bool { // until their turn comes
					failed = r.lookAfter(ctx, failed)
					return len(failed) == 0
				})
			})
		}
	}
}

// lookAfter renews handles before it is their turn, and returns those that the backend could not be asked about.
func (r *renewals) lookAfter(ctx context.Context, handles []*Session) (failed []*Session) {
	live := slices.DeleteFunc(handles, func(s *Session) bool { return !s.kept() })
	failed, _ = r.judge(live, r.renewOwned(ctx, live))
	return failed
}

// again calls do until that is done or ctx ends. It begins soon, since what there is to do may be for entries that end soon.
func (r *renewals) again(ctx context.Context, do func(context.Context) (done bool)) {
	for wait := firstAgain; ctx.Err() == nil; wait *= 2 {
		pause(ctx, min(wait, r.lease/renewalsPerLease/renewAttempts))
		if do(ctx) {
			return
		}
	}
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
	if !e.running && !e.looking {
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
