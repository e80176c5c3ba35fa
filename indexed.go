package store

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// The life of an index entry. The steps are explained in docs/design.md.
//
//  1. A write of an indexed key puts the new entry first, with a nonce of its own. Then it writes the value and
//     the mark in one step, on the condition that the mark is still the one that it replaces. Then it
//     removes the entry that the mark named before.
//  2. The owner's renewal is on the condition that the mark and the indexed values are those that it has read.
//     So a session never gets more time than the entries that it has.
//  3. Suspend and Extend are on the same condition, with entries that stay for longer first.
//  4. An entry without a session ends with its own deadline.

// indexed is what a handle has read or written of its session's entries. It is immutable.
type indexed struct {
	mark  mark
	seen  []Entry // the mark and all indexed keys as they are stored; what renewals expect
	until int64   // the entries of mark stay until then, see renewals.millis
	lives int64   // a session that this process does not own lives until then; 0 unknown
}

// replaceIndexed puts next in place of known, unless another call was faster.
func (s *Session) replaceIndexed(known, next *indexed) { s.indexed.CompareAndSwap(known, next) }

// seenOf returns what renewals expect, from the current values of indexes.absent.
func (x *indexes) seenOf(current [][]byte) []Entry {
	seen := make([]Entry, len(x.absent))
	for i := range seen {
		seen[i] = Entry{Key: x.absent[i].Key}
		if current != nil && current[i] != nil {
			seen[i].Value = current[i]
		}
	}
	return seen
}

// look reads the mark and the indexed values from the server, at one instant.
func (s *Session) look(ctx context.Context) (*indexed, error) {
	x := s.sessions.indexes
	// A Commit that writes nothing asks the server, also where reads are answered by a cache.
	current, err := Commit(ctx, s.raw, x.absent, nil)
	if err != nil && !errors.Is(err, ErrConflict) {
		return nil, err
	}
	known := &indexed{seen: x.seenOf(current)}
	known.mark = parseMark(known.seen[0].Value)
	return known, nil
}

// learn returns what is known of the entries of s. It asks the server where nothing is, and then makes the mark
// right: it is not where a process without the index has written a value, or the index is new.
func (s *Session) learn(ctx context.Context) (*indexed, error) {
	if known := s.indexed.Load(); known != nil {
		return known, nil
	}
	var retry backoff
	for {
		known, err := s.look(ctx)
		if err != nil {
			return nil, err
		}
		right := s.rightMark(known)
		if sameMark(right, known.mark) {
			s.indexed.CompareAndSwap(nil, known)
			return known, nil
		}
		ttl := s.entryTTL(nil)
		put := s.sessions.renewals.millis()
		fresh := gone(right, known.mark, s.id)
		if err := s.sessions.putEntries(ctx, fresh, ttl); err != nil {
			return nil, err
		}
		encoded := right.encode()
		_, err = Commit(ctx, s.raw, known.seen, []Entry{{markKey, encoded}})
		if err == nil {
			next := *known
			next.mark, next.seen = right, slices.Clone(known.seen)
			next.seen[0].Value = encoded
			if len(gone(known.mark, right, s.id)) == len(known.mark) { // all entries are new
				next.until = put + ttl.Milliseconds()
			}
			s.indexed.CompareAndSwap(nil, &next)
			s.sessions.renewals.unlist(gone(known.mark, right, s.id))
			return &next, nil
		}
		if !errors.Is(err, ErrConflict) {
			return nil, err
		}
		s.sessions.renewals.unlist(fresh)
		if err := retry.wait(ctx); err != nil {
			return nil, err
		}
	}
}

func sameMark(a, b mark) bool { return slices.Equal(a, b) }

// rightMark returns the mark that fits the values that were seen. What is there already
// keeps its entry.
func (s *Session) rightMark(known *indexed) mark {
	x := s.sessions.indexes
	right := known.mark
	for i := range x.all {
		index := &x.all[i]
		raw := known.seen[i+1].Value
		var hashes []indexHash
		if raw != nil {
			hashes, _ = s.hashesOf(index, raw) // what does not decode has no value that could be looked for
		}
		at, marked := right.find(index.key)
		switch {
		case len(hashes) == 0:
			right = right.without(index.key)
		case !marked || !slices.Contains(hashes, right[at].hash):
			right = right.with(newMarked(index.key, hashes[0]))
		}
	}
	return right
}

