package live_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
	"github.com/sessionkv/store/internal/await"
	"github.com/sessionkv/store/live"
)

const user = store.Key[string]("user")

// counting counts how sessions end at the backend.
type counting struct {
	store.Backend
	suspends, destroys atomic.Int64
	begin              func() // runs before a life is taken over; may be nil
}

func (b *counting) Create(ctx context.Context, id string, initial []store.Entry, t store.Terms) (store.Store, error) {
	s, err := b.Backend.Create(ctx, id, initial, t)
	return b.wrap(s), err
}

func (b *counting) Attach(ctx context.Context, id string, t store.Terms) (store.Store, error) {
	s, err := b.Backend.Attach(ctx, id, t)
	return b.wrap(s), err
}

func (b *counting) Resume(ctx context.Context, id string, t store.Terms) (store.Store, error) {
	if b.begin != nil {
		b.begin()
	}
	s, err := b.Backend.Resume(ctx, id, t)
	return b.wrap(s), err
}

func (b *counting) Renew(ctx context.Context, sessions []store.Store, lease time.Duration) []error {
	inner := make([]store.Store, len(sessions))
	for i, s := range sessions {
		inner[i] = s.(*countingStore).Store
	}
	return b.Backend.Renew(ctx, inner, lease)
}

func (b *counting) Suspend(ctx context.Context, s store.Store, grace time.Duration) error {
	b.suspends.Add(1)
	return b.Backend.Suspend(ctx, s.(*countingStore).Store, grace)
}

func (b *counting) wrap(s store.Store) store.Store {
	if s == nil {
		return nil
	}
	return &countingStore{Store: s, b: b}
}

type countingStore struct {
	store.Store
	b *counting
}

func (s *countingStore) Destroy(ctx context.Context) error {
	s.b.destroys.Add(1)
	return s.Store.Destroy(ctx)
}

// newSessions returns a backend in memory and Sessions of two nodes on it.
func newSessions(t *testing.T, opts *store.Options) (*counting, *store.Sessions, *store.Sessions) {
	t.Helper()
	b := &counting{Backend: memstore.New(nil)}
	t.Cleanup(func() { b.Close() })
	nodes := make([]*store.Sessions, 2)
	for i := range nodes {
		ss, err := store.New(b, opts)
		if err != nil {
			t.Fatalf("store.New: %v", err)
		}
		t.Cleanup(func() { ss.Close(context.Background()) })
		nodes[i] = ss
	}
	return b, nodes[0], nodes[1]
}

func byUser(r *http.Request) ([]store.Change, error) {
	name := r.URL.Query().Get("user")
	if name == "" {
		return nil, live.Refuse(http.StatusUnauthorized, "who are you?")
	}
	return []store.Change{user.To(name)}, nil
}

func sameUser(r *http.Request, sess *store.Session) error {
	name, err := user.Get(r.Context(), sess)
	if err != nil {
		return err
	}
	if name != r.URL.Query().Get("user") {
		return errors.New("another user's session")
	}
	return nil
}

// options are those of most tests.
func options() live.Options {
	return live.Options{
		Grace:  time.Minute,
		ID:     live.Query("session"),
		Begin:  byUser,
		Allow:  sameUser,
		Linger: 10 * time.Millisecond,
	}
}

// patient lets handlers send a last line, however busy the machine is.
func patient() live.Options {
	opts := options()
	opts.Linger = time.Minute
	return opts
}

// events streams the session's ID, and then what say sends, until the context ends.
func events(say <-chan string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sess, ok := store.FromContext(r.Context())
		if !ok {
			http.Error(w, "no session", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "%s\n", sess.ID())
		w.(http.Flusher).Flush()
		for {
			select {
			case <-r.Context().Done():
				fmt.Fprintf(w, "end: %v\n", context.Cause(r.Context()))
				return
			case text := <-say:
				fmt.Fprintf(w, "%s\n", text)
				w.(http.Flusher).Flush()
			}
		}
	})
}

// A lineReader is a client that reads lines.
type lineReader struct {
	*bufio.Scanner
	body io.Closer
}

func (s *lineReader) line(t *testing.T) string {
	t.Helper()
	if !s.Scan() {
		t.Fatalf("the stream ended: %v", s.Err())
	}
	return s.Text()
}

