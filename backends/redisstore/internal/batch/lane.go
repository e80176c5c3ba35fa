package batch

import (
	"context"
	"runtime"
	"sync"

	"github.com/redis/go-redis/v9"
)

// A lane leads to one server: a queue of calls, and the batches under way.
type lane struct {
	b     *Batcher
	plain bool // never merge

	mu       sync.Mutex
	queue    []*call
	inFlight int // batches, and commands that run on their caller's goroutine
	closed   bool
	idle     chan struct{} // closed once the lane is closed and empty
}

func newLane(b *Batcher, plain bool) *lane {
	return &lane{b: b, plain: plain, idle: make(chan struct{})}
}

func (l *lane) process(ctx context.Context, cmd redis.Cmder) error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return notSent(errClosed)
	}
	if l.plain || (l.inFlight == 0 && ctx.Done() == nil) {
		l.inFlight++
		l.mu.Unlock()
		err := l.b.client.Process(ctx, cmd)
		l.leave()
		return err
	}
	c := newCall(ctx, cmd)
	l.queue = append(l.queue, c)
	start := l.inFlight < l.b.opts.MaxInFlight
	if start {
		l.inFlight++
	}
	l.mu.Unlock()
	if start {
		go l.run()
	}
	return c.wait(ctx)
}

// leave ends a command that ran on its caller's goroutine. That caller has its
// reply, so whatever was queued meanwhile is another goroutine's work.
func (l *lane) leave() {
	l.mu.Lock()
	if len(l.queue) > 0 {
		l.mu.Unlock()
		go l.run()
		return
	}
	l.rest()
	l.mu.Unlock()
}

// rest ends one of those in flight. l.mu is held.
func (l *lane) rest() {
	l.inFlight--
	if l.closed && l.inFlight == 0 {
		close(l.idle)
	}
}

// close refuses further commands.
func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.closed = true
		if l.inFlight == 0 {
			close(l.idle)
		}
	}
}

// A batch is the memory of one that executes pipelines.
type batch struct {
	calls []*call
	cmds  []redis.Cmder
}

var batches = sync.Pool{New: func() any { return new(batch) }}

// run executes batches for as long as there are calls in the queue.
func (l *lane) run() {
	bt := batches.Get().(*batch)
	defer batches.Put(bt)
	for {
		// Let the goroutines that can run at this moment add their commands:
		// on a busy machine that fills the batch, on an idle one it costs
		// nothing.
		runtime.Gosched()
		l.mu.Lock()
		l.take(bt)
		if len(bt.calls) == 0 {
			l.rest()
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		l.execute(bt)
	}
}

// take moves the next batch from the queue to bt. l.mu is held.
func (l *lane) take(bt *batch) {
	n, bytes := 0, 0
	for _, c := range l.queue {
		if k := len(bt.calls); k == l.b.opts.MaxBatch || k > 0 && bytes+c.bytes > l.b.opts.MaxBytes {
			break
		}
		n++
		if !c.state.CompareAndSwap(queued, taken) {
			c.free() // withdrawn
			continue
		}
		bt.calls = append(bt.calls, c)
		bytes += c.bytes
	}
	rest := copy(l.queue, l.queue[n:])
	clear(l.queue[rest:])
	l.queue = l.queue[:rest]
}

// execute sends the calls of bt, and hands every one its outcome.
func (l *lane) execute(bt *batch) {
	once, twice := false, false
	for _, c := range bt.calls {
		bt.cmds = append(bt.cmds, c)
		if c.once {
			once = true
		} else {
			twice = true
		}
	}
	if len(bt.calls) == 1 {
		c := bt.calls[0]
		_ = l.b.client.Process(c.ctx, c.Cmder)
	} else {
		l.pipeline(bt.cmds)
		if once && twice {
			l.retry(bt)
		}
	}
	for _, c := range bt.calls {
		c.finish()
	}
	clear(bt.calls)
	clear(bt.cmds)
	bt.calls, bt.cmds = bt.calls[:0], bt.cmds[:0]
}

// retry runs those calls of bt again that may be repeated and failed without
// an answer: the client repeats no pipeline in which one command forbids it.
func (l *lane) retry(bt *batch) {
	cmds := bt.cmds[:0]
	for _, c := range bt.calls {
		if err := c.Cmder.Err(); !c.once && err != nil && !fromServer(err) {
			cmds = append(cmds, c)
		}
	}
	if len(cmds) > 0 {
		l.pipeline(cmds)
	}
	bt.cmds = bt.cmds[:len(bt.calls)]
}

// pipeline executes cmds, which then hold their errors. A batch outlives any
// of its callers, so it runs under the context of none of them.
func (l *lane) pipeline(cmds []redis.Cmder) {
	p := l.b.client.Pipeline()
	_ = p.BatchProcess(context.Background(), cmds...)
	_, _ = p.Exec(context.Background())
}
