package backends

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sessionkv/store"
)

const (
	// moveFreely is how often a move compares before it refuses writers.
	moveFreely = 3

	// moveReplies is how often a move asks what became of a step whose reply was lost.
	moveReplies = 3
)

// errAgain says that somebody else was faster: the session is to be looked for once more.
var errAgain = errors.New("the session has ended or moved meanwhile")

// A move is that of one session. Its steps are explained at [Migration].
type move struct {
	m      *Migration
	id     string
	t      store.Terms
	from   store.Store   // at the old backend
	fenced bool          // from is of a life that the move began
	left   time.Duration // that the session had when it was fenced
	copy   store.Store   // at the new backend; nil until it exists
	mark   []byte        // of the copy
	gone   bool          // it has gone from the old backend, or nobody can tell
}

// move moves a session that was seen at the old backend, and returns it.
func (m *Migration) move(ctx context.Context, id string, t store.Terms, seen sight) (store.Store, error) {
	m.mu.Lock()
	if m.closed.Load() {
		m.mu.Unlock()
		return nil, store.ErrClosed
	}
	m.moves.Add(1)
	m.mu.Unlock()
	defer m.moves.Done()
	moving, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(m.ctx, func() { cancel(store.ErrClosed) })()

	v := &move{m: m, id: id, t: t, from: seen.old}
	err := v.run(moving, seen)
	if err == nil {
		var s store.Store
		if s, err = v.finish(ctx); err == nil {
			m.moved.Add(1)
			return m.handOut(&m.new, id, s, nil)
		}
	}
	if v.gone {
		if !errors.Is(err, errAgain) {
			m.failed.Add(1)
		}
		return nil, err
	}
	undone := v.undo(ctx, err)
	switch {
	case v.fenced && errors.Is(err, store.ErrDestroyed):
		// The Resume has taken effect, and somebody else's came after it.
		return m.handOut(&m.old, id, v.from, nil)
	case errors.Is(err, errAgain), errors.Is(err, store.ErrDestroyed), errors.Is(err, store.ErrNoSession):
		return nil, errAgain
	case isRefusal(err):
		m.refused.Do(func() {
			m.opts.Logger.Warn("store: a session cannot be moved and stays at the old backend; others of its kind will, too", "error", err)
		})
		return nil, fmt.Errorf("%w: %w", errRefused, err)
	}
	err = undone
	m.failed.Add(1)
	if ctx.Err() == nil && errors.Is(context.Cause(moving), store.ErrClosed) {
		return nil, store.ErrClosed
	}
	return nil, err
}

// errRefused is around the reason for which a session can never be moved.
var errRefused = errors.New("the session cannot be moved")

// isRefusal reports whether a move failed for a reason that the next one would meet, too.
func isRefusal(err error) bool {
	for _, why := range []error{store.ErrTooLarge, store.ErrTooManyKeys, store.ErrInvalidKey, errors.ErrUnsupported} {
		if errors.Is(err, why) {
			return true
		}
	}
	return false
}

// run takes the steps up to the one that ends the session at the old backend.
func (v *move) run(ctx context.Context, seen sight) error {
	if seen.mark != nil { // of a mover that has died
		if err := v.fence(ctx); err != nil {
			return err
		}
		// The copy was seen before this life began, so it is nobody's session.
		if err := kill(ctx, seen.new, seen.mark); err != nil {
			return err
		}
	}
	for round := 0; ; round++ {
		if round >= moveFreely {
			if err := v.fence(ctx); err != nil {
				return err
			}
		}
		values, err := read(ctx, v.from)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(values, func(e store.Entry) bool { return e.Key == moveKey }) {
			return errBothWays
		}
		if err := v.write(ctx, values); err != nil {
			return err
		}
		err = store.DestroyIf(ctx, v.from, values)
		switch {
		case err == nil:
			v.gone = true
			return nil
		case errors.Is(err, store.ErrUnknownOutcome):
			switch lost := v.settle(ctx); {
			case errors.Is(lost, store.ErrNoSession):
				// By this step, or by a Destroy that came while Resume was on its way.
				v.gone = true
				return nil
			case lost != nil:
				v.gone = true
				return fmt.Errorf("the session lives at one of the two backends, and the next Resume finds it: %w", err)
			}
		case !errors.Is(err, store.ErrConflict):
			return err
		}
		// The values are others by now. The copy goes at once: should this process die, it must not outlive the session.
		if err := v.drop(ctx); err != nil {
			return err
		}
	}
}

// drop removes the copy.
func (v *move) drop(ctx context.Context) error {
	if v.copy == nil {
		return nil
	}
	err := v.copy.Destroy(ctx)
	if err == nil {
		v.copy = nil
	}
	return err
}

var errBothWays = errors.New("backends: the session at the old backend is a copy of a move in the other direction; do not run Migrate in both directions at once")