func open(t *testing.T, url string) *lineReader {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatalf("GET: %v", err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		t.Fatalf("GET: status %d, %s", resp.StatusCode, text)
	}
	return &lineReader{bufio.NewScanner(resp.Body), resp.Body}
}

func serve(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv
}

func TestResumeOnAnotherNode(t *testing.T) {
	b, one, two := newSessions(t, nil)
	nodeA, nodeB := live.New(one, options()), live.New(two, options())
	a, z := serve(t, nodeA.Handler(events(nil))), serve(t, nodeB.Handler(events(nil)))

	first := open(t, a.URL+"?user=ann")
	id := first.line(t)
	first.body.Close()
	await.Until(t, "the session is suspended", func() bool { return b.suspends.Load() == 1 && nodeA.Len() == 0 })

	second := open(t, z.URL+"?user=ann&session="+id)
	if got := second.line(t); got != id {
		t.Errorf("the second node's session is another one than the first node's")
	}
	if got := b.destroys.Load(); got != 0 {
		t.Errorf("sessions destroyed = %d, want 0", got)
	}
}

func TestTakeover(t *testing.T) {
	b, one, two := newSessions(t, nil)
	nodeA, nodeB := live.New(one, patient()), live.New(two, options())
	a, z := serve(t, nodeA.Handler(events(nil))), serve(t, nodeB.Handler(events(nil)))

	first := open(t, a.URL+"?user=ann")
	id := first.line(t)
	second := open(t, z.URL+"?user=ann&session="+id) // the first connection still exists
	if got := second.line(t); got != id {
		t.Errorf("the second node's session is another one than the first node's")
	}
	// An operation of the first node notices, as a renewal would.
	if sess, ok := one.Local(id); ok {
		if _, err := user.Get(t.Context(), sess); !errors.Is(err, store.ErrDestroyed) {
			t.Errorf("Get through the earlier handle: %v, want ErrDestroyed", err)
		}
	}
	if got := first.line(t); !strings.HasPrefix(got, "end: ") {
		t.Errorf("the first connection got %q, want its end", got)
	}
	await.Until(t, "the first handler has returned", func() bool { return nodeA.Len() == 0 })
	if s, d := b.suspends.Load(), b.destroys.Load(); s != 0 || d != 0 {
		t.Errorf("after a takeover: %d suspends and %d destroys by the earlier owner, want none", s, d)
	}
}

func TestRefusals(t *testing.T) {
	b, one, _ := newSessions(t, nil)
	conns := live.New(one, options())
	srv := serve(t, conns.Handler(events(nil)))
	owner := open(t, srv.URL+"?user=ann")
	id := owner.line(t)

	for _, tt := range []struct {
		name, query string
		status      int
		body        string
	}{
		{"no user", "", http.StatusUnauthorized, "who are you?\n"},
		{"a stranger with the ID", "?user=bob&session=" + id, http.StatusForbidden, "Forbidden\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp, err := http.Get(srv.URL + tt.query)
			if err != nil {
				t.Fatalf("GET: %v", err)
			}
			defer resp.Body.Close()
			text, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != tt.status || string(text) != tt.body {
				t.Errorf("GET %s = %d %q, want %d %q", tt.name, resp.StatusCode, text, tt.status, tt.body)
			}
		})
	}
	sess, ok := one.Local(id)
	if !ok || sess.Err() != nil {
		t.Errorf("after the refusals the owner's session is owned: %t, Err: %v; want true, nil", ok, sess.Err())
	}
	if got := one.Owned(); got != 1 {
		t.Errorf("Owned() = %d after refused connections, want 1", got)
	}
	if s, d := b.suspends.Load(), b.destroys.Load(); s != 0 || d != 0 {
		t.Errorf("refused connections ended sessions: %d suspends, %d destroys", s, d)
	}
}

