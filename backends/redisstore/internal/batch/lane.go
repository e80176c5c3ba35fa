package batch

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// A lane leads to one server: a queue of calls, and the batches in progress.
//
//  1. A caller that finds nothing in flight executes its command itself. That is all that a lone
//     caller pays: through another goroutine it has 0.4 of the throughput.
//  2. Any other appends a call to the queue. It starts a run if few are in flight, or if more waits
//     than one batch can carry; see startRun.
//  3. A run lets the other goroutines go first, which fills its batch if they have commands to add.
//     Then it takes the batch from the queue, sends it as one pipeline, and hands out the replies.
//     Without going last, 16 callers have half the throughput; a timer would delay a lone batch.
//  4. It begins again until the queue is empty.
//
// What holds whenever nobody has mu:
//   - While calls are queued, something is in flight that will look at the queue before it ends:
//     a run, or a caller's own command, which starts a run when it is done. So no call waits for
//     another one to come.
//   - A call is queued, taken or withdrawn. It leaves the queue with mu held and once: by a run,
//     which then owes it an outcome, or by its caller, and then nothing of it was sent.
//   - inFlight is the number of runs and of commands that their callers execute. Runs are
//     MaxInFlight at most.
//   - idle is closed as soon as the lane is closed and nothing is in flight or aside.
//
// The README of this package has the alternatives and what they reached.
type lane struct {
	b     *Batcher
	plain bool // never merge

	// server is where the lane leads to; nil for a plain one. A cluster's client
	// may replace that of a node.
	server atomic.Pointer[redis.Client]

	mu       sync.Mutex
	queue    queue
	inFlight int  // batches, and commands that run on their caller's goroutine
	aside    int  // commands with large replies, which take no part in batches
	asking   bool // a run is finding out whether the process is idle
	closed   bool
	idle     chan struct{} // closed once the lane is closed and empty
}

func newLane(b *Batcher, server *redis.Client) *lane {
	l := &lane{b: b, plain: server == nil, idle: make(chan struct{})}
	l.server.Store(server)
	return l
}

// node returns the client of the server that the lane leads to.
func (l *lane) node() redis.UniversalClient {
	if server := l.server.Load(); server != nil {
		return server
	}
	return l.b.client
}

func (l *lane) process(ctx context.Context, cmd redis.Cmder) error {
	_, large := l.b.opts.expect(cmd)
	l.mu.Lock()
	switch {
	case l.closed:
		l.mu.Unlock()
		return notSent(errClosed)
	case large && !l.plain:
		l.aside++
		l.mu.Unlock()
		return l.processAside(ctx, cmd)
	case l.plain || l.inFlight == 0 && l.b.returnsInTime(ctx):
		l.inFlight++
		l.mu.Unlock()
		err := l.single(ctx, cmd)
		l.leave()
		return err
	case l.queue.len() >= l.b.opts.MaxQueue:
		l.mu.Unlock()
		return notSent(ErrQueueFull)
	}
	c := newCall(ctx, cmd)
	if l.queue.bytes+c.bytes > l.b.opts.MaxQueueBytes && l.queue.len() > 0 {
		l.mu.Unlock()
		c.free()
		return notSent(ErrQueueFull)
	}
	l.queue.push(c)
	how, start := l.startRun()
	l.mu.Unlock()
	if start {
		go l.run(how)
	}
	return c.wait(ctx, l)
}

// processAside executes a command whose reply is large as if nobody else had one,
// on a connection of the client's pool.
func (l *lane) processAside(ctx context.Context, cmd redis.Cmder) error {
	if l.b.returnsInTime(ctx) {
		defer l.leaveAside()
		return l.single(ctx, cmd)
	}
	c := newCall(ctx, cmd)
	c.state.Store(taken)
	go func() {
		defer l.leaveAside()
		c.finish(l.single(ctx, cmd))
	}()
	return c.wait(ctx, l)
}

func (l *lane) leaveAside() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.aside--
	l.closeIfIdle()
}

// withdraw takes c out of the queue. It reports false if a batch has taken it
// before.
func (l *lane) withdraw(c *call) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !c.state.CompareAndSwap(queued, withdrawn) {
		return false
	}
	l.queue.withdraw(c)
	return true
}

// A startMode is how a run begins.
type startMode int

const (
	atOnce    startMode = iota // there is nobody to wait for
	gathering                  // first let others add their commands
	ifIdle                     // the same, and give up if the process is busy
)

// startRun reports whether a new call starts another batch, and counts it if so. Those that return
// will fetch the queue in any case, and the fewer they are, the more each of them carries. More
// than a few are worth their system calls when more waits than one batch can carry. Otherwise they
// are only when everybody waits for the network. As only one at a time may find that out, it costs
// little to ask. l.mu is held.
func (l *lane) startRun() (startMode, bool) {
	how := gathering
	switch {
	case l.inFlight == 0:
		how = atOnce
	case l.inFlight >= l.b.opts.MaxInFlight:
		return how, false
	case l.inFlight >= few && !l.overflows():
		if l.asking {
			return how, false
		}
		l.asking = true
		how = ifIdle
	}
	l.inFlight++
	return how, true
}

