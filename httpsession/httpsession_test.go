package httpsession_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
	"github.com/sessionkv/store/httpsession"
	"github.com/sessionkv/store/live"
)

const (
	user   = store.Key[string]("user")
	basket = store.Key[[]string]("basket")
	flash  = store.Key[string]("flash")
)

func newSessions(t *testing.T) *store.Sessions {
	t.Helper()
	b := memstore.New(nil)
	ss, err := store.New(b, nil)
	if err != nil {
		t.Fatalf("store.New: %v", err)
	}
	t.Cleanup(func() {
		ss.Close(context.Background())
		b.Close()
	})
	return ss
}

func newManager(t *testing.T, ss *store.Sessions, opts *httpsession.Options) *httpsession.Manager {
	t.Helper()
	m, err := httpsession.New(ss, opts)
	if err != nil {
		t.Fatalf("httpsession.New: %v", err)
	}
	return m
}

// site is a small site with a login.
func site(m *httpsession.Manager) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/begin", func(w http.ResponseWriter, r *http.Request) {
		_, err := m.Begin(w, r, basket.To([]string{"pen"}))
		answer(w, "", err)
	})
	mux.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) {
		_, err := m.Login(w, r, user.To(r.FormValue("user")))
		answer(w, "", err)
	})
	mux.HandleFunc("/logout", func(w http.ResponseWriter, r *http.Request) {
		answer(w, "", m.Logout(w, r))
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		sess, ok := httpsession.Of(r)
		if !ok {
			answer(w, "nobody", nil)
			return
		}
		name, err := user.GetOr(r.Context(), sess, "guest")
		if err != nil {
			answer(w, "", err)
			return
		}
		things, err := basket.GetOr(r.Context(), sess, nil)
		answer(w, fmt.Sprintf("%s %v", name, things), err)
	})
	return m.Handler(mux)
}

func answer(w http.ResponseWriter, text string, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprint(w, text)
}

// A browser keeps one cookie.
type browser struct {
	h      http.Handler
	cookie string // name=value
	last   *http.Cookie
}

func (b *browser) get(t *testing.T, path string) (status int, body string) {
	t.Helper()
	r := httptest.NewRequest("GET", "https://example.com"+path, nil)
	if b.cookie != "" {
		r.Header.Set("Cookie", b.cookie)
	}
	rec := httptest.NewRecorder()
	b.h.ServeHTTP(rec, r)
	for _, c := range rec.Result().Cookies() {
		b.last = c
		b.cookie = c.Name + "=" + c.Value
		if c.MaxAge < 0 {
			b.cookie = ""
		}
	}
	return rec.Code, rec.Body.String()
}

func (b *browser) want(t *testing.T, path, want string) {
	t.Helper()
	if status, body := b.get(t, path); status != http.StatusOK || body != want {
		t.Errorf("GET %s = %d %q, want 200 %q", path, status, body, want)
	}
}

func TestLoginAndLogout(t *testing.T) {
	for _, ids := range []httpsession.IDs{httpsession.Plain, httpsession.Hashed} {
		t.Run(fmt.Sprintf("IDs=%d", ids), func(t *testing.T) {
			ss := newSessions(t)
			b := &browser{h: site(newManager(t, ss, &httpsession.Options{IDs: ids}))}
			b.want(t, "/", "nobody")
			if b.last != nil {
				t.Errorf("a request that only reads set the cookie %q", b.last.Name)
			}
			b.want(t, "/begin", "")
			before := b.cookie
			b.want(t, "/", "guest [pen]")
			b.want(t, "/login?user=ann", "")
			if b.cookie == before {
				t.Error("the login kept the ID from before it")
			}
			b.want(t, "/", "ann [pen]")

			planted := &browser{h: b.h, cookie: before}
			planted.want(t, "/", "nobody")

			c := b.last
			if c.Name != "__Host-session" || !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.MaxAge != int(httpsession.DefaultAbsolute.Seconds()) {
				t.Errorf("cookie: name %q, HttpOnly %t, Secure %t, SameSite %d, path %q, domain %q, MaxAge %d; want the documented defaults", c.Name, c.HttpOnly, c.Secure, c.SameSite, c.Path, c.Domain, c.MaxAge)
			}
			id := c.Value
			onServer := id
			if ids == httpsession.Hashed {
				sum := sha256.Sum256([]byte(id))
				onServer = "sha256." + base64.RawURLEncoding.EncodeToString(sum[:])
				if _, err := ss.Attach(t.Context(), id); !errors.Is(err, store.ErrNoSession) {
					t.Errorf("Attach with the cookie's ID: %v, want ErrNoSession", err)
				}
			}
			if _, err := ss.Attach(t.Context(), onServer); err != nil {
				t.Errorf("Attach with the server's ID: %v", err)
			}

			stolen := &browser{h: b.h, cookie: b.cookie}
			b.want(t, "/logout", "")
			if b.cookie != "" {
				t.Error("the logout left the cookie")
			}
			stolen.want(t, "/", "nobody")
		})
	}
}

func TestLifetimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newSessions(t)
		opts := &httpsession.Options{Idle: 10 * time.Minute, Absolute: time.Hour}
		h := site(newManager(t, ss, opts))

		idle := &browser{h: h}
		idle.want(t, "/login?user=ann", "")
		for range 5 { // each visit starts the idle time anew
			time.Sleep(9 * time.Minute)
			idle.want(t, "/", "ann []")
		}
		time.Sleep(10 * time.Minute)
		idle.want(t, "/", "ann []") // within the absolute lifetime
		time.Sleep(6 * time.Minute)
		idle.want(t, "/", "nobody")

		busy := &browser{h: h}
		busy.want(t, "/login?user=bob", "")
		for range 59 {
			time.Sleep(time.Minute)
			busy.want(t, "/", "bob []")
		}
		time.Sleep(time.Minute)
		busy.want(t, "/", "nobody")

		gone := &browser{h: h}
		gone.want(t, "/login?user=cid", "")
		time.Sleep(11*time.Minute + time.Second)
		gone.want(t, "/", "nobody")
	})
}

// TestParallelRequests has sixty requests of one cookie at once, each with a
// write of its own: all succeed, and no write is lost.
func TestParallelRequests(t *testing.T) {
	ss := newSessions(t)
	m := newManager(t, ss, nil)
	mux := http.NewServeMux()
	mux.Handle("/", site(m))
	mux.Handle("/set", m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sess, ok := httpsession.Of(r)
		if !ok {
			http.Error(w, "nobody", http.StatusUnauthorized)
			return
		}
		answer(w, "", store.Key[string](r.FormValue("key")).Set(r.Context(), sess, "set"))
	})))
	b := &browser{h: mux}
	b.want(t, "/login?user=ann", "")
	const n = 60
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			one := &browser{h: mux, cookie: b.cookie}
			one.want(t, fmt.Sprintf("/set?key=k%d", i), "")
		})
	}
	wg.Wait()
	sess, err := ss.Attach(t.Context(), b.last.Value)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		key := store.Key[string](fmt.Sprintf("k%d", i))
		if got, err := key.Get(t.Context(), sess); err != nil || got != "set" {
			t.Errorf("%s = %q, %v after parallel requests, want %q", key, got, err, "set")
		}
	}
}

// TestLogoutIsNotUndone has a request on its way, with a write to come, when
// another request logs out.
func TestLogoutIsNotUndone(t *testing.T) {
	ss := newSessions(t)
	m := newManager(t, ss, nil)
	entered, proceed := make(chan struct{}), make(chan struct{})
	var late error
	mux := http.NewServeMux()
	mux.Handle("/", site(m))
	mux.Handle("/slow", m.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		sess, _ := httpsession.Of(r)
		close(entered)
		<-proceed
		late = user.Set(r.Context(), sess, "undead")
	})))
	b := &browser{h: mux}
	b.want(t, "/login?user=ann", "")
	slow := &browser{h: mux, cookie: b.cookie}
	var wg sync.WaitGroup
	wg.Go(func() { slow.get(t, "/slow") })
	<-entered
	stolen := &browser{h: mux, cookie: b.cookie}
	b.want(t, "/logout", "")
	close(proceed)
	wg.Wait()
	if !errors.Is(late, store.ErrDestroyed) {
		t.Errorf("Set of the request on its way: %v, want ErrDestroyed", late)
	}
	stolen.want(t, "/", "nobody")
}

