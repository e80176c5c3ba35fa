package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"
	"github.com/sessionkv/store/internal/await"
)

func TestHandshakeBecomesSession(t *testing.T) {
	n, _ := startNode(t, "-node", "n1")
	expires := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	p := n.connect(t, dialer{
		token:  mint(t, TokenClaims{Subject: "ann", Tenant: "acme", Admin: true, Expires: expires}),
		query:  "client=test&room=go&nickname=Annie",
		header: http.Header{"User-Agent": {"tester/1"}, "Accept-Language": {"de"}},
	})
	got := p.welcome.State
	if !strings.HasPrefix(got.Handshake.Remote, "127.0.0.1:") {
		t.Errorf("Handshake.Remote = %q, want 127.0.0.1:port", got.Handshake.Remote)
	}
	if since := time.Since(got.Handshake.At); since < 0 || since > time.Hour {
		t.Errorf("Handshake.At is %v ago, want a moment", since)
	}
	got.Handshake.Remote, got.Handshake.At = "", time.Time{}
	want := view{
		Hash:   shortHash(p.welcome.Session),
		User:   "ann",
		Claims: TokenClaims{Subject: "ann", Tenant: "acme", Admin: true, Expires: expires},
		Handshake: HandshakeInfo{
			Node:      "n1",
			UserAgent: "tester/1",
			Language:  "de",
			Query:     map[string]string{"client": "test", "room": "go", "nickname": "Annie"},
		},
		Nickname: "Annie",
		Rooms:    []string{"go"},
		Connects: 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("state after the handshake (-want +got):\n%s", diff)
	}
	if p.conn.Subprotocol() != subprotocol {
		t.Errorf("Subprotocol() = %q, want %q: the token must not come back", p.conn.Subprotocol(), subprotocol)
	}
}

func TestHandshakeQueryIsUntrusted(t *testing.T) {
	n, _ := startNode(t)
	p := n.connect(t, dialer{query: "room=%00bad&nickname=" + strings.Repeat("x", 500)})
	if got := p.welcome.State; got.Nickname != "ann" || !slices.Equal(got.Rooms, []string{"lobby"}) {
		t.Errorf("nickname %q and rooms %q, want the user's name and the lobby", got.Nickname, got.Rooms)
	}
}

func TestTypedKeysChangeWithMessages(t *testing.T) {
	for _, codec := range []string{"msgpack", "json"} {
		t.Run(codec, func(t *testing.T) {
			n, _ := startNode(t, "-codec", codec)
			ann := n.connect(t, dialer{user: "ann"})
			bob := n.connect(t, dialer{user: "bob"})

			if got := ann.ask(`{"type":"nickname","name":"Ännchen 🎈"}`); got.Nickname != "Ännchen 🎈" {
				t.Errorf("nickname = %q, want Ännchen 🎈", got.Nickname)
			}
			if got := ann.ask(`{"type":"join","room":"go"}`); !slices.Equal(got.Rooms, []string{"lobby", "go"}) {
				t.Errorf("rooms after join = %q, want lobby, go", got.Rooms)
			}
			for i := range 3 {
				if got := ann.ask(`{"type":"say","room":"lobby","text":"hello"}`); got.Messages != int64(i+1) {
					t.Errorf("messages = %d, want %d", got.Messages, i+1)
				}
				got := await1(bob, "said", func(said) bool { return true })
				got.At = time.Time{}
				want := said{Type: "said", Room: "lobby", From: "Ännchen 🎈", Hash: ann.welcome.State.Hash, Text: "hello", N: int64(i + 1)}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("what bob receives (-want +got):\n%s", diff)
				}
			}
			if got := ann.ask(`{"type":"leave","room":"lobby"}`); !slices.Equal(got.Rooms, []string{"go"}) {
				t.Errorf("rooms after leave = %q, want go", got.Rooms)
			}

			// Who has left hears nothing any more: bob's word is not between ann's two.
			bob.ask(`{"type":"say","room":"lobby","text":"anybody?"}`)
			ann.send(`{"type":"say","room":"go","text":"end"}`)
			if got := await1(ann, "said", func(m said) bool { return m.From == "bob" || m.Text == "end" }); got.From == "bob" {
				t.Errorf("ann heard %+v in a room that she has left", got)
			}
		})
	}
}

