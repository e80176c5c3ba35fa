package inspect_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
	"github.com/sessionkv/store/inspect"
	"github.com/sessionkv/store/storetest"
)

var (
	userID = store.Key[string]("userId")
	tokens = store.Key[string]("accessToken")
)

func everybody(*http.Request) error { return nil }

func handler(t testing.TB, sessions *store.Sessions, auth func(*http.Request) error, opts *inspect.Options) http.Handler {
	t.Helper()
	h, err := inspect.Handler(sessions, auth, opts)
	if err != nil {
		t.Fatalf("Handler: %v", err)
	}
	return h
}

func hashOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

type answer struct {
	status int
	header http.Header
	body   string
}

func send(t testing.TB, h http.Handler, r *http.Request) answer {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r.WithContext(t.Context()))
	return answer{w.Code, w.Header(), w.Body.String()}
}

func get(t testing.TB, h http.Handler, query string) answer {
	t.Helper()
	return send(t, h, httptest.NewRequest("GET", "http://node.test/debug/sessions"+query, nil))
}

func post(t testing.TB, h http.Handler, form url.Values, header http.Header) answer {
	t.Helper()
	r := httptest.NewRequest("POST", "http://node.test/debug/sessions", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	maps.Copy(r.Header, header)
	return send(t, h, r)
}

var (
	nameLink   = regexp.MustCompile(`href="\?session=([a-z2-7]{16})"`)
	tokenInput = regexp.MustCompile(`name="token" value="([a-z2-7]+)"`)
)

// names returns the names of the sessions that a page lists.
func names(page string) (all []string) {
	for _, m := range nameLink.FindAllStringSubmatch(page, -1) {
		all = append(all, m[1])
	}
	return all
}

// question asks to end a session, and returns the form of the page that asks back.
func question(t testing.TB, h http.Handler, name string) url.Values {
	t.Helper()
	page := get(t, h, "?end="+name)
	m := tokenInput.FindStringSubmatch(page.body)
	if page.status != http.StatusOK || m == nil {
		t.Fatalf("the question about a session = %d without a form: %s", page.status, page.body)
	}
	return url.Values{"session": {name}, "token": {m[1]}}
}

func TestHandlerNeedsSessionsAndAuth(t *testing.T) {
	sessions := open(t, nil)
	for _, tt := range []struct {
		name     string
		sessions *store.Sessions
		auth     func(*http.Request) error
		want     string
	}{
		{"no auth", sessions, nil, "auth is nil"},
		{"nil Sessions", nil, everybody, "the Sessions are nil"},
		{"zero Sessions", new(store.Sessions), everybody, "the Sessions are nil"},
	} {
		if h, err := inspect.Handler(tt.sessions, tt.auth, nil); h != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Handler with %s = %v, %v, want an error with %q", tt.name, h, err, tt.want)
		}
	}
}

