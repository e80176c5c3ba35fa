package store

import (
	"context"
	"errors"
	"time"
)

// The life of a session, as one process sees it:
//
//  1. Create or Resume begins a life on the backend. The call is counted (calls),
//     so that Close waits for it.
//  2. The handle is listed in the registry and its lease is renewed (renewals).
//     Listing and Close exclude each other: a handle that comes after Close was
//     listed nowhere, so the call that brought it lets go of it before it fails.
//     A handle from Attach is listed only while somebody waits for its end.
//  3. The handle is live: its state is nil, and operations go to the backend.
//  4. Suspend, Destroy, Release or Close begins to leave. The handle is leaving:
//     operations are refused, the lease is not renewed any more, the handle stays
//     listed. Of several such calls one leaves and the others wait for it, so
//     that a deferred Destroy cannot undo a Suspend that is still on its way.
//  5. The backend confirms, and the handle is over: Done is closed, the functions
//     of AfterEnd run, and the registry forgets it.
//  6. Without a confirmation the handle is loose: it cannot be told what the backend
//     did. Done is closed. It stays listed for what is left of its lease, so that
//     another Suspend, Destroy or Release, or Close, tries again in the way that
//     was begun. Meanwhile it is leaving again, and Done stays closed.
//  7. A life that ends elsewhere makes a live handle over at once: an operation
//     or a renewal was refused. When no renewal was confirmed for a lease and a
//     margin, the backend cannot hold the life any more, and the handle is over
//     with ErrExpired.
//  8. Close takes no more calls and claims every listed handle at once, so that
//     a handler that wakes up at the shutdown and destroys its session comes
//     too late. Claimed handles are still renewed until their turn comes to
//     leave. Close waits for the calls that are counted, and ends what is left
//     with ErrClosed.
//
// A state changes in Session.turn and nowhere else, under the lock of the
// registry's shard.

// An ending is the state of a handle that is not live any more; nil is live.
type ending struct {
	err   error // why operations are refused
	phase phase
	tally tally
	grace time.Duration // unless over: of the Suspend that was begun; zero for Destroy
	again bool          // leaving: after an attempt that was not confirmed

	settled chan struct{} // claimed, leaving: closed at the next state
}

// A phase is how far a handle is with its end.
type phase uint8

const (
	claimed phase = iota // Close is about to leave
	leaving              // a Suspend or Destroy is on its way
	loose                // it was not confirmed, and may be tried again
	over                 // nothing follows
)

// A tally is the statistic that an ending counts in.
type tally uint8

const (
	tallyNone tally = iota
	tallySuspended
	tallyDestroyed
	// Those of owned handles that are lost.
	tallyLost
	tallyResumed // by another handle
	tallyExpired
	tallies
)

// The endings that are over.
var (
	endSuspended = &ending{err: ErrSuspended, phase: over, tally: tallySuspended}
	endDestroyed = &ending{err: ErrDestroyed, phase: over, tally: tallyDestroyed}
	endElsewhere = &ending{err: ErrDestroyed, phase: over, tally: tallyLost}
	endResumed   = &ending{err: ErrResumed, phase: over, tally: tallyResumed}
	endRotated   = &ending{err: ErrResumed, phase: over}
	endExpired   = &ending{err: ErrExpired, phase: over, tally: tallyExpired}
	endReleased  = &ending{err: ErrReleased, phase: over}
	endClosed    = &ending{err: ErrClosed, phase: over, tally: tallyLost}
)

// endedBy returns the ending for the error with which a backend refuses a life
// that is over, or nil for any other error.
func endedBy(err error) *ending {
	switch {
	case !errors.Is(err, ErrDestroyed):
		return nil
	case errors.Is(err, ErrResumed):
		return endResumed
	case errors.Is(err, ErrExpired):
		return endExpired
	}
	return endElsewhere
}

// left returns 1 for the state of a handle that was let go of without a
// confirmation, which nil is not.
func (e *ending) left() int {
	if e != nil && e.phase == loose {
		return 1
	}
	return 0
}

// turn changes the state of s from one to another, and reports whether s was
// still in the first.
func (s *Session) turn(from, to *ending) bool {
	sh := s.sessions.registry.shard(s.id)
	sh.mu.Lock()
	if !s.ended.CompareAndSwap(from, to) {
		sh.mu.Unlock()
		return false
	}
	s.memo.Store(nil)
	if s.listed {
		sh.moved(s, from, to)
	}
	if to.tally < tallyLost || s.owned {
		sh.ends[to.tally]++
	}
	if s.owned {
		sh.left += to.left() - from.left()
	}
	var wake *watch
	if to.phase >= loose && s.watch != endedWatch {
		wake, s.watch = s.watch, endedWatch
	}
	if to.phase == over || to.phase == loose && !s.owned {
		sh.remove(s)
	}
	sh.mu.Unlock()

	if from != nil && from.settled != nil {
		close(from.settled)
	}
	wake.wake(to.err)
	return true
}

