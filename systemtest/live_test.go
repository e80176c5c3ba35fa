package systemtest

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
	"github.com/sessionkv/store/internal/await"
	"github.com/sessionkv/store/internal/testserver"
	"github.com/sessionkv/store/live"
)

const (
	liveUser   = store.Key[string]("live.user")
	liveVisits = store.Key[int]("live.visits")
)

// A liveNode is one server of WebSockets.
type liveNode struct {
	*httptest.Server
	conns    *live.Server
	sessions *store.Sessions
}

// The handlers tell the client its session's ID, and answer each message with the
// number of messages that this session has had.
var liveHandlers = map[string]http.HandlerFunc{"gorilla": serveGorilla, "coder": serveCoder}

func serveGorilla(w http.ResponseWriter, r *http.Request) {
	sess, _ := store.FromContext(r.Context())
	var up gorilla.Upgrader
	ws, err := up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer ws.Close()
	say := func(text string) error { return ws.WriteMessage(gorilla.TextMessage, []byte(text)) }
	err = say(sess.ID())
	for err == nil {
		var text []byte
		if _, text, err = ws.ReadMessage(); err == nil {
			err = liveAnswer(r.Context(), sess, string(text), say)
		}
	}
}

func serveCoder(w http.ResponseWriter, r *http.Request) {
	sess, _ := store.FromContext(r.Context())
	ws, err := coder.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer ws.CloseNow()
	say := func(text string) error { return ws.Write(r.Context(), coder.MessageText, []byte(text)) }
	err = say(sess.ID())
	for err == nil {
		var text []byte
		if _, text, err = ws.Read(r.Context()); err == nil {
			err = liveAnswer(r.Context(), sess, string(text), say)
		}
	}
}

func liveAnswer(ctx context.Context, sess *store.Session, text string, say func(string) error) error {
	if text == "bye" {
		live.Goodbye(ctx)
		return errors.New("the client has left")
	}
	n, err := liveVisits.Update(ctx, sess, func(n int, _ bool) (int, error) { return n + 1, nil })
	if err != nil {
		return err
	}
	return say(strconv.Itoa(n))
}

func newLiveNode(t *testing.T, b store.Backend, handler http.HandlerFunc, lease time.Duration) *liveNode {
	t.Helper()
	ss := sessions(t, b, &store.Options{Lease: lease, Grace: long})
	conns := live.New(ss, live.Options{
		ID: live.Header("X-Session"),
		Begin: func(r *http.Request) ([]store.Change, error) {
			user := r.Header.Get("X-User")
			if user == "" {
				return nil, live.Refuse(http.StatusUnauthorized, "sign in")
			}
			return []store.Change{liveUser.To(user)}, nil
		},
		Allow: func(r *http.Request, sess *store.Session) error {
			user, err := liveUser.Get(r.Context(), sess)
			if err == nil && user != r.Header.Get("X-User") {
				err = errors.New("another user's session")
			}
			return err
		},
		Linger: 100 * time.Millisecond,
	})
	n := &liveNode{httptest.NewServer(conns.Handler(handler)), conns, ss}
	t.Cleanup(n.Server.Close)
	return n
}

// A liveClient is one connection of a client.
type liveClient struct {
	ws *gorilla.Conn
	id string
}

