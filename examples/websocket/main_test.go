package main

import (
	"context"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/sessionkv/store/internal/testserver"
)

func TestMain(m *testing.M) { os.Exit(testserver.Main(m)) }

// patience bounds waiting for what must come.
const patience = 30 * time.Second

// A node is a server that run serves.
type node struct {
	addr string
	stop func()
}

func start(t *testing.T, url string) *node {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &node{addr: l.Addr().String()}
	l.Close()
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- run(ctx, n.addr, url) }()
	var done bool
	n.stop = func() {
		cancel()
		if done {
			return
		}
		done = true
		if err := <-stopped; err != nil {
			t.Errorf("run(%s) = %v, want nil after its context ended", url, err)
		}
	}
	t.Cleanup(n.stop)
	return n
}

// dial connects, and returns the connection, the session's ID and the status.
func (n *node) dial(t *testing.T, user, id string) (*websocket.Conn, string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		ws, resp, err := websocket.Dial(ctx, "ws://"+n.addr+"/?user="+user+"&session="+id, nil)
		switch {
		case err == nil:
			t.Cleanup(func() { ws.CloseNow() })
			return ws, strings.TrimPrefix(read(t, ws), "session "), http.StatusSwitchingProtocols
		case resp != nil:
			return nil, "", resp.StatusCode
		case ctx.Err() != nil:
			t.Fatalf("Dial = %v, want nil", err)
		}
		time.Sleep(10 * time.Millisecond) // it is starting
	}
}

func read(t *testing.T, ws *websocket.Conn) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, text, err := ws.Read(ctx)
	if err != nil {
		t.Fatalf("Read = %v, want a message", err)
	}
	return string(text)
}

func says(t *testing.T, ws *websocket.Conn, text, want string) {
	t.Helper()
	if err := ws.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
		t.Fatal(err)
	}
	if got := read(t, ws); got != want {
		t.Errorf("answer to %q = %q, want %q", text, got, want)
	}
}

func TestOneNode(t *testing.T) {
	n := start(t, "memory:")
	if _, _, status := n.dial(t, "", ""); status != http.StatusUnauthorized {
		t.Errorf("status without a user = %d, want 401", status)
	}
	ws, id, _ := n.dial(t, "ann", "")
	says(t, ws, "hello", "1: hello")

	if _, _, status := n.dial(t, "eve", id); status != http.StatusForbidden {
		t.Errorf("status of a stranger with the ID = %d, want 403", status)
	}
	says(t, ws, "still here", "2: still here")

	ws.CloseNow() // the connection is lost
	ws, again, _ := n.dial(t, "ann", id)
	if again != id {
		t.Error("after a lost connection the client has another session, want the same")
	}
	says(t, ws, "back", "3: back")

	ws.Close(websocket.StatusNormalClosure, "bye")
	// The goodbye is on its way to the session; it has arrived when the ID is unknown.
	deadline := time.Now().Add(patience)
	for again == id && time.Now().Before(deadline) {
		ws, again, _ = n.dial(t, "ann", id)
		if again == id {
			ws.Close(websocket.StatusNormalClosure, "bye")
		}
	}
	if again == id {
		t.Error("after a goodbye the session goes on, want a new one")
	}
}

func TestTwoNodes(t *testing.T) {
	url := testserver.Redis(t).URL
	one, two := start(t, url), start(t, url)
	ws, id, _ := one.dial(t, "ann", "")
	says(t, ws, "hello", "1: hello")
	one.stop()
	ws, again, _ := two.dial(t, "ann", id)
	if again != id {
		t.Error("at the other node the client has another session, want the same")
	}
	says(t, ws, "here now", "2: here now")
}
