package systemtest

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	gorilla "github.com/gorilla/websocket"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/httpsession"
	"github.com/sessionkv/store/internal/await"
	"github.com/sessionkv/store/live"
)

// A loginNode is a server with logins, and WebSockets that end with them.
type loginNode struct {
	*httptest.Server
	conns *live.Server
}

func newLoginNode(t *testing.T, b store.Backend) *loginNode { return newIdleNode(t, b, long) }

// newIdleNode returns one whose logins end when they were idle for so long.
func newIdleNode(t *testing.T, b store.Backend, idle time.Duration) *loginNode {
	t.Helper()
	ss := sessions(t, b, &store.Options{Lease: long, Grace: long})
	logins, err := httpsession.New(ss, &httpsession.Options{Insecure: true, IDs: httpsession.Hashed, Idle: idle})
	if err != nil {
		t.Fatal(err)
	}
	conns := live.New(ss, live.Options{
		Login: httpsession.Of,
		Begin: func(r *http.Request) ([]store.Change, error) {
			if _, ok := httpsession.Of(r); !ok {
				return nil, live.Refuse(http.StatusUnauthorized, "sign in")
			}
			return nil, nil
		},
		Linger: 100 * time.Millisecond,
	})
	mux := http.NewServeMux()
	mux.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) {
		if _, err := logins.Login(w, r, liveUser.To("ann")); err != nil {
			http.Error(w, "try again", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/logout", func(w http.ResponseWriter, r *http.Request) {
		if err := logins.Logout(w, r); err != nil {
			http.Error(w, "try again", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/alive", func(http.ResponseWriter, *http.Request) {})
	mux.Handle("/ws", conns.Handler(http.HandlerFunc(serveGorilla)))
	n := &loginNode{httptest.NewServer(logins.Handler(mux)), conns}
	t.Cleanup(n.Server.Close)
	return n
}

// get asks with the cookie, and returns the one that the answer sets.
func (n *loginNode) get(t *testing.T, path, cookie string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Cookie", cookie)
	resp, err := n.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("GET %s = %d, want 200", path, resp.StatusCode)
	}
	for _, c := range resp.Cookies() {
		return c.Name + "=" + c.Value
	}
	return ""
}

// dial opens a WebSocket with the cookie.
func (n *loginNode) dial(t *testing.T, cookie string) (*liveClient, int) {
	t.Helper()
	ws, resp, err := gorilla.DefaultDialer.DialContext(t.Context(), "ws"+n.URL[len("http"):]+"/ws", http.Header{"Cookie": {cookie}})
	if err != nil && resp != nil {
		return nil, resp.StatusCode
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ws.Close() })
	c := &liveClient{ws: ws}
	if c.id, err = c.read(); err != nil {
		t.Fatal(err)
	}
	return c, http.StatusSwitchingProtocols
}

// TestLogoutClosesSockets has WebSockets of one login on two nodes. After the logout
// both are closed, and their sessions end for good; those of another login go on.
func TestLogoutClosesSockets(t *testing.T) {
	onLiveBackends(t, func(t *testing.T, one, two store.Backend) {
		a, b := newLoginNode(t, one), newLoginNode(t, two)
		ann, bob := a.get(t, "/login", ""), a.get(t, "/login", "")
		here, _ := a.dial(t, ann)
		there, _ := b.dial(t, ann)
		other, _ := b.dial(t, bob)
		here.visit(t)
		there.visit(t)

		a.get(t, "/logout", ann)
		if !here.closed() {
			t.Error("the socket on the node of the logout is still open")
		}
		if !there.closed() {
			t.Error("the socket on the other node is still open")
		}
		await.Until(t, "the handlers return", func() bool { return a.conns.Len() == 0 && b.conns.Len() == 1 })
		if _, status := b.dial(t, ann); status != http.StatusUnauthorized {
			t.Errorf("dial after the logout: status %d, want 401", status)
		}
		if got := other.visit(t); got != "1" {
			t.Errorf("the visit of another login = %s, want 1", got)
		}
	})
}

// TestSocketsEndWithIdleLogins has sockets of two logins open for longer than the idle
// time. The one whose client makes no request meanwhile is closed when its login ends,
// whatever it does itself, and the other one stays.
func TestSocketsEndWithIdleLogins(t *testing.T) {
	onLiveBackends(t, func(t *testing.T, one, two store.Backend) {
		const idle = 10 * time.Second // the shortest
		a, b := newIdleNode(t, one, idle), newIdleNode(t, two, idle)
		ann, bob := a.get(t, "/login", ""), a.get(t, "/login", "")
		begin := time.Now()
		silent, _ := b.dial(t, ann)
		other, _ := b.dial(t, bob)
		closed := make(chan bool, 1)
		go func() { closed <- silent.closed() }()
		beat := time.NewTicker(time.Second)
		defer beat.Stop()
		for ended := false; !ended; {
			select {
			case was := <-closed:
				if !was {
					t.Fatalf("the socket of an idle login is still open after %v", time.Since(begin))
				}
				ended = true
			case <-beat.C:
				a.get(t, "/alive", bob)
			}
		}
		if took := time.Since(begin); took < idle {
			t.Errorf("the socket of an idle login was closed after %v, want no less than %v", took, idle)
		}
		if got := other.visit(t); got != "1" {
			t.Errorf("the visit of a login that is in use = %s, want 1", got)
		}
		if _, status := b.dial(t, ann); status != http.StatusUnauthorized {
			t.Errorf("dial after the end of the login: status %d, want 401", status)
		}
	})
}

// TestLoginsSurviveRestarts has a login go on at a node that was started after the one
// that began it has closed.
func TestLoginsSurviveRestarts(t *testing.T) {
	onLiveBackends(t, func(t *testing.T, one, two store.Backend) {
		a := newLoginNode(t, one)
		cookie := a.get(t, "/login", "")
		if err := a.conns.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		a.Server.Close()
		if _, status := newLoginNode(t, two).dial(t, cookie); status != http.StatusSwitchingProtocols {
			t.Errorf("dial with the login on another node: status %d, want 101", status)
		}
	})
}
