package socketio_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http/httptest"
	"time"

	"github.com/zishang520/socket.io/servers/socket/v3"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
	"github.com/sessionkv/store/integrations/socketio"
)

// greet reads who the client is from its auth, which a real server would verify.
func greet(_ context.Context, s *socket.Socket) ([]store.Change, error) {
	name, _ := s.Handshake().Auth["user"].(string)
	if name == "" {
		return nil, socketio.Refusal("sign in first")
	}
	return []store.Change{user.To(name)}, nil
}

// countVisits answers how often the client asked, also after it reconnected.
func countVisits(ctx context.Context, _ []any) (any, error) {
	sess, ok := store.FromContext(ctx)
	if !ok {
		return nil, errors.New("the context has no session")
	}
	return visits.Update(ctx, sess, func(n int, _ bool) (int, error) { return n + 1, nil })
}

// A server that counts the visits of each client, and stops in order.
func Example() {
	if err := serve(); err != nil {
		log.Fatal(err)
	}
	// Output: stopped
}

func serve() (err error) {
	backend := memstore.New(nil) // or backends.Open(ctx, "redis://…")
	defer func() { err = errors.Join(err, backend.Close()) }()
	sessions, err := store.New(backend, nil)
	if err != nil {
		return err
	}
	a := socketio.New(sessions, socketio.Options{Grace: 30 * time.Second, Begin: greet})

	options := socket.DefaultServerOptions()
	options.SetConnectTimeout(5 * time.Second)
	io := socket.NewServer(nil, options)
	if err := a.Bind(io.Sockets()); err != nil {
		return err
	}
	err = io.On("connection", func(args ...any) {
		s := args[0].(*socket.Socket)
		if err := a.On(s, "visit", countVisits); err != nil {
			log.Print(err)
		}
	})
	if err != nil {
		return err
	}
	server := httptest.NewServer(io.ServeHandler(nil)) // or http.ListenAndServe

	// … until a signal says that it is time to stop. That signal's context has
	// ended by then: stopping needs one of its own.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err = a.Stop(ctx)
	io.Close(nil)
	server.CloseClientConnections()
	server.Close()
	if err == nil {
		fmt.Println("stopped")
	}
	return err
}
