package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestGreetedClientHearsItsRooms: what is said once a client has its greeting
// reaches it, however soon after the greeting it is said.
func TestGreetedClientHearsItsRooms(t *testing.T) {
	for range 2000 {
		h := newHub()
		c := &client{out: make(chan []byte, 2), slow: make(chan struct{})}
		go h.add(c, []string{"lobby"}, []byte("greeting"))
		if got := string(<-c.out); got != "greeting" {
			t.Fatalf("first event = %q, want the greeting", got)
		}
		h.broadcast("lobby", "hello")
		select {
		case data := <-c.out:
			if diff := cmp.Diff(`"hello"`, string(data)); diff != "" {
				t.Fatalf("event after the greeting (-want +got):\n%s", diff)
			}
		default:
			t.Fatal("a client that has its greeting did not hear its room")
		}
	}
}
