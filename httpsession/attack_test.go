package httpsession_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
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
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
	"github.com/sessionkv/store/httpsession"
)

// visits is how often a session was seen, in the tests of races.
const visits = store.Key[int]("visits")

// hashedID returns the ID that the server has for a cookie's ID.
func hashedID(id string) string {
	sum := sha256.Sum256([]byte(id))
	return "sha256." + base64.RawURLEncoding.EncodeToString(sum[:])
}

// TestHostileCookies has cookie headers that no browser sends, over a real connection.
func TestHostileCookies(t *testing.T) {
	for _, ids := range []httpsession.IDs{httpsession.Plain, httpsession.Hashed} {
		srv := httptest.NewServer(site(newManager(t, newSessions(t), &httpsession.Options{IDs: ids})))
		defer srv.Close()
		for name, cookie := range map[string]string{
			"huge":             "__Host-session=" + strings.Repeat("x", 500<<10),
			"many":             strings.Repeat("__Host-session=x; ", 2900),
			"many others":      strings.Repeat("a=b; ", 2900) + "__Host-session=x",
			"no value":         "__Host-session",
			"empty":            "__Host-session=",
			"quotes":           `__Host-session="x"`,
			"half a quote":     `__Host-session="x`,
			"spaces":           "__Host-session= x y ",
			"controls":         "__Host-session=x\ty\x01z",
			"not UTF-8":        "__Host-session=\xff\xfe",
			"separators":       "__Host-session=a:b{c}d/e",
			"another's format": "__Host-session=" + hashedID("x"),
			"nothing but ;":    ";;;;=;=;",
		} {
			status, body := rawGet(t, srv, "Cookie: "+cookie)
			if status == http.StatusOK && body != "nobody" || status >= 500 {
				t.Errorf("IDs=%d: GET with cookie %q = %d %q, want nobody, or a refusal of net/http", ids, name, status, body)
			}
		}
		status, body := rawGet(t, srv, strings.Repeat("Cookie: __Host-session=x\r\n", 100)+"Cookie: a=b")
		if status != http.StatusOK || body != "nobody" {
			t.Errorf("IDs=%d: GET with 100 lines of cookies = %d %q, want 200 nobody", ids, status, body)
		}
	}
}

// rawGet sends a request with header lines as they are.
func rawGet(t *testing.T, srv *httptest.Server, lines string) (status int, body string) {
	t.Helper()
	nc, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	go fmt.Fprintf(nc, "GET / HTTP/1.0\r\nHost: x\r\n%s\r\n\r\n", lines)
	data, err := io.ReadAll(nc)
	head, body, _ := strings.Cut(string(data), "\r\n\r\n")
	if _, scan := fmt.Sscanf(head, "HTTP/1.0 %d", &status); scan != nil {
		if _, scan = fmt.Sscanf(head, "HTTP/1.1 %d", &status); scan != nil {
			t.Fatalf("GET: no answer: %q, %v", head, err)
		}
	}
	return status, body
}

