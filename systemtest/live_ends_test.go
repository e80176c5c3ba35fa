package systemtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/await"
	"github.com/sessionkv/store/live"
)

// A liveStream is the server's side of a connection.
type liveStream struct {
	say   func(text string) error
	wait  func() // until the client goes, or the context ends
	close func()
}

// liveKinds accept a connection: WebSockets of two libraries, and server-sent events.
var liveKinds = map[string]func(w http.ResponseWriter, r *http.Request) (*liveStream, error){
	"gorilla": func(w http.ResponseWriter, r *http.Request) (*liveStream, error) {
		var up gorilla.Upgrader
		ws, err := up.Upgrade(w, r, nil)
		if err != nil {
			return nil, err
		}
		return &liveStream{
			say: func(text string) error { return ws.WriteMessage(gorilla.TextMessage, []byte(text)) },
			wait: func() {
				for {
					if _, _, err := ws.ReadMessage(); err != nil {
						return
					}
				}
			},
			close: func() { ws.Close() },
		}, nil
	},
	"coder": func(w http.ResponseWriter, r *http.Request) (*liveStream, error) {
		ws, err := coder.Accept(w, r, nil)
		if err != nil {
			return nil, err
		}
		return &liveStream{
			say: func(text string) error { return ws.Write(r.Context(), coder.MessageText, []byte(text)) },
			wait: func() {
				for {
					if _, _, err := ws.Read(r.Context()); err != nil {
						return
					}
				}
			},
			close: func() { ws.CloseNow() },
		}, nil
	},
	"events": func(w http.ResponseWriter, r *http.Request) (*liveStream, error) {
		if r.Header.Get("Accept") != "text/event-stream" {
			http.Error(w, "not an EventSource", http.StatusNotAcceptable)
			return nil, errors.New("not an EventSource")
		}
		w.Header().Set("Content-Type", "text/event-stream")
		return &liveStream{
			say: func(text string) error {
				_, err := fmt.Fprintf(w, "data: %s\n\n", text)
				return errors.Join(err, http.NewResponseController(w).Flush())
			},
			wait:  func() { <-r.Context().Done() },
			close: func() {},
		}, nil
	},
}

// serveWay tells the client its session's ID, and ends the connection in the way
// that the client asks for.
func serveWay(accept func(http.ResponseWriter, *http.Request) (*liveStream, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		sess, _ := store.FromContext(ctx)
		w.Header().Set("X-Session", sess.ID()) // for a client whose upgrade fails
		stream, err := accept(w, r)
		if err != nil {
			return
		}
		defer stream.close()
		if err := stream.say(sess.ID()); err != nil {
			return
		}
		switch r.Header.Get("X-Way") {
		case "return":
		case "panic":
			panic(http.ErrAbortHandler)
		case "goodbye":
			live.Goodbye(ctx)
		case "destroy":
			_ = sess.Destroy(ctx)
		case "flood":
			for text := strings.Repeat("x", 1<<16); err == nil; {
				err = stream.say(text)
			}
		default:
			stream.wait()
		}
	}
}

// A wayClient is a client's side of a connection, of whatever kind.
type wayClient struct {
	id    string
	conn  net.Conn
	clean func() // ends it as the protocol says
	in    io.Reader
}

// cut breaks the connection off, as when a network goes.
func (c *wayClient) cut() {
	c.conn.(*net.TCPConn).SetLinger(0)
	c.conn.Close()
}

