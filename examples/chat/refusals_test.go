package main

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/golang-jwt/jwt/v5"
)

func TestBadTokens(t *testing.T) {
	n, _ := startNode(t)
	sign := func(method jwt.SigningMethod, key any, c jwt.MapClaims) string {
		s, err := jwt.NewWithClaims(method, c).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	secret, later := []byte(testSecret), time.Now().Add(time.Hour).Unix()
	for _, tt := range []struct{ name, token, want string }{
		{"malformed", "nonsense", "malformed"},
		{"two dots", "a.b.c", "malformed"},
		{"wrong secret", sign(jwt.SigningMethodHS256, []byte(strings.Repeat("x", 32)), jwt.MapClaims{"sub": "ann", "exp": later}), "not signed by this server"},
		{"alg none", sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, jwt.MapClaims{"sub": "ann", "exp": later}), "not signed by this server"},
		{"HS512", sign(jwt.SigningMethodHS512, secret, jwt.MapClaims{"sub": "ann", "exp": later}), "not signed by this server"},
		{"expired", sign(jwt.SigningMethodHS256, secret, jwt.MapClaims{"sub": "ann", "exp": time.Now().Add(-time.Minute).Unix()}), "expired at 20"},
		{"no exp", sign(jwt.SigningMethodHS256, secret, jwt.MapClaims{"sub": "ann"}), "no exp claim"},
		{"no sub", sign(jwt.SigningMethodHS256, secret, jwt.MapClaims{"exp": later}), "sub claim is empty"},
		{"hostile sub", sign(jwt.SigningMethodHS256, secret, jwt.MapClaims{"sub": "a\x00b", "exp": later}), "cannot be printed"},
		{"sub of a wrong type", sign(jwt.SigningMethodHS256, secret, jwt.MapClaims{"sub": 7, "exp": later}), "malformed"},
		{"not yet valid", sign(jwt.SigningMethodHS256, secret, jwt.MapClaims{"sub": "ann", "exp": later, "nbf": later}), "not valid"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, res, err := dialer{token: tt.token}.dial(t, n)
			if err == nil {
				t.Fatal("dial = nil, want a refusal")
			}
			checkRefusal(t, res, http.StatusUnauthorized, tt.want)

			code, body := n.callAs(tt.token, "GET", "/api/whoami", "")
			if code != http.StatusUnauthorized || !strings.Contains(body, tt.want) {
				t.Errorf("GET /api/whoami = %d %q, want 401 with %q", code, body, tt.want)
			}
		})
	}
	t.Run("none", func(t *testing.T) {
		code, body := n.callAs("", "GET", "/ws", "")
		if code != http.StatusUnauthorized || body != "no token: sign in first" {
			t.Errorf("GET /ws = %d %q, want 401", code, body)
		}
	})
	n.connect(t, dialer{}) // the server is up
}

// checkRefusal checks that res has that code and one line with text in it.
func checkRefusal(t *testing.T, res *http.Response, code int, text string) {
	t.Helper()
	if res == nil {
		t.Fatal("no response, want one")
	}
	body, _ := io.ReadAll(res.Body)
	line := strings.TrimSuffix(string(body), "\n")
	if res.StatusCode != code || !strings.Contains(line, text) || strings.Contains(line, "\n") {
		t.Errorf("response = %d %q, want %d and one line with %q", res.StatusCode, body, code, text)
	}
}

func TestForeignOriginIsRefused(t *testing.T) {
	n, _ := startNode(t)
	_, res, err := dialer{header: http.Header{"Origin": {"https://evil.example"}}}.dial(t, n)
	if err == nil {
		t.Fatal("dial = nil, want a refusal")
	}
	if res.StatusCode != http.StatusForbidden {
		t.Errorf("status = %d, want 403", res.StatusCode)
	}
	n.connect(t, dialer{header: http.Header{"Origin": {n.url}}})
	if total := n.sessions().Total; total != 1 {
		t.Errorf("%d sessions, want 1: the refused handshake must leave none", total)
	}
}

