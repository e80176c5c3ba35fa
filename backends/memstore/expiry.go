package memstore

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Times are nanoseconds since Backend.born. Deadlines are whole ticks: that
// bounds how often the timer goes off, however many sessions there are.
const (
	tick  = int64(time.Millisecond)
	never = math.MaxInt64
)

// now returns the age of the Backend.
func (b *Backend) now() int64 { return int64(time.Since(b.born)) }

// after returns the deadline of a positive lease that begins now, rounded up.
func after(now int64, lease time.Duration) int64 {
	if int64(lease) > never-tick-now {
		return never - never%tick
	}
	end := now + int64(lease) + tick - 1
	return end - end%tick
}

// An alarm is the one timer of a Backend. It is made when the first session is,
// and runs no goroutine while it waits.
type alarm struct {
	at atomic.Int64 // when the timer goes off; written under mu

	mu      sync.Mutex
	timer   *time.Timer
	stopped bool

	ringing sync.Mutex // held while expired sessions are ended
}

// wakeAt makes the timer go off at the time given, or earlier.
func (b *Backend) wakeAt(at int64) {
	a := &b.alarm
	if at >= a.at.Load() {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if at >= a.at.Load() || a.stopped {
		return
	}
	a.at.Store(at)
	wait := time.Duration(max(0, at-b.now()))
	if a.timer == nil {
		a.timer = time.AfterFunc(wait, b.ring)
		return
	}
	a.timer.Reset(wait)
}

// ring ends the sessions whose deadline has come and sets the timer anew.
//
// A shard that gets an earlier deadline meanwhile either writes it before the last loop reads it,
// or sets the alarm if that is set later than it needs.
func (b *Backend) ring() {
	a := &b.alarm
	a.ringing.Lock()
	defer a.ringing.Unlock()
	a.mu.Lock()
	a.at.Store(never)
	a.mu.Unlock()

	now := b.now()
	for i := range b.shards {
		s := &b.shards[i]
		for s.due.Load() <= now && s.expireSome(now) {
		}
	}
	for i := range b.lists {
		l := &b.lists[i]
		for l.due.Load() <= now && l.expireSome(now) {
		}
	}
	next := int64(never)
	for i := range b.shards {
		next = min(next, b.shards[i].due.Load())
	}
	for i := range b.lists {
		next = min(next, b.lists[i].due.Load())
	}
	b.wakeAt(next)
}

// stop stops the timer for good and waits until nothing rings.
func (a *alarm) stop() {
	a.mu.Lock()
	a.stopped = true
	if a.timer != nil {
		a.timer.Stop()
	}
	a.mu.Unlock()
	a.ringing.Lock()
	defer a.ringing.Unlock()
}

// A queue is a heap with four children to a node, ordered by when the lives are to be looked at.
// That is their deadline, or an earlier one if they were renewed since.
type queue []queued

type queued struct {
	at   int64
	life *life
}

// next returns when the head comes up.
func (q queue) next() int64 {
	if len(q) == 0 {
		return never
	}
	return q[0].at
}

// push adds l at its deadline.
func (q *queue) push(l *life) {
	*q = append(*q, queued{})
	q.up(len(*q)-1, queued{l.deadline, l})
}

// remove takes out l.
func (q *queue) remove(l *life) {
	i, last := int(l.queued), len(*q)-1
	moved := (*q)[last]
	(*q)[last] = queued{}
	*q = (*q)[:last]
	if i < last {
		q.place(i, moved)
	}
}

// move gives l another time.
func (q queue) move(l *life, at int64) { q.place(int(l.queued), queued{at, l}) }

// place puts e into the hole at i, or where it belongs from there.
func (q queue) place(i int, e queued) {
	if i > 0 && e.at < q[(i-1)/4].at {
		q.up(i, e)
		return
	}
	q.down(i, e)
}

func (q queue) up(i int, e queued) {
	for i > 0 {
		parent := (i - 1) / 4
		if q[parent].at <= e.at {
			break
		}
		q.set(i, q[parent])
		i = parent
	}
	q.set(i, e)
}

func (q queue) down(i int, e queued) {
	for {
		child := 4*i + 1
		if child >= len(q) {
			break
		}
		least := child
		for c := child + 1; c < min(child+4, len(q)); c++ {
			if q[c].at < q[least].at {
				least = c
			}
		}
		if q[least].at >= e.at {
			break
		}
		q.set(i, q[least])
		i = least
	}
	q.set(i, e)
}

func (q queue) set(i int, e queued) {
	q[i] = e
	e.life.queued = int32(i)
}
