package socketio

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/zishang520/socket.io/servers/socket/v3"

	"github.com/sessionkv/store"
)

// A conn is one socket with its session.
//
//  1. begin opens it, before the socket is connected. From then on a
//     closed connection ends it, whether the socket was ever connected or not.
//  2. connected tells the client its ID.
//  3. Handlers are queued, and run one after the other in a goroutine that exists
//     only while there is something to run.
//  4. leave, by whatever end, closes the queue. Handlers in it still run;
//     Options.Linger later their context ends. Then finish disconnects the
//     socket and lets go of the session, once.
type conn struct {
	adapter *Adapter
	socket  *socket.Socket
	sess    *store.Session
	ctx     context.Context // carries sess
	cancel  context.CancelCauseFunc
	rooms   []string // to join again

	mu       sync.Mutex
	begun    bool     // guarded by mu; sess, ctx and cancel are set
	queue    []func() // guarded by mu
	running  bool     // guarded by mu; a goroutine works on queue
	leaving  bool     // guarded by mu
	goodbye  bool     // guarded by mu; the client does not come back
	finished bool     // guarded by mu
	stopped  bool     // guarded by mu; by Adapter.Stop
}

// begin starts to look after sess.
func (c *conn) begin(sess *store.Session) {
	parent, cancel := context.WithCancelCause(context.Background())
	ctx, release := sess.Context(parent)
	c.mu.Lock()
	c.sess, c.ctx = sess, ctx
	c.cancel = func(why error) {
		cancel(why)
		release()
	}
	c.begun = true
	stopped := c.stopped
	c.mu.Unlock()

	sess.AfterEnd(func(error) { c.ended() })
	c.adapter.watch(c)
	if stopped {
		c.stop()
	}
}

// connected tells the client its ID.
func (c *conn) connected() {
	_ = c.socket.On("disconnect", func(args ...any) {
		reason := ""
		if len(args) > 0 {
			reason, _ = args[0].(string)
		}
		c.leave(reason == "client namespace disconnect")
	})
	if !c.socket.Connected() { // before On
		c.leave(false)
		return
	}
	c.socket.Join(roomsOf(c.rooms)...)
	if err := c.socket.Emit("session", c.sess.ID()); err != nil {
		c.adapter.opts.Logger.Error("socketio: the session could not be announced", "error", err)
	}
}

// ended disconnects the socket because its session has ended.
func (c *conn) ended() {
	c.mu.Lock()
	already := c.leaving
	c.mu.Unlock()
	if already {
		return // it ended because the socket did
	}
	c.leave(false)
}

// stop closes the connection so that the client goes to another node.
func (c *conn) stop() {
	c.mu.Lock()
	c.stopped = true
	begun := c.begun
	c.mu.Unlock()
	if begun {
		c.cancel(ErrStopped)
		c.leave(false)
	}
}

// sayGoodbye says that the client does not come back.
func (c *conn) sayGoodbye() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.goodbye = true
}

// leave ends c when its running handler has returned.
func (c *conn) leave(goodbye bool) {
	c.mu.Lock()
	c.leaving = true
	c.goodbye = c.goodbye || goodbye
	finish := !c.running && !c.finished
	c.finished = c.finished || finish
	c.mu.Unlock()
	if finish {
		go c.finish()
		return
	}
	time.AfterFunc(c.adapter.opts.Linger, func() { c.cancel(errDisconnected) })
}

// finish disconnects the socket and lets go of the session.
func (c *conn) finish() {
	defer c.adapter.forget(c)
	c.mu.Lock()
	goodbye, stopped := c.goodbye, c.stopped
	c.mu.Unlock()

	switch err := c.sess.Err(); {
	case stopped:
		// The client reconnects after this. After Disconnect it stays away.
		c.socket.Conn().Close(false)
	case errors.Is(err, store.ErrExpired) || errors.Is(err, store.ErrClosed):
		c.socket.Conn().Close(false)
	case c.socket.Connected():
		// Closing the connection, too, would lose the packet that says so.
		c.socket.Disconnect(false)
	}
	c.cancel(errDisconnected)

	c.letGo(goodbye)
}

// letGo destroys the session, or suspends it for the grace. It may be called again.
func (c *conn) letGo(goodbye bool) {
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	var err error
	switch {
	case goodbye:
		err = c.sess.Destroy(ctx)
	case c.adapter.opts.Grace > 0:
		err = c.sess.Suspend(ctx, c.adapter.opts.Grace)
	default:
		err = c.sess.Release(ctx)
	}
	if err != nil && !errors.Is(err, store.ErrDestroyed) && !errors.Is(err, store.ErrSuspended) {
		c.adapter.opts.Logger.Error("socketio: a session could not be let go of; it ends with its lease", "error", err)
	}
}

// do queues f, and reports false when c is leaving.
func (c *conn) do(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leaving {
		return false
	}
	c.queue = append(c.queue, f)
	if !c.running {
		c.running = true
		go c.run()
	}
	return true
}

// run works on the queue until it is empty.
func (c *conn) run() {
	for {
		c.mu.Lock()
		if len(c.queue) == 0 {
			c.queue = nil
			c.running = false
			finish := c.leaving && !c.finished
			c.finished = c.finished || finish
			c.mu.Unlock()
			if finish {
				c.finish()
			}
			return
		}
		f := c.queue[0]
		c.queue[0] = nil
		c.queue = c.queue[1:]
		c.mu.Unlock()
		f()
	}
}

// A Handler works on an event. ctx is that of [Adapter.Context], and args are
// what the client sent. When the client asked for an acknowledgement, it gets the result.
type Handler func(ctx context.Context, args []any) (result any, err error)

// On calls h for each event of s, one after the other for each socket. When the client asked for an
// acknowledgement, it gets h's result as its argument. After an error it gets an object {error:
// text}, where text is that of a [Refusal] and "internal error" otherwise. A panic counts as an
// error and is logged. On fails when s has no session any more, with [ErrStopped] after Stop: the
// socket is disconnected then, and a listener returns.
func (a *Adapter) On(s *socket.Socket, event string, h Handler) error {
	c, ok := a.conn(s)
	if !ok {
		return a.lost()
	}
	return s.On(event, func(args ...any) {
		var ack socket.Ack
		if n := len(args); n > 0 {
			if f, ok := args[n-1].(socket.Ack); ok {
				ack, args = f, args[:n-1]
			}
		}
		if !c.do(func() { c.handle(event, h, args, ack) }) && ack != nil {
			ack([]any{failure(errNoSession)}, nil)
		}
	})
}

// handle calls h and acknowledges.
func (c *conn) handle(event string, h Handler, args []any, ack socket.Ack) {
	var result any
	err := errPanicked
	defer func() {
		if p := recover(); p != nil {
			c.adapter.opts.Logger.Error("socketio: a handler panicked", "event", event, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
		if ack == nil {
			return
		}
		if err != nil {
			result = failure(err)
		}
		ack([]any{result}, nil)
	}()
	result, err = h(c.ctx, args)
}

var errDisconnected = errors.New("socketio: the socket is disconnected")

var errPanicked = errors.New("socketio: the handler panicked")

func failure(err error) map[string]any {
	text := "internal error"
	if r, ok := errors.AsType[Refusal](err); ok {
		text = r.Error()
	}
	return map[string]any{"error": text}
}
