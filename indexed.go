package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// The life of an index entry. The steps are explained in docs/design.md.
//
//  1. A write of an indexed key puts the new entry first, with a nonce of its own. Then it writes the value and
//     the mark in one step, on the condition that the mark is still the one that it replaces. Then it
//     removes the entry that the mark named before.
//  2. Every third renewal of the owner is on the condition that the mark and the indexed values are those that it has
//     read. So a session never gets more time than the entries that it has.
//  3. Suspend and Extend are on the same condition, with entries that stay for longer first.
//  4. An entry without a session ends with its own deadline.

// indexed is what a handle has read or written of its session's entries. The values do not change, and the times only grow.
type indexed struct {
	values  []byte       // the mark and all indexed keys as they are stored, see newIndexed
	until   atomic.Int64 // the entries of the mark stay until then, see renewals.millis
	lives   atomic.Int64 // the session lives until then, as far as this handle was told; 0 unknown
	checked atomic.Int64 // an entry that others have put since stays at least a lease and a half from then on
}

// newIndexed returns what seen says, the mark and the indexed keys in the order of indexes.absent: for each a uvarint, 0 for an absent value or
// one more than its length, and the value. One piece of memory for all keeps what the garbage collector has to look at small.
func newIndexed(seen []Entry) *indexed {
	var room [128]byte
	values := room[:0]
	for _, e := range seen {
		if e.Value == nil {
			values = append(values, 0)
			continue
		}
		values = binary.AppendUvarint(values, uint64(len(e.Value))+1)
		values = append(values, e.Value...)
	}
	return &indexed{values: slices.Clone(values)}
}

// appendSeen appends the mark and the indexed keys as renewals expect them. The values must not be changed.
func (k *indexed) appendSeen(seen []Entry, x *indexes) []Entry {
	rest := k.values
	for i := range x.absent {
		var value []byte
		value, rest = nextValue(rest)
		seen = append(seen, Entry{x.absent[i].Key, value})
	}
	return seen
}

// seen is appendSeen to nothing.
func (k *indexed) seen(x *indexes) []Entry { return k.appendSeen(make([]Entry, 0, len(x.absent)), x) }

// mark returns the mark, whose entries the times are about.
func (k *indexed) mark() mark { return parseMark(k.rawMark()) }

// rawMark returns the mark as it is stored.
func (k *indexed) rawMark() []byte {
	value, _ := nextValue(k.values)
	return value
}

// listed reports whether the mark may name an entry.
func (k *indexed) listed() bool {
	_, all, _ := markedLease(k.rawMark())
	return len(all) > 0
}

// nextValue returns the first of packed values, and the others.
func nextValue(values []byte) (value, rest []byte) {
	n, width := binary.Uvarint(values)
	values = values[width:]
	if n == 0 {
		return nil, values
	}
	return values[: n-1 : n-1], values[n-1:]
}

// raise lets a time grow.
func raise(at *atomic.Int64, to int64) {
	for {
		now := at.Load()
		if to <= now || at.CompareAndSwap(now, to) {
			return
		}
	}
}

// forgetIndexed drops known, unless another call was faster.
func (s *Session) forgetIndexed(known *indexed) { s.indexed.CompareAndSwap(known, nil) }

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
	return newIndexed(x.seenOf(current)), nil
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
		seen, mark := known.seen(s.sessions.indexes), known.mark()
		right := s.rightMark(seen, mark)
		if sameMark(right, mark) {
			s.indexed.CompareAndSwap(nil, known)
			return known, nil
		}
		lease := s.sessions.leaseFor(right)
		ttl := s.entryTTL(nil, lease)
		put := s.sessions.renewals.millis()
		fresh := gone(right, mark, s.id)
		if len(fresh) > 0 { // others may have extended the session
			left, err := s.sessions.indexes.backend.TimeLeft(ctx, s.raw)
			if err != nil {
				return nil, err
			}
			ttl = max(ttl, left+withMargin(lease))
		}
		if err := s.sessions.putEntries(ctx, fresh, ttl); err != nil {
			return nil, err
		}
		encoded := right.encode()
		after, err := s.writeMark(ctx, seen, encoded)
		if err == nil {
			seen[0].Value = encoded
			next := newIndexed(seen)
			replaced := gone(mark, right, s.id)
			if len(replaced) == len(mark.all) { // all entries are new
				next.until.Store(put + ttl.Milliseconds())
			}
			s.sessions.renewals.unlist(replaced)
			if err := s.lengthen(ctx, fresh, after, put+ttl.Milliseconds(), lease); err != nil {
				return nil, err
			}
			s.indexed.CompareAndSwap(nil, next)
			return next, nil
		}
		if !errors.Is(err, ErrUnknownOutcome) {
			s.sessions.renewals.unlist(fresh)
		}
		if !errors.Is(err, ErrConflict) {
			return nil, err
		}
		if err := retry.wait(ctx); err != nil {
			return nil, err
		}
	}
}

