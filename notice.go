package store

import (
	"context"
	"slices"
	"time"
)

// A Watcher is a [Backend] that notices promptly when a session ends elsewhere.
type Watcher interface {
	// Watch has hint called soon after the life of session has ended, however and wherever: by
	// Destroy, by Resume, or because its deadline passed. A hint is only a reason to ask, with
	// [Backend.Renew] and a lease of zero. It may come for nothing, several times, and not at all
	// when the storage is in trouble. What such a Renew answers of a living session, the backend
	// also goes by: it hints again when the deadline of that moment has passed.
	//
	// Hint must not block and must not call the backend. It may be called once more
	// while stop runs, and not after that. Stop may be called several times. For a
	// session that this Backend did not hand out Watch fails with [ErrForeignStore].
	Watch(session Store, hint func()) (stop func(), err error)
}

// Watch has hint called soon after the life of session has ended; see [Watcher]. It fails with
// [errors.ErrUnsupported] when b is not a [Watcher].
func Watch(b Backend, session Store, hint func()) (stop func(), err error) {
	if w, ok := b.(Watcher); ok {
		return w.Watch(session, hint)
	}
	return nil, unsupported("prompt notice of ends (Watcher)")
}

// fresh bounds how old a confirmation by the backend may be that a session lives. With an older
// one, whoever begins to wait for the session's end makes the handle ask.
const fresh = 20 * time.Millisecond

// notify sees to it that s asks as soon as the backend hints at its end. It is called
// once, after s got the watch w. Without such a backend, the rounds of renewals
// find out alone.
func (s *Session) notify(w *watch) {
	r := &s.sessions.renewals
	stop, err := Watch(s.sessions.backend, s.raw, func() { r.hinted(s) })
	if err != nil {
		return
	}
	sh := s.sessions.registry.shard(s.id)
	sh.mu.Lock()
	over := s.watch != w
	if !over {
		w.stop = stop
	}
	stale := !s.owned || time.Duration(r.now()-s.stamp)*time.Millisecond > fresh
	sh.mu.Unlock()
	switch {
	case over:
		stop()
	case stale: // an end that came before the watch was not hinted at
		r.hinted(s)
	}
}

// hinted has the backend asked about s, soon and together with others. It does not
// block.
func (r *renewals) hinted(s *Session) {
	if !s.kept() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return
	}
	if _, comes := r.hinting[s]; comes { // it was hinted at several times
		return
	}
	if r.hinting == nil {
		r.hinting = make(map[*Session]struct{})
	}
	r.hinting[s] = struct{}{}
	r.hints = append(r.hints, s)
	if !r.asking {
		r.asking = true
		r.loop.Go(r.follow)
	}
}

const (
	// hintBatch is how many handles follow asks about at a time.
	hintBatch = 2048

	// freely is how many batches in a row follow asks about without need before it pauses.
	freely = 3

	// longestPause is what an end may come out later because of hints without need.
	longestPause = 16 * time.Millisecond

	// calm is how long after a question without need the next one counts as the first.
	calm = 100 * time.Millisecond
)

// follow asks about the sessions that were hinted at, until there are none. What
// cannot be asked about now comes out at the next round.
func (r *renewals) follow() {
	for {
		r.vain.pause(r.ctx)
		r.mu.Lock()
		n := min(len(r.hints), hintBatch)
		handles := r.hints[:n:n]
		r.hints = r.hints[n:]
		for _, s := range handles {
			delete(r.hinting, s)
		}
		if n == 0 {
			r.hints, r.hinting, r.asking = nil, nil, false
			r.mu.Unlock()
			return
		}
		r.mu.Unlock()
		ctx, cancel := context.WithTimeout(r.ctx, r.lease/renewalsPerLease)
		r.verify(ctx, handles)
		cancel()
		r.vain.note(slices.ContainsFunc(handles, func(s *Session) bool { return !s.kept() }))
	}
}

// A vanity keeps whoever sends hints for nothing from keeping the backend busy: where
// they keep coming, it lets less be asked.
type vanity struct {
	n  int       // questions in a row without need
	at time.Time // of the last
}

// note takes in whether a question was worth asking.
func (v *vanity) note(ended bool) {
	switch now := time.Now(); {
	case ended:
		v.n = 0
	case v.n > 0 && now.Sub(v.at) > calm:
		v.n, v.at = 1, now
	default:
		v.n, v.at = v.n+1, now
	}
}

// pause waits until the next question may be asked.
func (v *vanity) pause(ctx context.Context) {
	if v.n < freely {
		return
	}
	left := min(time.Millisecond<<min(v.n-freely, 8), longestPause) - time.Since(v.at)
	if left <= 0 {
		return
	}
	select {
	case <-time.After(left):
	case <-ctx.Done():
	}
}
