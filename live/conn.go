package live

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sessionkv/store"
)

// A conn is one connection while its handler runs.
type conn struct {
	server *Server
	cancel context.CancelCauseFunc
	gone   atomic.Bool // Goodbye was called

	mu       sync.Mutex
	writer   http.ResponseWriter // guarded by mu; nil before and after the handler
	hijacked net.Conn            // guarded by mu; nil while net/http has the connection
	isCut    bool                // guarded by mu
}

type connKey struct{}

// Goodbye says that the client of ctx has left on purpose and does not come back. When the handler
// has returned, its session is destroyed instead of suspended. The session stays usable until then,
// so that a farewell can be sent. It reports false when ctx does not come from a [Server].
func Goodbye(ctx context.Context) bool {
	c, ok := ctx.Value(connKey{}).(*conn)
	if ok {
		c.gone.Store(true)
	}
	return ok
}

// serve calls next with sess, and lets go of sess whatever next does.
func (c *conn) serve(w http.ResponseWriter, r *http.Request, sess *store.Session, next http.Handler) {
	defer c.letGo(r, sess)
	if c.server.opts.Login != nil {
		if login, ok := c.server.opts.Login(r); ok {
			defer login.AfterEnd(c.loggedOut)()
		}
	}
	ctx, cancel := sess.Context(context.WithValue(r.Context(), connKey{}, c))
	defer cancel()

	c.mu.Lock()
	c.writer = w
	c.mu.Unlock()
	defer c.returned()

	var cut *time.Timer
	lingering := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(lingering)
		cut = time.AfterFunc(c.server.opts.Linger, c.cut)
	})
	defer func() {
		if !stop() {
			<-lingering
			cut.Stop()
		}
	}()
	next.ServeHTTP(&writer{ResponseWriter: w, conn: c}, r.WithContext(ctx))
}

// loggedOut ends the connection because its login has ended.
func (c *conn) loggedOut(why error) {
	if errors.Is(why, store.ErrDestroyed) && !errors.Is(why, store.ErrResumed) {
		c.gone.Store(true)
	}
	c.cancel(why)
}

// returned closes what the handler left open. Nothing of net/http may be used
// afterwards.
func (c *conn) returned() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writer = nil
	if c.hijacked != nil {
		_ = c.hijacked.Close()
	}
}

// cut takes the connection away from a handler that does not return.
func (c *conn) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isCut = true
	switch {
	case c.hijacked != nil:
		_ = c.hijacked.Close()
	case c.writer != nil:
		past := time.Unix(1, 0)
		rc := http.NewResponseController(c.writer)
		// A writer without deadlines leaves the handler to its context.
		_ = rc.SetReadDeadline(past)
		_ = rc.SetWriteDeadline(past)
	}
}

// letGo suspends or destroys the session of a handler that has returned.
func (c *conn) letGo(r *http.Request, sess *store.Session) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), leaveTimeout)
	defer cancel()
	var err error
	switch grace := c.server.opts.Grace; {
	case c.gone.Load():
		err = sess.Destroy(ctx)
	case grace > 0:
		err = sess.Suspend(ctx, grace)
	default:
		err = sess.Release(ctx)
	}
	if err != nil && !errors.Is(err, store.ErrDestroyed) && !errors.Is(err, store.ErrSuspended) {
		c.server.opts.Logger.ErrorContext(ctx, "live: a session could not be let go of; it ends with its lease", "error", err)
	}
}

// A writer is the ResponseWriter of a handler. It notes who has the connection.
type writer struct {
	http.ResponseWriter
	conn *conn
}

var (
	_ http.Hijacker = (*writer)(nil)
	_ http.Flusher  = (*writer)(nil)
)

// Unwrap serves http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Flush sends what is buffered, where the connection can.
func (w *writer) Flush() { _ = w.FlushError() }

// FlushError is Flush for http.ResponseController, and returns the error.
func (w *writer) FlushError() error {
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Hijack hands the connection over to the handler, where it can be.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c := w.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	nc, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	c.hijacked = nc
	if c.isCut {
		_ = nc.Close()
	}
	return nc, rw, nil
}