// TestOneEnd lets connections end in every way, and counts what the backend saw.
func TestOneEnd(t *testing.T) {
	tests := []struct {
		name     string
		grace    time.Duration
		handler  func(http.ResponseWriter, *http.Request)
		drop     bool // the client goes away
		suspends int64
		destroys int64
	}{
		{name: "return", grace: time.Minute, handler: func(http.ResponseWriter, *http.Request) {}, suspends: 1},
		{name: "return without a grace", handler: func(http.ResponseWriter, *http.Request) {}, destroys: 1},
		{name: "goodbye", grace: time.Minute, handler: func(_ http.ResponseWriter, r *http.Request) { live.Goodbye(r.Context()) }, destroys: 1},
		{name: "panic", grace: time.Minute, handler: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, suspends: 1},
		{name: "goodbye and panic", grace: time.Minute, handler: func(_ http.ResponseWriter, r *http.Request) {
			live.Goodbye(r.Context())
			panic(http.ErrAbortHandler)
		}, destroys: 1},
		{name: "cut", grace: time.Minute, drop: true, suspends: 1, handler: func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}},
		{name: "destroyed by the handler", grace: time.Minute, destroys: 1, handler: func(_ http.ResponseWriter, r *http.Request) {
			sess, _ := store.FromContext(r.Context())
			if err := sess.Destroy(r.Context()); err != nil {
				panic(err)
			}
		}},
		{name: "suspended by the handler", suspends: 1, handler: func(_ http.ResponseWriter, r *http.Request) {
			sess, _ := store.FromContext(r.Context())
			if err := sess.Suspend(r.Context(), time.Minute); err != nil {
				panic(err)
			}
		}},
		{name: "failed upgrade", grace: time.Minute, suspends: 1, handler: func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "not a websocket", http.StatusUpgradeRequired)
		}},
		{name: "hijacked and left open", grace: time.Minute, suspends: 1, handler: func(w http.ResponseWriter, _ *http.Request) {
			if _, _, err := w.(http.Hijacker).Hijack(); err != nil {
				panic(err)
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, one, _ := newSessions(t, nil)
			opts := options()
			opts.Grace = tt.grace
			conns := live.New(one, opts)
			srv := serve(t, conns.Handler(http.HandlerFunc(tt.handler)))
			srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
			resp, err := http.Get(srv.URL + "?user=ann")
			if err == nil {
				if !tt.drop {
					_, _ = io.Copy(io.Discard, resp.Body)
				}
				resp.Body.Close()
			}
			await.Until(t, "the handler has returned", func() bool { return conns.Len() == 0 })
			if s, d := b.suspends.Load(), b.destroys.Load(); s != tt.suspends || d != tt.destroys {
				t.Errorf("the backend saw %d suspends and %d destroys, want %d and %d", s, d, tt.suspends, tt.destroys)
			}
			if got := one.Owned(); got != 0 {
				t.Errorf("Owned() = %d afterwards, want 0", got)
			}
		})
	}
}

// TestClientThatDoesNotRead has a handler that is stuck in Write when its session
// is destroyed.
func TestClientThatDoesNotRead(t *testing.T) {
	_, one, _ := newSessions(t, nil)
	conns := live.New(one, options())
	ids := make(chan string, 1)
	srv := serve(t, conns.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sess, _ := store.FromContext(r.Context())
		ids <- sess.ID()
		block := bytes.Repeat([]byte("x"), 1<<20)
		for {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	})))
	nc, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	fmt.Fprintf(nc, "GET /?user=ann HTTP/1.1\r\nHost: x\r\n\r\n")
	sess, ok := one.Local(<-ids)
	if !ok {
		t.Fatal("the connection's session is not owned")
	}
	if err := sess.Destroy(t.Context()); err != nil {
		t.Fatalf("Destroy: %v", err)
	}
	await.Until(t, "the stuck handler has returned", func() bool { return conns.Len() == 0 })
}

// TestKickClosesTheSocket has a handler that has hijacked its connection and does
// not look at its context.
func TestKickClosesTheSocket(t *testing.T) {
	_, one, two := newSessions(t, &store.Options{Lease: 2 * time.Second})
	conns := live.New(one, options())
	srv := serve(t, conns.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sess, _ := store.FromContext(r.Context())
		nc, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Errorf("Hijack: %v", err)
			return
		}
		fmt.Fprintf(nc, "%s\n", sess.ID())
		_, _ = rw.ReadByte() // as the read loop of a WebSocket
	})))
	nc, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	fmt.Fprintf(nc, "GET /?user=ann HTTP/1.1\r\nHost: x\r\n\r\n")
	in := bufio.NewReader(nc)
	id, err := in.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	admin, err := two.Attach(t.Context(), strings.TrimSpace(id))
	if err != nil {
		t.Fatalf("Attach: %v", err)
	}
	if err := admin.Destroy(t.Context()); err != nil {
		t.Fatalf("Destroy: %v", err)
	}
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("the kicked client read: %v, want io.EOF", err)
	}
}