// end makes a live handle over.
func (s *Session) end(why *ending) { s.turn(nil, why) }

// noticed ends the handle when err says that the life has ended. It returns err,
// with what this package can add to it.
func (s *Session) noticed(err error) error {
	if errors.Is(err, ErrNotFound) {
		return err
	}
	if why := endedBy(err); why != nil {
		s.end(why)
	}
	return s.sessions.explained(err)
}

// settled waits while another call is leaving or about to, and returns the state
// then.
func (s *Session) settled(ctx context.Context) (*ending, error) {
	for {
		e := s.ended.Load()
		if e == nil || e.phase >= loose {
			return e, nil
		}
		select {
		case <-e.settled:
		case <-ctx.Done():
			return e, context.Cause(ctx)
		}
	}
}

// closed reports whether Done is closed in this state, which nil is too.
func (e *ending) closed() bool { return e != nil && (e.phase >= loose || e.again) }

// departure returns the state of a handle that a Suspend for grace, or a
// Destroy when grace is zero, brings about.
func departure(p phase, grace time.Duration) *ending {
	e := &ending{err: ErrDestroyed, phase: p, grace: grace}
	if grace > 0 {
		e.err = ErrSuspended
	}
	if p < loose {
		e.settled = make(chan struct{})
	}
	return e
}

// leave ends the life on the backend: it suspends it for grace, or destroys it
// when grace is zero. A call that is leaving already is waited for. What it made
// of the handle is returned when that is over: nothing is left to do then.
func (s *Session) leave(ctx context.Context, grace time.Duration) (already *ending, err error) {
	for {
		e, err := s.settled(ctx)
		if err != nil {
			return nil, err
		}
		if e != nil && e.phase == over {
			return e, nil
		}
		mine := departure(leaving, grace)
		mine.again = e != nil // loose, then
		if s.turn(e, mine) {
			return nil, s.depart(ctx, mine)
		}
	}
}

// depart asks the backend for what mine, the state of s, says.
func (s *Session) depart(ctx context.Context, mine *ending) (err error) {
	to := departure(loose, mine.grace)
	defer func() { s.turn(mine, to) }() // deferred for a backend that panics
	if mine.grace > 0 {
		if err = s.suspendRaw(ctx, mine.grace); err == nil {
			to = endSuspended
		} else if why := endedBy(err); why != nil {
			to = why
		}
		return err
	}
	if err = s.destroyRaw(ctx); err == nil {
		to = endDestroyed
	}
	return err
}

// claim makes a live handle one that Close is about to let go of.
func (s *Session) claim() { s.turn(nil, departure(claimed, s.sessions.keeps())) }

// letGo leaves in the way that an earlier call, or Close with claim, has begun,
// and otherwise as Options.Grace says. It does nothing when the handle is over.
func (s *Session) letGo(ctx context.Context) error {
	grace := s.sessions.keeps()
	e, err := s.settled(ctx)
	if err != nil {
		return err
	}
	if e != nil {
		grace = e.grace
	}
	_, err = s.leave(ctx, grace)
	return unlessEnded(err)
}

// letGoClaimed is letGo for the call of Close that has claimed s.
func (s *Session) letGoClaimed(ctx context.Context) error {
	e := s.ended.Load()
	if e == nil || e.phase != claimed {
		return s.letGo(ctx)
	}
	mine := departure(leaving, e.grace)
	s.turn(e, mine) // nobody else takes a claimed handle further
	return unlessEnded(s.depart(ctx, mine))
}

// unlessEnded returns err unless it says that the life has ended in the meantime.
func unlessEnded(err error) error {
	if errors.Is(err, ErrDestroyed) {
		return nil
	}
	return err
}

// cleanupTime is how long a call that lets go of sessions may go on after its
// context has ended.
const cleanupTime = 5 * time.Second

// cleanup returns a context with the values of ctx that ends cleanupTime after
// it. Clients go away at any moment, and take the contexts of their requests with
// them; what is left to do then must be done nevertheless.
func cleanup(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx.Done() == nil {
		return ctx, func() {}
	}
	longer := context.WithoutCancel(ctx)
	if ctx.Err() != nil {
		return context.WithTimeout(longer, cleanupTime)
	}
	var cancel context.CancelFunc
	deadline, timed := ctx.Deadline()
	if timed {
		longer, cancel = context.WithDeadline(longer, deadline.Add(cleanupTime))
	} else {
		longer, cancel = context.WithCancel(longer)
	}
	stop := context.AfterFunc(ctx, func() {
		if timed && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return
		}
		timer := time.AfterFunc(cleanupTime, cancel)
		context.AfterFunc(longer, func() { timer.Stop() })
	})
	return longer, func() { stop(); cancel() }
}
