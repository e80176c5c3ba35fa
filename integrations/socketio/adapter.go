package socketio

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/zishang520/socket.io/servers/engine/v3"
	"github.com/zishang520/socket.io/servers/socket/v3"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/shutdown"
)

// leaveTimeout bounds the call that lets go of the session of a socket that has
// gone.
const leaveTimeout = 5 * time.Second

// DefaultOpenTimeout bounds what a connecting client waits for its session.
const DefaultOpenTimeout = 10 * time.Second

// DefaultLinger is how long handlers may go on when their socket has gone.
const DefaultLinger = time.Second

// ErrStopped is the cause of a context that [Adapter.Stop] ended.
var ErrStopped = errors.New("socketio: the server is stopping")

// Options configures [New]. The zero value is ready to use: every socket gets
// a new session, and all clients are welcome.
type Options struct {
	// Grace is how long a session waits for its client to come back.
	// Zero means what [store.Options].Grace says.
	Grace time.Duration

	// Begin decides who the client is and returns the first values of a new
	// session. It is called for every connection, before a session is opened.
	// Its error refuses the connection: the client gets a connect_error with
	// the text of a [Refusal], and with "refused" for any other error.
	// Nil means no values.
	Begin func(ctx context.Context, s *socket.Socket) ([]store.Change, error)

	// Check decides whether the client may go on with sess. It is called before
	// the session is taken over and does not disturb its owner. Its error
	// refuses the connection, as that of Begin. Nil means that the ID,
	// which is a credential, is enough.
	Check func(ctx context.Context, s *socket.Socket, sess *store.Session) error

	// Keep decides what of the handshake of a new session is kept under [Query],
	// [Headers] and [Auth]. It gets what [HandshakeOf] returns, and removes what is
	// not to be kept: a token in auth, for instance. Nil means that nothing is kept.
	Keep func(h *Handshake)

	// OpenTimeout bounds Begin, Check and the opening of the session together.
	// Zero means [DefaultOpenTimeout].
	OpenTimeout time.Duration

	// Linger is how long handlers may go on after their socket was disconnected
	// or their session ended, before their context ends. Zero means
	// [DefaultLinger].
	Linger time.Duration

	// Logger receives a line for each session that could not be opened or let
	// go of, and for each handler that panicked. Nil means silence.
	Logger *slog.Logger
}

// A Refusal is an error of Begin or Check whose text the client may read.
type Refusal string

// Error returns the text.
func (r Refusal) Error() string { return string(r) }

// An Adapter opens sessions for sockets and lets go of them afterwards. Every
// method is safe for concurrent use.
type Adapter struct {
	sessions *store.Sessions
	opts     Options

	mu       sync.Mutex
	conns    map[*socket.Socket]*conn // guarded by mu
	links    map[engine.Socket]*link  // guarded by mu
	stopping bool                     // guarded by mu
	idle     chan struct{}            // closed when stopping and the last session was let go of
}

// New returns an Adapter whose sessions are those of sessions.
func New(sessions *store.Sessions, opts Options) *Adapter {
	if opts.OpenTimeout <= 0 {
		opts.OpenTimeout = DefaultOpenTimeout
	}
	if opts.Linger <= 0 {
		opts.Linger = DefaultLinger
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return &Adapter{
		sessions: sessions,
		opts:     opts,
		conns:    make(map[*socket.Socket]*conn),
		links:    make(map[engine.Socket]*link),
		idle:     make(chan struct{}),
	}
}

// Bind gives each socket of nsp a session. Call it after nsp's other middleware was added, so that
// a client that they refuse costs no session. Call it before the listeners of "connection" are
// added, so that these find the session.
func (a *Adapter) Bind(nsp socket.Namespace) error {
	nsp.Use(func(s *socket.Socket, next func(*socket.ExtendedError)) {
		// Not here: the socket's packets wait for this function to return.
		go func() {
			_, err := a.open(s)
			if _, kept := a.conn(s); err == nil && !kept {
				err = a.lost()
			}
			if err != nil {
				next(socket.NewExtendedError(refusal(err), nil))
				return
			}
			next(nil)
		}()
	})
	return nsp.On("connection", func(args ...any) {
		s, ok := args[0].(*socket.Socket)
		if !ok {
			return
		}
		c, ok := a.conn(s)
		if !ok && !s.Recovered() {
			s.Disconnect(false) // it was lost, and its session let go of, before it was connected
			return
		}
		if !ok {
			// Connection state recovery skips the middleware.
			var err error
			if c, err = a.open(s); err != nil {
				s.Disconnect(false)
				return
			}
		}
		c.connected()
	})
}

// Session returns the session of s, from its "connection" event until it was let
// go of.
func (a *Adapter) Session(s *socket.Socket) (*store.Session, bool) {
	c, ok := a.conn(s)
	if !ok {
		return nil, false
	}
	return c.sess, true
}

// Context returns the context of s, which carries the session. It ends when the session ends, at
// Stop, or Options.Linger after the socket was disconnected; context.Cause says why. Without a
// session it has ended already.
func (a *Adapter) Context(s *socket.Socket) context.Context {
	if c, ok := a.conn(s); ok {
		return c.ctx
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errNoSession)
	return ctx
}

// Goodbye says that the client of s has left on purpose: its session is destroyed
// when the socket is disconnected, and not suspended. A client that calls
// disconnect() does not need it.
func (a *Adapter) Goodbye(s *socket.Socket) {
	if c, ok := a.conn(s); ok {
		c.sayGoodbye()
	}
}

// lost returns why a socket that had a session has none any more.
func (a *Adapter) lost() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopping {
		return ErrStopped
	}
	return errNoSession
}

var errNoSession = errors.New("socketio: the socket has no session")