// TestManyCookiesCostLittle has the backend asked a bounded number of times.
func TestManyCookiesCostLittle(t *testing.T) {
	b := &countingAttach{Backend: memstore.New(nil)}
	defer b.Close()
	ss, err := store.New(b, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ss.Close(t.Context())
	one := &browser{h: site(newManager(t, ss, nil)), cookie: strings.Repeat("__Host-session="+store.NewID()+"; ", 1000)}
	one.want(t, "/", "nobody")
	if n := b.n.Load(); n > 3 {
		t.Errorf("a request with 1000 cookies asked the backend %d times, want 3 at most", n)
	}
}

type countingAttach struct {
	store.Backend
	n atomic.Int64
}

func (b *countingAttach) Attach(ctx context.Context, id string, terms store.Terms) (store.Store, error) {
	b.n.Add(1)
	return b.Backend.Attach(ctx, id, terms)
}

// TestForgottenCookie has a cookie of before, with a longer path, in front of the one
// that counts, as browsers send them.
func TestForgottenCookie(t *testing.T) {
	h := site(newManager(t, newSessions(t), nil))
	b := &browser{h: h}
	b.want(t, "/login?user=ann", "")
	for _, cookie := range []string{
		"__Host-session=" + store.NewID() + "; " + b.cookie,
		"__Host-session=; " + b.cookie,
		b.cookie + "; __Host-session=" + store.NewID(),
	} {
		one := &browser{h: h, cookie: cookie}
		one.want(t, "/", "ann []")
	}
}

// TestManagersDoNotMix has a user put the ID of one login into the cookie of another.
func TestManagersDoNotMix(t *testing.T) {
	ss := newSessions(t)
	shop := &browser{h: site(newManager(t, ss, &httpsession.Options{Name: "__Host-shop"}))}
	shop.want(t, "/login?user=ann", "")
	shop.want(t, "/", "ann []")
	_, id, _ := strings.Cut(shop.cookie, "=")
	admin := &browser{h: site(newManager(t, ss, &httpsession.Options{Name: "__Host-admin"})), cookie: "__Host-admin=" + id}
	admin.want(t, "/", "nobody")
	admin.want(t, "/logout", "")
	shop.want(t, "/", "ann []")
}

// TestDumpOpensNothing has the ID that the server has used as a cookie, also
// where a Manager of the same name keeps plain IDs.
func TestDumpOpensNothing(t *testing.T) {
	ss := newSessions(t)
	hashed := newManager(t, ss, &httpsession.Options{IDs: httpsession.Hashed})
	b := &browser{h: site(hashed)}
	b.want(t, "/login?user=ann", "")
	_, id, _ := strings.Cut(b.cookie, "=")
	onServer := hashedID(id)
	if _, err := ss.Attach(t.Context(), onServer); err != nil {
		t.Fatalf("Attach with the server's ID: %v", err)
	}
	for _, m := range []*httpsession.Manager{hashed, newManager(t, ss, nil)} {
		thief := &browser{h: site(m), cookie: "__Host-session=" + onServer}
		thief.want(t, "/", "nobody")
	}
}

func TestCookieAttributes(t *testing.T) {
	for _, tt := range []struct {
		name string
		opts httpsession.Options
		want string // without the value
	}{
		{"defaults", httpsession.Options{}, "__Host-session=…; Path=/; Max-Age=86400; HttpOnly; Secure; SameSite=Lax"},
		{"strict", httpsession.Options{SameSite: http.SameSiteStrictMode}, "__Host-session=…; Path=/; Max-Age=86400; HttpOnly; Secure; SameSite=Strict"},
		{"none", httpsession.Options{SameSite: http.SameSiteNoneMode}, "__Host-session=…; Path=/; Max-Age=86400; HttpOnly; Secure; SameSite=None"},
		{"insecure", httpsession.Options{Insecure: true}, "session=…; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax"},
		{"domain", httpsession.Options{Domain: "example.com"}, "session=…; Path=/; Domain=example.com; Max-Age=86400; HttpOnly; Secure; SameSite=Lax"},
		{"path", httpsession.Options{Path: "/app"}, "session=…; Path=/app; Max-Age=86400; HttpOnly; Secure; SameSite=Lax"},
		{"transient", httpsession.Options{Transient: true}, "__Host-session=…; Path=/; HttpOnly; Secure; SameSite=Lax"},
		{"absolute", httpsession.Options{Absolute: time.Hour}, "__Host-session=…; Path=/; Max-Age=3600; HttpOnly; Secure; SameSite=Lax"},
		{"name", httpsession.Options{Name: "id"}, "id=…; Path=/; Max-Age=86400; HttpOnly; Secure; SameSite=Lax"},
	} {
		h := site(newManager(t, newSessions(t), &tt.opts))
		for _, path := range []string{"/begin", "/login?user=ann"} {
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, httptest.NewRequest("GET", path, nil))
			lines := rec.Header()["Set-Cookie"]
			if len(lines) != 1 || hideValue(lines[0]) != tt.want {
				t.Errorf("%s: GET %s sets %q, want one cookie %q", tt.name, path, lines, tt.want)
			}
			if got := rec.Header().Get("Cache-Control"); !strings.Contains(got, "no-cache") {
				t.Errorf("%s: GET %s has Cache-Control %q, want no-cache: a proxy could hand the cookie on", tt.name, path, got)
			}
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest("GET", "/logout", nil))
		for _, c := range rec.Result().Cookies() {
			if c.MaxAge >= 0 || c.Value != "" {
				t.Errorf("%s: the logout sets MaxAge %d and a value of %d bytes, want the cookie removed", tt.name, c.MaxAge, len(c.Value))
			}
		}
	}
}

