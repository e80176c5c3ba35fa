package backends

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/sessionkv/store"
)

// moveKey is the key of the mark that a copy has until it is the session. Its beginning is reserved by package store.
const moveKey = "\ufdd0move"

// A mark is 18 bytes: 1, the format; a state; and 16 random bytes that tell one move from another.
const (
	markFormat = 1
	markSize   = 18

	markPending byte = 'p' // never served
	markReady   byte = 'r' // served once the session has gone from the old backend
	markDead    byte = 'd' // about to be destroyed
)

func newMark() []byte {
	mark := make([]byte, markSize)
	rand.Read(mark[2:]) // never fails
	mark[0], mark[1] = markFormat, markPending
	return mark
}

// withState returns a copy of mark in another state.
func withState(mark []byte, state byte) []byte {
	next := bytes.Clone(mark)
	next[1] = state
	return next
}

// isMark reports whether the value of moveKey is a mark. With any other the session is not a copy.
func isMark(v []byte) bool { return len(v) == markSize && v[0] == markFormat }

// current reads a key from the server, also where reads are answered by a cache.
func current(ctx context.Context, s store.Store, key string) ([]byte, error) {
	if c, ok := s.(interface {
		GetCurrent(context.Context, string) ([]byte, error)
	}); ok {
		return c.GetCurrent(ctx, key)
	}
	return s.Get(ctx, key)
}

// remark changes the mark of a copy, from one that was seen to another, nil to remove it.
func remark(ctx context.Context, s store.Store, from, to []byte) (now []byte, err error) {
	values, err := store.Commit(ctx, s, []store.Entry{{Key: moveKey, Value: from}}, []store.Entry{{Key: moveKey, Value: to}})
	if len(values) == 1 {
		now = values[0]
	}
	return now, err
}

// kill ends a copy, unless its mark has changed: then it may be the session.
func kill(ctx context.Context, s store.Store, seen []byte) error {
	_, err := remark(ctx, s, seen, withState(seen, markDead))
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrDestroyed) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.Destroy(ctx)
}

// A sight is where a session was found. That is at the new backend, or at the old one, with or without a copy at the
// new one.
type sight struct {
	new  store.Store // at the new backend
	mark []byte      // of new; nil when it is the session
	old  store.Store // at the old backend; not looked for when new is the session
}

// see looks for a session, and waits while there is only a copy of it.
func (m *Migration) see(ctx context.Context, w *waiting, id string, t store.Terms) (seen sight, err error) {
	for missed := false; ; {
		if seen.new, seen.mark, err = m.look(ctx, id, t); err != nil || seen.new != nil && seen.mark == nil {
			return seen, err
		}
		if missed && seen.new == nil {
			return seen, store.ErrNoSession
		}
		seen.old, err = m.old.Attach(ctx, id, t)
		if err == nil || !errors.Is(err, store.ErrNoSession) {
			return seen, err
		}
		seen.old = nil
		if missed = seen.new == nil; missed {
			continue // it may have moved in between
		}
		if err := m.half(ctx, w, seen); err != nil {
			return seen, err
		}
	}
}

// look looks at the new backend only.
func (m *Migration) look(ctx context.Context, id string, t store.Terms) (s store.Store, mark []byte, err error) {
	for {
		s, err := m.new.Attach(ctx, id, t)
		if errors.Is(err, store.ErrNoSession) {
			return nil, nil, nil
		}
		if err != nil {
			return nil, nil, err
		}
		v, err := current(ctx, s, moveKey)
		switch {
		case errors.Is(err, store.ErrNotFound) || err == nil && !isMark(v):
			return s, nil, nil
		case errors.Is(err, store.ErrDestroyed): // and perhaps resumed
			if err := ctx.Err(); err != nil {
				return nil, nil, err
			}
			continue
		case err != nil:
			return nil, nil, err
		case v[1] == markDead:
			if err := s.Destroy(ctx); err != nil { // for whoever has marked it
				return nil, nil, err
			}
			continue
		}
		return s, bytes.Clone(v), nil
	}
}

// half is called for a copy whose session has gone from the old backend. It waits for the mover, and in the
// end does what the mover would have done.
func (m *Migration) half(ctx context.Context, w *waiting, seen sight) error {
	if !w.over(seen.mark) {
		return w.pause(ctx)
	}
	if seen.mark[1] == markPending {
		return kill(ctx, seen.new, seen.mark)
	}
	_, err := remark(ctx, seen.new, seen.mark, nil)
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrDestroyed) {
		return nil // somebody else has settled it
	}
	return err
}

// patience is how long a mover is waited for. A mark that stays longer is one whose mover has died.
const patience = time.Second

// A waiting is that of a call for movers.
type waiting struct {
	mark  []byte
	since time.Time
	pace  time.Duration
}

// over reports whether the mark has been seen for long enough.
func (w *waiting) over(mark []byte) bool {
	if !bytes.Equal(w.mark, mark) {
		*w = waiting{mark: mark, since: time.Now(), pace: time.Millisecond}
	}
	return time.Since(w.since) >= patience
}

func (w *waiting) pause(ctx context.Context) error {
	timer := time.NewTimer(w.pace)
	defer timer.Stop()
	w.pace = min(2*w.pace, patience/20)
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
