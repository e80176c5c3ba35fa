package memstore

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sessionkv/store"
)

// A shard is the index and the expiry queue of a part of the sessions. A life is
// in both exactly while it has not ended; ending it and taking it out is one
// critical section.
type shard struct {
	mu      sync.Mutex // before life.mu
	index   map[string]*life
	peak    int // the most sessions since index was made
	queue   queue
	due     atomic.Int64 // when the queue's head comes up; written under mu
	watched watched
	backend *Backend
}

// create brings l to life unless a session with its ID lives.
func (s *shard) create(l *life, lease time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, err := s.now()
	if err != nil {
		return err
	}
	if s.living(l.id, now) != nil {
		return store.ErrExists
	}
	l.deadline = after(now, lease)
	s.add(l)
	return nil
}

// attach returns the life of the session.
func (s *shard) attach(id string) (*life, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, err := s.now()
	if err != nil {
		return nil, err
	}
	l := s.living(id, now)
	if l == nil {
		return nil, store.ErrNoSession
	}
	return l, nil
}

// resume replaces the life of the session by another with the same values.
func (s *shard) resume(id string, lease time.Duration, maxKeys int32) (*life, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, err := s.now()
	if err != nil {
		return nil, err
	}
	old := s.living(id, now)
	if old == nil {
		return nil, store.ErrNoSession
	}
	l := &life{id: old.id, maxKeys: maxKeys, deadline: after(now, lease)}
	old.end(resumed, l)
	s.remove(old)
	s.add(l)
	return l, nil
}

// suspend sets the deadline of l, sooner or later than before, if l has the values of expect.
func (s *shard) suspend(l *life, expect []store.Entry, grace time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, err := s.now()
	if err != nil {
		return err
	}
	l.mu.Lock()
	t := l.table.Load()
	if t == nil || l.deadline <= now {
		l.mu.Unlock()
		if t != nil {
			s.end(l, expired)
		}
		return l.ended()
	}
	if !l.has(t, expect) {
		l.mu.Unlock()
		return store.ErrConflict
	}
	l.deadline = after(now, grace)
	s.queue.move(l, l.deadline)
	l.mu.Unlock()
	s.reschedule()
	return nil
}

// destroy ends l if it lives.
func (s *shard) destroy(l *life) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.table.Load() != nil {
		s.end(l, destroyed)
	}
}

// destroyIf ends l if it has exactly these values.
func (s *shard) destroyIf(l *life, values []store.Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, err := s.now()
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.table.Load()
	switch {
	case t == nil:
		return l.gone()
	case l.deadline <= now:
		l.finish(expired, nil)
		s.remove(l)
		return l.ended()
	case !l.holds(t, values):
		return store.ErrConflict
	}
	l.finish(destroyed, nil)
	s.remove(l)
	return nil
}

// expire is destroy for a life whose deadline has come.
func (s *shard) expire(l *life) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.table.Load() != nil {
		s.end(l, expired)
	}
}

// clear ends all lives for good.
func (s *shard) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.index {
		l.end(destroyed, nil)
	}
	s.index, s.queue, s.watched = nil, nil, nil
	s.due.Store(never)
}

// expireSome ends lives whose deadline has come, and puts those that were
// renewed back in their place. It reports whether more may be waiting: it does
// not hold the mutex for long.
func (s *shard) expireSome(now int64) (more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range 64 {
		if s.queue.next() > now {
			break
		}
		l := s.queue[0].life
		l.mu.Lock()
		deadline := l.deadline
		l.mu.Unlock()
		if deadline > now {
			s.queue.move(l, deadline)
			continue
		}
		s.end(l, expired)
	}
	next := s.queue.next()
	s.due.Store(next)
	return next <= now
}

// The methods below need s.mu.

// now returns the time, or ErrClosed.
func (s *shard) now() (int64, error) {
	if s.backend.closed.Load() {
		return 0, store.ErrClosed
	}
	return s.backend.now(), nil
}

// living returns the life of the session if there is one. One whose deadline has
// come ends here when the timer is late.
func (s *shard) living(id string, now int64) *life {
	l := s.index[id]
	if l == nil {
		return nil
	}
	l.mu.Lock()
	late := l.deadline <= now
	l.mu.Unlock()
	if late {
		s.end(l, expired)
		return nil
	}
	return l
}

// add takes in a new life. Its table and deadline are set.
func (s *shard) add(l *life) {
	l.shard = s
	if s.index == nil {
		s.index = make(map[string]*life)
	}
	s.index[l.id] = l
	s.peak = max(s.peak, len(s.index))
	s.queue.push(l)
	s.reschedule()
}

// end ends l, which lives, in the way of fate.
func (s *shard) end(l *life, fate int32) {
	l.end(fate, nil)
	s.remove(l)
}

// remove takes out a life that has ended.
func (s *shard) remove(l *life) {
	delete(s.index, l.id)
	s.queue.remove(l)
	s.watched.hint(l)
	s.shrink()
}

// shrink returns memory after a peak: a map keeps its size otherwise.
func (s *shard) shrink() {
	const small = 64
	if s.peak <= small || len(s.index) > s.peak/4 {
		return
	}
	index := make(map[string]*life, len(s.index))
	maps.Copy(index, s.index)
	s.index, s.peak = index, len(index)
	s.queue = append(make(queue, 0, len(s.queue)), s.queue...)
}

// reschedule makes sure that the timer goes off when the head of the queue is due.
func (s *shard) reschedule() {
	next := s.queue.next()
	if next == s.due.Load() {
		return
	}
	s.due.Store(next)
	s.backend.wakeAt(next)
}