func newMarked(key string, hash indexHash) marked { return marked{key, hash, newNonce()} }

// entryTTL returns for how long an entry that is put now has to stay, as far as known tells, which may be nil. It is no more than
// a lease beyond the end of the session.
func (s *Session) entryTTL(known *indexed) time.Duration {
	ss := s.sessions
	least := ss.lease + ss.indexMargin()
	if s.owned {
		sh := ss.registry.shard(s.id)
		sh.mu.Lock()
		age := int32(ss.renewals.now() - s.stamp)
		sh.mu.Unlock()
		return max(least, ss.lease+least-time.Duration(age)*time.Millisecond)
	}
	if known != nil && known.lives > 0 {
		left := time.Duration(known.lives-ss.renewals.millis()) * time.Millisecond
		return max(least, left+ss.lease)
	}
	return least
}

// putEntries puts all entries, or says why not.
func (ss *Sessions) putEntries(ctx context.Context, entries []IndexEntry, ttl time.Duration) error {
	if len(entries) == 0 {
		return nil
	}
	for _, err := range ss.indexes.put(ctx, entries, ttl) {
		if err != nil {
			return &indexError{err}
		}
	}
	return nil
}

// put is PutEntries. It returns nil, or as many errors as entries.
func (x *indexes) put(ctx context.Context, entries []IndexEntry, ttl time.Duration) []error {
	errs := x.backend.PutEntries(ctx, entries, ttl)
	if len(errs) == 0 || len(errs) == len(entries) {
		return errs
	}
	errs = make([]error, len(entries))
	for i := range errs {
		errs[i] = errPutContract
	}
	return errs
}

var errPutContract = errors.New("the backend breaks the contract of PutEntries: as many errors as entries, or none")

// freshMarks returns what a mark has for the indexed keys among entries once they are written: a nil
// one for a key that is removed.
func (s *Session) freshMarks(entries []Entry) (map[string]*marked, error) {
	x := s.sessions.indexes
	fresh := make(map[string]*marked)
	for _, e := range entries {
		index := x.of(e.Key)
		if index == nil {
			continue
		}
		if e.Value == nil {
			fresh[e.Key] = nil
			continue
		}
		hashes, err := s.hashesOf(index, e.Value)
		if err != nil {
			return nil, wrap("index", e.Key, err)
		}
		m := newMarked(e.Key, hashes[0])
		fresh[e.Key] = &m
	}
	return fresh, nil
}

// begins prepares the entries of a session that begins with initial values: it puts them, for a life of
// the given length, and returns the values with the mark among them.
func (s *Session) begins(ctx context.Context, initial []Entry, life time.Duration) ([]Entry, error) {
	ss := s.sessions
	if ss.indexes == nil {
		return initial, nil
	}
	fresh, err := s.freshMarks(initial)
	if err != nil {
		return nil, err
	}
	known := &indexed{seen: ss.indexes.seenOf(nil)}
	for _, m := range fresh {
		if m != nil {
			known.mark = known.mark.with(*m)
		}
	}
	now := ss.renewals.millis()
	ttl := life + ss.lease + ss.indexMargin()
	if err := ss.putEntries(ctx, known.mark.entries(s.id), ttl); err != nil {
		return nil, err
	}
	known.until = now + ttl.Milliseconds()
	if !s.owned {
		known.lives = now + life.Milliseconds()
	}
	all := slices.Clone(initial)
	if encoded := known.mark.encode(); encoded != nil {
		all = append(all, Entry{markKey, encoded})
	}
	known.see(all)
	s.indexed.Store(known)
	return all, nil
}

// see notes what was written. The values belong to callers and are copied.
func (i *indexed) see(written []Entry) {
	for _, e := range written {
		for at := range i.seen {
			if i.seen[at].Key == e.Key {
				i.seen[at].Value = nil
				if e.Value != nil {
					i.seen[at].Value = append(make([]byte, 0, len(e.Value)), e.Value...)
				}
			}
		}
	}
}

