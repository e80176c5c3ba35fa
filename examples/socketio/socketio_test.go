package main

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sessionkv/store/internal/sioclient"
)

// However a node ends, its client goes on at the other with what it had.
func TestNodeEnds(t *testing.T) {
	b := newBackend(t)
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			onTransports(t, func(t *testing.T, transport string) {
				d := sioclient.Shared(t)
				nodes := startNodes(t, 2, b.url)
				c, id, _ := nodes[0].connected(t, d, transport, as("ann"))
				if diff := cmp.Diff([]any{"tea"}, c.Ask("add", "tea")); diff != "" {
					t.Errorf("add answered (-want +got):\n%s", diff)
				}
				nodes[0].end(sig)
				c.Next("disconnect")

				e, got, visit := nodes[1].connected(t, d, transport, again("ann", id))
				if got != id {
					t.Fatal("the other node began another session")
				}
				want := map[string]any{
					"node": strings.TrimPrefix(nodes[1].url, "http://"), "user": "ann", "connects": 2.0, "basket": []any{"tea"},
				}
				if diff := cmp.Diff(want, visit); diff != "" {
					t.Errorf("hello at the other node (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff([]any{"tea", "milk"}, e.Ask("add", "milk")); diff != "" {
					t.Errorf("add at the other node answered (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// A client that is killed leaves its session for the grace. In it, it goes on at
// another node; after it, the server holds nothing.
func TestClientKilled(t *testing.T) {
	onTransports(t, func(t *testing.T, transport string) {
		b := newBackend(t)
		nodes := startNodes(t, 2, b.url, "-grace", "2s")
		d := sioclient.Start(t)
		c, id, _ := nodes[0].connected(t, d, transport, as("ann"))
		c.Ask("add", "tea")
		d.Kill(t)

		d = sioclient.Start(t)
		_, got, visit := nodes[1].connected(t, d, transport, again("ann", id))
		if got != id || !cmp.Equal(visit["basket"], []any{"tea"}) {
			t.Errorf("hello at the other node = %v (same session: %t), want the basket", visit, got == id)
		}
		d.Kill(t)
		b.await(t, 0)
	})
}

// A client that leaves on purpose takes its session with it, whatever the grace.
func TestLeave(t *testing.T) {
	onTransports(t, func(t *testing.T, transport string) {
		b := newBackend(t)
		n := startNodes(t, 1, b.url, "-grace", "1h")[0]
		c, _, _ := n.connected(t, sioclient.Shared(t), transport, as("ann"))
		b.await(t, 1)
		c.Do("leave", nil)
		b.await(t, 0)
	})
}

func TestRefusals(t *testing.T) {
	onTransports(t, func(t *testing.T, transport string) {
		b := newBackend(t)
		n := startNodes(t, 1, b.url)[0]
		d := sioclient.Shared(t)
		owner, id, _ := n.connected(t, d, transport, as("ann"))
		token, _ := as("ann")["token"].(string)
		for _, tt := range []struct {
			name string
			auth map[string]any
			want string
		}{
			{"no token", nil, "sign in again"},
			{"a token that is no text", map[string]any{"token": 7}, "sign in again"},
			{"a token without its sum", map[string]any{"token": strings.Split(token, ".")[0]}, "sign in again"},
			{"a sum for another user", map[string]any{"token": encode([]byte("bob")) + "." + strings.Split(token, ".")[1]}, "sign in again"},
			{"a token of another secret", map[string]any{"token": sign([]byte("guessed"), "ann")}, "sign in again"},
			{"a bad token, with the ID of a session", map[string]any{"token": "bad", "session": id}, "sign in again"},
			{"another user, with the ID of a session", again("bob", id), "that is not your session"},
		} {
			c := d.Connect(t, n.url, transport, tt.auth)
			if got := c.Next("connect_error")[0]; got != tt.want {
				t.Errorf("%s: connect_error %q, want %q", tt.name, got, tt.want)
			}
		}
		if diff := cmp.Diff([]any{"tea"}, owner.Ask("add", "tea")); diff != "" {
			t.Errorf("the owner's add answered (-want +got):\n%s", diff)
		}
		b.await(t, 1)
	})
}

func TestAddRefuses(t *testing.T) {
	d := sioclient.Shared(t)
	n := startNode(t, "-addr", "127.0.0.1:0")
	c, _, _ := n.connected(t, d, "websocket", as("ann"))
	for _, args := range [][]any{nil, {""}, {7}, {[]any{"tea"}}, {strings.Repeat("é", maxThing/2+1)}} {
		want := map[string]any{"error": "name a thing, in 40 bytes at most"}
		if diff := cmp.Diff(want, c.Ask("add", args...)); diff != "" {
			t.Errorf("add(%v) answered (-want +got):\n%s", args, diff)
		}
	}
	for range maxBasket {
		c.Ask("add", "tea")
	}
	if diff := cmp.Diff(map[string]any{"error": "the basket is full"}, c.Ask("add", "tea")); diff != "" {
		t.Errorf("add to a full basket answered (-want +got):\n%s", diff)
	}
}

func TestLogin(t *testing.T) {
	n := startNode(t, "-addr", "127.0.0.1:0")
	status, body := n.login("ann")
	if user, ok := verify([]byte(testSecret), strings.Trim(body, `"`)); status != http.StatusOK || user != "ann" || !ok {
		t.Errorf("login(ann) = %d %s, want a token of ann", status, body)
	}
	for _, user := range []string{"", strings.Repeat("a", maxUser+1)} {
		if status, body := n.login(user); status != http.StatusBadRequest {
			t.Errorf("login(%q) = %d %s, want 400", user, status, body)
		}
	}
}

func TestRunRefusals(t *testing.T) {
	two := []string{"http://127.0.0.1:1", "http://127.0.0.1:2"}
	for _, tt := range []struct {
		name string
		c    config
		want string
	}{
		{"nodes without a shared store", config{addr: "127.0.0.1:0", store: "memory:", nodes: two, secret: []byte(testSecret)}, "-store"},
		{"nodes without a secret", config{addr: "127.0.0.1:0", store: "redis://127.0.0.1:1", nodes: two}, secretVariable},
		{"a store of no kind", config{addr: "127.0.0.1:0", store: "nosuch://u:hunter2@h"}, "unknown scheme"},
		{"an address of no kind", config{addr: "nowhere", store: "memory:"}, "nowhere"},
	} {
		err := run(t.Context(), tt.c)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: run = %v, want an error with %q and no password", tt.name, err, tt.want)
		}
	}
}

// No connection leaves a session on the server, whichever way it ends.
func TestManyConnections(t *testing.T) {
	d := sioclient.Shared(t)
	b := newBackend(t)
	nodes := startNodes(t, 2, b.url, "-grace", "2s")
	total := connections
	if testing.Short() {
		total = min(total, 1000)
	}
	const atOnce = 20
	for done := 0; done < total; done += atOnce {
		clients := make([]*sioclient.Client, atOnce)
		for i := range clients {
			clients[i] = d.Connect(t, nodes[i%2].url, transports[i/2%len(transports)], as("ann"))
		}
		for i, c := range clients {
			c.Session()
			c.Do([]string{"leave", "drop"}[i/4%2], nil)
		}
	}
	b.await(t, 0)
	t.Logf("%d connections over %v, half of them left on purpose, half lost: the server holds 0 sessions", total, transports)
}

// What the page loads is what npm has.
func TestPageHasTheClientLibrary(t *testing.T) {
	want, err := os.ReadFile(filepath.Join(sioclient.Dir(t), "node_modules", "socket.io-client", "dist", "socket.io.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join("web", "socket.io.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("web/socket.io.min.js is not the file of the npm package")
	}
}
