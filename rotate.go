package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Rotate gives the session of s a new ID, with all its values and with changes. It is due when a
// client logs in (see session fixation, at [Sessions.Create]). It returns the session under newID,
// which should be from [NewID]. Sealed values are sealed anew. The old ID is dead afterwards: every
// handle of it, on every node, fails with [ErrDestroyed]. The new session is owned as s was. One
// that nobody owns lives as long as CreateFor or Extend last said through s, or an hour when
// neither was called: Extend it.
//
// Rotate takes four round trips:
//
//  1. It reads the names of the keys,
//  2. and all values, through s: where the life of s has ended, it fails.
//  3. It creates the new session with them in one step. No client has its ID yet.
//  4. It destroys the old session, in the same step as it compares its values with
//     those of step 2. A write that came in between changes them; then Rotate
//     goes back to step 1 and brings the new session up to date. So every write that
//     is acknowledged is in the new session, and every later one is refused.
//
// Writers that never pause could keep step 4 from its end. After three attempts each further one
// therefore begins with a Resume. From there on s has ended, and so has every handle that writers
// had by then. A Resume also settles what became of a step 4 whose reply was lost, as long as the
// old session lives.
//
// When Rotate fails, the session lives on under its old ID, and s is as usable as before. After a
// Resume, the session is suspended for [Options].Grace or a lease at least: Resume it. There are
// three exceptions. In step 3 a reply may be lost; a copy under newID, if there is one, ends with
// its lease. A session that ended in the meantime, destroyed or resumed through another handle,
// stays ended. When it cannot be found out what became of step 4, the error satisfies
// errors.Is(err, [ErrUnknownOutcome]), and s has ended. The session lives under newID for
// [Options].Grace or a lease at least, and under the old ID for its lease at most.
//
// When Close comes in between, Rotate succeeds as if Close had come after it: the
// session has its new ID, and is suspended.
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

const (
	// rotateTTL is how long a rotated session lives that nobody owns and whose time
	// to live is not known here.
	rotateTTL = time.Hour

	// rotateFreely is how often Rotate compares before it fences writers off.
	rotateFreely = 3

	// rotateReplies is how often Rotate asks what became of its last step.
	rotateReplies = 3
)

func (ss *Sessions) rotate(ctx context.Context, s *Session, newID string, changes []Change) (*Session, error) {
	// First everything that can fail without a round trip.
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
	cleaning, cancel := cleanup(ctx)
	defer cancel()
	r := &rotation{ss: ss, s: s, n: n, from: s.raw, changed: changed, buf: buf, life: life}
	if err := r.run(ctx, cleaning); err != nil {
		if r.ended && s.owned {
			ss.registry.countEnd(s, r.became)
		}
		return nil, err
	}
	n.bind(r.copy)
	if !n.owned {
		return n, nil
	}
	how := beganRotate
	if !r.ended {
		how = beganResume // s ends, and is counted, in a way that came before Rotate's
	}
	if err := ss.adopt(ctx, n, how); err != nil && !errors.Is(err, ErrClosed) {
		return nil, err
	}
	return n, nil
}

// A rotation is a Rotate on its way.
type rotation struct {
	ss      *Sessions
	s, n    *Session
	changed []Entry
	buf     *buffer
	life    time.Duration // of what is begun

	from   Store   // the life that is to end
	fenced bool    // from is of a life that the rotation began
	copy   Store   // the new session; nil until it exists
	copied []Entry // what the copy holds
	mark   mark    // of the old session, as it was read last
	doubts int     // attempts to find out what became of a last step
	ended  bool    // s ended by this rotation
	became tally   // what became of the session of a rotation that has failed
}

