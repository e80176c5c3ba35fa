package store

import (
	"context"
	"errors"
)

// Open goes on with the session id, which a client claims to have had before, if that session is
// alive and allow agrees. Then resumed is true. Otherwise it begins a new one with the initial
// values, under an ID of its own, never under id: see [Sessions.Create]. Either way this process
// owns the session. An empty id, or one that cannot be an ID, begins a new one.
//
// allow sees the session before it is taken over, as a handle of [Sessions.Attach] that is valid
// until allow returns. It usually compares the user of the session with the one who has just
// authenticated. Its error ends Open and is returned, and the owner is not disturbed. When allow
// has agreed and the session was taken over, nobody else can change it any more, and allow is
// called once more. What it agreed to may have been changed, or ended and begun anew, in between.
// If it refuses then, Open fails, and the session is suspended for [Options].Grace, or a lease if
// that is longer. So allow must not have effects of its own. A nil allow agrees to whoever has the
// ID.
func (ss *Sessions) Open(ctx context.Context, id string, allow func(ctx context.Context, s *Session) error, initial ...Change) (s *Session, resumed bool, err error) {
	if CheckID(id) == nil {
		s, err = ss.reopen(ctx, id, allow)
		if err == nil {
			return s, true, nil
		}
		if !errors.Is(err, errBeginAnew) {
			return nil, false, &Error{Op: "open", Err: err}
		}
	}
	s, err = ss.Create(ctx, NewID(), initial...)
	if err != nil {
		if e, ok := errors.AsType[*Error](err); ok && e.Op == "create" && e.Key == "" {
			err = &Error{Op: "open", Err: e.Err}
		}
		return nil, false, err
	}
	return s, false, nil
}

// errBeginAnew says that the claimed session does not live.
var errBeginAnew = errors.New("no session to go on with")

// reopen takes over the session id if allow agrees. No call is counted while
// allow runs, which may call Close.
func (ss *Sessions) reopen(ctx context.Context, id string, allow func(context.Context, *Session) error) (*Session, error) {
	counted := func(f func(context.Context, string) (*Session, error)) (*Session, error) {
		if err := ss.enter(); err != nil {
			return nil, err
		}
		defer ss.calls.exit()
		s, err := f(ctx, id)
		if errors.Is(err, ErrNoSession) {
			return nil, errBeginAnew
		}
		return s, err
	}
	for allow != nil {
		seen, err := counted(ss.attach)
		if err != nil {
			return nil, err
		}
		err = allow(ctx, seen)
		ended := seen.Err()
		seen.end(endReleased)
		if err == nil {
			break
		}
		if !errors.Is(ended, ErrDestroyed) || !errors.Is(err, ErrDestroyed) || ctx.Err() != nil {
			return nil, err
		}
		// The life ended under allow. Perhaps there is a later one to ask about.
	}
	s, err := counted(ss.resume)
	if err != nil || allow == nil {
		return s, err
	}
	agreed := false
	defer func() { // deferred for an allow that panics
		if !agreed {
			_ = s.suspend(ctx, max(ss.keeps(), ss.lease))
		}
	}()
	if err := allow(ctx, s); err != nil {
		return nil, err
	}
	agreed = true
	return s, nil
}