// dialWay connects with a way to end.
func (n *liveNode) dialWay(t *testing.T, kind, way, session string) *wayClient {
	t.Helper()
	c := new(wayClient)
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		c.conn = conn
		return conn, err
	}
	h := http.Header{"X-User": {"ann"}, "X-Way": {way}, "X-Session": {session}}
	if kind == "events" {
		h.Set("Accept", "text/event-stream")
		ctx, cancel := context.WithCancel(t.Context())
		t.Cleanup(cancel)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header = h
		transport := &http.Transport{DialContext: dial, DisableKeepAlives: true}
		resp, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatalf("GET (%s): %v", way, err)
		}
		in := bufio.NewReader(resp.Body)
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatalf("the stream (%s) ended with %q, %v", way, line, err)
		}
		c.id = strings.TrimSpace(strings.TrimPrefix(line, "data: "))
		c.clean, c.in = cancel, in
		return c
	}
	u, err := url.Parse(n.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.Scheme = "ws"
	ws, _, err := (&gorilla.Dialer{NetDialContext: dial, HandshakeTimeout: patience}).Dial(u.String(), h)
	if err != nil {
		t.Fatalf("dial (%s): %v", way, err)
	}
	t.Cleanup(func() { ws.Close() })
	_, id, err := ws.ReadMessage()
	if err != nil {
		t.Fatalf("read (%s): %v", way, err)
	}
	c.id, c.in = string(id), ws.NetConn()
	c.clean = func() {
		_ = ws.WriteMessage(gorilla.CloseMessage, gorilla.FormatCloseMessage(gorilla.CloseNormalClosure, "bye"))
		ws.Close()
	}
	return c
}

// plain sends a request that no WebSocket and no EventSource sends.
func (n *liveNode) plain(t *testing.T) *wayClient {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-User", "ann")
	resp, err := n.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode < 400 {
		t.Errorf("status of a request that is no upgrade = %d, want an error", resp.StatusCode)
	}
	return &wayClient{id: resp.Header.Get("X-Session")}
}

// The ends of one connection, as two nodes count them. Who destroys through another
// handle counts it, and so does the owner that lost its session.
type ends struct {
	SuspendedA, DestroyedA, LostA uint64
	SuspendedB, DestroyedB, LostB uint64
}

func endsOf(a, b *liveNode) ends {
	x, y := a.sessions.Stats(), b.sessions.Stats()
	return ends{x.Suspended, x.Destroyed, x.Lost, y.Suspended, y.Destroyed, y.Lost}
}

func (e ends) minus(o ends) ends {
	return ends{
		e.SuspendedA - o.SuspendedA, e.DestroyedA - o.DestroyedA, e.LostA - o.LostA,
		e.SuspendedB - o.SuspendedB, e.DestroyedB - o.DestroyedB, e.LostB - o.LostB,
	}
}

// liveWays are the ways in which a connection to node a ends, and what the two nodes
// have counted afterwards.
var liveWays = []struct {
	name string
	want ends
	do   func(t *testing.T, a, b *liveNode, kind string) *wayClient
}{
	{"the client closes", ends{SuspendedA: 1}, func(t *testing.T, a, _ *liveNode, kind string) *wayClient {
		c := a.dialWay(t, kind, "", "")
		c.clean()
		return c
	}},
	{"the connection is cut", ends{SuspendedA: 1}, func(t *testing.T, a, _ *liveNode, kind string) *wayClient {
		c := a.dialWay(t, kind, "", "")
		c.cut()
		return c
	}},
	{"the connection is cut while the handler writes", ends{SuspendedA: 1}, func(t *testing.T, a, _ *liveNode, kind string) *wayClient {
		c := a.dialWay(t, kind, "flood", "")
		c.cut()
		return c
	}},
	{"the handler returns", ends{SuspendedA: 1}, func(t *testing.T, a, _ *liveNode, kind string) *wayClient {
		return a.dialWay(t, kind, "return", "")
	}},
	{"the handler panics", ends{SuspendedA: 1}, func(t *testing.T, a, _ *liveNode, kind string) *wayClient {
		return a.dialWay(t, kind, "panic", "")
	}},
	{"the upgrade fails", ends{SuspendedA: 1}, func(t *testing.T, a, _ *liveNode, _ string) *wayClient { return a.plain(t) }},
	{"goodbye", ends{DestroyedA: 1}, func(t *testing.T, a, _ *liveNode, kind string) *wayClient {
		return a.dialWay(t, kind, "goodbye", "")
	}},
	{"the handler destroys the session", ends{DestroyedA: 1}, func(t *testing.T, a, _ *liveNode, kind string) *wayClient {
		return a.dialWay(t, kind, "destroy", "")
	}},
	{"destroyed in the same process", ends{DestroyedA: 1, LostA: 1}, func(t *testing.T, a, _ *liveNode, kind string) *wayClient {
		c := a.dialWay(t, kind, "", "")
		a.destroy(t, c.id)
		return c
	}},
	{"destroyed by the other node", ends{LostA: 1, DestroyedB: 1}, func(t *testing.T, a, b *liveNode, kind string) *wayClient {
		c := a.dialWay(t, kind, "", "")
		b.destroy(t, c.id)
		return c
	}},
	{"destroyed by the other node while the client does not read", ends{LostA: 1, DestroyedB: 1}, func(t *testing.T, a, b *liveNode, kind string) *wayClient {
		c := a.dialWay(t, kind, "flood", "")
		b.destroy(t, c.id)
		return c
	}},
	{"taken over by the other node", ends{LostA: 1, SuspendedB: 1}, func(t *testing.T, a, b *liveNode, kind string) *wayClient {
		c := a.dialWay(t, kind, "", "")
		d := b.dialWay(t, kind, "return", c.id)
		if d.id != c.id {
			t.Error("the other node began another session")
		}
		return c
	}},
	{"the node stops", ends{SuspendedA: 1}, func(t *testing.T, a, _ *liveNode, kind string) *wayClient { // the last: a serves no more
		c := a.dialWay(t, kind, "", "")
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := a.conns.Stop(ctx); err != nil {
			t.Errorf("Stop = %v, want nil", err)
		}
		return c
	}},
}