func TestStop(t *testing.T) {
	b, one, two := newSessions(t, nil)
	conns := live.New(one, patient())
	srv := serve(t, conns.Handler(events(nil)))
	const n = 50
	ids := make([]string, n)
	streams := make([]*lineReader, n)
	for i := range n {
		streams[i] = open(t, srv.URL+"?user=ann")
		ids[i] = streams[i].line(t)
	}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if err := conns.Stop(t.Context()); err != nil {
				t.Errorf("Stop: %v", err)
			}
		})
	}
	wg.Wait()
	for _, s := range streams {
		if got, want := s.line(t), "end: "+live.ErrStopped.Error(); got != want {
			t.Fatalf("the stream ended with %q, want %q", got, want)
		}
	}
	if got := b.suspends.Load(); got != n {
		t.Errorf("%d sessions suspended, want %d", got, n)
	}
	for _, id := range ids {
		if _, err := two.Resume(t.Context(), id); err != nil {
			t.Fatalf("Resume on the other node after Stop: %v", err)
		}
	}
	resp, err := http.Get(srv.URL + "?user=ann")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("after Stop: status %d, Retry-After %q; want 503 and a value", resp.StatusCode, resp.Header.Get("Retry-After"))
	}
}

// TestStopWithStuckHandler has a handler that ignores its context and has no
// connection to cut.
func TestStopWithStuckHandler(t *testing.T) {
	_, one, two := newSessions(t, &store.Options{Grace: time.Minute})
	opts := options()
	opts.Grace = 0
	conns := live.New(one, opts)
	release, ids := make(chan struct{}), make(chan string, 1)
	h := conns.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		sess, _ := store.FromContext(r.Context())
		ids <- sess.ID()
		<-release
	}))
	var handlers sync.WaitGroup
	handlers.Go(func() {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/?user=ann", nil))
	})
	id := <-ids
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := conns.Stop(ctx)
	if err == nil || !strings.Contains(err.Error(), "1 of 1 handlers") {
		t.Errorf("Stop = %v, want an error that counts the handler", err)
	}
	sess, err := two.Resume(t.Context(), id)
	if err != nil {
		t.Fatalf("Resume after Stop, with the handler still running: %v", err)
	}
	close(release)
	handlers.Wait()
	if err := sess.Err(); err != nil {
		t.Errorf("the late return of the handler ended the resumed session: %v", err)
	}
	if _, err := user.Get(t.Context(), sess); err != nil {
		t.Errorf("Get after the late return: %v", err)
	}
}

// TestStopKeepsWhatLiveHasPromised: the context of Stop has ended, as that of a signal
// has, and the Sessions have no grace of their own.
func TestStopKeepsWhatLiveHasPromised(t *testing.T) {
	stopped := func() context.Context {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		return ctx
	}
	t.Run("handlers are stuck", func(t *testing.T) {
		b, one, two := newSessions(t, nil)
		conns := live.New(one, options())
		const n = 20
		release, ids := make(chan struct{}), make(chan string, n)
		h := conns.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			sess, _ := store.FromContext(r.Context())
			ids <- sess.ID()
			<-release
		}))
		var handlers sync.WaitGroup
		defer handlers.Wait()
		defer close(release)
		for range n {
			handlers.Go(func() {
				h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/?user=ann", nil))
			})
		}
		var all []string
		for range n {
			all = append(all, <-ids)
		}
		if err := conns.Stop(stopped()); err == nil || !strings.Contains(err.Error(), "20 of 20 handlers") {
			t.Errorf("Stop = %v, want an error that counts the handlers", err)
		}
		if d := b.destroys.Load(); d != 0 {
			t.Errorf("Stop destroyed %d sessions, want 0", d)
		}
		for _, id := range all {
			if _, err := two.Resume(t.Context(), id); err != nil {
				t.Fatalf("Resume after Stop: %v", err)
			}
		}
	})
	// A request whose session is being opened when Stop gives up: the backend, or Allow,
	// answers during Stop or after it.
	for _, tt := range []struct {
		name           string
		begins, allows int // how many calls of the backend, and of Allow, pass
		late           bool
	}{
		{"the backend answers during Stop", 0, 2, false},
		{"the backend answers after Stop", 0, 2, true},
		{"Allow answers during Stop", 1, 0, false},
		{"Allow answers after Stop", 1, 0, true},
		{"Allow answers its second question during Stop", 1, 1, false},
		{"Allow answers its second question after Stop", 1, 1, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, one, two := newSessions(t, nil)
				owner, err := two.Create(t.Context(), store.NewID(), user.To("ann"))
				if err != nil {
					t.Fatal(err)
				}
				release := make(chan struct{})
				begins, allows := 0, 0
				b.begin = func() {
					if begins++; begins > tt.begins {
						<-release
					}
				}
				opts := options()
				opts.Allow = func(*http.Request, *store.Session) error {
					if allows++; allows > tt.allows {
						<-release
					}
					return nil
				}
				conns := live.New(one, opts)
				h := conns.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
				var handlers sync.WaitGroup
				handlers.Go(func() {
					h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/?user=ann&session="+owner.ID(), nil))
				})
				synctest.Wait()
				done := make(chan error, 1)
				go func() { done <- conns.Stop(stopped()) }()
				synctest.Wait()
				if !tt.late {
					close(release)
				}
				<-done // how many handlers were left depends on which was first
				if tt.late {
					close(release)
				}
				handlers.Wait()
				if n, o := conns.Len(), one.Owned(); n != 0 || o != 0 {
					t.Errorf("%d connections and %d owned sessions are left, want none", n, o)
				}
				if d := b.destroys.Load(); d != 0 {
					t.Errorf("%d sessions were destroyed, want 0", d)
				}
				if _, err := two.Resume(t.Context(), owner.ID()); err != nil {
					t.Errorf("Resume after Stop: %v", err)
				}
			})
		})
	}
}