// writeMark writes the mark where the mark and the indexed values are those that were seen, and returns what CommitTimed does. The mark is no key
// of the program's: a session that has as many keys as it may, or more, gets it too.
func (s *Session) writeMark(ctx context.Context, seen []Entry, mark []byte) (left time.Duration, err error) {
	write := []Entry{{markKey, mark}}
	if _, left, err = CommitTimed(ctx, s.raw, seen, write); !errors.Is(err, ErrTooManyKeys) {
		return left, err
	}
	terms := s.sessions.terms(s.sessions.lease)
	terms.MaxKeys = 0
	raw, attached := s.sessions.backend.Attach(ctx, s.id, terms)
	// It is of the same life if that goes on now.
	if _, err := Commit(ctx, s.raw, nil, nil); err != nil {
		return 0, err
	}
	if attached != nil {
		return 0, attached
	}
	_, left, err = CommitTimed(ctx, raw, seen, write)
	return left, err
}

// lengthen lets entries that stay until then do so for long enough after the session, which lived for left when the mark was written, or
// for a time that is not known: somebody who did not see them may have renewed or extended it.
func (s *Session) lengthen(ctx context.Context, entries []IndexEntry, left time.Duration, until int64, lease time.Duration) error {
	ss := s.sessions
	switch {
	case len(entries) == 0:
		return nil
	case left <= 0:
		ss.renewals.recheck(s, entries, until, lease)
		return nil
	case ss.renewals.livesFor(left)+enoughAfter(lease).Milliseconds() <= until:
		return nil
	}
	return ss.putEntries(ctx, entries, left+withMargin(lease))
}

func sameMark(a, b mark) bool { return a.lease == b.lease && slices.Equal(a.all, b.all) }

// rightMark returns the mark that fits the values that were seen. What is there already
// keeps its entry.
func (s *Session) rightMark(seen []Entry, right mark) mark {
	x := s.sessions.indexes
	right = s.owns(right)
	for i := range x.all {
		index := &x.all[i]
		raw := seen[i+1].Value
		var hashes []indexHash
		if raw != nil {
			hashes, _ = s.hashesOf(index, raw) // what does not decode has no value that could be looked for
		}
		at, marked := right.find(index.key)
		switch {
		case len(hashes) == 0:
			right = right.without(index.key)
		case !marked || !slices.Contains(hashes, right.all[at].hash):
			right = right.with(newMarked(index.key, hashes[0]))
		}
	}
	return right
}

// owns returns m with the lease of the owner, where s is its handle.
func (s *Session) owns(m mark) mark {
	if s.owned {
		m.lease = (s.sessions.lease + time.Millisecond - 1).Truncate(time.Millisecond)
	}
	return m
}

// leaseFor is for how long after the session its entries are to stay: for the lease of its owner, who looks at the mark once in one and
// a half of them, or for that of this process where it is longer.
func (ss *Sessions) leaseFor(m mark) time.Duration { return max(ss.lease, m.lease) }

func newMarked(key string, hash indexHash) marked { return marked{key, hash, newNonce()} }

// entryTTL returns for how long an entry that is put now has to stay, as far as known tells, which may be nil: a lease after the end of
// the session.
func (s *Session) entryTTL(known *indexed, lease time.Duration) time.Duration {
	ss := s.sessions
	least := withMargin(lease)
	if s.owned {
		sh := ss.registry.shard(s.id)
		sh.mu.Lock()
		age := int32(ss.renewals.now() - s.stamp)
		sh.mu.Unlock()
		return max(least, ss.lease+least-time.Duration(age)*time.Millisecond)
	}
	if known == nil || known.lives.Load() == 0 {
		return least
	}
	return max(least, ss.renewals.till(known.lives.Load())+least)
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
	mark := s.owns(mark{})
	for _, m := range fresh {
		if m != nil {
			mark = mark.with(*m)
		}
	}
	now := ss.renewals.millis()
	ttl := life + withMargin(ss.leaseFor(mark))
	if err := ss.putEntries(ctx, mark.entries(s.id), ttl); err != nil {
		return nil, err
	}
	all := slices.Clone(initial)
	all = append(all, Entry{markKey, mark.encode()})
	known := newIndexed(see(ss.indexes.seenOf(nil), all))
	known.until.Store(now + ttl.Milliseconds())
	known.lives.Store(now + life.Milliseconds())
	known.checked.Store(now)
	s.indexed.Store(known)
	return all, nil
}