func TestLiveTable(t *testing.T) {
	n, _ := startNode(t)
	ann := n.connect(t, dialer{user: "ann"})
	bob := n.connect(t, dialer{user: "bob"})
	bob.send(`{"type":"watch"}`)
	ann.ask(`{"type":"nickname","name":"Annie"}`)
	got := await1(bob, "sessions", func(m table) bool { return len(m.Rows) == 2 && m.Rows[0].Nickname == "Annie" })
	if got.Total != 2 || got.Rows[1].User != "bob" {
		t.Errorf("table = %+v, want two sessions, bob's the second", got)
	}

	// A change from elsewhere, here through the API, shows as well.
	code, body := n.call("POST", "/api/session", fmt.Sprintf(`{"session":%q,"nickname":"from afar"}`, ann.welcome.Session))
	if code != http.StatusOK {
		t.Fatalf("POST /api/session = %d %s, want 200", code, body)
	}
	await1(bob, "sessions", func(m table) bool { return len(m.Rows) == 2 && m.Rows[0].Nickname == "from afar" })

	ann.conn.CloseNow()
	m := await1(bob, "sessions", func(m table) bool { return len(m.Rows) == 1 && len(m.Suspended) == 1 })
	if m.Suspended[0].Hash != ann.welcome.State.Hash || m.Suspended[0].Nickname != "Annie" {
		t.Errorf("suspended = %+v, want ann's session", m.Suspended)
	}
}

func TestReloadWithinGraceKeepsState(t *testing.T) {
	n, _ := startNode(t)
	p := n.connect(t, dialer{})
	p.ask(`{"type":"nickname","name":"Annie"}`)
	p.ask(`{"type":"join","room":"go"}`)
	p.ask(`{"type":"say","room":"go","text":"hello"}`)
	p.conn.CloseNow()
	await.Until(t, "the session is suspended", func() bool { return len(n.sessions().Suspended) == 1 })

	q := n.connect(t, dialer{session: p.welcome.Session})
	if !q.welcome.Resumed || q.welcome.Session != p.welcome.Session {
		t.Fatalf("welcome = %+v, want the same session resumed", q.welcome)
	}
	got := q.welcome.State
	if got.Nickname != "Annie" || !slices.Equal(got.Rooms, []string{"lobby", "go"}) || got.Messages != 1 || got.Connects != 2 {
		t.Errorf("state after the reload = %+v, want that of before with 2 connects", got)
	}
	if got := q.ask(`{"type":"say","room":"go","text":"again"}`); got.Messages != 2 {
		t.Errorf("messages = %d, want 2", got.Messages)
	}
	if rows := n.sessions(); len(rows.Rows) != 1 || len(rows.Suspended) != 0 {
		t.Errorf("table = %+v, want one live session and none suspended", rows)
	}
}

func TestSignOutEverywhere(t *testing.T) {
	n, _ := startNode(t)
	for _, user := range []string{"ann", "ann", "bob"} {
		n.connect(t, dialer{user: user}).conn.CloseNow()
	}
	await.Until(t, "the sessions are suspended", func() bool { return len(n.sessions().Suspended) == 3 })
	n.connect(t, dialer{user: "ann"})
	if code, body := n.callAs(token(t, "ann"), "POST", "/api/bye-everywhere", "{}"); code != http.StatusOK || body != `{"destroyed":3}` {
		t.Errorf("POST /api/bye-everywhere = %d %s, want 200 and 3 destroyed", code, body)
	}
	await.Until(t, "only bob's session is left", func() bool { m := n.sessions(); return m.Total == 0 && len(m.Suspended) == 1 })
}

func TestReloadAfterGraceBeginsAnew(t *testing.T) {
	n, _ := startNode(t, "-grace", "1s")
	p := n.connect(t, dialer{})
	p.ask(`{"type":"nickname","name":"Annie"}`)
	p.conn.CloseNow()
	await.Until(t, "the session ends", func() bool { _, ok := n.session(p.welcome.Session); return !ok })

	q := n.connect(t, dialer{session: p.welcome.Session})
	if q.welcome.Resumed || q.welcome.Session == p.welcome.Session || q.welcome.State.Nickname != "ann" {
		t.Errorf("welcome = %+v, want a new session", q.welcome)
	}
	if !strings.Contains(q.welcome.Notice, "over") {
		t.Errorf("notice = %q, want it to say that the session is over", q.welcome.Notice)
	}
}

func TestWithoutGraceDisconnectDestroys(t *testing.T) {
	n, _ := startNode(t, "-grace", "0")
	p := n.connect(t, dialer{})
	if _, ok := n.session(p.welcome.Session); !ok {
		t.Fatal("the session is not there while its client is connected")
	}
	p.conn.CloseNow()
	await.Until(t, "the session ends", func() bool { _, ok := n.session(p.welcome.Session); return !ok })
}

func TestTakeoverBeforeDisconnectIsNoticed(t *testing.T) {
	for _, grace := range []string{"0", "30s"} {
		t.Run("grace "+grace, func(t *testing.T) {
			n, _ := startNode(t, "-grace", grace)
			old := n.connect(t, dialer{})
			old.ask(`{"type":"nickname","name":"Annie"}`)
			p := n.connect(t, dialer{session: old.welcome.Session})
			if !p.welcome.Resumed || p.welcome.State.Nickname != "Annie" {
				t.Fatalf("welcome = %+v, want the session of the first connection", p.welcome)
			}
			if got := old.closed(); got.Code != closeTakeover {
				t.Errorf("the first connection was closed with %d %q, want %d", got.Code, got.Reason, closeTakeover)
			}
			await.Until(t, "the first connection is over", func() bool { return n.sessions().Total == 1 })

			// Its end did not touch the session.
			if got := p.ask(`{"type":"say","room":"lobby","text":"still here"}`); got.Messages != 1 || got.Connects != 2 {
				t.Errorf("state = %+v, want 1 message and 2 connects", got)
			}
		})
	}
}