// TestBeginBesideOthers has a Begin whose session a logout or login beside it ends. It
// fails: a further session would take the place of the login.
func TestBeginBesideOthers(t *testing.T) {
	for path, want := range map[string]string{"/logout": "nobody", "/login?user=bob": "bob []"} {
		m := newManager(t, newSessions(t), nil)
		b := &browser{h: site(m)}
		b.want(t, "/login?user=ann", "")
		slow := &browser{cookie: b.cookie, h: m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b.get(t, path)
			if _, err := m.Begin(w, r, basket.To([]string{"pen"})); !errors.Is(err, store.ErrDestroyed) {
				t.Errorf("Begin beside %s = %v, want ErrDestroyed", path, err)
			}
		}))}
		slow.get(t, "/")
		if slow.last != nil {
			t.Errorf("Begin beside %s set a cookie", path)
		}
		b.want(t, "/", want)
	}
}

func hideValue(line string) string {
	name, rest, _ := strings.Cut(line, "=")
	_, attributes, _ := strings.Cut(rest, ";")
	return name + "=…;" + attributes
}

// TestRaces has requests that write, log in, and log out with one cookie at once.
// None fails, and after a last logout no cookie that was ever set opens anything.
func TestRaces(t *testing.T) {
	ss := newSessions(t)
	m := newManager(t, ss, nil)
	mux := http.NewServeMux()
	mux.Handle("/", site(m))
	mux.Handle("/count", m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sess, ok := httpsession.Of(r)
		if !ok {
			return
		}
		_, err := visits.Update(r.Context(), sess, func(n int, _ bool) (int, error) { return n + 1, nil })
		if !errors.Is(err, store.ErrDestroyed) { // which a logout or a login beside it explains
			answer(w, "", err)
		}
	})))
	mux.Handle("/add", m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := m.Begin(w, r, basket.To([]string{"pen"}))
		if !errors.Is(err, store.ErrDestroyed) {
			answer(w, "", err)
		}
	})))
	for round := range 50 {
		b := &browser{h: mux}
		b.want(t, "/login?user=ann", "")
		paths := []string{"/count", "/login?user=ann", "/add", "/logout", "/count", "/count", "/add"}
		all := make([]*browser, len(paths))
		var wg sync.WaitGroup
		for i, path := range paths {
			all[i] = &browser{h: mux, cookie: b.cookie}
			wg.Go(func() {
				if status, body := all[i].get(t, path); status != http.StatusOK {
					t.Errorf("round %d: GET %s = %d %q, want 200", round, path, status, body)
				}
			})
		}
		wg.Wait()
		for _, one := range append(all, b) {
			left := one.cookie
			if left == "" {
				continue
			}
			one.get(t, "/logout")
			stolen := &browser{h: mux, cookie: left}
			stolen.want(t, "/", "nobody")
		}
	}
}

// TestPanics has handlers that panic before and after their cookie was set. The server
// goes on, and nothing is held.
func TestPanics(t *testing.T) {
	ss := newSessions(t)
	m := newManager(t, ss, nil)
	mux := http.NewServeMux()
	mux.Handle("/", site(m))
	mux.Handle("/panic", m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := m.Begin(w, r, basket.To([]string{"pen"})); err != nil {
			t.Errorf("Begin: %v", err)
		}
		panic(http.ErrAbortHandler)
	})))
	srv := httptest.NewTLSServer(mux)
	defer srv.Close()
	for range 3 {
		if resp, err := srv.Client().Get(srv.URL + "/panic"); err == nil {
			resp.Body.Close()
			t.Errorf("GET /panic = %d, want a broken connection", resp.StatusCode)
		}
	}
	b := &browser{h: mux}
	b.want(t, "/login?user=ann", "")
	func() {
		defer func() { recover() }()
		b.get(t, "/panic")
	}()
	b.want(t, "/", "ann [pen]")
	if n := ss.Stats().Owned; n != 0 {
		t.Errorf("%d sessions are owned, want none: logins are nobody's", n)
	}
}

