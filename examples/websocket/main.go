// Websocket is a server that counts what each user says, on one node or many.
// Run two nodes, and stop one while you are connected to it:
//
//	go run ./examples/websocket -store redis://127.0.0.1:6379 -addr 127.0.0.1:8081
//	go run ./examples/websocket -store redis://127.0.0.1:6379 -addr 127.0.0.1:8082
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os/signal"
	"syscall"
	"time"

	"github.com/coder/websocket"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends"
	"github.com/sessionkv/store/live"
)

const (
	User = store.Key[string]("user")
	Said = store.Key[int]("said")
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "where to listen")
	url := flag.String("store", "memory:", "URL of the store")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *addr, *url); err != nil {
		log.Fatal(err)
	}
}

// run serves at addr until ctx ends. Then clients are let go of, and their
// sessions wait for them to come back, here or at another node.
func run(ctx context.Context, addr, url string) error {
	backend, err := backends.Open(ctx, url)
	if err != nil {
		return err
	}
	sessions, err := store.New(backend, nil)
	if err != nil {
		return errors.Join(err, backend.Close())
	}
	conns := live.New(sessions, live.Options{
		Grace: 30 * time.Second,
		ID:    live.Query("session"),
		Begin: login,
		Allow: sameUser,
	})
	server := &http.Server{Addr: addr, Handler: conns.Handler(http.HandlerFunc(serve))}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return errors.Join(err, conns.Stop(ctx), server.Shutdown(ctx), backend.Close())
}

// login decides who the client is. A real one checks a token here.
func login(r *http.Request) ([]store.Change, error) {
	user := r.FormValue("user")
	if user == "" {
		return nil, live.Refuse(http.StatusUnauthorized, "say who you are: ?user=…")
	}
	return []store.Change{User.To(user)}, nil
}

// sameUser lets a client go on with a session of its own only.
func sameUser(r *http.Request, sess *store.Session) error {
	user, err := User.Get(r.Context(), sess)
	if err == nil && user != r.FormValue("user") {
		return live.Refuse(http.StatusForbidden, "that is not your session")
	}
	return err
}

// serve answers each message until the connection or the session ends.
func serve(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	sess, _ := store.FromContext(ctx)
	ws, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // the client has its answer
	}
	defer ws.CloseNow()
	answer := "session " + sess.ID() // a credential, for this client alone
	for {
		if err := ws.Write(ctx, websocket.MessageText, []byte(answer)); err != nil {
			return
		}
		_, text, err := ws.Read(ctx)
		if websocket.CloseStatus(err) == websocket.StatusNormalClosure {
			live.Goodbye(ctx) // it left on purpose: its session ends now
		}
		if err != nil {
			return
		}
		n, err := Said.Update(ctx, sess, func(n int, _ bool) (int, error) { return n + 1, nil })
		if err != nil {
			ws.Close(websocket.StatusTryAgainLater, "the store does not answer")
			return
		}
		answer = fmt.Sprintf("%d: %s", n, text)
	}
}