// begun is called with the outcome of what begins has prepared.
func (s *Session) begun(err error) {
	if known := s.indexed.Load(); err != nil && known != nil && !errors.Is(err, ErrUnknownOutcome) {
		s.sessions.renewals.unlist(known.mark.entries(s.id))
	}
}

// commitIndexed is Commit where write has indexed keys.
func (s *Session) commitIndexed(ctx context.Context, expect, write []Entry) (current [][]byte, err error) {
	if err := distinct(expect); err != nil {
		return nil, err
	}
	if err := distinct(write); err != nil {
		return nil, err
	}
	ss := s.sessions
	fresh, err := s.freshMarks(write)
	if err != nil {
		return nil, err
	}
	w := &indexedWrite{s: s, fresh: fresh}
	known := s.indexed.Load()
	if known == nil {
		if known, err = w.prepare(ctx); err != nil {
			return nil, err
		}
	}
	expected := append(slices.Clone(expect), Entry{Key: markKey})
	written := append(slices.Clone(write), Entry{Key: markKey})
	for {
		next, kept := w.next(known)
		if err := w.put(ctx, known, next); err != nil {
			return nil, err
		}
		encoded := next.encode()
		expected[len(expect)].Value = known.seen[0].Value
		written[len(write)].Value = encoded
		all := written
		if kept {
			all = written[:len(write)]
		}
		sent := ss.renewals.millis()
		current, err = Commit(ctx, s.raw, expected, all)
		switch {
		case err == nil:
			return nil, w.done(ctx, known, next, written, sent)
		case errors.Is(err, ErrConflict):
			marked := current[len(expect)]
			same := true
			for i := range expect {
				same = same && (current[i] == nil) == (expect[i].Value == nil) && bytes.Equal(current[i], expect[i].Value)
			}
			s.replaceIndexed(known, nil)
			if !same {
				w.takeBack()
				return current[:len(expect)], err
			}
			if bytes.Equal(marked, known.seen[0].Value) && (marked == nil) == (known.seen[0].Value == nil) {
				return nil, errCommitContract
			}
			// Another write of an indexed key came in between: on with the mark that it left.
			changed := &indexed{seen: ss.indexes.seenOf(nil), mark: parseMark(marked), lives: known.lives}
			changed.seen[0].Value = marked
			known = changed
		case errors.Is(err, ErrUnknownOutcome):
			s.replaceIndexed(known, nil) // both entries stay, one of them for nothing
			return nil, err
		default:
			w.takeBack()
			return nil, err
		}
		if err := w.retry.wait(ctx); err != nil {
			w.takeBack()
			return nil, err
		}
	}
}

// indexedWrite is a write of indexed keys on its way.
type indexedWrite struct {
	s     *Session
	fresh map[string]*marked
	got   []IndexEntry // entries that were put
	until int64        // until when they stay
	retry backoff
}

// next returns the mark after the write, and whether it is the one before.
func (w *indexedWrite) next(known *indexed) (next mark, same bool) {
	next = known.mark
	for key, m := range w.fresh {
		if m == nil {
			next = next.without(key)
			continue
		}
		if at, ok := next.find(key); ok && next[at].hash == m.hash && w.covers(known) {
			continue // the same value: its entry is there
		}
		next = next.with(*m)
	}
	return next, sameMark(next, known.mark)
}

// covers reports whether the entries that known names stay for long enough.
func (w *indexedWrite) covers(known *indexed) bool {
	s := w.s
	return s.owned && known.until >= s.sessions.renewals.millis()+(s.sessions.lease+s.sessions.indexMargin()).Milliseconds()
}

// entries returns those that next has and known does not.
func (w *indexedWrite) entries(known *indexed, next mark) []IndexEntry {
	return gone(next, known.mark, w.s.id)
}

// put puts what next needs, unless that was done.
func (w *indexedWrite) put(ctx context.Context, known *indexed, next mark) error {
	var missing []IndexEntry
	for _, e := range w.entries(known, next) {
		if !slices.Contains(w.got, e) {
			missing = append(missing, e)
		}
	}
	return w.putAll(ctx, missing, w.s.entryTTL(known))
}