func TestBackendDown(t *testing.T) {
	var logged bytes.Buffer
	b := memstore.New(nil)
	ss, err := store.New(b, nil)
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	opts := options()
	opts.Logger = slog.New(slog.NewTextHandler(&logged, nil))
	h := live.New(ss, opts).Handler(events(nil))
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest("GET", "/?user=ann", nil))
	if rec.Code != http.StatusServiceUnavailable {
		t.Errorf("status %d with a closed backend, want 503", rec.Code)
	}
	if !strings.Contains(logged.String(), "no session could be opened") {
		t.Errorf("log = %q, want a line about the session", logged.String())
	}
	if strings.Contains(rec.Body.String(), "closed") {
		t.Errorf("body = %q: it tells the client about the backend", rec.Body.String())
	}
}

func TestNilSessions(t *testing.T) {
	rec := httptest.NewRecorder()
	live.New(nil, live.Options{}).Handler(events(nil)).ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
	if rec.Code != http.StatusServiceUnavailable {
		t.Errorf("status %d without Sessions, want 503", rec.Code)
	}
}

func TestLogoutEndsConnection(t *testing.T) {
	b, one, _ := newSessions(t, nil)
	login, err := one.Create(t.Context(), store.NewID())
	if err != nil {
		t.Fatal(err)
	}
	opts := patient()
	opts.Login = func(*http.Request) (*store.Session, bool) { return login, true }
	conns := live.New(one, opts)
	srv := serve(t, conns.Handler(events(nil)))
	s := open(t, srv.URL+"?user=ann")
	s.line(t)
	if err := login.Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.line(t); !strings.HasPrefix(got, "end: ") {
		t.Errorf("the connection got %q after the logout, want its end", got)
	}
	await.Until(t, "the handler has returned", func() bool { return conns.Len() == 0 })
	if s, d := b.suspends.Load(), b.destroys.Load(); s != 0 || d != 2 {
		t.Errorf("%d suspends and %d destroys, want 0 and 2: the login and the connection's session", s, d)
	}
}

func TestGoodbyeOutside(t *testing.T) {
	if live.Goodbye(t.Context()) {
		t.Error("Goodbye = true for a context of no connection, want false")
	}
}

func TestClaims(t *testing.T) {
	r := httptest.NewRequest("GET", "/?s=q", nil)
	r.Header.Set("X-Session", "h")
	r.AddCookie(&http.Cookie{Name: "s", Value: "c"})
	for _, tt := range []struct {
		name string
		id   func(*http.Request) string
		want string
	}{
		{"Query", live.Query("s"), "q"},
		{"Header", live.Header("X-Session"), "h"},
		{"Cookie", live.Cookie("s"), "c"},
		{"absent cookie", live.Cookie("t"), ""},
	} {
		if got := tt.id(r); got != tt.want {
			t.Errorf("%s = %q, want %q", tt.name, got, tt.want)
		}
	}
}
