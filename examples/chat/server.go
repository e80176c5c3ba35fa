package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/sessionkv/store"
)

// storeTimeout bounds what one request asks of the store.
const storeTimeout = 5 * time.Second

// A server is one node of the chat.
type server struct {
	sessions *store.Sessions
	hub      *hub
	tokens   tokens
	node     string        // how the page calls this process
	kind     string        // how the page calls the store
	grace    time.Duration // zero: a session ends with its connection
	log      *slog.Logger
	stop     chan struct{} // closed when the server stops

	mu       sync.Mutex
	stopping bool           // guarded by mu
	sockets  sync.WaitGroup // counts only up while not stopping
}

// begin reports whether a new connection may begin; end is called after it.
func (s *server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return false
	}
	s.sockets.Add(1)
	return true
}

// closeSockets closes all connections and waits until they are over or ctx ends:
// a client that does not answer must not hold up the others' sessions.
func (s *server) closeSockets(ctx context.Context) error {
	s.mu.Lock()
	if !s.stopping {
		s.stopping = true
		close(s.stop)
	}
	s.mu.Unlock()
	over := make(chan struct{})
	go func() {
		s.sockets.Wait()
		close(over)
	}()
	select {
	case <-over:
		return nil
	case <-ctx.Done():
		s.log.Warn("some connections did not close in time")
		return nil
	}
}

// serveSocket is the life of one connection.
func (s *server) serveSocket(w http.ResponseWriter, r *http.Request) {
	if !s.begin() {
		httpError(w, http.StatusServiceUnavailable, "the server is stopping: try again")
		return
	}
	defer s.sockets.Done()
	claims, err := s.tokens.verify(tokenOf(r))
	if err != nil {
		s.log.Info("refused token", "remote", r.RemoteAddr, "reason", err.Error())
		unauthorized(w, err)
		return
	}
	// Accept also refuses pages of other origins.
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{subprotocol}})
	if err != nil {
		s.log.Info("refused handshake", "remote", r.RemoteAddr, "reason", err.Error())
		return
	}
	defer conn.CloseNow()
	conn.SetReadLimit(maxMessage)

	openCtx, cancel := context.WithTimeout(r.Context(), storeTimeout)
	o, err := s.open(openCtx, r, claims)
	cancel()
	if err != nil {
		s.log.Error("no session for a new connection", "remote", r.RemoteAddr, "error", err)
		conn.Close(websocket.StatusTryAgainLater, "the store did not give us a session: try again")
		return
	}
	s.serve(r.Context(), newClient(conn, o.sess), o, claims)
}

// serve greets the client, answers its requests until the connection is over,
// and lets go of its session.
func (s *server) serve(ctx context.Context, c *client, o opened, claims TokenClaims) {
	ctx, cancel := context.WithCancel(ctx)
	var helpers sync.WaitGroup
	helpers.Go(func() { c.write(ctx) })
	helpers.Go(func() { s.supervise(ctx, c, claims.Expires) })

	if s.greet(ctx, c, o) {
		s.log.Info("connected", "session", c.hash, "user", claims.Subject, "resumed", o.resumed)
		s.answer(ctx, c)
	}
	cancel()
	helpers.Wait()
	rooms := s.hub.remove(c)

	select {
	case <-s.stop:
		return // Sessions.Close lets go of all of them at once
	default:
	}
	s.letGo(c.sess, claims.Subject, c.nickname)
	s.log.Info("disconnected", "session", c.hash)
	if f := c.why.Load(); f != nil && f.code == closeTakeover {
		return
	}
	s.announce(rooms, c.nickname+" has gone")
}

// announce tells everybody in rooms.
func (s *server) announce(rooms []string, text string) {
	for _, room := range rooms {
		s.hub.broadcast(room, news{Type: "news", Room: room, Text: text, At: time.Now()})
	}
}

// greet tells the client what its session holds. It reports whether it could.
func (s *server) greet(ctx context.Context, c *client, o opened) bool {
	v, err := s.view(ctx, c, &o.trace)
	if err != nil {
		s.fail(c, err)
		c.conn.Close(websocket.StatusTryAgainLater, "the store did not give us the session's values: try again")
		return false
	}
	s.hub.add(c, v.Rooms, encode(welcome{
		Type: "welcome", Node: s.node, Store: s.kind, Session: c.sess.ID(), Resumed: o.resumed,
		Notice: o.notice, Grace: s.grace.Seconds(), State: v, Ops: o.trace.ops,
	}))
	what := " has come"
	if o.resumed {
		what = " is back"
	}
	s.announce(v.Rooms, v.Nickname+what)
	return true
}