func TestBadMessages(t *testing.T) {
	n, _ := startNode(t)
	p := n.connect(t, dialer{})
	for _, tt := range []struct{ name, send, want string }{
		{"not JSON", `hello`, "not a message"},
		{"empty", ``, "not a message"},
		{"an array", `[1]`, "not a message"},
		{"two objects", `{"type":"state"}{"type":"state"}`, "something follows"},
		{"unknown field", `{"type":"state","x":1}`, "unknown field"},
		{"wrong type of field", `{"type":"say","room":7}`, "not a message"},
		{"no type", `{}`, "no type"},
		{"unknown type", `{"type":"shout"}`, `unknown type "shout"`},
		{"nothing to say", `{"type":"say","room":"lobby","text":"  "}`, "empty"},
		{"too long", `{"type":"say","room":"lobby","text":"` + strings.Repeat("x", maxText+1) + `"}`, "2001 characters"},
		{"not in that room", `{"type":"say","room":"nowhere","text":"hi"}`, `not in room "nowhere"`},
		{"leave what was not joined", `{"type":"leave","room":"nowhere"}`, `not in room "nowhere"`},
		{"empty nickname", `{"type":"nickname","name":" "}`, "nickname is empty"},
		{"long nickname", `{"type":"nickname","name":"` + strings.Repeat("x", 33) + `"}`, "33 characters"},
		{"control character", `{"type":"nickname","name":"a\u0007b"}`, "cannot be printed"},
		{"room with a line break", `{"type":"join","room":"a\nb"}`, "cannot be printed"},
		{"room with a space at its end", `{"type":"join","room":"a "}`, "space"},
		{"bidirectional override", `{"type":"nickname","name":"a\u202eb"}`, "cannot be printed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := p.refused(tt.send); !strings.Contains(got, tt.want) || strings.Contains(got, "\n") {
				t.Errorf("answer to %.60s = %q, want one line with %q", tt.send, got, tt.want)
			}
		})
	}
	t.Run("binary", func(t *testing.T) {
		if err := p.conn.Write(t.Context(), websocket.MessageBinary, []byte{0xff}); err != nil {
			t.Fatal(err)
		}
		if got := await1(p, "error", func(failure) bool { return true }).Text; !strings.Contains(got, "binary") {
			t.Errorf("answer = %q, want it to say binary", got)
		}
	})
	t.Run("too many rooms", func(t *testing.T) {
		for i := range maxRooms - 1 {
			p.ask(`{"type":"join","room":"r` + string(rune('a'+i)) + `"}`)
		}
		if got := p.refused(`{"type":"join","room":"one more"}`); !strings.Contains(got, "leave one first") {
			t.Errorf("answer = %q, want it to say what to do", got)
		}
	})
	if got := p.ask(`{"type":"state"}`); got.Messages != 0 || got.Nickname != "ann" || len(got.Rooms) != maxRooms {
		t.Errorf("state = %+v, want it untouched by what was refused", got)
	}
	t.Run("beyond the limit of the wire", func(t *testing.T) {
		p.send(`{"type":"say","room":"lobby","text":"` + strings.Repeat("x", maxMessage) + `"}`)
		if got := p.closed(); got.Code != websocket.StatusMessageTooBig {
			t.Errorf("closed with %d %q, want %d", got.Code, got.Reason, websocket.StatusMessageTooBig)
		}
	})
	n.connect(t, dialer{}) // the server is up
}

func TestAPIRefusals(t *testing.T) {
	n, _ := startNode(t)
	guest := mint(t, TokenClaims{Subject: "guest", Expires: time.Now().Add(time.Hour)})
	for _, tt := range []struct {
		name, token, method, path, body string
		code                            int
		want                            string
	}{
		{"kick as guest", guest, "POST", "/api/kick", `{"hash":"x"}`, 403, "administrators"},
		{"read a session as guest", guest, "POST", "/api/session", `{"session":"x"}`, 403, "administrators"},
		{"list without token", "", "GET", "/api/sessions", "", 401, "no token"},
		{"bad body", token(t, "root"), "POST", "/api/kick", `{`, 400, "not what it should be"},
		{"big body", token(t, "root"), "POST", "/api/kick", `{"hash":"` + strings.Repeat("x", 10000) + `"}`, 400, "too large"},
		{"no such session", token(t, "root"), "POST", "/api/session", `{"session":"ABCDEFGHIJKLMNOPQRSTUVWXYZ"}`, 404, "no session with this ID"},
		{"empty ID", token(t, "root"), "POST", "/api/session", `{"session":""}`, 400, "cannot be a session ID"},
		{"bad nickname", token(t, "root"), "POST", "/api/session", `{"session":"x","nickname":"a\u0000"}`, 400, "cannot be printed"},
		{"login without a name", "", "POST", "/api/login", `{"user":" "}`, 400, "user is empty"},
		{"unknown page", "", "GET", "/nowhere", "", 404, "not found"},
		{"ID in a URL", token(t, "root"), "GET", "/api/session?session=x", "", 404, "not found"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, body := n.callAs(tt.token, tt.method, tt.path, tt.body)
			if code != tt.code || !strings.Contains(body, tt.want) {
				t.Errorf("%s %s = %d %q, want %d with %q", tt.method, tt.path, code, body, tt.code, tt.want)
			}
		})
	}
}

func TestLoginMintsToken(t *testing.T) {
	n, _ := startNode(t)
	code, body := n.callAs("", "POST", "/api/login", `{"user":"ann","tenant":"acme"}`)
	if code != http.StatusOK {
		t.Fatalf("POST /api/login = %d %s, want 200", code, body)
	}
	tok := decodeAs[struct{ Token string }](t, body).Token
	p := n.connect(t, dialer{token: tok})
	if c := p.welcome.State.Claims; c.Subject != "ann" || c.Tenant != "acme" || c.Admin || time.Until(c.Expires) < time.Hour {
		t.Errorf("claims = %+v, want ann at acme, no administrator, for hours", c)
	}
}
