// Package notice tells the processes of an application which sessions may have
// ended. It is the part that the backends on servers have in common: they bring the
// messages to each other.
//
// What arrives is a hint. Whoever gets one asks the server, and that answer counts.
package notice

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// collect is how long hints are collected before they are sent together, and
	// collectMore is the same after more than few came at once.
	collect     = time.Millisecond
	collectMore = 8 * time.Millisecond
	few         = 3

	// perMessage is the most hints in one message.
	perMessage = 1024

	// mostWaiting bounds what waits for a server that hangs. What is beyond it is
	// dropped: the rounds of renewals find out.
	mostWaiting = 1 << 16

	// sendTimeout bounds the sending of one message, over a failover perhaps.
	sendTimeout = 5 * time.Second

	// early is what a deadline that was read may lie too early.
	early = 5 * time.Millisecond
)

// A Hint names a session: the first 8 bytes of the SHA-256 of its physical
// name, which is made of the namespace and the ID. Two sessions with one Hint would
// only be asked about together.
type Hint uint64

// size is the number of bytes of a Hint in a message.
const size = 8

// Of returns the Hint of the session with the physical name.
func Of(name string) Hint {
	var room [128]byte
	sum := sha256.Sum256(append(room[:0], name...))
	return Hint(binary.BigEndian.Uint64(sum[:size]))
}

// A Hub is the one place of a backend where hints go out and come in. Make one with
// [New]. Every method is safe for concurrent use. A nil Hub sends and hears nothing;
// do not watch with it.
type Hub struct {
	send func(ctx context.Context, message []byte) error
	in   listening

	ctx    context.Context // of sending
	cancel func()

	out struct {
		mu      sync.Mutex
		names   []string // guarded by mu; to be sent
		sending bool     // guarded by mu; run runs
		closed  bool     // guarded by mu
		running sync.WaitGroup
	}

	count   atomic.Int64 // of watchers
	mu      sync.Mutex
	watched map[Hint]*Watcher // guarded by mu; others of the same Hint hang on next
	listens bool              // guarded by mu
}

// New returns a Hub that sends messages with send, and calls listen from the first
// Watcher on. Send must return soon after its context has ended.
//
// Listen passes what it hears to [Hub.Hear] until that breaks or its context ends. It is told how
// many calls in a row have failed before. It returns whether it has worked in between, so that
// these do not count any more. It returns after what pause it is to be called again: zero for at
// once, because nothing has failed. The pause doubles with each failure in a row.
func New(send func(ctx context.Context, message []byte) error, listen func(ctx context.Context, failures int) (worked bool, pause time.Duration)) *Hub {
	h := &Hub{send: send, watched: make(map[Hint]*Watcher)}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.in.attempt, h.in.retry = listen, make(chan struct{}, 1)
	h.in.ctx, h.in.cancel = context.WithCancel(context.Background())
	return h
}

// Tell publishes that the session with the physical name may have ended, or
// has another deadline. It does not wait.
func (h *Hub) Tell(name string) {
	if h == nil {
		return
	}
	o := &h.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || len(o.names) >= mostWaiting {
		return
	}
	o.names = append(o.names, name)
	if !o.sending {
		o.sending = true
		o.running.Go(h.run)
	}
}

// run sends what has come, until nothing has. Who watches through this Hub hears it
// first, whatever becomes of the sending.
func (h *Hub) run() {
	o := &h.out
	for wait := collect; ; {
		select {
		case <-time.After(wait):
		case <-h.ctx.Done():
		}
		o.mu.Lock()
		names := o.names
		o.names = nil
		if len(names) == 0 {
			o.sending = false
			o.mu.Unlock()
			return
		}
		closed := o.closed
		o.mu.Unlock()
		if wait = collect; len(names) > few {
			wait = collectMore
		}
		for names := range slices.Chunk(names, perMessage) {
			message := make([]byte, 0, size*len(names))
			for _, name := range names {
				message = binary.BigEndian.AppendUint64(message, uint64(Of(name)))
			}
			h.Hear(message)
			ctx, cancel := context.WithTimeout(h.ctx, sendTimeout)
			err := h.send(ctx, message)
			cancel()
			if err != nil && closed {
				break
			}
		}
	}
}

