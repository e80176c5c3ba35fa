package socketio_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/zishang520/socket.io/servers/socket/v3"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends"
	"github.com/sessionkv/store/backends/memstore"
	"github.com/sessionkv/store/integrations/socketio"
	"github.com/sessionkv/store/internal/await"
	"github.com/sessionkv/store/internal/sioclient"
	"github.com/sessionkv/store/internal/testserver"
)

const (
	user   = store.Key[string]("user")
	visits = store.Key[int]("visits")
)

// A node is one Socket.IO server.
type node struct {
	*httptest.Server
	io       *socket.Server
	adapter  *socketio.Adapter
	sessions *store.Sessions
	log      *journal
	slow     chan struct{}       // the handler of "slow" waits for it
	entered  chan struct{}       // and says so here
	sockets  chan *socket.Socket // the handler of "who" sends its socket here
}

// A journal is what a node logged. It is safe for concurrent use.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func newBackend(t *testing.T) store.Backend {
	t.Helper()
	b := memstore.New(nil)
	t.Cleanup(func() { b.Close() })
	return b
}

func newNode(t *testing.T, b store.Backend, change func(*socketio.Options, *socket.ServerOptions)) *node {
	t.Helper()
	return newNodeWith(t, b, 6*time.Second, change)
}

// newNodeWith is newNode with another lease.
func newNodeWith(t *testing.T, b store.Backend, lease time.Duration, change func(*socketio.Options, *socket.ServerOptions)) *node {
	t.Helper()
	ss, err := store.New(b, &store.Options{Lease: lease, Grace: time.Minute})
	if err != nil {
		t.Fatalf("store.New: %v", err)
	}
	return newNodeOver(t, ss, change)
}

func newNodeOver(t *testing.T, ss *store.Sessions, change func(*socketio.Options, *socket.ServerOptions)) *node {
	t.Helper()
	n := &node{sessions: ss, log: new(journal), slow: make(chan struct{}), entered: make(chan struct{}, 10), sockets: make(chan *socket.Socket, 10)}
	opts := socketio.Options{
		Grace: time.Minute,
		Begin: func(_ context.Context, s *socket.Socket) ([]store.Change, error) {
			name, _ := s.Handshake().Auth["user"].(string)
			switch name {
			case "":
				return nil, socketio.Refusal("sign in first")
			case "broken":
				panic("a mistake in Begin")
			}
			return []store.Change{user.To(name)}, nil
		},
		Check: func(ctx context.Context, s *socket.Socket, sess *store.Session) error {
			name, err := user.Get(ctx, sess)
			if err == nil && name != s.Handshake().Auth["user"] {
				err = errors.New("another user's session")
			}
			return err
		},
		Logger: slog.New(slog.NewTextHandler(n.log, nil)),
	}
	server := socket.DefaultServerOptions()
	// The library can lose the first packet of a fast client: see the package comment.
	server.SetConnectTimeout(2 * time.Second)
	server.SetPingInterval(3 * time.Second)
	server.SetPingTimeout(5 * time.Second)
	if change != nil {
		change(&opts, server)
	}
	n.adapter = socketio.New(ss, opts)
	n.io = socket.NewServer(nil, server)
	for _, name := range []string{"/", "/other"} {
		n.serve(t, n.io.Of(name, nil))
	}
	n.Server = httptest.NewServer(n.io.ServeHandler(nil))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		n.adapter.Stop(ctx)
		n.io.Close(nil)
		n.Server.CloseClientConnections()
		n.Server.Close()
	})
	return n
}