func TestAuthDecidesEachRequest(t *testing.T) {
	sessions := open(t, nil)
	s := create(t, sessions, userID.To("u-secret"))
	var log bytes.Buffer
	var decide func(*http.Request) error
	h := handler(t, sessions, func(r *http.Request) error { return decide(r) }, &inspect.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	decide = everybody
	name := names(get(t, h, "").body)[0]
	form := question(t, h, name)

	for _, tt := range []struct {
		name   string
		decide func(*http.Request) error
	}{
		{"an error", func(*http.Request) error { return errors.New("u-secret may not") }},
		{"a panic", func(*http.Request) error { panic("u-secret") }},
		{"a panic of net/http", func(*http.Request) error { panic(http.ErrAbortHandler) }},
	} {
		decide = tt.decide
		for _, a := range []answer{
			get(t, h, ""), get(t, h, "?session="+name), get(t, h, "?end="+name), get(t, h, "?session=x"), post(t, h, form, nil),
			send(t, h, httptest.NewRequest("DELETE", "/", nil)),
		} {
			if a.status != http.StatusForbidden || strings.Contains(a.body, "u-") {
				t.Errorf("after %s of auth the answer is %d: %s", tt.name, a.status, a.body)
			}
		}
	}
	if !strings.Contains(log.String(), "auth panicked") {
		t.Errorf("the log = %q, want the panic", log.String())
	}
	// Looking and ending can be told apart.
	decide = func(r *http.Request) error {
		if r.Method == "POST" {
			return errors.New("may look only")
		}
		return nil
	}
	if a := post(t, h, form, nil); a.status != http.StatusForbidden || s.Err() != nil {
		t.Errorf("POST of somebody who may look only = %d, and the session: %v", a.status, s.Err())
	}
	if a := get(t, h, "?session="+name); a.status != http.StatusOK || !strings.Contains(a.body, "u-secret") {
		t.Errorf("GET of somebody who may look only = %d: %s", a.status, a.body)
	}
}

func TestPageShowsSessionsWithoutSecrets(t *testing.T) {
	sessions := open(t, &store.Options{Grace: time.Minute})
	type profile struct {
		City   string
		APIKey string
		Nested map[string]string
	}
	s := create(t, sessions,
		userID.To("u-42"), tokens.To("hush-1"), store.Key[profile]("profile").To(profile{"Ulm", "hush-2", map[string]string{"passWord": "hush-3"}}),
		store.Key[string]("html").To("<script>alert(1)</script>"),
		store.Key[string]("iban").To("hush-4"),
		store.Key[string]("<b>key</b>").To("x"),
	)
	if err := store.Key[string]("self: "+s.ID()).Set(t.Context(), s, "self: "+s.ID()); err != nil {
		t.Fatal(err)
	}
	h := handler(t, sessions, everybody, &inspect.Options{
		Title: "Chat <1>",
		Redact: func(name string) bool {
			if name == "<b>key</b>" {
				panic(name)
			}
			return inspect.Sensitive(name) || name == "iban"
		},
	})
	list := get(t, h, "")
	detail := get(t, h, "?session="+names(list.body)[0])
	ask := get(t, h, "?end="+names(list.body)[0])
	for name, a := range map[string]answer{"list": list, "detail": detail, "question": ask} {
		if a.status != http.StatusOK {
			t.Errorf("%s: status %d", name, a.status)
		}
		for _, secret := range []string{"hush", s.ID(), "<script", "<b>", "<1>", "http://", "https://", "src=", "onclick", "style="} {
			if strings.Contains(a.body, secret) {
				t.Errorf("%s: the page has %q in it: %s", name, secret, a.body)
			}
		}
		for _, want := range []string{"Ends in, if not renewed</dt><dd>", `<meta name="viewport"`, `lang="en"`} {
			if !strings.Contains(a.body, want) {
				t.Errorf("%s: the page lacks %q", name, want)
			}
		}
	}
	for _, want := range []string{"u-42", "Ulm", "alert(1)", "<redacted>", "<the session's ID>", "msgpack, 5 bytes"} {
		if !strings.Contains(html.UnescapeString(detail.body), want) {
			t.Errorf("the page of the session lacks %q: %s", want, detail.body)
		}
	}
	for _, want := range []string{"<dt>Owned</dt><dd>1</dd>", "<dt>Created</dt><dd>1</dd>", "A lease is 60 s and is renewed every 30 s", "Of 1 sessions, 1 were confirmed", "kept for 60 s"} {
		if !strings.Contains(list.body, want) {
			t.Errorf("the list lacks %q: %s", want, list.body)
		}
	}
}

// TestTextsWithSecretsAreHidden: under names that say nothing.
func TestTextsWithSecretsAreHidden(t *testing.T) {
	const jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1In0.c2lnbmF0dXJl"
	for text, hidden := range map[string]bool{
		"wss://chat.example/ws?session=HUSH": true, "/socket.io/?EIO=4&access%5Ftoken=HUSH": true, "a=1; sid=HUSH": true, "Authorization: HUSH": true,
		"password = HUSH": true, `{"user":"u","apiKey":"HUSH"}`: true, `{"user": {"apiKey" : "HUSH`: true, "Bearer HUSH": true, "basic SFVTSA==": true,
		jwt + "HUSH": true, "see " + jwt + "HUSH": true, "line\ntoken: HUSH": true,
		"plain HUSH": false, "https://chat.example/rooms?room=HUSH": false, "author: HUSH": false, "12:30 HUSH": false, "eyJ HUSH": false, "bearers HUSH": false,
	} {
		sessions := open(t, nil)
		create(t, sessions, store.Key[string]("a").To(text), store.Key[map[string]any]("b").To(map[string]any{"x": []any{text}, text: 1}))
		h := handler(t, sessions, everybody, nil)
		list := get(t, h, "").body
		for _, page := range []string{list, get(t, h, "?session="+names(list)[0]).body} {
			if got := !strings.Contains(page, "HUSH") && !strings.Contains(page, "SFVTSA"); got != hidden {
				t.Errorf("%q is hidden: %t, want %t", text, got, hidden)
			}
		}
	}
}

// TestPolicyAllowsNothingElse: the page brings its style sheet with it, whose hash the policy names.
func TestPolicyAllowsNothingElse(t *testing.T) {
	h := handler(t, open(t, nil), everybody, nil)
	a := get(t, h, "")
	want := map[string]string{
		"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
		"Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY",
	}
	for k, v := range want {
		if got := a.header.Get(k); got != v {
			t.Errorf("%s: %q, want %q", k, got, v)
		}
	}
	policy := a.header.Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
		if !strings.Contains(policy, part) {
			t.Errorf("the policy %q lacks %q", policy, part)
		}
	}
	sheet := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(a.body)
	if sheet == nil || !strings.Contains(policy, "style-src '"+hashOf(sheet[1])+"'") {
		t.Errorf("the policy %q is not that of the style sheet on the page", policy)
	}
}

