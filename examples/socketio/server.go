package main

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/zishang520/socket.io/servers/socket/v3"
	"github.com/zishang520/socket.io/v3/pkg/types"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/integrations/socketio"
)

// What a session keeps: these lines are all there is to declare.
const (
	User     = store.Key[string]("user")
	Basket   = store.Key[[]string]("basket")
	Connects = store.Key[int]("connects") // how many connections the session has had
)

// Bounds of what clients may send.
const (
	maxUser   = 32
	maxThing  = 40
	maxBasket = 12
)

// A server is one node.
type server struct {
	name     string
	nodes    []string // URLs of all nodes
	secret   []byte
	sessions *store.Sessions
	adapter  *socketio.Adapter
}

// sockets returns a Socket.IO server whose sockets have sessions.
func (s *server) sockets() (*socket.Server, error) {
	options := socket.DefaultServerOptions()
	// A client that is lost without a word is missed after 15 seconds.
	options.SetConnectTimeout(5 * time.Second)
	options.SetPingInterval(10 * time.Second)
	options.SetPingTimeout(5 * time.Second)
	// A page of one node goes on at another.
	var origins []any
	for _, node := range s.nodes {
		origins = append(origins, node)
	}
	options.SetCors(&types.Cors{Origin: origins})

	sockets := socket.NewServer(nil, options)
	if err := s.adapter.Bind(sockets.Sockets()); err != nil {
		return nil, err
	}
	return sockets, sockets.On("connection", func(args ...any) {
		client := args[0].(*socket.Socket)
		err := errors.Join(
			s.adapter.On(client, "hello", s.hello),
			s.adapter.On(client, "add", add),
			s.adapter.On(client, "leave everywhere", s.leaveEverywhere),
		)
		if err != nil {
			slog.Error("the socket was lost before it was connected", "error", err)
		}
	})
}

// begin decides who the client is, and what its new session begins with.
func (s *server) begin(_ context.Context, client *socket.Socket) ([]store.Change, error) {
	user, err := s.userOf(client)
	if err != nil {
		return nil, err
	}
	return []store.Change{User.To(user)}, nil
}

// sameUser lets a client go on with a session of its own only. begin has checked the
// token.
func (s *server) sameUser(ctx context.Context, client *socket.Socket, sess *store.Session) error {
	user, err := s.userOf(client)
	if err != nil {
		return err
	}
	owner, err := User.Get(ctx, sess)
	if err == nil && owner != user {
		err = socketio.Refusal("that is not your session")
	}
	return err
}

// userOf returns the user that the client's token names.
func (s *server) userOf(client *socket.Socket) (string, error) {
	token, _ := client.Handshake().Auth["token"].(string)
	user, ok := verify(s.secret, token)
	if !ok {
		return "", socketio.Refusal("sign in again")
	}
	return user, nil
}

// A visit is what the page shows.
type visit struct {
	Node     string   `json:"node"`
	User     string   `json:"user"`
	Connects int      `json:"connects"`
	Basket   []string `json:"basket"`
}

// hello counts the connection and answers what the session holds.
func (s *server) hello(ctx context.Context, _ []any) (any, error) {
	sess, _ := store.FromContext(ctx)
	v := visit{Node: s.name}
	var err error
	if v.Connects, err = Connects.Update(ctx, sess, func(n int, _ bool) (int, error) { return n + 1, nil }); err != nil {
		return nil, err
	}
	err = store.Load(ctx, sess, User.Into(&v.User), Basket.IntoOr(&v.Basket, []string{}))
	return v, err
}

// add puts a thing into the basket and answers the basket.
func add(ctx context.Context, args []any) (any, error) {
	var thing string
	if len(args) > 0 {
		thing, _ = args[0].(string)
	}
	if thing == "" || len(thing) > maxThing {
		return nil, socketio.Refusal("name a thing, in 40 bytes at most")
	}
	sess, _ := store.FromContext(ctx)
	return Basket.Update(ctx, sess, func(basket []string, _ bool) ([]string, error) {
		if len(basket) >= maxBasket {
			return nil, socketio.Refusal("the basket is full")
		}
		return append(slices.Clip(basket), thing), nil
	})
}

// leaveEverywhere destroys all sessions of the user, on all nodes. The client hears
// of it as all others of that user do: it is disconnected.
func (s *server) leaveEverywhere(ctx context.Context, _ []any) (any, error) {
	sess, _ := store.FromContext(ctx)
	user, err := User.Get(ctx, sess)
	if err != nil {
		return nil, err
	}
	// ctx ends with this session, which may not be the last of them.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return User.DestroyAll(ctx, s.sessions, user)
}

//go:embed web
var webFiles embed.FS

// handler answers the page's requests and those of Socket.IO.
func (s *server) handler(sockets *socket.Server) http.Handler {
	web, err := fs.Sub(webFiles, "web")
	if err != nil {
		panic(err) // the directory is part of the binary
	}
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServerFS(web))
	mux.Handle("/socket.io/", sockets.ServeHandler(nil))
	mux.HandleFunc("GET /nodes", func(w http.ResponseWriter, _ *http.Request) { reply(w, s.nodes) })
	mux.HandleFunc("POST /login", s.login)
	return mux
}

// login gives whoever asks the token of the user that they say they are. A real
// one asks for a password.
func (s *server) login(w http.ResponseWriter, r *http.Request) {
	user := r.FormValue("user")
	if user == "" || len(user) > maxUser {
		http.Error(w, "say who you are, in 32 bytes at most", http.StatusBadRequest)
		return
	}
	reply(w, sign(s.secret, user))
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		slog.Debug("the client did not wait for its answer", "error", err)
	}
}