// TestAfterTheAnswerBegan has the answer begin in each way before a cookie is to be set.
func TestAfterTheAnswerBegan(t *testing.T) {
	for name, begin := range map[string]func(w http.ResponseWriter) error{
		"Write":       func(w http.ResponseWriter) error { _, err := io.WriteString(w, "x"); return err },
		"WriteHeader": func(w http.ResponseWriter) error { w.WriteHeader(http.StatusAccepted); return nil },
		"Flush":       func(w http.ResponseWriter) error { w.(http.Flusher).Flush(); return nil },
		"Flush of a ResponseController": func(w http.ResponseWriter) error {
			return http.NewResponseController(w).Flush()
		},
		"Hijack": func(w http.ResponseWriter) error {
			nc, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				defer nc.Close()
				_, err = io.WriteString(nc, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
			}
			return err
		},
		"Copy": func(w http.ResponseWriter) error { _, err := io.Copy(w, strings.NewReader("x")); return err },
	} {
		t.Run(name, func(t *testing.T) {
			ss := newSessions(t)
			m := newManager(t, ss, nil)
			srv := httptest.NewServer(m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if err := begin(w); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				if _, err := m.Begin(w, r); !errors.Is(err, httpsession.ErrHeadersSent) {
					t.Errorf("Begin = %v, want ErrHeadersSent", err)
				}
				if _, err := m.Login(w, r); !errors.Is(err, httpsession.ErrHeadersSent) {
					t.Errorf("Login = %v, want ErrHeadersSent", err)
				}
			})))
			defer srv.Close()
			resp, err := http.Get(srv.URL)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if got := resp.Header["Set-Cookie"]; len(got) != 0 {
				t.Errorf("the answer sets %d cookies, want none", len(got))
			}
			if st := ss.Stats(); st.Created != 0 {
				t.Errorf("%d sessions were begun whose cookies nobody has, want none", st.Created)
			}
		})
	}
}

// TestBeforeTheAnswerBegins has hints that are no answer, and a flush that nobody can
// carry out.
func TestBeforeTheAnswerBegins(t *testing.T) {
	m := newManager(t, newSessions(t), nil)
	h := m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		if err := http.NewResponseController(w).Flush(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("Flush of a writer that cannot = %v, want ErrNotSupported", err)
		}
		_, err := m.Begin(w, r)
		answer(w, "", err)
	}))
	rec := httptest.NewRecorder()
	h.ServeHTTP(struct{ http.ResponseWriter }{rec}, httptest.NewRequest("GET", "/", nil))
	if got := rec.Header()["Set-Cookie"]; len(got) != 1 {
		t.Errorf("the answer sets %d cookies, want 1", len(got))
	}
}

// TestLogoutAfterTheAnswerBegan ends the session all the same.
func TestLogoutAfterTheAnswerBegan(t *testing.T) {
	m := newManager(t, newSessions(t), nil)
	mux := http.NewServeMux()
	mux.Handle("/", site(m))
	var err error
	mux.Handle("/late", m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "early")
		err = m.Logout(w, r)
	})))
	b := &browser{h: mux}
	b.want(t, "/login?user=ann", "")
	b.want(t, "/late", "early")
	if !errors.Is(err, httpsession.ErrHeadersSent) {
		t.Errorf("Logout = %v, want ErrHeadersSent", err)
	}
	b.want(t, "/", "nobody")
}