// destroy ends a session through another handle.
func (n *liveNode) destroy(t *testing.T, id string) {
	t.Helper()
	s, err := n.sessions.Attach(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestLiveEnds ends connections of each kind in every way on each backend. Each ends
// its session exactly once, in the way that is documented, and after the grace the
// backend holds none.
func TestLiveEnds(t *testing.T) {
	const grace = 2 * time.Second
	onLiveBackends(t, func(t *testing.T, one, two store.Backend) {
		for kind, accept := range liveKinds {
			t.Run(kind, func(t *testing.T) {
				a, b := newWayNode(t, one, accept, grace), newWayNode(t, two, accept, grace)
				admin := sessions(t, two, nil)
				var ids []string
				for _, way := range liveWays {
					t.Run(way.name, func(t *testing.T) {
						before := endsOf(a, b)
						c := way.do(t, a, b, kind)
						ids = append(ids, c.id)
						await.Until(t, "the handlers return", func() bool { return a.conns.Len() == 0 && b.conns.Len() == 0 })
						if got := endsOf(a, b).minus(before); got != way.want {
							t.Errorf("ends = %+v, want %+v", got, way.want)
						}
						if got := a.sessions.Owned() + b.sessions.Owned(); got != 0 {
							t.Errorf("%d sessions are owned afterwards, want none", got)
						}
					})
				}
				for i, id := range ids {
					await.Until(t, "the session is gone after: "+liveWays[i].name, func() bool {
						_, err := admin.Attach(t.Context(), id)
						return errors.Is(err, store.ErrNoSession)
					})
				}
				t.Logf("%d connections ended in %d ways, each once; sessions left after the grace: 0", len(ids), len(liveWays))
			})
		}
	})
}

func newWayNode(t *testing.T, b store.Backend, accept func(http.ResponseWriter, *http.Request) (*liveStream, error), grace time.Duration) *liveNode {
	t.Helper()
	ss := sessions(t, b, &store.Options{Lease: 3 * time.Second})
	conns := live.New(ss, live.Options{Grace: grace, ID: live.Header("X-Session"), Linger: 100 * time.Millisecond})
	n := &liveNode{httptest.NewServer(conns.Handler(serveWay(accept))), conns, ss}
	t.Cleanup(n.Server.Close)
	return n
}
