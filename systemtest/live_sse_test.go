package systemtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/await"
)

// serveEvents is a stream of server-sent events. It tells the client its session's ID and how often
// it has come, and stays until the connection ends.
func serveEvents(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	sess, _ := store.FromContext(ctx)
	n, err := liveVisits.Update(ctx, sess, func(n int, _ bool) (int, error) { return n + 1, nil })
	if err != nil {
		http.Error(w, "try again", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprintf(w, "event: session\ndata: %s\n\nevent: visits\ndata: %d\n\n", sess.ID(), n)
	if err := http.NewResponseController(w).Flush(); err != nil {
		return
	}
	<-ctx.Done()
}

// An eventClient is one connection of an EventSource.
type eventClient struct {
	ctx    context.Context
	in     *bufio.Scanner
	drop   func()
	id     string
	visits string
}

// events connects as the client with that session, and reads the first two events.
func (n *liveNode) events(t *testing.T, user, id string) (*eventClient, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-User", user)
	req.Header.Set("X-Session", id)
	resp, err := n.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		return nil, resp.StatusCode
	}
	c := &eventClient{ctx: ctx, in: bufio.NewScanner(resp.Body), drop: cancel}
	c.id, c.visits = c.next(), c.next()
	return c, resp.StatusCode
}

// next returns the data of the next event, or "" at the end of the stream.
func (c *eventClient) next() string {
	for c.in.Scan() {
		if data, ok := strings.CutPrefix(c.in.Text(), "data: "); ok {
			return data
		}
	}
	if errors.Is(c.ctx.Err(), context.DeadlineExceeded) {
		return "nothing, and not its end either"
	}
	return ""
}

// TestLiveEvents drives server-sent events through the ways in which a stream
// begins and ends, on two nodes, and counts one end for each.
func TestLiveEvents(t *testing.T) {
	onLiveBackends(t, func(t *testing.T, one, two store.Backend) {
		a, b := newLiveNode(t, one, serveEvents, 3*time.Second), newLiveNode(t, two, serveEvents, 3*time.Second)

		c, _ := a.events(t, "ann", "")
		if c.visits != "1" {
			t.Fatalf("first visit = %s, want 1", c.visits)
		}
		if _, status := b.events(t, "bob", c.id); status != http.StatusForbidden {
			t.Errorf("stream of another user's session: status %d, want 403", status)
		}

		c.drop()
		await.Until(t, "the handler returns after a drop", func() bool { return a.conns.Len() == 0 })
		d, _ := b.events(t, "ann", c.id)
		if d.id != c.id || d.visits != "2" {
			t.Errorf("after a drop: the same session: %t, visit %s; want true, 2", d.id == c.id, d.visits)
		}

		e, _ := a.events(t, "ann", c.id) // while the stream at b goes on
		if e.id != c.id || e.visits != "3" {
			t.Errorf("takeover: the same session: %t, visit %s; want true, 3", e.id == c.id, e.visits)
		}
		if got := d.next(); got != "" {
			t.Errorf("the stream that was taken over goes on with %q, want its end", got)
		}

		handle, err := b.sessions.Attach(t.Context(), c.id)
		if err != nil {
			t.Fatal(err)
		}
		if err := handle.Destroy(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := e.next(); got != "" {
			t.Errorf("the stream whose session was destroyed elsewhere goes on with %q, want its end", got)
		}

		f, _ := a.events(t, "ann", c.id)
		if f.id == c.id || f.visits != "1" {
			t.Errorf("after the end: the same session: %t, visit %s; want false, 1", f.id == c.id, f.visits)
		}
		if err := a.conns.Stop(t.Context()); err != nil {
			t.Errorf("Stop = %v, want nil", err)
		}
		if got := f.next(); got != "" {
			t.Errorf("the stream of a node that stopped goes on with %q, want its end", got)
		}
		g, _ := b.events(t, "ann", f.id)
		if g.id != f.id || g.visits != "2" {
			t.Errorf("after Stop: the same session: %t, visit %s; want true, 2", g.id == f.id, g.visits)
		}

		// One end for each connection: at a a drop and a stop, and a session that was destroyed elsewhere.
		if got := a.sessions.Stats(); got.Suspended != 2 || got.Lost != 1 || got.Destroyed != 0 {
			t.Errorf("ends at a: %d suspended, %d lost, %d destroyed; want 2, 1, 0", got.Suspended, got.Lost, got.Destroyed)
		}
		if got := b.sessions.Stats(); got.Suspended != 0 || got.Lost != 1 || got.Destroyed != 1 {
			t.Errorf("ends at b: %d suspended, %d lost, %d destroyed; want 0, 1, 1", got.Suspended, got.Lost, got.Destroyed)
		}
	})
}