func TestFlash(t *testing.T) {
	ss := newSessions(t)
	m := newManager(t, ss, nil)
	var shown atomic.Int64
	mux := http.NewServeMux()
	mux.Handle("/", site(m))
	mux.Handle("/save", m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := m.Begin(w, r, flash.To("saved"))
		answer(w, "", err)
	})))
	mux.Handle("/show", m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sess, _ := httpsession.Of(r)
		text, err := flash.Take(r.Context(), sess)
		if err == nil && text == "saved" {
			shown.Add(1)
		}
	})))
	b := &browser{h: mux}
	b.want(t, "/save", "")
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			one := &browser{h: mux, cookie: b.cookie}
			one.get(t, "/show")
		})
	}
	wg.Wait()
	if got := shown.Load(); got != 1 {
		t.Errorf("%d of 10 requests showed the flash message, want 1", got)
	}
}

// deaf fails every Attach.
type deaf struct{ store.Backend }

func (deaf) Attach(context.Context, string, store.Terms) (store.Store, error) {
	return nil, errors.New("the server does not answer")
}

func TestBackendDown(t *testing.T) {
	b := memstore.New(nil)
	defer b.Close()
	ss, err := store.New(deaf{b}, nil)
	if err != nil {
		t.Fatal(err)
	}
	one := &browser{h: site(newManager(t, ss, nil)), cookie: "__Host-session=" + store.NewID()}
	status, body := one.get(t, "/")
	if status != http.StatusServiceUnavailable || strings.Contains(body, "answer") {
		t.Errorf("GET with a silent backend = %d %q, want 503 without the reason", status, body)
	}
	if one.cookie == "" {
		t.Error("a silent backend signed the user out")
	}
}

func TestForeignCookies(t *testing.T) {
	ss := newSessions(t)
	h := site(newManager(t, ss, nil))
	socket, err := ss.Create(t.Context(), store.NewID())
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"", "x", store.NewID(), socket.ID(), strings.Repeat("x", 4000)} {
		one := &browser{h: h, cookie: "__Host-session=" + value}
		one.want(t, "/", "nobody")
	}
	if err := socket.Err(); err != nil {
		t.Errorf("a cookie with the ID of another kind of session ended that: %v", err)
	}
}

func TestHeadersSent(t *testing.T) {
	ss := newSessions(t)
	m := newManager(t, ss, nil)
	var begin, login error
	h := m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "early")
		_, begin = m.Begin(w, r)
		_, login = m.Login(w, r)
	}))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	if !errors.Is(begin, httpsession.ErrHeadersSent) || !errors.Is(login, httpsession.ErrHeadersSent) {
		t.Errorf("after the answer began: Begin = %v, Login = %v; want ErrHeadersSent", begin, login)
	}
}