// settle finds out what became of a last step whose reply was lost. It returns nil when the session lives at
// the old backend: a new life of it refuses the step, however late it comes.
func (v *move) settle(ctx context.Context) (err error) {
	ctx, cancel := cleanup(ctx)
	defer cancel()
	for range moveReplies {
		if err = v.fence(ctx); err == nil || errors.Is(err, store.ErrNoSession) {
			return err
		}
		sleep(ctx, 100*time.Millisecond)
	}
	return err
}

// read returns all values of a session.
func read(ctx context.Context, s store.Store) ([]store.Entry, error) {
	keys, err := store.Keys(ctx, s)
	if err != nil {
		return nil, err
	}
	values, err := store.GetMany(ctx, s, keys)
	if err != nil {
		return nil, err
	}
	entries := make([]store.Entry, 0, len(keys))
	for i, key := range keys {
		if values[i] != nil { // else it was removed in between
			entries = append(entries, store.Entry{Key: key, Value: values[i]})
		}
	}
	return entries, nil
}

// write makes a copy with values, and ready.
func (v *move) write(ctx context.Context, values []store.Entry) error {
	if err := canCopy(v.from); err != nil {
		return err
	}
	v.mark = newMark()
	initial := append(slices.Clip(values), store.Entry{Key: moveKey, Value: v.mark})
	// Without a limit: what the session holds already it may hold, and the mark comes on top.
	made, err := v.m.new.Create(ctx, v.id, initial, store.Terms{Lease: v.t.Lease})
	if errors.Is(err, store.ErrExists) {
		return errAgain
	}
	if err != nil {
		return err
	}
	v.copy = made
	if err := errorAt(v.m.old.Renew(ctx, []store.Store{v.from}, 0), 0); err != nil {
		return err
	}
	ready := withState(v.mark, markReady)
	if _, err := remark(ctx, v.copy, v.mark, ready); err != nil {
		return ofCopy(err)
	}
	v.mark = ready
	return nil
}

// ofCopy turns the end of the copy, or of its mark, into errAgain.
func ofCopy(err error) error {
	if errors.Is(err, store.ErrDestroyed) || errors.Is(err, store.ErrConflict) {
		return errAgain
	}
	return err
}

// canCopy returns nil, or which ability the old backend lacks for its sessions to be moved. It changes nothing.
func canCopy(s store.Store) error {
	if _, ok := s.(store.ConditionalDestroyer); !ok {
		return store.DestroyIf(context.Background(), s, nil)
	}
	return nil
}

// fence begins a new life of the session at the old backend, with which all its handles end.
func (v *move) fence(ctx context.Context) error {
	if !v.fenced {
		v.left = v.m.timeLeft(ctx, v.from)
	}
	t := v.t
	t.Lease = max(t.Lease, v.left) // should the move fail, the session lives no shorter than before
	from, err := v.m.old.Resume(ctx, v.id, t)
	if err != nil {
		return err
	}
	v.from, v.fenced = from, true
	return nil
}

// finish makes the copy the session, also after the end of ctx.
func (v *move) finish(ctx context.Context) (store.Store, error) {
	ctx, cancel := cleanup(ctx)
	defer cancel()
	for try := 1; ; try++ {
		s, err := v.settled(ctx)
		if err == nil || errors.Is(err, errAgain) {
			return s, err
		}
		if try == moveReplies {
			return nil, fmt.Errorf("the session has moved, but the new backend does not answer; resume it once more: %w", err)
		}
		sleep(ctx, 100*time.Millisecond)
	}
}

// settled removes the mark of the copy, and returns the session under the terms of the call.
func (v *move) settled(ctx context.Context) (store.Store, error) {
	s := v.copy
	if v.t.MaxKeys > 0 {
		// Before the mark goes: until then nobody resumes it, so this is the life of the copy.
		var err error
		if s, err = v.m.new.Attach(ctx, v.id, v.t); errors.Is(err, store.ErrNoSession) {
			return nil, errAgain
		} else if err != nil {
			return nil, err
		}
	}
	now, err := remark(ctx, v.copy, v.mark, nil)
	switch {
	case err == nil:
		return s, nil
	case errors.Is(err, store.ErrConflict) && now == nil:
		// Somebody who has waited for too long did it, or the reply of an earlier try was lost.
		return s, nil
	case errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrDestroyed): // it is dead, or was resumed
		return nil, errAgain
	}
	return nil, err
}

// undo removes the copy after err. The session stays at the old backend, with the time that it had, or more.
func (v *move) undo(ctx context.Context, err error) error {
	ctx, cancel := cleanup(ctx)
	defer cancel()
	if lost := v.drop(ctx); lost != nil {
		err = fmt.Errorf("%w; and the copy at the new backend ends with its lease: %w", err, lost)
	}
	return err
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