func TestEndAfterAQuestion(t *testing.T) {
	sessions := open(t, nil)
	s, other := create(t, sessions), create(t, sessions)
	var log bytes.Buffer
	h := handler(t, sessions, everybody, &inspect.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	all := names(get(t, h, "").body)
	form, otherForm := question(t, h, all[0]), question(t, h, all[1])
	alive := func() int { return sessions.Owned() }

	for _, tt := range []struct {
		name   string
		form   url.Values
		header http.Header
		want   int
	}{
		{"from another site", form, http.Header{"Sec-Fetch-Site": {"cross-site"}}, http.StatusForbidden},
		{"from a sibling", form, http.Header{"Sec-Fetch-Site": {"same-site"}}, http.StatusForbidden},
		{"with another Origin", form, http.Header{"Origin": {"https://evil.test"}}, http.StatusForbidden},
		{"with an Origin of null", form, http.Header{"Origin": {"null"}}, http.StatusForbidden},
		{"without a token", url.Values{"session": form["session"]}, nil, http.StatusForbidden},
		{"with the token of another", url.Values{"session": form["session"], "token": otherForm["token"]}, nil, http.StatusForbidden},
		{"with a longer token", url.Values{"session": form["session"], "token": {form.Get("token") + "a"}}, nil, http.StatusForbidden},
		{"with a changed token", url.Values{"session": form["session"], "token": {"b" + form.Get("token")[1:]}}, nil, http.StatusForbidden},
		{"without a session", url.Values{"token": form["token"]}, nil, http.StatusForbidden},
		{"too long", url.Values{"session": form["session"], "token": {strings.Repeat("a", 1<<20)}}, nil, http.StatusBadRequest},
	} {
		if a := post(t, h, tt.form, tt.header); a.status != tt.want || alive() != 2 {
			t.Errorf("POST %s = %d, %d sessions alive, want %d and 2", tt.name, a.status, alive(), tt.want)
		}
	}
	// In the query, nothing counts as the form.
	r := httptest.NewRequest("POST", "/?"+form.Encode(), nil)
	if a := send(t, h, r); a.status != http.StatusForbidden || alive() != 2 {
		t.Errorf("POST with the form in the query = %d, %d sessions alive", a.status, alive())
	}
	elsewhere := handler(t, sessions, everybody, nil)
	if a := post(t, elsewhere, form, nil); a.status != http.StatusForbidden || alive() != 2 {
		t.Errorf("POST to another handler = %d, %d sessions alive", a.status, alive())
	}
	if a := get(t, elsewhere, "?session="+all[0]); a.status != http.StatusNotFound {
		t.Errorf("the name of another handler = %d, want 404", a.status)
	}

	a := post(t, h, form, http.Header{"Sec-Fetch-Site": {"same-origin"}, "Origin": {"http://node.test"}})
	if a.status != http.StatusSeeOther || a.header.Get("Location") != "?ended" || alive() != 1 {
		t.Errorf("POST of the form = %d to %q, %d sessions alive, want 303 to ?ended and 1", a.status, a.header.Get("Location"), alive())
	}
	if (s.Err() == nil) == (other.Err() == nil) {
		t.Errorf("Err of the two sessions = %v and %v, want one of them ended", s.Err(), other.Err())
	}
	if got := get(t, h, "?ended").body; !strings.Contains(got, "The session has been ended.") {
		t.Errorf("the page after the end does not say so: %s", got)
	}
	if a := post(t, h, form, nil); a.status != http.StatusNotFound {
		t.Errorf("POST of the form again = %d, want 404", a.status)
	}
	for _, id := range []string{s.ID(), other.ID()} {
		if strings.Contains(log.String(), id) {
			t.Errorf("the log has an ID in it: %s", log.String())
		}
	}
	if !strings.Contains(log.String(), "session="+all[0]) {
		t.Errorf("the log = %q, want the name of the session", log.String())
	}
}

// TestLinksStayAtThePathOfThePage: below a prefix, with and without a slash at the end.
func TestLinksStayAtThePathOfThePage(t *testing.T) {
	sessions := open(t, nil)
	create(t, sessions)
	h := handler(t, sessions, everybody, nil)
	mux := http.NewServeMux()
	mux.Handle("/debug/sessions", h)
	mux.Handle("/admin/", http.StripPrefix("/admin", h))
	server := httptest.NewServer(mux)
	defer server.Close()
	for _, path := range []string{"/debug/sessions", "/admin/"} {
		s := create(t, sessions)
		page := fetch(t, server, path)
		for _, n := range names(page) {
			if strings.Contains(fetch(t, server, path+"?session="+n), "No such session") {
				t.Errorf("the link to a session at %s leads nowhere", path)
			}
		}
		form := question(t, h, names(page)[0])
		res, err := server.Client().PostForm(server.URL+path, form) // follows to ?ended
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.Request.URL.Path != path || !strings.Contains(string(body), "has been ended") {
			t.Errorf("after the end at %s comes %s, %v: %s", path, res.Request.URL, err, body)
		}
		_ = s
	}
}

func fetch(t testing.TB, server *httptest.Server, path string) string {
	t.Helper()
	res, err := server.Client().Get(server.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// TestPagesListEachSessionOnce: forwards and backwards.
func TestPagesListEachSessionOnce(t *testing.T) {
	next := regexp.MustCompile(`href="(\?after=[a-z2-7]+)"`)
	previous := regexp.MustCompile(`href="(\?before=[a-z2-7]+)"`)
	for _, n := range []int{0, 1, 24, 25, 26, 50, 130} {
		sessions := open(t, nil)
		for range n {
			create(t, sessions)
		}
		h := handler(t, sessions, everybody, nil)
		seen := make(map[string]int)
		var forward []string
		query, last := "", ""
		for at := 0; ; {
			body := get(t, h, query).body
			forward = append(forward, strings.Join(names(body), " "))
			for _, name := range names(body) {
				seen[name]++
			}
			if want := fmt.Sprintf("Sessions %d–%d of %d", at+1, min(at+25, n), n); n > 0 && !strings.Contains(body, want) {
				t.Errorf("with %d sessions: a page lacks %q", n, want)
			}
			at += 25
			last = body
			m := next.FindStringSubmatch(body)
			if m == nil {
				break
			}
			query = m[1]
		}
		if len(seen) != n {
			t.Errorf("the pages list %d of %d sessions", len(seen), n)
		}
		for name, times := range seen {
			if times != 1 {
				t.Errorf("with %d sessions: %s is listed %d times", n, name, times)
			}
		}
		for i := len(forward) - 2; i >= 0; i-- {
			m := previous.FindStringSubmatch(last)
			if m == nil {
				t.Errorf("with %d sessions: page %d has no way back", n, i+1)
				break
			}
			last = get(t, h, m[1]).body
			if got := strings.Join(names(last), " "); got != forward[i] {
				t.Errorf("with %d sessions: the way back to page %d lists %s, want %s", n, i, got, forward[i])
			}
		}
	}
}

func TestHostileQueries(t *testing.T) {
	sessions := open(t, nil)
	s := create(t, sessions)
	h := handler(t, sessions, everybody, nil)
	for _, query := range []string{
		"?session=", "?session=x", "?session=" + s.ID(), "?end=" + s.ID(), "?session=aaaaaaaaaaaaaaaa", "?end=aaaaaaaaaaaaaaaa", "?after=%00", "?before=..",
		"?after=aaaaaaaaaaaaaaa%0a", "?session=" + strings.Repeat("a", 1<<16), "?session=aaaaaaaaaaaaaaa%ff",
	} {
		if a := get(t, h, query); a.status != http.StatusNotFound || strings.Contains(a.body, s.ID()) {
			t.Errorf("GET %.80s = %d, want 404 without what was asked for", query, a.status)
		}
	}
	for _, query := range []string{"?", "?x=%zz", "?a;b", "?after=", "?ended=<b>"} {
		if a := get(t, h, query); a.status != http.StatusOK || len(names(a.body)) != 1 || strings.Contains(a.body, "<b>") {
			t.Errorf("GET %s = %d, want the list", query, a.status)
		}
	}
	r := httptest.NewRequest("PUT", "/", nil)
	if a := send(t, h, r); a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") == "" {
		t.Errorf("PUT = %d, want 405", a.status)
	}
}

// TestPageOfABackendInTrouble: the page says what failed, without the ID.
func TestPageOfABackendInTrouble(t *testing.T) {
	faulty := storetest.Faulty(memstore.New(nil))
	t.Cleanup(func() { faulty.Close() })
	sessions, err := store.New(faulty, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := create(t, sessions, userID.To("u"))
	h := handler(t, sessions, everybody, nil)
	name := names(get(t, h, "").body)[0]
	form := question(t, h, name)
	broken := errors.New("broken at " + s.ID())
	faulty.Fail(storetest.AnyOp, broken)
	for _, a := range []answer{get(t, h, ""), get(t, h, "?session="+name), get(t, h, "?end="+name)} {
		if a.status != http.StatusOK || strings.Contains(a.body, s.ID()) || !strings.Contains(a.body, "the backend failed") {
			t.Errorf("the page of a backend that fails = %d: %s", a.status, a.body)
		}
	}
	if a := post(t, h, form, nil); a.status != http.StatusBadGateway || strings.Contains(a.body, s.ID()) {
		t.Errorf("an end that fails = %d, want 502: %s", a.status, a.body)
	}
}

// TestPageWhileSessionsComeAndGo: each answer is whole, whatever ends meanwhile.
func TestPageWhileSessionsComeAndGo(t *testing.T) {
	sessions := open(t, nil)
	h := handler(t, sessions, everybody, nil)
	for range 40 {
		create(t, sessions, userID.To("u"))
	}
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			for range 500 {
				s, err := sessions.Create(t.Context(), store.NewID(), userID.To("u"))
				if err != nil {
					t.Error(err)
					return
				}
				if err := s.Destroy(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 4 {
		group.Go(func() {
			for range 10 {
				a := get(t, h, "")
				if a.status != http.StatusOK || len(names(a.body)) != 25 {
					t.Errorf("the list = %d with %d sessions, want 25", a.status, len(names(a.body)))
					return
				}
				get(t, h, "?session="+names(a.body)[0])
			}
		})
	}
	group.Wait()
}

func TestSensitive(t *testing.T) {
	for _, name := range []string{
		"token", "accessToken", "ACCESS_TOKEN", "x-access-token", "refresh token", "Claims", "tokenClaims", "password", "passwd", "PassWord", "pass_word",
		"clientSecret", "APIKey", "api_key", "key", "Authorization", "auth", "cookie", "Set-Cookie", "sid", "sessionId", "JWT", "pin", "userPIN", "otp2",
		strings.Repeat("a", 2000),
	} {
		if !inspect.Sensitive(name) {
			t.Errorf("Sensitive(%.30q) = false, want true", name)
		}
	}
	for _, name := range []string{"", "userId", "tenant", "shippingAddress", "author", "rooms", "keyboard", "compass", "\xff\xfe", "日本"} {
		if inspect.Sensitive(name) {
			t.Errorf("Sensitive(%q) = true, want false", name)
		}
	}
}

// BenchmarkList is a request for the first page.
func BenchmarkList(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			sessions := open(b, nil)
			for range n {
				create(b, sessions, userID.To("u"))
			}
			h := handler(b, sessions, everybody, nil)
			for b.Loop() {
				get(b, h, "")
			}
		})
	}
}

// TestPageOfABackendThatHangs: each request ends within its time, and those that wait for others say so.
func TestPageOfABackendThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := memstore.New(nil)
		defer memory.Close()
		var hangs atomic.Bool
		sessions, err := store.New(store.WrapStores(memory, func(s store.Store) store.Store { return hanging{s, &hangs} }), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer sessions.Close(context.Background())
		for range 30 {
			create(t, sessions, userID.To("u"))
		}
		h := handler(t, sessions, everybody, nil)
		name := names(get(t, h, "").body)[0]
		form := question(t, h, name)
		hangs.Store(true)
		var group sync.WaitGroup
		var busy, slow atomic.Int64
		begin := time.Now()
		for range 5 {
			group.Go(func() {
				switch a := get(t, h, ""); {
				case a.status == http.StatusServiceUnavailable && strings.Contains(a.body, "Busy"):
					busy.Add(1)
				case a.status == http.StatusOK && strings.Contains(a.body, "context deadline exceeded"):
					slow.Add(1)
				default:
					t.Errorf("the list = %d: %s", a.status, a.body)
				}
			})
		}
		group.Wait()
		// A request may get a place in the very moment in which its time ends.
		if took := time.Since(begin); took > 11*time.Second || slow.Load() < 2 || slow.Load()+busy.Load() != 5 {
			t.Errorf("after %v %d requests were answered and %d were turned away, want at least 2, and all after 10 s", took, slow.Load(), busy.Load())
		}
		begin = time.Now()
		if a, took := post(t, h, form, nil), time.Since(begin); a.status != http.StatusBadGateway || took > 16*time.Second {
			t.Errorf("an end that hangs = %d after %v, want 502 after 15 s", a.status, took)
		}
		hangs.Store(false)
	})
}

