package live_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
	"github.com/sessionkv/store/live"
)

const visits = store.Key[int]("visits")

// stream tells its client the ID of its session and how often it came, and then
// runs until the client goes away.
func stream(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	sess, ok := store.FromContext(ctx)
	if !ok {
		http.Error(w, "use live.Server.Handler", http.StatusInternalServerError)
		return
	}
	n, err := visits.Update(ctx, sess, func(n int, _ bool) (int, error) { return n + 1, nil })
	if err != nil {
		http.Error(w, "try again", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprintf(w, "%s\nvisit %d\n", sess.ID(), n)
	w.(http.Flusher).Flush()
	<-ctx.Done()
}

// A client whose connection drops comes back with the ID of its session.
func ExampleServer_Handler() {
	if err := dropAndReturn(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// visit 1
	// visit 2
}

func dropAndReturn() (err error) {
	backend := memstore.New(nil) // or backends.Open(ctx, "redis://…")
	defer func() { err = errors.Join(err, backend.Close()) }()
	sessions, err := store.New(backend, nil)
	if err != nil {
		return err
	}
	conns := live.New(sessions, live.Options{
		Grace: 30 * time.Second,
		ID:    live.Header("X-Session"),
	})
	srv := httptest.NewServer(conns.Handler(http.HandlerFunc(stream)))
	defer srv.Close()
	defer func() { err = errors.Join(err, conns.Stop(context.Background())) }()

	id := ""
	for range 2 {
		if id, err = visit(srv.URL, id); err != nil {
			return err
		}
	}
	return nil
}

// visit connects with the ID of an earlier session, reads two lines and drops.
func visit(url, id string) (newID string, err error) {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("X-Session", id)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	in := bufio.NewScanner(resp.Body)
	for _, line := range []*string{&newID, new(string)} {
		if !in.Scan() {
			return "", fmt.Errorf("the stream ended: %w", in.Err())
		}
		*line = in.Text()
	}
	fmt.Println(in.Text())
	return newID, nil
}

// ExampleGoodbye ends the session of a client that signs out.
func ExampleGoodbye() {
	chat := func(w http.ResponseWriter, r *http.Request) {
		// After the client's last message:
		if !live.Goodbye(r.Context()) {
			log.Print("not a connection of live")
		}
		fmt.Fprint(w, "bye")
	}
	backend := memstore.New(nil)
	defer backend.Close()
	sessions, err := store.New(backend, nil)
	if err != nil {
		log.Fatal(err)
	}
	conns := live.New(sessions, live.Options{Grace: time.Minute})
	rec := httptest.NewRecorder()
	conns.Handler(http.HandlerFunc(chat)).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
	fmt.Println(rec.Body, sessions.Stats().Destroyed, sessions.Stats().Suspended)
	// Output: bye 1 0
}
