package live

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/shutdown"
)

// DefaultLinger is how long a handler has to return after its context ended.
const DefaultLinger = time.Second

// leaveTimeout bounds the call that lets go of a session when its handler has
// returned. The client may be gone by then, and its context with it.
const leaveTimeout = 5 * time.Second

// ErrStopped is the cause of a context that [Server.Stop] ended, and the error
// of a request that came afterwards.
var ErrStopped = errors.New("live: the server is stopping")

// errNoServer refuses the requests to a Server that New did not make.
var errNoServer = errors.New("live: this Server is nil or was not made by New")

// Options configures [New]. The zero value is ready to use: every connection
// gets a new session, and all clients are welcome.
type Options struct {
	// Grace is how long a session waits for its client to come back, on
	// whatever node. Zero means what [store.Options].Grace says. Where that is zero,
	// a [Server.Stop] whose context has ended keeps all sessions for Grace that it finds.
	Grace time.Duration

	// ID returns the ID of the session with which the client asks to go on, or "". Nil means that
	// clients never go on. See [Query], [Header] and [Cookie].
	ID func(r *http.Request) string

	// Begin decides who the client is, and returns the first values of a new
	// session. It is called for every connection, before a session is opened:
	// its values are not used when the client goes on with an earlier session.
	// Its error refuses the connection; see [Refuse]. Nil means no values.
	Begin func(r *http.Request) ([]store.Change, error)

	// Allow decides whether the client may go on with sess, for example by
	// comparing the user ID in it with that of the request. It is called before
	// the session is taken over, so that a refused stranger does not disturb
	// it. Its error refuses the connection; see [Refuse]. Nil means that
	// the ID, which is a credential, is enough.
	Allow func(r *http.Request, sess *store.Session) error

	// Login returns the login that the client's request carries, for example httpsession.Of. When
	// that session ends, by a logout on whatever node, so does the connection, and its own session
	// is destroyed. A login that moves to a new ID ends the connection, too; its client can come
	// back. So does a login that ends because it is idle: what the connection says does not use its
	// login. Nil means that connections do not depend on a login.
	Login func(r *http.Request) (*store.Session, bool)

	// Linger is how long a handler has to return after its context ended, for
	// example to send a closing message. Then its connection is cut. Zero means
	// [DefaultLinger], a negative value means at once.
	Linger time.Duration

	// Refused answers a connection that gets no session. Nil means
	// an answer in plain text with the status and, for a [Refusal], its message.
	Refused func(w http.ResponseWriter, r *http.Request, status int, err error)

	// Logger receives a line when a session could not be opened because of its
	// backend, or could not be let go of. Nil means silence.
	Logger *slog.Logger
}

// A Server opens sessions for connections and lets go of them afterwards.
// Every method is safe for concurrent use. A nil *Server, or one that New did not
// make, refuses every connection.
type Server struct {
	sessions *store.Sessions
	opts     Options

	mu       sync.Mutex
	conns    map[*conn]struct{} // guarded by mu
	stopping bool               // guarded by mu
	idle     chan struct{}      // closed when stopping and the last handler has returned
}

// New returns a Server whose sessions are those of sessions.
func New(sessions *store.Sessions, opts Options) *Server {
	switch {
	case opts.Linger == 0:
		opts.Linger = DefaultLinger
	case opts.Linger < 0:
		opts.Linger = 0
	}
	if opts.Refused == nil {
		opts.Refused = refused
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return &Server{
		sessions: sessions,
		opts:     opts,
		conns:    make(map[*conn]struct{}),
		idle:     make(chan struct{}),
	}
}

// Handler returns a handler that calls next with a session in the request's
// context; see the package comment for its steps. Next has to return when its
// connection is done: it must not leave the connection to another goroutine.
func (s *Server) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &conn{server: s}
		parent, cancel := context.WithCancelCause(r.Context())
		defer cancel(nil)
		c.cancel = cancel
		if !s.valid() {
			refused(w, r, http.StatusServiceUnavailable, errNoServer)
			return
		}
		if !s.enter(c) {
			w.Header().Set("Retry-After", "1")
			s.opts.Refused(w, r, http.StatusServiceUnavailable, ErrStopped)
			return
		}
		defer s.leave(c)

		r = r.WithContext(parent)
		sess, status, err := s.open(r)
		if err != nil {
			s.opts.Refused(w, r, status, err)
			return
		}
		c.serve(w, r, sess, next)
	})
}

// open opens the session of r. When it fails, status is that of the answer.
func (s *Server) open(r *http.Request) (sess *store.Session, status int, err error) {
	var initial []store.Change
	if s.opts.Begin != nil {
		if initial, err = s.opts.Begin(r); err != nil {
			return nil, statusOf(err), err
		}
	}
	id := ""
	if s.opts.ID != nil {
		id = s.opts.ID(r)
	}
	var refusal error
	allow := func(_ context.Context, sess *store.Session) error {
		if s.opts.Allow != nil {
			refusal = s.opts.Allow(r, sess)
		}
		return refusal
	}
	sess, _, err = s.sessions.Open(r.Context(), id, allow, initial...)
	switch {
	case err == nil:
		return sess, 0, nil
	case refusal != nil:
		return nil, statusOf(refusal), refusal
	case r.Context().Err() != nil:
		return nil, http.StatusServiceUnavailable, context.Cause(r.Context())
	}
	s.opts.Logger.ErrorContext(r.Context(), "live: no session could be opened", "error", err)
	return nil, http.StatusServiceUnavailable, err
}

func (s *Server) valid() bool { return s != nil && s.idle != nil }

// enter lists c, and reports false when the server is stopping.
func (s *Server) enter(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

// leave takes c off the list.
func (s *Server) leave(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if s.stopping && len(s.conns) == 0 {
		close(s.idle)
	}
}

// Len returns the number of connections whose handlers have not returned.
func (s *Server) Len() int {
	if !s.valid() {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Stop refuses further connections with status 503 and ends the contexts of all handlers. It waits
// for them to return and let go of their sessions, and closes the Sessions.
//
// When ctx ends first, the connections that are left are cut at once, and the error says how many
// handlers had not returned. [store.Sessions.Close] then lets go of their sessions, for
// Options.Grace if the Sessions have no grace of their own. A session that a request opens later
// than that is let go of in the same way. Stop may be called again, and concurrently: every call
// waits.
func (s *Server) Stop(ctx context.Context) error {
	if !s.valid() {
		return nil
	}
	s.mu.Lock()
	if !s.stopping {
		s.stopping = true
		if len(s.conns) == 0 {
			close(s.idle)
		}
	}
	left := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		left = append(left, c)
	}
	s.mu.Unlock()
	for _, c := range left {
		c.cancel(ErrStopped)
	}

	var stuck error
	var grace time.Duration
	select {
	case <-s.idle:
	case <-ctx.Done():
		for _, c := range left {
			c.cut()
		}
		grace = s.opts.Grace
		if n := s.Len(); n > 0 {
			stuck = fmt.Errorf("live: stop: %d of %d handlers had not returned in time: %w", n, len(left), context.Cause(ctx))
		}
	}
	if err := shutdown.CloseKeeping(ctx, s.sessions, grace); err != nil {
		if stuck != nil {
			return fmt.Errorf("%w; %w", stuck, err)
		}
		return err
	}
	return stuck
}
