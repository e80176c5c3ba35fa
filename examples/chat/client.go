package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/sessionkv/store"
)

const (
	queueLength  = 64 // events that may wait for a slow client
	writeTimeout = 10 * time.Second
	pingEvery    = 20 * time.Second
	pingTimeout  = 10 * time.Second
)

// Codes with which the server closes a connection, apart from those of RFC 6455.
const (
	closeEnded    websocket.StatusCode = 4001 // the session has ended
	closeTakeover websocket.StatusCode = 4002 // the session goes on over another connection
	closeKicked   websocket.StatusCode = 4003 // an administrator destroyed the session
	closeToken    websocket.StatusCode = 4004 // the token has expired
	closeSlow     websocket.StatusCode = 4005 // the client reads too slowly
)

// A farewell is why the server closes a connection.
type farewell struct {
	code   websocket.StatusCode
	reason string
}

var (
	farewellEnded    = farewell{closeEnded, "the session has ended: it was destroyed or it expired"}
	farewellTakeover = farewell{closeTakeover, "the session goes on over another connection"}
	farewellKicked   = farewell{closeKicked, "an administrator ended this session"}
	farewellToken    = farewell{closeToken, "the token has expired: sign in again"}
	farewellSlow     = farewell{closeSlow, "too slow: the queue of events is full"}
	farewellBye      = farewell{websocket.StatusNormalClosure, "signed out"}
	farewellStop     = farewell{websocket.StatusGoingAway, "the server is stopping"}
)

// A client is one connection and its session.
type client struct {
	conn     *websocket.Conn
	sess     *store.Session
	hash     string
	nickname string   // as last read; belongs to the goroutine of serve
	rooms    []string // guarded by hub.mu
	watching atomic.Bool
	out      chan []byte
	slow     chan struct{} // closed when out has overflowed
	slowOnce sync.Once
	why      atomic.Pointer[farewell] // why the server closes the connection
}

func newClient(conn *websocket.Conn, sess *store.Session) *client {
	return &client{
		conn: conn,
		sess: sess,
		hash: shortHash(sess.ID()),
		out:  make(chan []byte, queueLength),
		slow: make(chan struct{}),
	}
}

// send queues an encoded event. It never waits: a client that does not keep up
// is dropped, and others do not notice.
func (c *client) send(data []byte) {
	select {
	case c.out <- data:
	default:
		c.slowOnce.Do(func() { close(c.slow) })
	}
}

// write sends what is queued until ctx ends or the connection breaks.
func (c *client) write(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case data := <-c.out:
			writeCtx, cancel := context.WithTimeout(ctx, writeTimeout)
			err := c.conn.Write(writeCtx, websocket.MessageText, data)
			cancel()
			if err != nil {
				c.conn.CloseNow()
				return
			}
		}
	}
}

// supervise closes the connection when there is a reason to, and when the
// client does not answer pings any more. It ends with ctx, that is when the
// connection is over.
func (s *server) supervise(ctx context.Context, c *client, expires time.Time) {
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	expired := time.NewTimer(time.Until(expires))
	defer expired.Stop()
	var f farewell
wait:
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.sess.Done():
			f = s.farewellOf(ctx, c)
			break wait
		case <-expired.C:
			f = farewellToken
			break wait
		case <-c.slow:
			f = farewellSlow
			break wait
		case <-s.stop:
			f = farewellStop
			break wait
		case <-ping.C:
			pingCtx, cancel := context.WithTimeout(ctx, pingTimeout)
			err := c.conn.Ping(pingCtx)
			cancel()
			if err != nil {
				c.conn.CloseNow()
				return
			}
		}
	}
	c.why.Store(&f)
	s.log.Info("closing connection", "session", c.hash, "code", int(f.code), "reason", f.reason)
	c.conn.Close(f.code, f.reason)
}

// farewellOf says why the session of c is over.
func (s *server) farewellOf(ctx context.Context, c *client) farewell {
	if f := c.why.Load(); f != nil {
		return *f
	}
	if !errors.Is(c.sess.Err(), store.ErrDestroyed) {
		return farewellStop // Sessions.Close let go of it
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if _, err := s.sessions.Attach(ctx, c.sess.ID()); err == nil {
		return farewellTakeover
	}
	return farewellEnded
}

// destroy ends the session of c, and with it the connection, for the reason f.
func (c *client) destroy(ctx context.Context, f farewell) error {
	c.why.Store(&f)
	return c.sess.Destroy(ctx)
}