// hanging is a Store that answers when the context has ended.
type hanging struct {
	store.Store
	hangs *atomic.Bool
}

func (s hanging) wait(ctx context.Context) error {
	if s.hangs.Load() {
		<-ctx.Done()
	}
	return ctx.Err()
}

func (s hanging) Keys(ctx context.Context) ([]string, error) {
	if err := s.wait(ctx); err != nil {
		return nil, err
	}
	return store.Keys(ctx, s.Store)
}

func (s hanging) Destroy(ctx context.Context) error {
	if err := s.wait(ctx); err != nil {
		return err
	}
	return s.Store.Destroy(ctx)
}

// TestPageOfClosedSessions: nothing is listed, and nothing panics.
func TestPageOfClosedSessions(t *testing.T) {
	sessions := open(t, nil)
	create(t, sessions)
	h := handler(t, sessions, everybody, nil)
	name := names(get(t, h, "").body)[0]
	if err := sessions.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a := get(t, h, ""); a.status != http.StatusOK || !strings.Contains(a.body, "No sessions") {
		t.Errorf("the list after Close = %d: %s", a.status, a.body)
	}
	if a := get(t, h, "?session="+name); a.status != http.StatusNotFound {
		t.Errorf("a session after Close = %d, want 404", a.status)
	}
}
