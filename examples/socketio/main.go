// Socketio is a Socket.IO server that keeps a basket for each client, on one node
// or many. See ../README.md.
//
//	go run ./examples/socketio
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends"
	"github.com/sessionkv/store/integrations/socketio"
)

// secretVariable names the environment variable with the secret of the tokens,
// which all nodes share.
const secretVariable = "SOCKETIO_SECRET"

// A config is what the flags and the environment say.
type config struct {
	addr   string
	nodes  []string // URLs of all nodes; empty for this one alone
	store  string
	grace  time.Duration
	secret []byte
}

func main() {
	var c config
	flag.StringVar(&c.addr, "addr", "127.0.0.1:8080", "where to listen")
	flag.StringVar(&c.store, "store", "memory:", "`URL` of the store; nodes share one such as redis://127.0.0.1:6379")
	flag.DurationVar(&c.grace, "grace", 30*time.Second, "how long a session waits for its client to come back")
	nodes := flag.String("nodes", "", "`URLs` of all nodes, separated by commas (default: this one)")
	flag.Parse()
	c.nodes = strings.FieldsFunc(*nodes, func(r rune) bool { return r == ',' })
	c.secret = []byte(os.Getenv(secretVariable))

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, c); err != nil {
		log.Fatal(err)
	}
}

// run serves until ctx ends. Then clients are sent to another node, and their
// sessions wait for them.
func run(ctx context.Context, c config) (err error) {
	if len(c.nodes) > 1 && (len(c.secret) == 0 || strings.HasPrefix(c.store, "memory:")) {
		return errors.New("nodes share a store, see -store, and a secret, in the environment variable " + secretVariable)
	}
	if len(c.secret) == 0 {
		c.secret = []byte(rand.Text())
	}
	backend, err := backends.Open(ctx, c.store)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, backend.Close()) }()
	sessions, err := store.New(backend, &store.Options{Indexes: []store.Index{User.Index()}})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", c.addr)
	if err != nil {
		return err
	}
	url := "http://" + listener.Addr().String()
	if len(c.nodes) == 0 {
		c.nodes = []string{url}
	}
	s := &server{name: listener.Addr().String(), nodes: c.nodes, secret: c.secret, sessions: sessions}
	s.adapter = socketio.New(sessions, socketio.Options{
		Grace:  c.grace,
		Begin:  s.begin,
		Check:  s.sameUser,
		Logger: slog.Default(),
	})
	sockets, err := s.sockets()
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	web := &http.Server{Handler: s.handler(sockets), ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- web.Serve(listener) }()
	log.Printf("listening at %s", url)
	select {
	case err = <-failed:
	case <-ctx.Done():
	}

	// ctx has ended: what follows needs one of its own.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err = errors.Join(err, s.adapter.Stop(ctx))
	sockets.Close(nil)
	return errors.Join(err, web.Close())
}