// serve adds the listeners of an application to nsp.
func (n *node) serve(t *testing.T, nsp socket.Namespace) {
	a := n.adapter
	if err := a.Bind(nsp); err != nil {
		t.Fatalf("Bind: %v", err)
	}
	err := nsp.On("connection", func(args ...any) {
		s := args[0].(*socket.Socket)
		on := func(event string, h socketio.Handler) {
			err := a.On(s, event, h)
			if errors.Is(err, socketio.ErrStopped) || !s.Connected() {
				return // lost before it was connected
			}
			if err != nil {
				t.Errorf("On(%s): %v", event, err)
			}
		}
		on("visit", func(ctx context.Context, _ []any) (any, error) {
			sess, _ := store.FromContext(ctx)
			return visits.Update(ctx, sess, func(n int, _ bool) (int, error) { return n + 1, nil })
		})
		on("slow", func(ctx context.Context, _ []any) (any, error) {
			n.entered <- struct{}{}
			<-n.slow
			sess, _ := store.FromContext(ctx)
			return visits.Update(ctx, sess, func(n int, _ bool) (int, error) { return n + 1, nil })
		})
		on("wait", func(ctx context.Context, _ []any) (any, error) {
			n.entered <- struct{}{}
			<-ctx.Done()
			return nil, context.Cause(ctx)
		})
		on("panic", func(context.Context, []any) (any, error) { panic("a mistake in a handler") })
		on("refuse", func(context.Context, []any) (any, error) { return nil, socketio.Refusal("not now") })
		on("fail", func(context.Context, []any) (any, error) { return nil, errors.New("internal detail") })
		on("end", func(ctx context.Context, _ []any) (any, error) {
			sess, _ := store.FromContext(ctx)
			return "ended", sess.Destroy(ctx)
		})
		on("join", func(ctx context.Context, args []any) (any, error) {
			return "joined", a.Join(ctx, s, args[0].(string))
		})
		on("unjoin", func(ctx context.Context, args []any) (any, error) {
			return "left", a.Leave(ctx, s, args[0].(string))
		})
		on("rooms", func(ctx context.Context, _ []any) (any, error) {
			sess, _ := store.FromContext(ctx)
			kept, err := socketio.Rooms.GetOr(ctx, sess, nil)
			joined := []string{}
			for _, room := range s.Rooms().Keys() {
				if room != socket.Room(s.Id()) {
					joined = append(joined, string(room))
				}
			}
			slices.Sort(joined)
			return map[string]any{"kept": kept, "joined": joined}, err
		})
		on("goodbye", func(context.Context, []any) (any, error) { a.Goodbye(s); return "goodbye", nil })
		on("who", func(ctx context.Context, _ []any) (any, error) {
			sess, ok := a.Session(s)
			if !ok {
				return nil, errors.New("Session() reports none")
			}
			if inHandler, _ := store.FromContext(ctx); inHandler != sess {
				return nil, errors.New("the handler's context has another session")
			}
			if ofSocket, _ := store.FromContext(a.Context(s)); ofSocket != sess {
				return nil, errors.New("Context() has another session")
			}
			n.sockets <- s
			return user.Get(ctx, sess)
		})
		on("shout", func(_ context.Context, args []any) (any, error) {
			return nil, nsp.To(socket.Room(args[0].(string))).Emit("shout", args[0])
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func as(name string) map[string]any { return map[string]any{"user": name} }

func again(name, session string) map[string]any {
	return map[string]any{"user": name, "session": session}
}

// onTransports runs f for both transports of the client.
func onTransports(t *testing.T, f func(t *testing.T, d *sioclient.Driver, transport string)) {
	d := sioclient.Shared(t)
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) { f(t, d, transport) })
	}
}

func TestLostConnectionGoesOnElsewhere(t *testing.T) {
	onTransports(t, func(t *testing.T, d *sioclient.Driver, transport string) {
		b := newBackend(t)
		one, two := newNode(t, b, nil), newNode(t, b, nil)
		c := d.Connect(t, one.URL, transport, as("ann"))
		id := c.Session()
		if got := c.Ask("visit"); got != 1.0 {
			t.Errorf("first visit = %v, want 1", got)
		}
		c.Ask("join", "red")
		c.Do("drop", nil)
		await.Until(t, "the first node lets go", func() bool { return one.sessions.Owned() == 0 })

		e := d.Connect(t, two.URL, transport, again("ann", id))
		if got := e.Session(); got != id {
			t.Error("the client came back to another session")
		}
		if got := e.Ask("visit"); got != 2.0 {
			t.Errorf("visit on the other node = %v, want 2", got)
		}
		e.Ask("shout", "red")
		if got := e.Next("shout"); got[0] != "red" {
			t.Errorf("shout = %v, want red: the room was not joined again", got)
		}
	})
}

func TestReconnectGoesOn(t *testing.T) {
	onTransports(t, func(t *testing.T, d *sioclient.Driver, transport string) {
		n := newNode(t, newBackend(t), nil)
		c := d.Connect(t, n.URL, transport, as("ann"))
		id := c.Session()
		c.Ask("visit")
		for want := 2.0; want < 5; want++ {
			c.Do("cut", nil)
			if got := c.Session(); got != id {
				t.Fatal("the reconnect began another session")
			}
			if got := c.Ask("visit"); got != want {
				t.Errorf("visit = %v, want %v", got, want)
			}
		}
	})
}

func TestLeavingDestroys(t *testing.T) {
	onTransports(t, func(t *testing.T, d *sioclient.Driver, transport string) {
		n := newNode(t, newBackend(t), nil)
		c := d.Connect(t, n.URL, transport, as("ann"))
		id := c.Session()
		c.Do("leave", nil)
		gone(t, n, id)
	})
}

// A client that said goodbye is not waited for, even when its connection breaks.
func TestGoodbyeDestroys(t *testing.T) {
	onTransports(t, func(t *testing.T, d *sioclient.Driver, transport string) {
		n := newNode(t, newBackend(t), nil)
		c := d.Connect(t, n.URL, transport, as("ann"))
		id := c.Session()
		if got := c.Ask("goodbye"); got != "goodbye" {
			t.Fatalf("goodbye = %v, want goodbye", got)
		}
		if got := c.Ask("visit"); got != 1.0 {
			t.Errorf("visit after goodbye = %v, want 1: the session lasts as long as the socket", got)
		}
		c.Do("drop", nil)
		gone(t, n, id)
	})
}

// A room that was left is not joined again by the socket that comes back.
func TestLeaveIsKept(t *testing.T) {
	onTransports(t, func(t *testing.T, d *sioclient.Driver, transport string) {
		b := newBackend(t)
		one, two := newNode(t, b, nil), newNode(t, b, nil)
		c := d.Connect(t, one.URL, transport, as("ann"))
		id := c.Session()
		c.Ask("join", "red")
		c.Ask("join", "blue")
		c.Ask("unjoin", "red")
		want := map[string]any{"kept": []any{"blue"}, "joined": []any{"blue"}}
		if diff := cmp.Diff(want, c.Ask("rooms")); diff != "" {
			t.Errorf("rooms after one was left (-want +got):\n%s", diff)
		}
		c.Do("drop", nil)
		await.Until(t, "the first node lets go", func() bool { return one.sessions.Owned() == 0 })
		e := d.Connect(t, two.URL, transport, again("ann", id))
		if got := e.Session(); got != id {
			t.Error("the client came back to another session")
		}
		if diff := cmp.Diff(want, e.Ask("rooms")); diff != "" {
			t.Errorf("rooms on the other node (-want +got):\n%s", diff)
		}
	})
}

func TestSessionOfSocket(t *testing.T) {
	d := sioclient.Shared(t)
	n := newNode(t, newBackend(t), nil)
	c := d.Connect(t, n.URL, "websocket", as("ann"))
	c.Session() // its listeners are there
	if got := c.Ask("who"); got != "ann" {
		t.Fatalf("who = %v, want ann", got)
	}
	s := <-n.sockets
	ctx := n.adapter.Context(s)
	if err := ctx.Err(); err != nil {
		t.Errorf("Context(s).Err() while it is connected = %v, want nil", err)
	}
	c.Do("leave", nil)
	<-ctx.Done()
	await.Until(t, "the socket has no session", func() bool { _, ok := n.adapter.Session(s); return !ok })
	if err := n.adapter.Context(s).Err(); err == nil {
		t.Error("Context(s).Err() after the end = nil, want an error")
	}
	if err := n.adapter.Join(t.Context(), s, "red"); err == nil {
		t.Error("Join() after the end = nil, want an error")
	}
	if err := n.adapter.On(s, "late", nil); err == nil {
		t.Error("On() after the end = nil, want an error")
	}
	n.adapter.Goodbye(s) // is harmless
}

// gone waits until the session is destroyed. A suspended one would be found.
func gone(t *testing.T, n *node, id string) {
	t.Helper()
	await.Until(t, "the session is destroyed", func() bool {
		_, err := n.sessions.Attach(t.Context(), id)
		return errors.Is(err, store.ErrNoSession)
	})
}

// A client that leaves while its handler runs is heard: its session is destroyed,
// and after the handler.
func TestLeavingWhileAHandlerRuns(t *testing.T) {
	onTransports(t, func(t *testing.T, d *sioclient.Driver, transport string) {
		n := newNode(t, newBackend(t), nil)
		c := d.Connect(t, n.URL, transport, as("ann"))
		id := c.Session()
		c.Do("emit", map[string]any{"event": "slow"})
		<-n.entered
		c.Do("leave", nil)
		await.Until(t, "the socket is disconnected", func() bool { return n.io.Sockets().Sockets().Len() == 0 })
		if _, err := n.sessions.Attach(t.Context(), id); err != nil {
			t.Errorf("Attach while the handler runs: %v, want no error", err)
		}
		close(n.slow)
		gone(t, n, id)
	})
}

// A client that sends something and leaves at once is heard, although the library
// often takes that for a lost connection.
func TestSendAndLeave(t *testing.T) {
	d := sioclient.Shared(t)
	n := newNode(t, newBackend(t), nil)
	c := d.Connect(t, n.URL, "websocket", as("ann"))
	id := c.Session()
	c.Do("emit", map[string]any{"event": "slow"})
	<-n.entered
	c.Do("sendAndLeave", map[string]any{"event": "visit"})
	close(n.slow)
	gone(t, n, id)
}

func TestRefusals(t *testing.T) {
	onTransports(t, func(t *testing.T, d *sioclient.Driver, transport string) {
		n := newNode(t, newBackend(t), nil)
		owner := d.Connect(t, n.URL, transport, as("ann"))
		id := owner.Session()
		for _, tt := range []struct {
			name string
			auth map[string]any
			want string
		}{
			{"no user", nil, "sign in first"},
			{"another user with the ID", again("bob", id), "refused"},
			{"Begin panics", as("broken"), "refused"},
		} {
			c := d.Connect(t, n.URL, transport, tt.auth)
			if got := c.Next("connect_error")[0]; got != tt.want {
				t.Errorf("%s: connect_error %q, want %q", tt.name, got, tt.want)
			}
		}
		if got := owner.Ask("visit"); got != 1.0 {
			t.Errorf("the owner's visit = %v, want 1", got)
		}
		if got := n.sessions.Owned(); got != 1 {
			t.Errorf("Owned() = %d after refusals, want 1", got)
		}
	})
}

// A middleware after Bind refuses: the session goes when the connection does.
func TestLaterMiddlewareRefuses(t *testing.T) {
	d := sioclient.Shared(t)
	n := newNode(t, newBackend(t), nil)
	n.io.Of("/", nil).Use(func(_ *socket.Socket, next func(*socket.ExtendedError)) {
		next(socket.NewExtendedError("full", nil))
	})
	c := d.Connect(t, n.URL, "websocket", as("ann"))
	if got := c.Next("connect_error")[0]; got != "full" {
		t.Fatalf("connect_error %q, want full", got)
	}
	c.Do("leave", nil)
	await.Until(t, "nothing is owned", func() bool { return n.sessions.Owned() == 0 })
}

func TestAcknowledgements(t *testing.T) {
	d := sioclient.Shared(t)
	n := newNode(t, newBackend(t), nil)
	c := d.Connect(t, n.URL, "websocket", as("ann"))
	c.Session()
	for event, want := range map[string]any{
		"visit":  1.0,
		"panic":  map[string]any{"error": "internal error"},
		"refuse": map[string]any{"error": "not now"},
		"fail":   map[string]any{"error": "internal error"},
	} {
		if diff := cmp.Diff(want, c.Ask(event)); diff != "" {
			t.Errorf("answer to %q (-want +got):\n%s", event, diff)
		}
	}
	if !strings.Contains(n.log.String(), "a mistake in a handler") {
		t.Errorf("log = %q, want the panic", n.log)
	}
}

// The acknowledgement of a handler that destroys its session arrives, and then the
// client is told to stay away.
func TestDestroyInAHandler(t *testing.T) {
	onTransports(t, func(t *testing.T, d *sioclient.Driver, transport string) {
		n := newNode(t, newBackend(t), nil)
		c := d.Connect(t, n.URL, transport, as("ann"))
		c.Session()
		if got := c.Ask("end"); got != "ended" {
			t.Errorf("answer = %v, want ended", got)
		}
		if got := c.Next("disconnect")[0]; got != "io server disconnect" {
			t.Errorf("disconnect %q, want io server disconnect", got)
		}
	})
}

// Renewals come so seldom that hints alone close the socket.
func TestKickFromAnotherNode(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		b := newBackend(t)
		kickFromAnotherNode(t, b, b)
	})
	for _, server := range []struct{ name, url string }{
		{"redis", testserver.SharedRedis(t).URL + "?namespace=kick-" + store.NewID()},
		{"hazelcast", hazelcastURL(testserver.SharedHazelcast(t))},
	} {
		t.Run(server.name, func(t *testing.T) {
			open := func() store.Backend {
				b, err := backends.Open(t.Context(), server.url)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { b.Close() })
				return b
			}
			kickFromAnotherNode(t, open(), open())
		})
	}
}

