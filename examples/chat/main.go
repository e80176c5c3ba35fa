// Chat is a small realtime server that keeps the state of its clients in typed
// keys, with a page in which one can watch it work. See ../README.md.
//
//	go run ./examples/chat
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
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
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	err := run(ctx, os.Args[1:], os.Getenv, os.Stderr)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "chat:", err)
		os.Exit(1)
	}
}

// stopTimeout bounds each step of a graceful stop.
const stopTimeout = 5 * time.Second

// run serves until ctx ends, and then stops gracefully.
func run(ctx context.Context, args []string, getenv func(string) string, stderr io.Writer) (err error) {
	c, err := parseConfig(args, getenv, stderr)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(stderr, nil))

	openCtx, cancel := context.WithTimeout(ctx, 10*time.Second)
	backend, err := backends.Open(openCtx, c.store)
	cancel()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, backend.Close()) }()

	ln, err := net.Listen("tcp", c.addr)
	if err != nil {
		return err
	}
	if c.node == "" {
		c.node = ln.Addr().String()
	}
	kind, _, _ := strings.Cut(c.store, ":") // the rest may hold a password
	s, err := newServer(backend, c, kind, log)
	if err != nil {
		return errors.Join(err, ln.Close())
	}

	background, stopBackground := context.WithCancel(context.Background())
	defer stopBackground()
	go s.publishTable(background)

	web := &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	served := make(chan error, 1)
	go func() { served <- web.Serve(ln) }()
	log.Info("listening", "url", "http://"+ln.Addr().String()+"/", "store", kind, "grace", c.grace, "lease", c.lease)

	select {
	case <-ctx.Done():
		log.Info("stopping")
	case err = <-served:
	}
	return errors.Join(err, s.shutdown(web))
}

func newServer(backend store.Backend, c config, kind string, log *slog.Logger) (*server, error) {
	sessions, err := store.New(backend, &store.Options{
		Codec:        c.codec,
		Lease:        c.lease,
		Grace:        c.grace,
		Indexes:      []store.Index{UserID.Index()}, // to sign a user out everywhere
		OnRenewError: func(err error) { log.Warn("renewal of leases failed; trying again", "error", err) },
	})
	if err != nil {
		return nil, err
	}
	return &server{
		sessions: sessions,
		hub:      newHub(),
		tokens:   tokens{c.secret},
		node:     c.node,
		kind:     kind,
		grace:    c.grace,
		log:      log,
		stop:     make(chan struct{}),
	}, nil
}

// shutdown takes no more connections, tells the clients to go elsewhere, and
// keeps their sessions for the grace period, or destroys them.
func (s *server) shutdown(web *http.Server) error {
	step := func(f func(context.Context) error) error {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		return f(ctx)
	}
	// The order matters: a client that is told to go must not come back to us.
	return errors.Join(
		step(web.Shutdown),
		step(s.closeSockets),
		step(s.sessions.Close),
	)
}