func (a *Adapter) conn(s *socket.Socket) (*conn, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, ok := a.conns[s]
	return c, ok
}

// open opens the session of s.
func (a *Adapter) open(s *socket.Socket) (*conn, error) {
	c := &conn{adapter: a, socket: s}
	a.mu.Lock()
	if a.stopping {
		a.mu.Unlock()
		return nil, ErrStopped
	}
	a.conns[s] = c
	a.mu.Unlock()

	ctx, cancel := context.WithTimeout(context.Background(), a.opts.OpenTimeout)
	defer cancel()
	sess, resumed, err := a.openSession(ctx, s)
	if err != nil {
		a.forget(c)
		return nil, err
	}
	if resumed {
		// Rooms are a convenience: a client without them is better off than none.
		if c.rooms, err = Rooms.GetOr(ctx, sess, nil); err != nil {
			a.opts.Logger.Error("socketio: the rooms of a session could not be read", "error", err)
		}
	}
	c.begin(sess)
	return c, nil
}

// openSession calls Begin and Check, and a panic in them is an error.
func (a *Adapter) openSession(ctx context.Context, s *socket.Socket) (sess *store.Session, resumed bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			a.opts.Logger.Error("socketio: Begin or Check panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = errPanic
		}
	}()
	var initial []store.Change
	if a.opts.Begin != nil {
		if initial, err = a.opts.Begin(ctx, s); err != nil {
			return nil, false, err
		}
	}
	initial = append(slices.Clip(initial), namespaceKey.To(s.Nsp().Name()))
	if a.opts.Keep != nil {
		h := HandshakeOf(s)
		a.opts.Keep(&h)
		initial = append(initial, Query.To(h.Query), Headers.To(h.Headers), Auth.To(h.Auth))
	}
	var refused error
	allow := func(ctx context.Context, sess *store.Session) error {
		// Another namespace's session is not this socket's, although clients often send the same auth to all.
		nsp, err := namespaceKey.GetOr(ctx, sess, "")
		switch {
		case err != nil:
			return err
		case nsp != s.Nsp().Name():
			return errOtherNamespace
		case a.opts.Check != nil:
			refused = a.opts.Check(ctx, s, sess)
		}
		return refused
	}
	sess, resumed, err = a.sessions.Open(ctx, claimed(s), allow, initial...)
	if errors.Is(err, errOtherNamespace) {
		sess, resumed, err = a.sessions.Open(ctx, "", nil, initial...)
	}
	if err != nil && refused != nil {
		return nil, false, refused
	}
	if err != nil {
		a.opts.Logger.Error("socketio: no session could be opened", "error", err)
	}
	return sess, resumed, err
}

var (
	errPanic          = errors.New("socketio: a function of the options panicked")
	errOtherNamespace = errors.New("socketio: the session of another namespace")
)

// namespaceKey keeps the namespace of a session.
const namespaceKey = store.Key[string]("socketio.namespace")

// claimed returns the ID that the client sends in its auth, or "".
func claimed(s *socket.Socket) string {
	id, _ := s.Handshake().Auth["session"].(string)
	return id
}

// refusal returns what the client may read of err.
func refusal(err error) string {
	if r, ok := errors.AsType[Refusal](err); ok {
		return r.Error()
	}
	if _, ok := errors.AsType[*store.Error](err); ok || errors.Is(err, ErrStopped) || errors.Is(err, errNoSession) {
		return "unavailable, try again"
	}
	return "refused"
}

// forget takes c off the list.
func (a *Adapter) forget(c *conn) {
	a.unwatch(c)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.conns[c.socket] != c {
		return
	}
	delete(a.conns, c.socket)
	if a.stopping && len(a.conns) == 0 {
		close(a.idle)
	}
}

// letGoOfAll lets go of the sessions of all sockets without waiting for their
// handlers, and returns how many sockets there were. [store.Sessions.Close] does not
// have Options.Grace: without a grace of its own it would destroy them.
func (a *Adapter) letGoOfAll() int {
	a.mu.Lock()
	left := slices.Collect(maps.Values(a.conns))
	a.mu.Unlock()
	var wg sync.WaitGroup
	for _, c := range left {
		c.mu.Lock()
		begun, goodbye := c.begun, c.goodbye
		c.mu.Unlock()
		if begun {
			wg.Go(func() { c.letGo(goodbye) })
		}
	}
	wg.Wait()
	return len(left)
}

// Stop refuses further connections. It closes those that exist in the way of a network fault, so that
// their clients reconnect elsewhere. It waits for running handlers, lets go of the sessions, and closes
// the Sessions. When ctx ends first, the error says how many sockets were left, and their sessions are
// let go of while their handlers run. Close the HTTP server afterwards: a client that polls notices by
// its connection that it has to go elsewhere. Stop may be called again, and concurrently: every call
// waits.
func (a *Adapter) Stop(ctx context.Context) error {
	a.mu.Lock()
	if !a.stopping {
		a.stopping = true
		if len(a.conns) == 0 {
			close(a.idle)
		}
	}
	left := make([]*conn, 0, len(a.conns))
	for _, c := range a.conns {
		left = append(left, c)
	}
	a.mu.Unlock()
	for _, c := range left {
		c.stop()
	}

	var stuck error
	grace := time.Duration(0) // of sessions that nobody has let go of
	select {
	case <-a.idle:
	case <-ctx.Done():
		grace = a.opts.Grace
		if n := a.letGoOfAll(); n > 0 {
			stuck = fmt.Errorf("socketio: stop: %d of %d sockets were left: %w", n, len(left), context.Cause(ctx))
		}
	}
	if err := shutdown.CloseKeeping(ctx, a.sessions, grace); err != nil {
		if stuck != nil {
			return fmt.Errorf("%w; %w", stuck, err)
		}
		return err
	}
	return stuck
}
