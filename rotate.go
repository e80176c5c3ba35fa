package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Rotate gives the session of s a new ID, with all its values and with changes,
// as is due when a client logs in (see session fixation, at [Sessions.Create]).
// It returns the session under newID, which should be from [NewID]. Sealed
// values are sealed anew. The old ID is dead afterwards: every handle of it, on
// every node, fails with [ErrDestroyed]. The new session is owned as s was. One
// that nobody owns lives as long as CreateFor or Extend last said through s, or
// an hour when neither was called: Extend it.
//
// Rotate takes six round trips:
//
//  1. It resumes the session, so that every earlier handle is fenced off: a
//     write that was acknowledged is in what follows, and a later one is
//     refused. From here on s has ended.
//  2. It reads the names of the keys,
//  3. and all values.
//  4. It creates the new session with them in one step. Nobody knows its ID yet.
//  5. It destroys the life that step 1 began,
//  6. and looks whether the old ID is dead. If not, another handle has resumed
//     the old session after step 1; that one goes on, and Rotate fails with
//     [ErrResumed].
//
// When Rotate fails before step 5, or in step 6, the session lives on under its
// old ID, for [Options].Grace or a lease at least: Resume it. In step 4 a reply
// may be lost; a copy under newID, if there is one, ends with its lease. When
// step 5 fails in all its attempts, the error satisfies errors.Is(err,
// [ErrUnknownOutcome]): the session lives under newID, for as long as above,
// and the old ID for its lease at most.
//
// IDs must not be used twice. If the session has ended, and another has begun
// under its ID, in the moment before step 1, Rotate takes that one.
func (ss *Sessions) Rotate(ctx context.Context, s *Session, newID string, changes ...Change) (*Session, error) {
	if err := ss.enter(); err != nil {
		return nil, &Error{Op: "rotate", Err: err}
	}
	defer ss.calls.exit()
	n, err := ss.rotate(ctx, s, newID, changes)
	if err != nil {
		return nil, opError("rotate", err)
	}
	return n, nil
}

// rotateTTL is how long a rotated session lives that nobody owns and whose time
// to live is not known here.
const rotateTTL = time.Hour

func (ss *Sessions) rotate(ctx context.Context, s *Session, newID string, changes []Change) (*Session, error) {
	// First everything that can fail without disturbing the session.
	if err := s.usable(); err != nil {
		return nil, err
	}
	if s.sessions != ss {
		return nil, errors.New("the session belongs to other Sessions")
	}
	if err := CheckID(newID); err != nil {
		return nil, err
	}
	if newID == s.id {
		return nil, errors.New("the new ID is the old one; use NewID")
	}
	n := ss.handle(newID, s.owned)
	buf := getBuffer()
	defer buf.release()
	changed, err := n.encodeChanges("rotate", buf, changes)
	if err != nil {
		return nil, err
	}
	if err := distinct(changed); err != nil {
		return nil, err
	}
	for _, e := range changed {
		if err := CheckKey(e.Key); err != nil {
			return nil, wrap("rotate", e.Key, err)
		}
	}
	if err := canMove(s.raw); err != nil {
		return nil, err
	}
	life := s.lasts()
	if !n.owned {
		n.stamp = seconds(life)
	}

	old, err := ss.backend.Resume(ctx, s.id, ss.terms(life))
	if err != nil {
		return nil, err
	}
	others := ss.registry.others(s)
	s.end(endRotated)
	ss.renewals.verify(ctx, others)

	entries, err := s.moved(ctx, old, n, buf, changed)
	var raw Store
	if err == nil {
		raw, err = ss.backend.Create(ctx, newID, entries, ss.terms(life))
	}
	cleaning, cancel := cleanup(ctx)
	defer cancel()
	keep := max(life, ss.grace)
	if err != nil {
		if lost := ss.backend.Suspend(cleaning, old, keep); lost != nil {
			return nil, fmt.Errorf("%w; and the session under the old ID ends with its lease: %w", ss.explained(err), lost)
		}
		return nil, ss.explained(err)
	}
	const attempts = 3
	for i := range attempts {
		if err = old.Destroy(cleaning); err == nil || cleaning.Err() != nil {
			break
		}
		if i+1 < attempts {
			pause(cleaning, 100*time.Millisecond)
		}
	}
	if err == nil {
		_, err = ss.backend.Attach(cleaning, s.id, ss.terms(life))
		if err == nil { // not ours any more
			if lost := raw.Destroy(cleaning); lost != nil {
				return nil, fmt.Errorf("%w; and the copy under the new ID ends with its lease: %w", ErrResumed, lost)
			}
			return nil, ErrResumed
		}
		if errors.Is(err, ErrNoSession) {
			err = nil
		}
	}
	if err != nil {
		err = fmt.Errorf("%w: the old ID may live until its lease runs out; the session is under the new one: %w", ErrUnknownOutcome, err)
		if lost := ss.backend.Suspend(cleaning, raw, keep); lost != nil {
			err = fmt.Errorf("%w; it ends with its lease: %w", err, lost)
		}
		return nil, err
	}
	n.bind(raw)
	if !n.owned {
		ss.registry.count(n, beganResume)
		return n, nil
	}
	return n, ss.adopt(ctx, n, beganResume)
}

// canMove returns nil, or which ability raw lacks to read all that it holds.
func canMove(raw Store) error {
	if _, ok := raw.(KeyLister); !ok {
		_, err := Keys(context.Background(), raw)
		return err
	}
	if _, ok := raw.(ManyGetter); !ok {
		_, err := GetMany(context.Background(), raw, nil)
		return err
	}
	return nil
}

// lasts returns how long the session is to live without a word from its process.
func (s *Session) lasts() time.Duration {
	if s.owned {
		return s.sessions.lease
	}
	sh := s.sessions.registry.shard(s.id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if s.stamp == 0 {
		return rotateTTL
	}
	return time.Duration(s.stamp) * time.Second
}

// moved reads all values of old, which is a raw store of the session of s, and
// returns them as the session of n stores them, with the changes.
func (s *Session) moved(ctx context.Context, old Store, n *Session, buf *buffer, changed []Entry) ([]Entry, error) {
	keys, err := Keys(ctx, old)
	if err != nil {
		return nil, err
	}
	replaced := make(map[string]bool, len(changed))
	for _, e := range changed {
		replaced[e.Key] = true
	}
	keys = slices.DeleteFunc(slices.Clone(keys), func(key string) bool { return replaced[key] })
	values, err := loadRaw(ctx, old, keys)
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, 0, len(keys)+len(changed))
	sealer := s.sessions.sealer
	for i, key := range keys {
		value := values[i]
		if value == nil {
			continue
		}
		if sealer != nil {
			plain, err := open(sealer, s, key, value)
			if err != nil {
				return nil, wrap("rotate", key, err)
			}
			if value, err = seal(sealer, n, buf, key, plain); err != nil {
				return nil, wrap("rotate", key, err)
			}
		}
		entries = append(entries, Entry{Key: key, Value: value})
	}
	for _, e := range changed {
		if e.Value != nil {
			entries = append(entries, e)
		}
	}
	return entries, nil
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