// Close sends what was told and ends the Hub: it does not listen, and nobody is hinted at
// any more. It waits for sending and for listening to end, until ctx ends.
func (h *Hub) Close(ctx context.Context) {
	if h == nil {
		return
	}
	h.mu.Lock()
	h.listens = true // whoever comes now finds nobody to listen to
	h.mu.Unlock()
	h.in.cancel()
	h.out.mu.Lock()
	h.out.closed = true
	h.out.mu.Unlock()
	sent := ended(ctx, &h.out.running)
	h.cancel()
	<-sent
	h.mu.Lock()
	for _, w := range h.watched {
		for ; w != nil; w = w.next {
			w.rest()
		}
	}
	clear(h.watched)
	h.count.Store(0)
	h.mu.Unlock()
	ended(ctx, &h.in.running)
}

// ended waits for running until ctx ends, and returns what is closed when it has ended.
func ended(ctx context.Context, running *sync.WaitGroup) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		running.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
	return done
}

// Hear takes a message in. One that no Hub can have sent is passed over. One that
// somebody else has made up hints at no session, or at one whose owner asks without need.
func (h *Hub) Hear(message []byte) {
	if h == nil || h.count.Load() == 0 || len(message)%size != 0 || len(message) > size*perMessage {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for ; len(message) >= size; message = message[size:] {
		for w := h.watched[Hint(binary.BigEndian.Uint64(message))]; w != nil; w = w.next {
			w.hint()
		}
	}
}

// HearAll hints at everybody: the backend listens now, and what was said before was
// not heard.
func (h *Hub) HearAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range h.watched {
		for ; w != nil; w = w.next {
			w.hint()
		}
	}
}

// A Watcher is hinted at when something is said of its session.
type Watcher struct {
	hub  *Hub
	of   Hint
	hint func()

	// The Hub's mu guards all below.
	next    *Watcher
	alarm   *time.Timer // of the deadline; nil until one is known
	stopped bool
}

// Watch has hint called when something is said of the session with the physical
// name, until [Watcher.Stop]. Hint must not block and must not call the Hub.
func (h *Hub) Watch(name string, hint func()) *Watcher {
	w := &Watcher{hub: h, of: Of(name), hint: hint}
	h.mu.Lock()
	defer h.mu.Unlock()
	w.next = h.watched[w.of]
	h.watched[w.of] = w
	h.count.Add(1)
	if !h.listens {
		h.listens = true
		h.in.running.Go(h.in.run)
	}
	return w
}

// Stop ends the watching. To stop twice is harmless.
func (w *Watcher) Stop() {
	h := w.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if w.stopped { // by Close, perhaps
		return
	}
	w.rest()
	head := h.watched[w.of]
	switch {
	case head == w && w.next == nil:
		delete(h.watched, w.of)
	case head == w:
		h.watched[w.of] = w.next
	default:
		for p := head; p != nil; p = p.next {
			if p.next == w {
				p.next = w.next
				break
			}
		}
	}
	h.count.Add(-1)
}

// rest keeps w from being hinted at. Its caller holds mu of the Hub.
func (w *Watcher) rest() {
	w.stopped = true
	if w.alarm != nil {
		w.alarm.Stop()
	}
}

// Lasts tells those who watch the session with the physical name that it lives for
// left from now, unless something changes. They are hinted at when that is over.
func (h *Hub) Lasts(name string, left time.Duration) {
	if h == nil || h.count.Load() == 0 {
		return
	}
	of := Of(name)
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := h.watched[of]; w != nil; w = w.next {
		if w.alarm != nil {
			w.alarm.Reset(left + early)
			continue
		}
		w.alarm = time.AfterFunc(left+early, w.rings)
	}
}

// rings hints at w because the deadline has come.
func (w *Watcher) rings() {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	if !w.stopped {
		w.hint()
	}
}
