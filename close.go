package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sessionkv/store/internal/shutdown"
)

func init() {
	shutdown.CloseKeeping = func(ctx context.Context, sessions any, grace time.Duration) error {
		return sessions.(*Sessions).closeKeeping(ctx, grace)
	}
}

// calls counts the calls that begin or end lives, so that Close can wait for them. After Close the
// caller may close the backend.
type calls struct {
	n      atomic.Int64
	closed atomic.Bool
	zero   chan struct{} // gets a value when n has become 0 after closed
}

// errNoSessions refuses a Sessions that New did not make.
var errNoSessions = errors.New("these Sessions are nil or were not made by New")

func (c *calls) init() { c.zero = make(chan struct{}, 1) }

// enter counts a call that begins a life, unless Close was called. exit ends it.
func (ss *Sessions) enter() error {
	if !ss.valid() {
		return errNoSessions
	}
	c := &ss.calls
	c.n.Add(1)
	// Either this call sees that Close was called, or Close sees this call.
	if c.closed.Load() {
		c.exit()
		return ErrClosed
	}
	return nil
}

// leaving counts a call that ends a life, which Close does not refuse.
func (c *calls) leaving() (exit func()) {
	c.n.Add(1)
	return c.exit
}

func (c *calls) exit() {
	if c.n.Add(-1) == 0 && c.closed.Load() {
		select {
		case c.zero <- struct{}{}:
		default:
		}
	}
}

// wait waits until no call is counted or ctx ends, and returns how many are left.
func (c *calls) wait(ctx context.Context) int64 {
	for {
		n := c.n.Load()
		if n == 0 {
			return 0
		}
		select {
		case <-c.zero:
		case <-ctx.Done():
			return c.n.Load()
		}
	}
}

// closing is the result that all calls of Close share.
type closing struct {
	through chan struct{}
	err     error // valid when through is closed
}

func (c *closing) init() { c.through = make(chan struct{}) }

// Close ends what this process owns: it destroys the sessions, or suspends them when
// [Options].Grace is set, so that another node can resume them. It ends the handles from Attach,
// and it stops the renewals. It waits for calls of Create, Resume, Attach, Suspend, Destroy and
// Release that have not returned yet. New ones that would begin a session fail with [ErrClosed].
// The backend stays open.
//
// Close takes until ctx ends and at most five seconds more, in all. Sessions
// that could not be let go of by then end when their leases run out; the error
// says how many. A second Close waits for the first and returns the same. Close
// may be called from any function that the library calls.
func (ss *Sessions) Close(ctx context.Context) error {
	return ss.closeKeeping(ctx, 0)
}

// closeKeeping is Close for a package that has promised a grace to its own sessions. Where
// Options.Grace is zero, what is left is suspended for grace.
func (ss *Sessions) closeKeeping(ctx context.Context, grace time.Duration) error {
	if !ss.valid() {
		return nil
	}
	if grace > 0 {
		ss.grace.CompareAndSwap(0, int64(grace))
	}
	ctx, cancel := cleanup(ctx)
	defer cancel()
	c := &ss.closing
	if ss.calls.closed.CompareAndSwap(false, true) {
		defer close(c.through)
		c.err = ss.close(ctx)
		return c.err
	}
	select {
	case <-c.through:
		return c.err
	case <-ctx.Done():
		return &Error{Op: "close", Err: fmt.Errorf("the Close that came first has not finished: %w", context.Cause(ctx))}
	}
}

// closeWorkers is how many sessions Close lets go of at once, so that a backend can
// merge them into few round trips.
const closeWorkers = 1024

// close lets go of everything until ctx ends.
func (ss *Sessions) close(ctx context.Context) error {
	var owned []*Session
	for _, s := range ss.registry.close() {
		if s.owned {
			s.claim()
			owned = append(owned, s)
		} else {
			s.end(endClosed)
		}
	}
	left, first := ss.letGoOf(ctx, owned)
	calls := ss.calls.wait(ctx)
	ss.renewals.finishErrands(ctx)
	ss.renewals.stop(ctx)

	ss.over.Store(true)
	ss.keyLength.Store(-1)
	for _, s := range owned {
		e := s.ended.Load()
		for (e == nil || e.phase < loose) && !s.turn(e, endClosed) {
			e = s.ended.Load()
		}
	}
	var text string
	switch {
	case left > 0 && calls > 0:
		text = fmt.Sprintf("%d of %d sessions were left to their leases, and %d calls have not returned", left, len(owned), calls)
	case left > 0:
		text = fmt.Sprintf("%d of %d sessions were left to their leases", left, len(owned))
	case calls > 0:
		text = fmt.Sprintf("%d calls that begin or end sessions have not returned", calls)
	default:
		return nil
	}
	if first == nil {
		first = context.Cause(ctx)
	}
	return &Error{Op: "close", Err: fmt.Errorf("%s; the first error: %w", text, first)}
}

// letGoOf lets go of sessions until ctx ends. It returns how many are left, and the
// first reason.
func (ss *Sessions) letGoOf(ctx context.Context, sessions []*Session) (left int, first error) {
	var (
		workers sync.WaitGroup
		next    atomic.Int64
		gone    atomic.Int64
		failure atomic.Pointer[error]
	)
	for range min(closeWorkers, len(sessions)) {
		workers.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(sessions) {
					return
				}
				if err := sessions[i].letGoClaimed(ctx); err != nil {
					failure.CompareAndSwap(nil, &err)
				} else {
					gone.Add(1)
				}
			}
		})
	}
	through := make(chan struct{})
	go func() {
		workers.Wait()
		close(through)
	}()
	select {
	case <-through:
	case <-ctx.Done(): // a backend that hangs may not notice
	}
	if p := failure.Load(); p != nil {
		first = *p
	}
	return len(sessions) - int(gone.Load()), first
}