func TestSessionOfAnotherUser(t *testing.T) {
	n, _ := startNode(t)
	ann := n.connect(t, dialer{user: "ann"})
	eve := n.connect(t, dialer{user: "eve", session: ann.welcome.Session})
	if eve.welcome.Resumed || eve.welcome.Session == ann.welcome.Session {
		t.Errorf("welcome = %+v, want a session of eve's own", eve.welcome)
	}
	if got := ann.ask(`{"type":"say","room":"lobby","text":"mine"}`); got.User != "ann" || got.Messages != 1 {
		t.Errorf("ann's state = %+v, want it untouched", got)
	}
}

func TestKick(t *testing.T) {
	n, _ := startNode(t)
	p := n.connect(t, dialer{})
	code, body := n.call("POST", "/api/kick", fmt.Sprintf(`{"hash":%q}`, p.welcome.State.Hash))
	if code != http.StatusOK {
		t.Fatalf("POST /api/kick = %d %s, want 200", code, body)
	}
	if got := p.closed(); got.Code != closeKicked {
		t.Errorf("closed with %d %q, want %d", got.Code, got.Reason, closeKicked)
	}
	if _, ok := n.session(p.welcome.Session); ok {
		t.Error("the session lives on after the kick")
	}
	if code, body := n.call("POST", "/api/kick", `{"hash":"000000000000"}`); code != http.StatusNotFound {
		t.Errorf("kick of nobody = %d %s, want 404", code, body)
	}
}

func TestDestroyByID(t *testing.T) {
	n, _ := startNode(t)
	p := n.connect(t, dialer{})
	code, body := n.call("POST", "/api/session", fmt.Sprintf(`{"session":%q,"destroy":true}`, p.welcome.Session))
	if code != http.StatusOK {
		t.Fatalf("POST /api/session = %d %s, want 200", code, body)
	}
	if got := p.closed(); got.Code != closeEnded {
		t.Errorf("closed with %d %q, want %d", got.Code, got.Reason, closeEnded)
	}
}

func TestSignOutDestroys(t *testing.T) {
	n, _ := startNode(t)
	p := n.connect(t, dialer{})
	p.send(`{"type":"bye"}`)
	if got := p.closed(); got.Code != websocket.StatusNormalClosure {
		t.Errorf("closed with %d %q, want %d", got.Code, got.Reason, websocket.StatusNormalClosure)
	}
	// Destroy ends the handle, which closes the connection, and then the session.
	await.Until(t, "the session is gone after its client has signed out", func() bool {
		_, ok := n.session(p.welcome.Session)
		return !ok
	})
}

func TestTokenExpiresDuringConnection(t *testing.T) {
	n, _ := startNode(t)
	short := mint(t, TokenClaims{Subject: "ann", Expires: time.Now().Add(2 * time.Second)})
	p := n.connect(t, dialer{token: short})
	if got := p.closed(); got.Code != closeToken {
		t.Errorf("closed with %d %q, want %d", got.Code, got.Reason, closeToken)
	}
	if q := n.connect(t, dialer{session: p.welcome.Session}); !q.welcome.Resumed {
		t.Errorf("welcome with a new token = %+v, want the session resumed", q.welcome)
	}
}

func TestSlowClientIsDroppedAndHoldsUpNobody(t *testing.T) {
	n, _ := startNode(t)
	fast := n.connect(t, dialer{user: "fast"})
	n.connect(t, dialer{user: "slow"}) // and never reads again
	say := fmt.Sprintf(`{"type":"say","room":"lobby","text":%q}`, strings.Repeat("€", maxText))
	await.Until(t, "the slow client is dropped", func() bool {
		for range 50 {
			fast.ask(say)
		}
		return strings.Contains(n.logs.String(), farewellSlow.reason)
	})
	if got := fast.ask(say); got.User != "fast" {
		t.Errorf("state = %+v, want fast's", got)
	}
}

func TestGracefulStop(t *testing.T) {
	n, stop := startNode(t)
	p := n.connect(t, dialer{})
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	if got := p.closed(); got.Code != websocket.StatusGoingAway {
		t.Errorf("closed with %d %q, want %d", got.Code, got.Reason, websocket.StatusGoingAway)
	}
	if err := <-stopped; err != nil {
		t.Errorf("run = %v, want nil", err)
	}
}