// run takes the steps, and takes them back when it fails. What is left to do after
// the end of ctx is done with cleaning.
func (r *rotation) run(ctx, cleaning context.Context) error {
	var retry backoff
	for round := 0; ; round++ {
		if round >= rotateFreely {
			if err := r.fence(ctx); err != nil {
				return r.undo(cleaning, err)
			}
		}
		seen, err := r.read(ctx)
		if err == nil {
			err = r.write(ctx, seen)
		}
		if err == nil {
			err = DestroyIf(ctx, r.from, seen)
			switch {
			case err == nil:
				r.end(ctx)
				r.unlist(r.s.id, markIn(seen))
				return nil
			case errors.Is(err, ErrUnknownOutcome):
				if lost := r.settle(cleaning); lost != nil {
					return r.unclear(cleaning, err)
				}
				err = ErrConflict // as good as one
			case !errors.Is(err, ErrConflict):
				err = r.noticed(err)
			}
		}
		if errors.Is(err, ErrConflict) {
			if err = retry.wait(ctx); err == nil {
				continue
			}
		}
		return r.undo(cleaning, err)
	}
}

// settle finds out what became of a last step whose reply was lost. It returns nil
// when the old session lives: a new life of it refuses the step, however late it
// comes.
func (r *rotation) settle(cleaning context.Context) (err error) {
	for range rotateReplies {
		if r.doubts++; r.doubts > rotateReplies {
			return ErrUnknownOutcome
		}
		if err = r.fence(cleaning); err == nil || errors.Is(err, ErrNoSession) {
			// Where it is gone, nobody can tell whether Rotate or somebody else's
			// Destroy has ended it.
			return err
		}
		pause(cleaning, 100*time.Millisecond)
	}
	return err
}

// unclear leaves the session under the new ID when nobody can tell what became of it
// under the old one.
func (r *rotation) unclear(cleaning context.Context, err error) error {
	r.end(cleaning)
	err = fmt.Errorf("the session is under the new ID, and may be under the old one until its lease runs out: %w", err)
	r.became = tallySuspended
	r.stayListed(cleaning, r.n.id, markIn(r.copied))
	if lost := r.ss.backend.Suspend(cleaning, r.copy, max(r.life, r.ss.keeps())); lost != nil {
		r.became = tallyLost
		err = fmt.Errorf("%w; it ends with its lease: %w", err, lost)
	}
	return err
}

// fence begins a new life of the old session, with which all its handles end.
func (r *rotation) fence(ctx context.Context) error {
	from, err := r.ss.backend.Resume(ctx, r.s.id, r.ss.terms(r.life))
	if err != nil {
		return err
	}
	r.from, r.fenced = from, true
	r.end(ctx)
	return nil
}

// end ends the handles of the old session that this process has.
func (r *rotation) end(ctx context.Context) {
	others := r.ss.registry.others(r.s)
	if r.s.turn(nil, endRotated) {
		r.ended = true
	}
	r.ss.renewals.verify(ctx, others)
}

// read returns all values of the old session as they are stored.
func (r *rotation) read(ctx context.Context) ([]Entry, error) {
	keys, err := Keys(ctx, r.from)
	if err != nil {
		return nil, r.noticed(err)
	}
	values, err := loadRaw(ctx, r.from, keys)
	if err != nil {
		return nil, r.noticed(err)
	}
	entries := make([]Entry, len(keys))
	for i, key := range keys {
		entries[i] = Entry{Key: key, Value: values[i]}
	}
	return entries, nil
}

// noticed is Session.noticed, unless err is about a life that the rotation began.
func (r *rotation) noticed(err error) error {
	if r.fenced {
		return err
	}
	return r.s.noticed(err)
}