// dial connects, and returns the status of the answer when it is refused.
func (n *liveNode) dial(t *testing.T, user, id string) (*liveClient, int) {
	t.Helper()
	h := http.Header{}
	if user != "" {
		h.Set("X-User", user)
	}
	if id != "" {
		h.Set("X-Session", id)
	}
	u, err := url.Parse(n.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.Scheme = "ws"
	dialer := &gorilla.Dialer{HandshakeTimeout: patience}
	ws, resp, err := dialer.Dial(u.String(), h)
	if err != nil {
		if resp != nil {
			return nil, resp.StatusCode
		}
		return nil, 0
	}
	t.Cleanup(func() { ws.Close() })
	c := &liveClient{ws: ws}
	if c.id, err = c.read(); err != nil {
		return nil, 0
	}
	return c, http.StatusSwitchingProtocols
}

func (c *liveClient) read() (string, error) {
	c.ws.SetReadDeadline(time.Now().Add(patience))
	_, text, err := c.ws.ReadMessage()
	return string(text), err
}

// visit sends a message and returns the answer.
func (c *liveClient) visit(t *testing.T) string {
	t.Helper()
	if err := c.ws.WriteMessage(gorilla.TextMessage, []byte("hi")); err != nil {
		t.Fatalf("write: %v", err)
	}
	text, err := c.read()
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return text
}

// closed reports whether the server has closed the connection.
func (c *liveClient) closed() bool {
	_, err := c.read()
	var timeout net.Error
	return err != nil && !(errors.As(err, &timeout) && timeout.Timeout())
}

// onLiveBackends calls f with two backends on the same storage, of each kind.
func onLiveBackends(t *testing.T, f func(t *testing.T, one, two store.Backend)) {
	t.Run("memory", func(t *testing.T) {
		b := memstore.New(nil)
		t.Cleanup(func() { b.Close() })
		f(t, b, b)
	})
	t.Run("redis", func(t *testing.T) {
		u := redisURL(testserver.SharedRedis(t))
		f(t, open(t, u), open(t, u))
	})
	t.Run("hazelcast", func(t *testing.T) {
		u := hazelcastURL(hazelcast(t, 1))
		f(t, open(t, u), open(t, u))
	})
}

// TestLive drives WebSocket servers of two libraries through each way in which a
// connection begins and ends, on two nodes. Renewals come so seldom that ends elsewhere
// come to notice by hints alone.
func TestLive(t *testing.T) {
	onLiveBackends(t, func(t *testing.T, one, two store.Backend) {
		for name, handler := range liveHandlers {
			t.Run(name, func(t *testing.T) {
				a, b := newLiveNode(t, one, handler, long), newLiveNode(t, two, handler, long)
				idle := func(n *liveNode) func() bool { return func() bool { return n.conns.Len() == 0 } }

				t.Run("no user", func(t *testing.T) {
					if _, status := a.dial(t, "", ""); status != http.StatusUnauthorized {
						t.Errorf("dial without a user: status %d, want 401", status)
					}
				})
				t.Run("drop and resume elsewhere", func(t *testing.T) {
					c, _ := a.dial(t, "ann", "")
					if got := c.visit(t); got != "1" {
						t.Fatalf("first visit = %s, want 1", got)
					}
					c.ws.NetConn().(*net.TCPConn).SetLinger(0) // a reset, as when a network goes
					c.ws.NetConn().Close()
					await.Until(t, "the handler returns", idle(a))
					d, _ := b.dial(t, "ann", c.id)
					if d.id != c.id {
						t.Fatal("the other node began a new session")
					}
					if got := d.visit(t); got != "2" {
						t.Errorf("visit after the drop = %s, want 2", got)
					}
				})
				t.Run("takeover of a connection that still exists", func(t *testing.T) {
					c, _ := a.dial(t, "ann", "")
					c.visit(t)
					d, _ := b.dial(t, "ann", c.id)
					if got := d.visit(t); d.id != c.id || got != "2" {
						t.Fatalf("visit on the other node = %s, the same session: %t; want 2, true", got, d.id == c.id)
					}
					if !c.closed() {
						t.Error("the first connection is still open")
					}
					await.Until(t, "the first handler returns", idle(a))
					if got := d.visit(t); got != "3" {
						t.Errorf("visit after the first handler returned = %s, want 3", got)
					}
				})
				t.Run("stranger", func(t *testing.T) {
					c, _ := a.dial(t, "ann", "")
					if _, status := b.dial(t, "bob", c.id); status != http.StatusForbidden {
						t.Errorf("dial with another user's session: status %d, want 403", status)
					}
					if got := c.visit(t); got != "1" {
						t.Errorf("the owner's visit = %s, want 1", got)
					}
				})
				t.Run("kick from the other node", func(t *testing.T) {
					c, _ := a.dial(t, "ann", "")
					s, err := b.sessions.Attach(t.Context(), c.id)
					if err != nil {
						t.Fatalf("Attach: %v", err)
					}
					if err := s.Destroy(t.Context()); err != nil {
						t.Fatalf("Destroy: %v", err)
					}
					if !c.closed() {
						t.Error("the connection is still open")
					}
				})
				t.Run("goodbye", func(t *testing.T) {
					c, _ := a.dial(t, "ann", "")
					if err := c.ws.WriteMessage(gorilla.TextMessage, []byte("bye")); err != nil {
						t.Fatal(err)
					}
					await.Until(t, "the session is gone", func() bool {
						_, err := b.sessions.Attach(t.Context(), c.id)
						return errors.Is(err, store.ErrNoSession)
					})
				})
			})
		}
	})
}

// TestLiveRollingRestart has a thousand clients on two nodes. The nodes are replaced
// one after the other, twice. Each client reconnects to whatever node serves.
func TestLiveRollingRestart(t *testing.T) {
	onLiveBackends(t, func(t *testing.T, one, two store.Backend) {
		rollingRestart(t, [2]store.Backend{one, two}, 1000)
	})
}

func rollingRestart(t *testing.T, backends [2]store.Backend, clients int) {
	const restarts = 4
	var (
		mu    sync.Mutex
		nodes [2]*liveNode // guarded by mu
	)
	for i := range nodes {
		nodes[i] = newLiveNode(t, backends[i], serveGorilla, long)
	}
	node := func(i int) *liveNode {
		mu.Lock()
		defer mu.Unlock()
		return nodes[i%len(nodes)]
	}

	ids := make([]string, clients)
	var ready, all sync.WaitGroup
	ready.Add(clients)
	stop := make(chan struct{})
	for i := range clients {
		all.Go(func() {
			var begun sync.Once
			visits := 0
			for try := i; ; try++ {
				select {
				case <-stop:
					return
				default:
				}
				c, status := node(try).dial(t, "ann", ids[i])
				if status != http.StatusSwitchingProtocols {
					time.Sleep(10 * time.Millisecond) // as a client does
					continue
				}
				if ids[i] == "" {
					ids[i] = c.id
				}
				if c.id != ids[i] {
					t.Errorf("client %d came back to another session", i)
				}
				err := c.ws.WriteMessage(gorilla.TextMessage, []byte("hi"))
				text := ""
				if err == nil {
					text, err = c.read()
				}
				if err != nil { // the node stopped meanwhile; the visit may or may not count
					continue
				}
				n, _ := strconv.Atoi(text)
				if n <= visits {
					t.Errorf("client %d: visit %d, after one that was answered with %d", i, n, visits)
				}
				visits = n
				begun.Do(ready.Done)
				// Until the node stops; after half a second the connection drops.
				c.ws.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
				_, _, _ = c.ws.ReadMessage()
				c.ws.Close()
			}
		})
	}
	ready.Wait()
	for i := range restarts {
		old := node(i)
		next := newLiveNode(t, backends[i%len(backends)], serveGorilla, long)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if err := old.conns.Stop(ctx); err != nil {
			t.Errorf("Stop: %v", err)
		}
		cancel()
		mu.Lock()
		nodes[i%len(nodes)] = next
		mu.Unlock()
	}
	close(stop)
	all.Wait()
	for i := range 2 {
		await.Until(t, "the handlers return", func() bool { return node(i).conns.Len() == 0 })
	}
	lost := 0
	for _, id := range ids {
		if _, err := node(0).sessions.Resume(t.Context(), id); err != nil {
			lost++
			if lost < 4 {
				t.Logf("Resume: %v", strings.ReplaceAll(err.Error(), id, "…"))
			}
		}
	}
	t.Logf("%d clients, %d restarts, %d sessions lost", clients, restarts, lost)
	if lost > 0 {
		t.Errorf("%d of %d sessions lost in %d restarts, want none", lost, clients, restarts)
	}
}