// overflows reports whether more is queued than one batch can carry. l.mu is held.
func (l *lane) overflows() bool {
	return l.queue.len() > l.b.opts.MaxBatch || l.queue.bytes > l.b.opts.MaxBytes && l.queue.len() > 1
}

// few batches in flight keep a server busy that answers at once. It works on one, one is on the way
// there, one on the way back, and one is filled.
const few = 4

// idleYield is the longest that a yield takes when no other goroutine could run.
const idleYield = 3 * time.Microsecond

// leave ends a command that ran on its caller's goroutine. That caller has its
// reply, so whatever was queued meanwhile is another goroutine's work.
func (l *lane) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.queue.len() > 0 {
		go l.run(gathering)
		return
	}
	l.rest()
}

// rest ends one of those in flight. l.mu is held.
func (l *lane) rest() {
	l.inFlight--
	l.closeIfIdle()
}

// closeIfIdle tells Close when a closed lane has nothing left to do. l.mu is held.
func (l *lane) closeIfIdle() {
	if l.closed && l.inFlight == 0 && l.aside == 0 {
		close(l.idle)
	}
}

// close refuses further commands.
func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.closed = true
		l.closeIfIdle()
	}
}

// A batch is the memory of one that executes pipelines.
type batch struct {
	calls []*call
	cmds  []redis.Cmder
	pipe  redis.Pipeliner // of this run

	fitting []*call // those of calls that may be merged
	groups  []group
}

var batches = sync.Pool{New: func() any { return new(batch) }}

// run executes batches for as long as there are calls in the queue.
func (l *lane) run(how startMode) {
	bt := batches.Get().(*batch)
	defer batches.Put(bt)
	for ; l.gather(how, bt); how = gathering {
		l.execute(bt)
	}
	bt.pipe = nil
}

// gather fills bt with the next batch. It reports false, and ends the run,
// if there is none.
func (l *lane) gather(how startMode, bt *batch) bool {
	busy := false
	switch how {
	case gathering:
		// Let the goroutines that can run at this moment add their commands.
		// On a busy machine that fills the batch, on an idle one it costs
		// nothing.
		runtime.Gosched()
	case ifIdle:
		begin := time.Now()
		runtime.Gosched()
		busy = time.Since(begin) > idleYield
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if how == ifIdle {
		l.asking = false
	}
	// A run may leave calls in the queue only to others, who then come back.
	if !busy || l.inFlight <= few {
		l.take(bt)
	}
	if len(bt.calls) == 0 {
		l.rest()
		return false
	}
	// Those that wait for a server that stalls may be all that there are: nobody
	// else starts a batch for what is left.
	if l.overflows() {
		if how, start := l.startRun(); start {
			go l.run(how)
		}
	}
	return true
}

// take moves the next batch from the queue to bt. l.mu is held.
func (l *lane) take(bt *batch) {
	o := &l.b.opts
	bytes, replies := 0, 0
	for c := l.queue.first(); c != nil; c = l.queue.first() {
		c.reply, _ = o.expect(c.Cmder)
		if k := len(bt.calls); k == o.MaxBatch || k > 0 && (bytes+c.bytes > o.MaxBytes || replies+c.reply > o.MaxReplyBytes) {
			break
		}
		l.queue.pop(c)
		c.state.Store(taken) // its caller withdraws it under the lock
		bt.calls = append(bt.calls, c)
		bytes += c.bytes
		replies += c.reply
	}
}

// execute sends the calls of bt, and hands every one its outcome.
func (l *lane) execute(bt *batch) {
	if len(bt.calls) == 1 {
		c := bt.calls[0]
		c.finish(l.single(c.ctx, c.Cmder))
	} else {
		l.executeMany(bt)
	}
	clear(bt.calls)
	clear(bt.cmds)
	clear(bt.fitting)
	clear(bt.groups)
	bt.calls, bt.cmds = bt.calls[:0], bt.cmds[:0]
	bt.fitting, bt.groups = bt.fitting[:0], bt.groups[:0]
}

func (l *lane) executeMany(bt *batch) {
	if bt.pipe == nil {
		bt.pipe = l.node().Pipeline()
	}
	l.merge(bt)
	// Large replies come last, so that the others are read when the connection
	// breaks while they are in progress.
	for _, c := range bt.calls {
		if !c.merged && c.reply <= smallReply {
			bt.cmds = append(bt.cmds, c)
		}
	}
	for _, c := range bt.calls {
		if !c.merged && c.reply > smallReply {
			bt.cmds = append(bt.cmds, c)
		}
	}
	flush(bt.pipe, bt.cmds)
	l.split(bt)
	moved := bt.calls[:0]
	for _, c := range bt.calls {
		if l.b.redirected(c.Cmder.Err()) {
			moved = append(moved, c)
		} else {
			err := c.Cmder.Err()
			l.b.opts.learn(c.Cmder, err)
			c.finish(err)
		}
	}
	l.b.followAll(moved)
}