func (w *indexedWrite) putAll(ctx context.Context, entries []IndexEntry, ttl time.Duration) error {
	if len(entries) == 0 {
		return nil
	}
	until := w.s.sessions.renewals.millis() + ttl.Milliseconds()
	if err := w.s.sessions.putEntries(ctx, entries, ttl); err != nil {
		w.takeBack()
		return err
	}
	if w.until == 0 || until < w.until {
		w.until = until
	}
	w.got = append(w.got, entries...)
	return nil
}

// prepare is for a handle that has read nothing of the session's entries yet: it looks, and at the same time puts
// the new ones and asks how long the session lives. So the write takes one more round trip than without an
// index, as any other does.
func (w *indexedWrite) prepare(ctx context.Context) (*indexed, error) {
	s := w.s
	ss := s.sessions
	var all mark
	for _, m := range w.fresh {
		if m != nil {
			all = append(all, *m)
		}
	}
	var (
		known          *indexed
		left           time.Duration
		err, put, time error
		calls          sync.WaitGroup
	)
	asked := ss.renewals.millis()
	calls.Go(func() { known, err = s.look(ctx) })
	if !s.owned {
		calls.Go(func() { left, time = ss.indexes.backend.TimeLeft(ctx, s.raw) })
	}
	put = w.putAll(ctx, all.entries(s.id), s.entryTTL(nil))
	calls.Wait()
	if time != nil && !errors.Is(time, ErrDestroyed) {
		time = &indexError{time}
	}
	for _, err := range []error{err, time, put} {
		if err != nil {
			w.takeBack()
			return nil, err
		}
	}
	if !s.owned {
		known.lives = asked + left.Milliseconds() + 1
		if ttl := s.entryTTL(known); left > ss.lease {
			w.until = 0
			if err := w.putAll(ctx, all.entries(s.id), ttl); err != nil {
				return nil, err
			}
		}
	}
	return known, nil
}

// takeBack removes what was put for nothing.
func (w *indexedWrite) takeBack() { w.s.sessions.renewals.unlist(w.got) }

// done is called when the write took effect.
func (w *indexedWrite) done(ctx context.Context, known *indexed, next mark, written []Entry, sent int64) error {
	s := w.s
	ss := s.sessions
	now := &indexed{mark: next, seen: slices.Clone(known.seen), until: known.until, lives: known.lives}
	now.see(written)
	stays := w.entries(known, next)
	if len(stays) > 0 {
		now.until = w.until
		if len(stays) < len(next) {
			now.until = min(now.until, known.until)
		}
	}
	complete := true
	for i := range ss.indexes.all {
		// What another write has changed meanwhile is not known here.
		if e := &now.seen[i+1]; e.Value == nil && known.unsure(i) && w.fresh[e.Key] == nil {
			complete = false
		}
	}
	if old := s.indexed.Load(); complete && (old == known || old == nil) {
		s.indexed.CompareAndSwap(old, now)
	} else {
		s.indexed.Store(nil)
	}
	ss.renewals.unlist(gone(known.mark, next, s.id))
	if took := ss.renewals.millis() - sent; len(stays) > 0 && took > ss.indexMargin().Milliseconds() {
		// The write took long. The session may have been renewed meanwhile, beyond the deadline of the entry.
		if err := ss.putEntries(ctx, stays, s.entryTTL(known)); err != nil {
			return &lateError{err}
		}
	}
	if len(stays) > 0 { // an owner is not told either that others have extended the session
		ss.renewals.recheck(s, stays, w.until)
	}
	return nil
}

// unsure reports whether the value of an index may be another one than nil although nothing was seen.
func (i *indexed) unsure(index int) bool {
	_, marked := i.mark.find(i.seen[index+1].Key)
	return marked && i.seen[index+1].Value == nil
}

// lateError is the error of a write that took effect, but whose entry may end too early.
type lateError struct{ cause error }

func (e *lateError) Error() string {
	return "the value was written, but the session may be missing in the index until its lease is renewed: " + e.cause.Error()
}

func (e *lateError) Unwrap() []error { return []error{ErrUnknownOutcome, e.cause} }