// see returns what is seen once written is written to what was seen.
func see(seen, written []Entry) []Entry {
	for _, e := range written {
		for i := range seen {
			if seen[i].Key == e.Key {
				seen[i].Value = e.Value
			}
		}
	}
	return seen
}

// begun is called with the outcome of what begins has prepared.
func (s *Session) begun(err error) {
	if known := s.indexed.Load(); err != nil && known != nil && !errors.Is(err, ErrUnknownOutcome) {
		s.sessions.renewals.unlist(known.mark().entries(s.id))
	}
}

// commitIndexed is Commit where write has indexed keys.
func (s *Session) commitIndexed(ctx context.Context, expect, write []Entry) (current [][]byte, err error) {
	if err := distinctEach(expect, write); err != nil {
		return nil, err
	}
	ss := s.sessions
	fresh, err := s.freshMarks(write)
	if err != nil {
		return nil, err
	}
	w := &indexedWrite{s: s, fresh: fresh, lease: ss.lease}
	known := s.indexed.Load()
	if w.unsure = known == nil; w.unsure {
		if known, err = w.prepare(ctx); err != nil {
			return nil, err
		}
	}
	expected := append(slices.Clone(expect), Entry{Key: markKey})
	written := append(slices.Clone(write), Entry{Key: markKey})
	for {
		next, kept := w.next(known)
		w.lease = ss.leaseFor(next)
		if err := w.put(ctx, known, next); err != nil {
			return nil, err
		}
		expected[len(expect)].Value = known.rawMark()
		written[len(write)].Value = next.encode()
		all := written
		if kept {
			all = written[:len(write)]
		}
		further := w.further(ctx)
		var left time.Duration
		current, left, err = CommitTimed(ctx, s.raw, expected, all)
		late := further()
		switch {
		case err == nil && late != nil:
			return nil, errors.Join(w.done(ctx, known, next, written, left), &lateError{late})
		case err == nil:
			return nil, w.done(ctx, known, next, written, left)
		case errors.Is(err, ErrConflict):
			marked := current[len(expect)]
			same := true
			for i := range expect {
				same = same && (current[i] == nil) == (expect[i].Value == nil) && bytes.Equal(current[i], expect[i].Value)
			}
			s.forgetIndexed(known)
			if !same {
				w.takeBack()
				return current[:len(expect)], err
			}
			if before := known.rawMark(); bytes.Equal(marked, before) && (marked == nil) == (before == nil) {
				return nil, errCommitContract
			}
			// Another write of an indexed key came in between: on with the mark that it left.
			changed := newIndexed(see(ss.indexes.seenOf(nil), []Entry{{markKey, marked}}))
			changed.lives.Store(known.lives.Load())
			known = changed
		case errors.Is(err, ErrUnknownOutcome):
			s.forgetIndexed(known) // both entries stay, one of them for nothing
			if len(w.got) > 0 {
				ss.renewals.recheck(s, w.got, w.until, w.lease)
			}
			return nil, err
		case errors.Is(err, ErrTooManyKeys) && known.rawMark() == nil && !kept:
			// Only the mark may be too much. With one that names nothing yet the keys count for what they are.
			if known, err = w.begin(ctx, known); err != nil {
				w.takeBack()
				return nil, err
			}
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
	s      *Session
	fresh  map[string]*marked
	unsure bool          // the mark that was read may not fit the other values
	got    []IndexEntry  // entries that were put
	lease  time.Duration // they are to stay for it after the session
	until  int64         // until when they stay
	asked  int64         // when the session was asked how long it lives
	lives  int64         // it lives until then; 0 not asked yet
	retry  backoff
}

// next returns the mark after the write, and whether it is the one before.
func (w *indexedWrite) next(known *indexed) (next mark, same bool) {
	before := known.mark()
	next = w.s.owns(before)
	for key, m := range w.fresh {
		if m == nil {
			next = next.without(key)
			continue
		}
		if at, ok := next.find(key); ok && next.all[at].hash == m.hash && w.covers(known) {
			continue // the same value: its entry is there
		}
		next = next.with(*m)
	}
	return next, sameMark(next, before)
}

// covers reports whether the entries that known names stay for long enough.
func (w *indexedWrite) covers(known *indexed) bool {
	return w.s.owned && known.until.Load() >= w.s.sessions.renewals.millis()+withMargin(w.lease).Milliseconds()
}

// entries returns those that next has and known does not.
func (w *indexedWrite) entries(known *indexed, next mark) []IndexEntry {
	return gone(next, known.mark(), w.s.id)
}

// put puts what next needs, unless that was done.
func (w *indexedWrite) put(ctx context.Context, known *indexed, next mark) error {
	var missing []IndexEntry
	for _, e := range w.entries(known, next) {
		if !slices.Contains(w.got, e) {
			missing = append(missing, e)
		}
	}
	if err := w.putAll(ctx, missing, known); err != nil {
		return err
	}
	if w.lives > 0 {
		known.lives.Store(w.lives)
	}
	return nil
}

// putAll puts entries for as long as known tells, which may be nil. At the same time it asks how long the session lives: another process
// may have renewed or extended it since, also one that this process owns.
func (w *indexedWrite) putAll(ctx context.Context, entries []IndexEntry, known *indexed) error {
	if len(entries) == 0 {
		return nil
	}
	s := w.s
	ss := s.sessions
	var (
		asked error
		call  sync.WaitGroup
	)
	now := ss.renewals.millis()
	lives := w.lives
	if lives == 0 {
		call.Go(func() {
			var left time.Duration
			if left, asked = ss.indexes.backend.TimeLeft(ctx, s.raw); left > 0 {
				lives = ss.renewals.livesFor(left)
			}
		})
	}
	ttl := s.entryTTL(known, w.lease)
	until := now + ttl.Milliseconds()
	err := w.putFor(ctx, entries, ttl)
	call.Wait()
	switch {
	case err != nil:
	case asked != nil && !errors.Is(asked, ErrDestroyed): // of what has ended, the write says so
		err = &indexError{asked}
	case until < lives: // an entry must not end before its session
		until = max(lives, ss.renewals.millis()) + withMargin(w.lease).Milliseconds() // the answer may be old
		err = w.putFor(ctx, entries, ss.renewals.till(until))
	}
	if err != nil {
		w.takeBack()
		return err
	}
	if w.lives == 0 {
		w.asked, w.lives = now, lives
	}
	if w.until == 0 || until < w.until {
		w.until = until
	}
	return nil
}

// putFor puts entries for ttl.
func (w *indexedWrite) putFor(ctx context.Context, entries []IndexEntry, ttl time.Duration) error {
	if err := w.s.sessions.putEntries(ctx, entries, ttl); err != nil {
		return err
	}
	for _, e := range entries {
		if !slices.Contains(w.got, e) {
			w.got = append(w.got, e)
		}
	}
	return nil
}

// further lets the entries stay for a lease beyond the session, while the write is on its way: until then
// the owner looks at the mark. What it returns waits for that.
func (w *indexedWrite) further(ctx context.Context) (wait func() error) {
	ss := w.s.sessions
	need := w.lives + withMargin(w.lease).Milliseconds()
	enough := need - 1
	if w.s.owned { // which puts them for that long at first, counted from when it sent the last renewal
		enough = w.lives + enoughAfter(w.lease).Milliseconds()
	}
	ttl := ss.renewals.till(need)
	if w.lives == 0 || len(w.got) == 0 || w.until >= enough || ttl <= 0 { // asked so long ago, it asks again afterwards
		return func() error { return nil }
	}
	put := make(chan error, 1)
	go func() { put <- ss.putEntries(ctx, w.got, ttl) }()
	return func() error {
		err := <-put
		if err == nil {
			w.until = need
		}
		return err
	}
}

// prepare is for a handle that has read nothing of the session's entries yet: it looks, and at the same time puts
// the new ones. So the write takes one more round trip than without an index, as any other does.
func (w *indexedWrite) prepare(ctx context.Context) (*indexed, error) {
	s := w.s
	var all mark
	for _, m := range w.fresh {
		if m != nil {
			all.all = append(all.all, *m)
		}
	}
	var (
		known *indexed
		err   error
		call  sync.WaitGroup
	)
	call.Go(func() { known, err = s.look(ctx) })
	put := w.putAll(ctx, all.entries(s.id), nil)
	call.Wait()
	if err := cmp.Or(err, put); err != nil {
		w.takeBack()
		return nil, err
	}
	return known, nil
}

// begin gives a session without a mark one that names nothing, and returns what is known then.
func (w *indexedWrite) begin(ctx context.Context, known *indexed) (*indexed, error) {
	s := w.s
	s.forgetIndexed(known)
	none := Entry{markKey, mark{}.encode()}
	_, err := s.writeMark(ctx, []Entry{{Key: markKey}}, none.Value)
	if err != nil && !errors.Is(err, ErrConflict) {
		return nil, err
	}
	begun := newIndexed(see(known.seen(s.sessions.indexes), []Entry{none}))
	begun.lives.Store(known.lives.Load())
	return begun, nil // of a conflict the write finds out
}

// takeBack removes what was put for nothing.
func (w *indexedWrite) takeBack() { w.s.sessions.renewals.unlist(w.got) }

// done is called when the write took effect. The session lives for left then, where the backend says so.
func (w *indexedWrite) done(ctx context.Context, known *indexed, next mark, written []Entry, left time.Duration) error {
	s := w.s
	ss := s.sessions
	before := known.seen(ss.indexes)
	seen := see(slices.Clone(before), written)
	now := newIndexed(seen)
	until := known.until.Load()
	stays := w.entries(known, next)
	switch {
	case len(stays) == len(next.all) && len(stays) > 0:
		until = w.until
	case len(stays) > 0:
		until = min(until, w.until)
	}
	now.until.Store(until)
	now.lives.Store(known.lives.Load())
	if left > 0 {
		now.lives.Store(ss.renewals.livesFor(left))
	}
	now.checked.Store(known.checked.Load())
	complete := true
	for i := range ss.indexes.all {
		// What another write has changed meanwhile is not known here.
		if e := &seen[i+1]; e.Value == nil && w.fresh[e.Key] == nil && unsure(known.mark(), before[i+1]) {
			complete = false
		}
	}
	if w.unsure { // a process without the index may have written the others
		complete = complete && sameMark(s.rightMark(seen, next), next)
	}
	if old := s.indexed.Load(); complete && (old == known || old == nil) {
		s.indexed.CompareAndSwap(old, now)
	} else {
		s.indexed.Store(nil)
	}
	ss.renewals.unlist(gone(known.mark(), next, s.id))
	var err error
	if left <= 0 && len(stays) > 0 && w.mayBeRenewed() {
		left, err = w.atLast(ctx)
	}
	if err == nil {
		err = s.lengthen(ctx, stays, left, w.until, w.lease)
	}
	if err != nil {
		ss.renewals.recheck(s, stays, w.until, w.lease)
		return &lateError{err}
	}
	return nil
}

// mayBeRenewed reports whether the owner may have looked at the mark and renewed the session between the question how long it lives and
// the write: the entries would end half a lease too early then. So it is where that took long, or where the session was due.
func (w *indexedWrite) mayBeRenewed() bool {
	ss := w.s.sessions
	if ss.renewals.millis()-w.asked > marginOf(ss.lease).Milliseconds() {
		return true
	}
	due := w.lease/renewalsPerLease + 2*marginOf(w.lease)
	return !w.s.owned && w.lives-w.asked <= due.Milliseconds()
}

// atLast asks after the write how long the session lives.
func (w *indexedWrite) atLast(ctx context.Context) (left time.Duration, err error) {
	left, err = w.s.sessions.indexes.backend.TimeLeft(ctx, w.s.raw)
	if errors.Is(err, ErrDestroyed) {
		return 0, nil
	}
	return left, err
}

// unsure reports whether the value of an index may be another one than nil although nothing was seen.
func unsure(mark mark, seen Entry) bool {
	_, marked := mark.find(seen.Key)
	return marked && seen.Value == nil
}

// lateError is the error of a write that took effect, but whose entry may end too early.
type lateError struct{ cause error }

func (e *lateError) Error() string {
	return "the value was written, but the session may be missing in the index until its lease is renewed: " + e.cause.Error()
}

func (e *lateError) Unwrap() []error { return []error{ErrUnknownOutcome, e.cause} }
