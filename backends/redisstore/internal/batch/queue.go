package batch

// A queue holds calls in the order in which they came. What their callers have
// withdrawn leaves its memory at once, and its place soon.
//
// All methods need the lane's lock.
type queue struct {
	calls []*call
	head  int // calls before it have been taken
	gone  int // withdrawn calls that still have their place
	bytes int // of the arguments of the others
}

// len returns the number of calls that wait.
func (q *queue) len() int { return len(q.calls) - q.head - q.gone }

func (q *queue) push(c *call) {
	q.calls = append(q.calls, c)
	q.bytes += c.bytes
}

// first returns the call that has waited longest, nil if there is none.
func (q *queue) first() *call {
	for q.head < len(q.calls) {
		c := q.calls[q.head]
		if c.state.Load() != withdrawn {
			return c
		}
		q.gone--
		q.skip()
		c.free()
	}
	return nil
}

// pop removes what first has returned.
func (q *queue) pop(c *call) {
	q.bytes -= c.bytes
	q.skip()
}

// skip moves on by one place. The places before are given back once they are
// half of the memory, so that a long queue is not copied for every batch.
func (q *queue) skip() {
	q.calls[q.head] = nil
	q.head++
	if q.head > len(q.calls)/2 {
		q.keep(q.calls[q.head:])
	}
}

// withdraw empties a call that is in the queue, and sweeps the queue when half of
// it is empty.
func (q *queue) withdraw(c *call) {
	q.bytes -= c.bytes
	q.gone++
	c.entry, c.ctx = entry{}, nil
	if q.gone <= q.len() {
		return
	}
	live := q.calls[:0]
	for _, c := range q.calls[q.head:] {
		if c.state.Load() == withdrawn {
			c.free()
		} else {
			live = append(live, c)
		}
	}
	q.gone = 0
	q.keep(live)
}

// keep makes live, a part of calls, all that there is.
func (q *queue) keep(live []*call) {
	n := copy(q.calls, live)
	clear(q.calls[n:])
	q.calls, q.head = q.calls[:n], 0
	if n == 0 && cap(q.calls) > maxIdleQueue {
		q.calls = nil
	}
}

// maxIdleQueue is the number of places whose memory an empty queue keeps.
const maxIdleQueue = 4096