// TestTwoManagers has a request pass two Managers, with a cookie each.
func TestTwoManagers(t *testing.T) {
	ss := newSessions(t)
	outer := newManager(t, ss, &httpsession.Options{Name: "__Host-outer"})
	inner := newManager(t, ss, &httpsession.Options{Name: "__Host-inner"})
	mux := http.NewServeMux()
	mux.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) {
		_, err := outer.Login(w, r, user.To("out"))
		_, err2 := inner.Login(w, r, user.To("in"))
		answer(w, "", errors.Join(err, err2))
	})
	mux.HandleFunc("/logout", func(w http.ResponseWriter, r *http.Request) { answer(w, "", outer.Logout(w, r)) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		for _, of := range []func(*http.Request) (*store.Session, bool){outer.Of, inner.Of, httpsession.Of} {
			if sess, ok := of(r); !ok {
				fmt.Fprint(w, "none ")
			} else if name, err := user.Get(r.Context(), sess); err != nil {
				fmt.Fprint(w, err)
			} else {
				fmt.Fprint(w, name+" ")
			}
		}
	})
	srv := httptest.NewTLSServer(outer.Handler(inner.Handler(mux)))
	defer srv.Close()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := srv.Client()
	client.Jar = jar
	for _, c := range []struct{ path, want string }{
		{"/", "none none none "}, {"/login", ""}, {"/", "out in in "}, {"/logout", ""}, {"/", "none in in "},
	} {
		resp, err := client.Get(srv.URL + c.path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || string(got) != c.want {
			t.Errorf("GET %s = %d %q, %v, want 200 %q", c.path, resp.StatusCode, got, err, c.want)
		}
	}
}

func TestWithoutHandler(t *testing.T) {
	m := newManager(t, newSessions(t), nil)
	w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)
	if _, ok := httpsession.Of(r); ok {
		t.Error("Of = true without Handler")
	}
	if _, err := m.Begin(w, r); !errors.Is(err, httpsession.ErrNoHandler) {
		t.Errorf("Begin without Handler: %v, want ErrNoHandler", err)
	}
	if _, err := m.Login(w, r); !errors.Is(err, httpsession.ErrNoHandler) {
		t.Errorf("Login without Handler: %v, want ErrNoHandler", err)
	}
	if err := m.Logout(w, r); !errors.Is(err, httpsession.ErrNoHandler) {
		t.Errorf("Logout without Handler: %v, want ErrNoHandler", err)
	}
}

func TestOptions(t *testing.T) {
	ss := newSessions(t)
	for name, opts := range map[string]*httpsession.Options{
		"short idle":            {Idle: time.Second},
		"absolute below idle":   {Idle: time.Hour, Absolute: time.Minute},
		"negative absolute":     {Absolute: -1},
		"unknown IDs":           {IDs: 7},
		"insecure __Host-":      {Name: "__Host-x", Insecure: true},
		"__Host- with a domain": {Name: "__Host-x", Domain: "example.com"},
		"insecure __Secure-":    {Name: "__Secure-x", Insecure: true},
		"insecure SameSite":     {SameSite: http.SameSiteNoneMode, Insecure: true},
		"bad name":              {Name: "a b"},
		"bad path":              {Path: "/a;b"},
	} {
		if _, err := httpsession.New(ss, opts); err == nil {
			t.Errorf("New with %s: no error", name)
		}
	}
	if _, err := httpsession.New(nil, nil); err == nil {
		t.Error("New without Sessions: no error")
	}
}

// TestLogoutClosesStream has a stream beside the login, in a browser with a
// cookie jar, over a real connection.
func TestLogoutClosesStream(t *testing.T) {
	ss := newSessions(t)
	m := newManager(t, ss, &httpsession.Options{Insecure: true})
	conns := live.New(ss, live.Options{Grace: time.Minute, Login: httpsession.Of})
	mux := http.NewServeMux()
	mux.Handle("/", site(m))
	mux.Handle("/stream", m.Handler(conns.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "open")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		fmt.Fprintln(w, "closed")
	}))))
	srv := httptest.NewServer(mux)
	defer srv.Close()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar}
	do := func(path string) *http.Response {
		t.Helper()
		resp, err := client.Get(srv.URL + path)
		if err != nil {
			t.Fatalf("GET %s: %v", path, err)
		}
		return resp
	}
	do("/login?user=ann").Body.Close()
	resp := do("/stream")
	defer resp.Body.Close()
	in := bufio.NewScanner(resp.Body)
	if !in.Scan() || in.Text() != "open" {
		t.Fatalf("the stream began with %q, want %q", in.Text(), "open")
	}
	do("/logout").Body.Close()
	if !in.Scan() || in.Text() != "closed" {
		t.Errorf("after the logout the stream got %q, want %q", in.Text(), "closed")
	}
}
