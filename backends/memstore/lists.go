package memstore

import (
	"container/heap"
	"errors"
	"hash/maphash"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/keyspace"
)

const (
	listShards = 64  // a power of two
	listPage   = 256 // members on a page
)

// A listShard holds a part of the lists of indexes.
type listShard struct {
	mu      sync.Mutex
	lists   map[string]*list // guarded by mu
	queue   memberQueue      // guarded by mu
	due     atomic.Int64     // when the queue's head comes up; written under mu
	backend *Backend
}

// A list is the members of one index with one value.
type list struct {
	byName map[string]*member
	// order is read from its end to its beginning. A member that is removed makes room for the last one. That
	// moves to where a reader has yet to come, unless the reader has seen it.
	order []*member
}

type member struct {
	list     *list
	index    string
	name     string
	deadline int64
	queuedAt int64 // the deadline by which it is in the queue
	place    int   // in list.order
	queued   int   // in the queue
}

var errEntry = errors.New("an index entry needs a list of 1 to 64 of the characters A-Z a-z 0-9 _ . - and a member of 1 to 1024 bytes")

func (b *Backend) listShard(index string) *listShard {
	return &b.lists[maphash.String(b.seed, index)%listShards]
}

// put adds the entry, or moves its deadline, if that is later.
func (s *listShard) put(e store.IndexEntry, deadline int64) error {
	if !keyspace.IsList(e.Index) || len(e.Member) == 0 || len(e.Member) > keyspace.MaxMember {
		return errEntry
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.backend.closed.Load() {
		return store.ErrClosed
	}
	l := s.lists[e.Index]
	if l == nil {
		if s.lists == nil {
			s.lists = make(map[string]*list)
		}
		l = &list{byName: make(map[string]*member)}
		s.lists[strings.Clone(e.Index)] = l
	}
	m := l.byName[e.Member]
	if m != nil {
		m.deadline = max(m.deadline, deadline)
		return nil
	}
	m = &member{list: l, index: strings.Clone(e.Index), name: strings.Clone(e.Member), deadline: deadline, queuedAt: deadline, place: len(l.order)}
	l.byName[m.name] = m
	l.order = append(l.order, m)
	heap.Push(&s.queue, m)
	s.reschedule()
	return nil
}

// remove removes the entry if it is there.
func (s *listShard) remove(e store.IndexEntry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lists[e.Index]
	if l == nil {
		return
	}
	if m := l.byName[e.Member]; m != nil {
		heap.Remove(&s.queue, m.queued)
		s.drop(m)
		s.reschedule()
	}
}

// drop takes m, which is not in the queue any more, out of its list. The caller holds mu.
func (s *listShard) drop(m *member) {
	l := m.list
	delete(l.byName, m.name)
	last := len(l.order) - 1
	l.order[m.place] = l.order[last]
	l.order[m.place].place = m.place
	l.order[last] = nil
	l.order = l.order[:last]
	if last == 0 {
		delete(s.lists, m.index)
	} else if cap(l.order) > 64 && last < cap(l.order)/4 { // memory after a peak
		l.order = append(make([]*member, 0, 2*last), l.order...)
		byName := make(map[string]*member, last)
		for _, m := range l.order {
			byName[m.name] = m
		}
		l.byName = byName
	}
}

// page returns the members before the place that cursor says.
func (s *listShard) page(index, cursor string, now int64) (members []string, next string, err error) {
	if !keyspace.IsList(index) {
		return nil, "", errEntry
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lists[index]
	if l == nil {
		return nil, "", nil
	}
	to := len(l.order)
	if cursor != "" {
		n, err := strconv.Atoi(cursor)
		if err != nil || n < 0 {
			return nil, "", errCursor
		}
		to = min(to, n)
	}
	from := max(0, to-listPage)
	for _, m := range l.order[from:to] {
		if m.deadline > now {
			members = append(members, m.name)
		}
	}
	if from > 0 {
		next = strconv.Itoa(from)
	}
	return members, next, nil
}

var errCursor = errors.New("the cursor does not come from Entries")

// expireSome removes members whose deadline has come, and puts others back in their place. It reports whether more may
// be waiting: it does not hold the mutex for long.
func (s *listShard) expireSome(now int64) (more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range 64 {
		if len(s.queue) == 0 || s.queue[0].queuedAt > now {
			break
		}
		m := s.queue[0]
		if m.deadline > now {
			m.queuedAt = m.deadline
			heap.Fix(&s.queue, 0)
			continue
		}
		heap.Pop(&s.queue)
		s.drop(m)
	}
	s.due.Store(s.next())
	return s.next() <= now
}

// clear removes everything.
func (s *listShard) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists, s.queue = nil, nil
	s.due.Store(never)
}

// next returns when the head of the queue comes up. The caller holds mu.
func (s *listShard) next() int64 {
	if len(s.queue) == 0 {
		return never
	}
	return s.queue[0].queuedAt
}

// reschedule makes sure that the timer goes off when the head of the queue is due. The caller holds mu.
func (s *listShard) reschedule() {
	if next := s.next(); next != s.due.Load() {
		s.due.Store(next)
		s.backend.wakeAt(next)
	}
}

// A memberQueue is a heap of members by when they are to be looked at.
type memberQueue []*member

func (q memberQueue) Len() int           { return len(q) }
func (q memberQueue) Less(i, j int) bool { return q[i].queuedAt < q[j].queuedAt }
func (q memberQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].queued, q[j].queued = i, j
}

func (q *memberQueue) Push(x any) {
	m := x.(*member)
	m.queued = len(*q)
	*q = append(*q, m)
}

func (q *memberQueue) Pop() any {
	last := len(*q) - 1
	m := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return m
}