// answer reads and answers requests until the connection is over.
func (s *server) answer(ctx context.Context, c *client) {
	for {
		kind, data, err := c.conn.Read(ctx)
		if err != nil {
			return
		}
		if kind != websocket.MessageText {
			c.send(encode(failure{Type: "error", Text: "this is not a message: send JSON text, not binary"}))
			continue
		}
		req, err := parseRequest(data)
		if err != nil {
			c.send(encode(failure{Type: "error", Text: err.Error()}))
			continue
		}
		reqCtx, cancel := context.WithTimeout(store.NewContext(ctx, c.sess), storeTimeout)
		err = s.handle(reqCtx, c, req)
		cancel()
		if err != nil {
			s.fail(c, err)
		}
	}
}

// A clientError is an error that the client has caused and is told.
type clientError string

func (e clientError) Error() string { return string(e) }

// fail tells the client of an error, and the log too unless the client itself
// caused it. When the session has ended, supervise closes the connection.
func (s *server) fail(c *client, err error) {
	var told clientError
	switch {
	case errors.As(err, &told):
		c.send(encode(failure{Type: "error", Text: told.Error()}))
	case errors.Is(err, store.ErrDestroyed), errors.Is(err, store.ErrSuspended), errors.Is(err, context.Canceled):
	default:
		s.log.Error("request failed", "session", c.hash, "error", err)
		c.send(encode(failure{Type: "error", Text: "the store did not answer: try again"}))
	}
}

// handle answers one request. The session comes with ctx.
func (s *server) handle(ctx context.Context, c *client, req request) error {
	sess, _ := store.FromContext(ctx)
	var t trace
	switch req.Type {
	case "say":
		if err := s.say(ctx, c, sess, req, &t); err != nil {
			return err
		}
	case "nickname":
		if err := t.do("Nickname.Set", func() error { return Nickname.Set(ctx, sess, req.Name) }); err != nil {
			return err
		}
	case "join", "leave":
		if err := s.changeRooms(ctx, sess, req, &t); err != nil {
			return err
		}
	case "watch":
		c.watching.Store(true)
		s.hub.touch()
	case "bye":
		return c.destroy(ctx, farewellBye)
	}
	v, err := s.view(ctx, c, &t)
	if err != nil {
		return err
	}
	s.hub.move(c, v.Rooms)
	c.send(encode(state{Type: "state", State: v, Ops: t.ops}))
	return nil
}

// say tells everybody in the room, under the nickname that the store has now.
func (s *server) say(ctx context.Context, c *client, sess *store.Session, req request, t *trace) error {
	var nickname string
	var rooms []string
	err := t.do("store.Load(Nickname, Rooms)", func() error {
		return store.Load(ctx, sess, Nickname.Into(&nickname), Rooms.IntoOr(&rooms, nil))
	})
	if err != nil {
		return err
	}
	if !slices.Contains(rooms, req.Room) {
		return clientError(fmt.Sprintf("you are not in room %q: join it first", req.Room))
	}
	var n int64
	err = t.do("Messages.Update", func() (err error) {
		n, err = Messages.Update(ctx, sess, func(old int64, _ bool) (int64, error) { return old + 1, nil })
		return err
	})
	if err != nil {
		return err
	}
	s.hub.broadcast(req.Room, said{
		Type: "said", Room: req.Room, From: nickname, Hash: c.hash, Text: req.Text, N: n, At: time.Now(),
	})
	return nil
}

// changeRooms joins or leaves a room.
func (s *server) changeRooms(ctx context.Context, sess *store.Session, req request, t *trace) error {
	return t.do("Rooms.Update", func() error {
		_, err := Rooms.Update(ctx, sess, func(old []string, _ bool) ([]string, error) {
			i := slices.Index(old, req.Room)
			switch {
			case req.Type == "leave" && i < 0:
				return nil, clientError(fmt.Sprintf("you are not in room %q", req.Room))
			case req.Type == "leave":
				return slices.Delete(old, i, i+1), nil
			case i >= 0:
				return old, nil
			case len(old) >= maxRooms:
				return nil, clientError(fmt.Sprintf("you are in %d rooms, more are not allowed: leave one first", len(old)))
			}
			return append(old, req.Room), nil
		})
		return err
	})
}

// view reads the session of c for its page.
func (s *server) view(ctx context.Context, c *client, t *trace) (v view, err error) {
	err = t.do("store.Load(all 7 keys)", func() error {
		v, err = readView(ctx, c.sess)
		return err
	})
	if err == nil {
		c.nickname = v.Nickname
	}
	return v, err
}

// letGo ends a session whose connection is over, or keeps it for a while.
func (s *server) letGo(sess *store.Session, user, nickname string) {
	if sess.Err() != nil {
		return // it has ended, or goes on over another connection
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	var err error
	if s.grace > 0 {
		if err = sess.Suspend(ctx, s.grace); err == nil {
			s.hub.suspend(suspended{Hash: shortHash(sess.ID()), Nickname: nickname, Until: time.Now().Add(s.grace), user: user})
		}
	} else {
		err = sess.Destroy(ctx)
		s.hub.touch()
	}
	if err != nil && !errors.Is(err, store.ErrDestroyed) {
		s.log.Warn("could not let go of a session; it ends with its lease", "session", shortHash(sess.ID()), "error", err)
	}
}