// write makes the new session hold seen and the changes.
func (r *rotation) write(ctx context.Context, seen []Entry) error {
	r.mark = markIn(seen)
	entries, err := r.moved(seen)
	if err != nil {
		return err
	}
	if entries, err = r.n.begins(ctx, entries, r.life); err != nil {
		return err
	}
	if r.copy == nil {
		r.copy, err = r.ss.backend.Create(ctx, r.n.id, entries, r.ss.terms(r.life))
		r.n.begun(err)
		if err != nil {
			r.copy = nil
			return r.ss.explained(err)
		}
	} else {
		kept := make(map[string]bool, len(entries))
		for _, e := range entries {
			kept[e.Key] = true
		}
		changes := slices.Clone(entries)
		for _, e := range r.copied {
			if !kept[e.Key] {
				changes = append(changes, Entry{Key: e.Key})
			}
		}
		if _, err := Commit(ctx, r.copy, nil, changes); err != nil {
			return r.ss.explained(err)
		}
		r.unlist(r.n.id, markIn(r.copied))
	}
	r.copied = entries
	return nil
}

// moved returns seen as the new session stores it, with the changes.
func (r *rotation) moved(seen []Entry) ([]Entry, error) {
	replaced := make(map[string]bool, len(r.changed))
	for _, e := range r.changed {
		replaced[e.Key] = true
	}
	entries := make([]Entry, 0, len(seen)+len(r.changed))
	sealer := r.ss.sealer
	for _, e := range seen {
		if e.Value == nil || replaced[e.Key] || isMark(e.Key) {
			continue
		}
		if sealer != nil {
			plain, err := open(sealer, r.s, e.Key, e.Value)
			if err != nil {
				return nil, wrap("rotate", e.Key, err)
			}
			if e.Value, err = seal(sealer, r.n, r.buf, e.Key, plain); err != nil {
				return nil, wrap("rotate", e.Key, err)
			}
		}
		entries = append(entries, e)
	}
	for _, e := range r.changed {
		if e.Value != nil {
			entries = append(entries, e)
		}
	}
	return entries, nil
}

// undo removes the copy after err and leaves the session under its old ID.
func (r *rotation) undo(cleaning context.Context, err error) error {
	if r.copy != nil {
		if lost := r.copy.Destroy(cleaning); lost != nil {
			err = fmt.Errorf("%w; and the copy under the new ID ends with its lease: %w", err, lost)
		} else {
			r.unlist(r.n.id, markIn(r.copied))
		}
	}
	if r.fenced {
		r.became = tallySuspended
		r.stayListed(cleaning, r.s.id, r.mark)
		lost := r.ss.backend.Suspend(cleaning, r.from, max(r.life, r.ss.keeps()))
		if lost != nil {
			r.became = tallyLost
		}
		if lost != nil && !errors.Is(lost, ErrDestroyed) {
			err = fmt.Errorf("%w; and the session under the old ID ends with its lease: %w", err, lost)
		}
	}
	return err
}

// markIn returns the mark among entries.
func markIn(entries []Entry) mark {
	for i := range entries {
		if isMark(entries[i].Key) {
			return parseMark(entries[i].Value)
		}
	}
	return mark{}
}

// unlist removes the entries of a session that has gone.
func (r *rotation) unlist(id string, m mark) {
	if r.ss.indexes != nil {
		r.ss.renewals.unlist(m.entries(id))
	}
}

// stayListed makes the entries of a session that is about to be suspended stay for as long. Where that fails, whoever
// resumes the session sees to it.
func (r *rotation) stayListed(cleaning context.Context, id string, m mark) {
	if r.ss.indexes != nil {
		_ = r.ss.putEntries(cleaning, m.entries(id), max(r.life, r.ss.keeps())+r.ss.lease)
	}
}

// canMove returns nil, or which ability raw lacks to be moved whole.
func canMove(raw Store) error {
	var err error
	if _, ok := raw.(KeyLister); !ok {
		_, err = Keys(context.Background(), raw)
	} else if _, ok := raw.(ManyGetter); !ok {
		_, err = GetMany(context.Background(), raw, nil)
	} else if _, ok := raw.(Committer); !ok {
		_, err = Commit(context.Background(), raw, nil, nil)
	} else if _, ok := raw.(ConditionalDestroyer); !ok {
		err = DestroyIf(context.Background(), raw, nil)
	}
	return err
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

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