// TestHTTP2AndHEAD signs in and out over HTTP/2, with HEAD requests too.
func TestHTTP2AndHEAD(t *testing.T) {
	srv := httptest.NewUnstartedServer(site(newManager(t, newSessions(t), nil)))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	cookie := ""
	for _, tt := range []struct{ method, path, want string }{
		{"HEAD", "/", ""},
		{"HEAD", "/login?user=ann", ""},
		{"GET", "/", "ann []"},
		{"HEAD", "/", ""},
		{"POST", "/begin", ""},
		{"GET", "/", "ann [pen]"},
		{"HEAD", "/logout", ""},
		{"GET", "/", "nobody"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), tt.method, srv.URL+tt.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if cookie != "" {
			req.Header.Set("Cookie", cookie)
		}
		resp, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.ProtoMajor != 2 || resp.StatusCode != http.StatusOK || string(body) != tt.want {
			t.Errorf("%s %s = %s %d %q, %v; want HTTP/2 200 %q", tt.method, tt.path, resp.Proto, resp.StatusCode, body, err, tt.want)
		}
		for _, c := range resp.Cookies() {
			cookie = c.Name + "=" + c.Value
		}
	}
}

// down is a backend that does not answer when told so.
type down struct {
	store.Backend
	is atomic.Bool
}

var errDown = errors.New("dial tcp 10.0.0.7:6379: connection refused")

func (d *down) err() error {
	if d.is.Load() {
		return errDown
	}
	return nil
}

func (d *down) Create(ctx context.Context, id string, initial []store.Entry, terms store.Terms) (store.Store, error) {
	if err := d.err(); err != nil {
		return nil, err
	}
	s, err := d.Backend.Create(ctx, id, initial, terms)
	if err != nil {
		return nil, err
	}
	return &downStore{s, d}, nil
}

func (d *down) Attach(ctx context.Context, id string, terms store.Terms) (store.Store, error) {
	if err := d.err(); err != nil {
		return nil, err
	}
	s, err := d.Backend.Attach(ctx, id, terms)
	if err != nil {
		return nil, err
	}
	return &downStore{s, d}, nil
}

type downStore struct {
	store.Store
	d *down
}

func (s *downStore) Destroy(ctx context.Context) error {
	if err := s.d.err(); err != nil {
		return err
	}
	return s.Store.Destroy(ctx)
}

// TestBackendGoesDown has the backend fail between the look-up and the call. The
// call fails, the browser keeps the cookie that it has, and nobody reads why.
func TestBackendGoesDown(t *testing.T) {
	b := &down{Backend: memstore.New(nil)}
	defer b.Close()
	ss, err := store.New(b, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ss.Close(t.Context())
	var log bytes.Buffer
	m := newManager(t, ss, &httpsession.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	mux := http.NewServeMux()
	mux.Handle("/", site(m))
	for path, call := range map[string]func(w http.ResponseWriter, r *http.Request) error{
		"/begin-down":  func(w http.ResponseWriter, r *http.Request) error { _, err := m.Begin(w, r); return err },
		"/login-down":  func(w http.ResponseWriter, r *http.Request) error { _, err := m.Login(w, r); return err },
		"/logout-down": func(w http.ResponseWriter, r *http.Request) error { return m.Logout(w, r) },
	} {
		mux.Handle(path, m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b.is.Store(true)
			defer b.is.Store(false)
			if err := call(w, r); !errors.Is(err, errDown) {
				t.Errorf("%s: %v, want the backend's error", path, err)
			}
		})))
	}
	one := &browser{h: mux}
	one.get(t, "/begin-down")
	one.get(t, "/login-down")
	if one.last != nil {
		t.Error("a Begin or Login that failed set a cookie")
	}
	one.want(t, "/login?user=ann", "")
	cookie := one.cookie
	one.get(t, "/logout-down")
	if one.cookie != cookie {
		t.Error("a Logout that failed removed the cookie: the login lives on, and its user is told otherwise")
	}
	b.is.Store(true)
	status, body := one.get(t, "/")
	if status != http.StatusServiceUnavailable || strings.Contains(body, "refused") {
		t.Errorf("GET with the backend down = %d %q, want 503 without the reason", status, body)
	}
	b.is.Store(false)
	_, id, _ := strings.Cut(cookie, "=")
	if text := log.String(); !strings.Contains(text, "connection refused") || strings.Contains(text, id) {
		t.Errorf("log = %q, want the reason and no ID", text)
	}
}