// hazelcastURL returns the URL of a namespace of its own, whose map has a default time to live.
func hazelcastURL(c *testserver.HazelcastCluster) string {
	return "hazelcast://" + strings.Join(c.Addrs, ",") + "/" + c.ClusterName + "?namespace=ttl-" + store.NewID()
}

func kickFromAnotherNode(t *testing.T, mine, other store.Backend) {
	onTransports(t, func(t *testing.T, d *sioclient.Driver, transport string) {
		const lease = 10 * time.Minute
		one, two := newNodeWith(t, mine, lease, nil), newNodeWith(t, other, lease, nil)
		c := d.Connect(t, one.URL, transport, as("ann"))
		id := c.Session()
		c.Ask("visit") // all handlers are there
		sess, err := two.sessions.Attach(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if err := sess.Destroy(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := c.Next("disconnect")[0]; got != "io server disconnect" {
			t.Errorf("disconnect %q, want io server disconnect", got)
		}
		await.Until(t, "nothing is owned", func() bool { return one.sessions.Owned() == 0 })
	})
}

func TestStopSendsClientsElsewhere(t *testing.T) {
	onTransports(t, func(t *testing.T, d *sioclient.Driver, transport string) {
		b := newBackend(t)
		one, two := newNode(t, b, nil), newNode(t, b, nil)
		c := d.Connect(t, one.URL, transport, as("ann"))
		id := c.Session()
		c.Ask("visit")
		c.Do("emit", map[string]any{"event": "wait"})
		<-one.entered
		if err := one.adapter.Stop(t.Context()); err != nil {
			t.Errorf("Stop: %v", err)
		}
		one.Server.CloseClientConnections() // as http.Server.Close does
		if got := c.Next("disconnect")[0]; got != "transport close" && got != "transport error" && got != "ping timeout" {
			t.Errorf("disconnect %q, want one after which the client reconnects", got)
		}
		e := d.Connect(t, two.URL, transport, again("ann", id))
		if got := e.Session(); got != id {
			t.Fatal("the other node began another session")
		}
		if got := e.Ask("visit"); got != 2.0 {
			t.Errorf("visit on the other node = %v, want 2", got)
		}
		late := d.Connect(t, one.URL, transport, as("bob"))
		if got := late.Next("connect_error")[0]; got != "unavailable, try again" {
			t.Errorf("connect_error of a stopped node %q, want unavailable, try again", got)
		}
	})
}

// A session that a socket is taking over when Stop gives up is kept for the adapter's
// Grace, also where the Sessions have none.
func TestStopKeepsWhatIsBeingOpened(t *testing.T) {
	d := sioclient.Shared(t)
	for question := range 2 { // Check is asked before the session is taken over, and after
		t.Run(fmt.Sprint("question ", question+1), func(t *testing.T) {
			b := newBackend(t)
			before := newNode(t, b, nil)
			c := d.Connect(t, before.URL, "websocket", as("ann"))
			id := c.Session()
			ss, err := store.New(b, &store.Options{Lease: 6 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			asked, answer := make(chan struct{}, 1), make(chan struct{})
			var questions atomic.Int64
			n := newNodeOver(t, ss, func(o *socketio.Options, _ *socket.ServerOptions) {
				check := o.Check
				o.Check = func(ctx context.Context, s *socket.Socket, sess *store.Session) error {
					if questions.Add(1) == int64(question+1) {
						asked <- struct{}{}
						<-answer
					}
					return check(ctx, s, sess)
				}
			})
			d.Connect(t, n.URL, "websocket", again("ann", id))
			<-asked
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			stopped := make(chan error, 1)
			go func() { stopped <- n.adapter.Stop(ended) }()
			if question == 0 {
				close(answer)
			}
			if err := <-stopped; err == nil {
				t.Error("Stop with an ended context = nil, want an error that counts the sockets")
			}
			if question == 1 {
				close(answer)
			}
			if _, err := before.sessions.Attach(t.Context(), id); err != nil {
				t.Errorf("Attach after Stop = %v, want the session", err)
			}
		})
	}
}

func TestTwoNamespaces(t *testing.T) {
	d := sioclient.Shared(t)
	n := newNode(t, newBackend(t), nil)
	a := d.Connect(t, n.URL, "websocket", as("ann"))
	id := a.Session()
	// The client's manager sends the same auth to all namespaces.
	b := d.Connect(t, n.URL+"/other", "websocket", again("ann", id))
	other := b.Session()
	if other == id {
		t.Error("two namespaces share a session: each connection of one would fence off the other")
	}
	if got := a.Ask("visit"); got != 1.0 {
		t.Errorf("visit = %v, want 1", got)
	}
	if got := b.Ask("visit"); got != 1.0 {
		t.Errorf("visit in the other namespace = %v, want 1", got)
	}
	b.Do("cut", nil)
	if got := b.Session(); got != other {
		t.Error("the other namespace's reconnect began another session")
	}
	if got := a.Ask("visit"); got != 2.0 {
		t.Errorf("visit = %v, want 2", got)
	}
}

// Connection state recovery, which skips the middleware, keeps the session, too.
func TestConnectionStateRecovery(t *testing.T) {
	d := sioclient.Shared(t)
	n := newNode(t, newBackend(t), func(_ *socketio.Options, o *socket.ServerOptions) {
		recovery := socket.DefaultConnectionStateRecovery()
		recovery.SetSkipMiddlewares(true)
		recovery.SetMaxDisconnectionDuration(time.Minute.Milliseconds())
		o.SetConnectionStateRecovery(recovery)
		o.SetAdapter(&socket.SessionAwareAdapterBuilder{})
	})
	c := d.Connect(t, n.URL, "websocket", as("ann"))
	id := c.Session()
	c.Next("connect")
	c.Ask("visit")
	_ = n.io.Sockets().Emit("hello") // recovery needs a packet to count from
	c.Next("hello")
	recovered := false
	for want := 2.0; !recovered; want++ { // a client that is faster than the server's notice of the cut is not recovered
		if want > 20 {
			t.Fatal("the client never recovered its state")
		}
		c.Do("cut", nil)
		recovered = c.Next("connect")[1] == true
		if got := c.Session(); got != id {
			t.Errorf("the socket (recovered: %t) has another session", recovered)
		}
		if got := c.Ask("visit"); got != want {
			t.Errorf("visit (recovered: %t) = %v, want %v", recovered, got, want)
		}
	}
}

// A socket that is recovered after its session has ended has a new one, and the last
// "session" event names it.
func TestRecoveryAfterTheGrace(t *testing.T) {
	d := sioclient.Shared(t)
	n := newNode(t, newBackend(t), func(opts *socketio.Options, o *socket.ServerOptions) {
		opts.Grace = time.Millisecond
		recovery := socket.DefaultConnectionStateRecovery()
		recovery.SetSkipMiddlewares(true)
		recovery.SetMaxDisconnectionDuration(time.Minute.Milliseconds())
		o.SetConnectionStateRecovery(recovery)
		o.SetAdapter(&socket.SessionAwareAdapterBuilder{})
	})
	c := d.Connect(t, n.URL, "websocket", as("ann"))
	id := c.Session()
	c.Next("connect")
	c.Ask("visit")
	for try := 0; ; try++ { // a client may come back before its session was let go of, and goes on with it
		if try > 50 {
			t.Fatal("the client was never recovered after its session had ended")
		}
		c.Do("cut", nil)
		recovered := c.Next("connect")[1] == true
		next := c.Session()
		visit := c.Ask("visit")
		if next != id && visit != 1.0 {
			t.Errorf("visit in a new session (recovered: %t) = %v, want 1", recovered, visit)
		}
		if recovered && next != id {
			break
		}
		id = next
	}
}

func TestHandshakeIsKeptWithoutCredentials(t *testing.T) {
	d := sioclient.Shared(t)
	n := newNode(t, newBackend(t), func(o *socketio.Options, _ *socket.ServerOptions) {
		o.Keep = func(h *socketio.Handshake) { delete(h.Auth, "token") }
	})
	auth := map[string]any{"user": "ann", "token": "secret", "device": "phone", "session": store.NewID()}
	c := d.Connect(t, n.URL+"?room=red", "websocket", auth)
	sess, err := n.sessions.Attach(t.Context(), c.Session())
	if err != nil {
		t.Fatal(err)
	}
	got, err := socketio.Auth.Get(t.Context(), sess)
	if diff := cmp.Diff(map[string]any{"user": "ann", "device": "phone"}, got); err != nil || diff != "" {
		t.Errorf("kept auth: %v (-want +got):\n%s", err, diff)
	}
	query, err := socketio.Query.Get(t.Context(), sess)
	if err != nil || len(query["room"]) != 1 || query["room"][0] != "red" {
		t.Errorf("kept query = %v, %v, want room=red", query, err)
	}
	headers, err := socketio.Headers.Get(t.Context(), sess)
	if err != nil || len(headers["Host"]) == 0 && len(headers["Upgrade"]) == 0 && len(headers["Connection"]) == 0 {
		t.Errorf("kept headers = %v, %v, want some", headers, err)
	}
}

var connections = flag.Int("connections", 200, "how many connections TestManyConnections makes")

// No connection of many, however it ends, leaves a session that is owned, or one
// that was left on purpose.
func TestManyConnections(t *testing.T) {
	d := sioclient.Shared(t)
	n := newNode(t, newBackend(t), nil)
	const atOnce = 20
	var ids []string
	for len(ids) < *connections {
		clients := make([]*sioclient.Client, atOnce)
		for i := range clients {
			clients[i] = d.Connect(t, n.URL, transports[i%len(transports)], as("ann"))
		}
		for i, c := range clients {
			ids = append(ids, c.Session())
			c.Do([]string{"leave", "drop"}[i%4/2], nil)
		}
	}
	await.Until(t, "nothing is owned", func() bool { return n.sessions.Owned() == 0 })
	for i, id := range ids {
		sess, err := n.sessions.Attach(t.Context(), id)
		if left := i%4/2 == 0; left && !errors.Is(err, store.ErrNoSession) || !left && err != nil {
			t.Fatalf("Attach to the session of client %d (left on purpose: %t): %v; log:\n%s", i, left, err, n.log)
		}
		if err == nil {
			if err := sess.Destroy(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}
