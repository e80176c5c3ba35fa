package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/sessionkv/store/internal/await"
)

const (
	testSecret = "a secret for tests, 32 bytes long"
	patience   = 20 * time.Second // for what comes at once unless something is broken
)

// A node is a running chat server.
type node struct {
	t    *testing.T
	url  string // http://host:port
	logs *logBuffer
}

// startNode runs a server within this process until the test ends or stop is
// called.
func startNode(t *testing.T, args ...string) (n *node, stop func() error) {
	t.Helper()
	n = &node{t: t, logs: newLogBuffer()}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() {
		over <- run(ctx, append([]string{"-addr", "127.0.0.1:0"}, args...), testEnv, n.logs)
		n.logs.close()
	}()
	stop = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-over:
			return err
		case <-time.After(patience):
			return errors.New("the server did not stop in time")
		}
	})
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("stopping the server: %v", err)
		}
		n.logs.checkSecrets(t)
	})
	n.url = n.logs.awaitURL(t)
	return n, stop
}

func testEnv(name string) string {
	if name == secretVariable {
		return testSecret
	}
	return ""
}

// token returns a valid token of user.
func token(t *testing.T, user string) string {
	t.Helper()
	return mint(t, TokenClaims{Subject: user, Tenant: "acme", Admin: true, Expires: time.Now().Add(time.Hour)})
}

func mint(t *testing.T, c TokenClaims) string {
	t.Helper()
	s, err := tokens{[]byte(testSecret)}.mint(c)
	if err != nil {
		t.Fatalf("mint(%+v) = %v", c, err)
	}
	return s
}

// call asks the API of n with the token of an administrator and returns the
// status and the body.
func (n *node) call(method, path, body string) (int, string) {
	n.t.Helper()
	return n.callAs(token(n.t, "root"), method, path, body)
}

func (n *node) callAs(token, method, path, body string) (int, string) {
	n.t.Helper()
	req, err := http.NewRequestWithContext(n.t.Context(), method, n.url+path, strings.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		n.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		n.t.Fatalf("%s %s: %v", method, path, err)
	}
	return res.StatusCode, strings.TrimSpace(string(data))
}

// sessions returns the table of n.
func (n *node) sessions() table {
	n.t.Helper()
	code, body := n.call("GET", "/api/sessions", "")
	if code != http.StatusOK {
		n.t.Fatalf("GET /api/sessions = %d %s, want 200", code, body)
	}
	return decodeAs[table](n.t, body)
}

// session reads the session id through n, wherever it lives.
func (n *node) session(id string) (v view, ok bool) {
	n.t.Helper()
	code, body := n.call("POST", "/api/session", fmt.Sprintf(`{"session":%q}`, id))
	switch code {
	case http.StatusOK:
		return decodeAs[view](n.t, body), true
	case http.StatusNotFound:
		return view{}, false
	}
	n.t.Fatalf("POST /api/session = %d %s, want 200 or 404", code, body)
	return view{}, false
}

func decodeAs[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%s is not a %T: %v", text, v, err)
	}
	return v
}

// A peer is a WebSocket client as a browser would be one.
type peer struct {
	t       *testing.T
	conn    *websocket.Conn
	welcome welcome
}

// dialer says how a peer connects; the zero value is user "ann" without a
// session.
type dialer struct {
	user    string
	token   string // instead of user
	session string
	query   string
	header  http.Header
}

func (d dialer) dial(t *testing.T, n *node) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	if d.user == "" {
		d.user = "ann"
	}
	if d.token == "" {
		d.token = token(t, d.user)
	}
	offers := []string{subprotocol, tokenPrefix + d.token}
	if d.session != "" {
		offers = append(offers, sessionPrefix+d.session)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return websocket.Dial(ctx, "ws"+strings.TrimPrefix(n.url, "http")+"/ws?"+d.query, &websocket.DialOptions{
		Subprotocols: offers,
		HTTPHeader:   d.header,
	})
}

// connect dials and reads the greeting.
func (n *node) connect(t *testing.T, d dialer) *peer {
	t.Helper()
	conn, _, err := d.dial(t, n)
	if err != nil {
		t.Fatalf("dial(%+v) = %v", d, err)
	}
	t.Cleanup(func() { conn.CloseNow() })
	conn.SetReadLimit(1 << 20)
	p := &peer{t: t, conn: conn}
	p.welcome = await1[welcome](p, "welcome", func(welcome) bool { return true })
	n.logs.secret(p.welcome.Session)
	return p
}

// send sends a request as it stands.
func (p *peer) send(text string) {
	p.t.Helper()
	if err := p.conn.Write(p.t.Context(), websocket.MessageText, []byte(text)); err != nil {
		p.t.Fatalf("send %.80s: %v", text, err)
	}
}

// await1 reads events until one of that type satisfies ok.
func await1[T any](p *peer, typ string, ok func(T) bool) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	for {
		_, data, err := p.conn.Read(ctx)
		if err != nil {
			p.t.Fatalf("waiting for %q: %v", typ, err)
		}
		var head struct{ Type string }
		if err := json.Unmarshal(data, &head); err != nil {
			p.t.Fatalf("event %s: %v", data, err)
		}
		if head.Type == typ {
			if event := decodeAs[T](p.t, string(data)); ok(event) {
				return event
			}
		}
	}
}

// ask sends a request and returns the state that comes back.
func (p *peer) ask(text string) view {
	p.t.Helper()
	p.send(text)
	return await1(p, "state", func(state) bool { return true }).State
}

// refused sends what the server must refuse and returns its answer.
func (p *peer) refused(text string) string {
	p.t.Helper()
	p.send(text)
	return await1(p, "error", func(failure) bool { return true }).Text
}

// closed reads until the server closes the connection and returns its code and
// reason.
func (p *peer) closed() websocket.CloseError {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	for {
		if _, _, err := p.conn.Read(ctx); err != nil {
			ce, ok := errors.AsType[websocket.CloseError](err)
			if !ok {
				p.t.Fatalf("waiting for the close: %v", err)
			}
			return ce
		}
	}
}

// A logBuffer keeps what a server logs.
type logBuffer struct {
	mu      sync.Mutex
	buf     bytes.Buffer // guarded by mu
	secrets []string     // guarded by mu
	over    bool         // guarded by mu
}

func newLogBuffer() *logBuffer { return &logBuffer{} }

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// close says that nothing more will come.
func (l *logBuffer) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
}

func (l *logBuffer) ended() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over
}

// secret adds a text that must never be logged.
func (l *logBuffer) secret(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.secrets = append(l.secrets, s)
}

// A token begins with the base64 of {"alg":.
const tokenStart = "eyJhbGciOi"

func (l *logBuffer) checkSecrets(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range append(l.secrets, testSecret, tokenStart) {
		if strings.Contains(l.buf.String(), s) {
			t.Errorf("the log has a secret in it (a session ID, a token or the key):\n%s", l.buf.String())
		}
	}
}

var urlLine = regexp.MustCompile(`msg=listening url=(http://[^/]+)/`)

// awaitURL waits until the server listens and returns its URL.
func (l *logBuffer) awaitURL(t *testing.T) string {
	t.Helper()
	var url string
	await.Until(t, "the server listens", func() bool {
		if m := urlLine.FindStringSubmatch(l.String()); m != nil {
			url = m[1]
			return true
		}
		if l.ended() {
			t.Fatalf("the server ended before it listened:\n%s", l.String())
		}
		return false
	})
	return url
}
