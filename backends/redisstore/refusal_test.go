package redisstore_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/internal/testserver"
)

// wantRefused requires a clear refusal: the text says what is wrong and keeps
// the session secret, the outcome is known, and the client's error is there.
func wantRefused(t *testing.T, call string, err error, text string, secrets ...string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("%s = %v, want an error that contains %q", call, err, text)
		return
	}
	if errors.Is(err, store.ErrUnknownOutcome) {
		t.Errorf("%s = %v, want a known outcome", call, err)
	}
	wantSilent(t, err, secrets...)
}

func wantReply(t *testing.T, call string, err error) {
	t.Helper()
	if _, ok := errors.AsType[redis.Error](err); !ok {
		t.Errorf("%s = %v, want the server's error to be reachable by errors.As", call, err)
	}
}

func TestWrongPassword(t *testing.T) {
	server := testserver.Redis(t, testserver.WithACL("user default on >right ~* &* +@all"))
	both(t, func(t *testing.T, o redisstore.Options) {
		for _, tt := range []struct{ name, password, text string }{
			{"wrong", "hunter2", "does not accept the user or password"},
			{"none", "", "wants a user and password"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				b := open(t, dial(t, server.URL, func(o *redis.Options) { o.Password = tt.password }), o)
				id := store.NewID()
				_, err := b.Create(t.Context(), id, nil, store.Terms{Lease: lease})
				secrets := []string{id}
				if tt.password != "" {
					secrets = append(secrets, tt.password)
				}
				wantRefused(t, "Create()", err, tt.text, secrets...)
				wantReply(t, "Create()", err)
			})
		}
	})
}

// A server that is a replica now refuses every write. From the first one on nothing is read from it
// either: it has what was true a while ago.
func TestReadOnlyReplica(t *testing.T) {
	server := testserver.Redis(t, testserver.WithArgs("--loglevel", "warning"))
	follow := func(t *testing.T, host, port string) {
		if _, err := server.Do("REPLICAOF", host, port); err != nil {
			t.Fatal(err)
		}
	}
	both(t, func(t *testing.T, o redisstore.Options) {
		follow(t, "NO", "ONE")
		b := open(t, dial(t, server.URL), o)
		id, s := create(t, b, store.Entry{Key: "k", Value: []byte("v")})
		follow(t, "127.0.0.1", "1") // nobody is there, so it keeps its data
		err := s.Set(t.Context(), "k", []byte("w"))
		wantRefused(t, "Set()", err, "read-only replica", id)
		wantReply(t, "Set()", err)
		for _, op := range operations {
			err := op.run(t.Context(), b, id, s)
			wantRefused(t, op.name, err, "read-only replica", id)
			wantErr(t, op.name, err, redisstore.ErrReplica)
		}
		fresh := open(t, dial(t, server.URL), o)
		_, err = fresh.Attach(t.Context(), id, store.Terms{})
		wantErr(t, "Attach() as the first use", err, redisstore.ErrReplica)

		follow(t, "NO", "ONE")
		if diff := cmp.Diff(map[string]string{"k": "v"}, contents(t, b, id)); diff != "" {
			t.Errorf("values afterwards (-want +got):\n%s", diff)
		}
	})
}

func TestOutOfMemory(t *testing.T) {
	server := testserver.Redis(t, testserver.WithArgs("--loglevel", "warning"))
	both(t, func(t *testing.T, o redisstore.Options) {
		b := open(t, dial(t, server.URL), o)
		id, s := create(t, b, store.Entry{Key: "k", Value: []byte("v")})
		if _, err := server.Do("CONFIG", "SET", "maxmemory", "1"); err != nil {
			t.Fatal(err)
		}
		for _, op := range operations {
			err := op.run(t.Context(), b, id, s)
			switch op.name {
			case "Set", "Set with MaxKeys", "Commit", "Create":
				wantRefused(t, op.name, err, "no memory left", id)
				wantReply(t, op.name, err)
			default: // reading and ending sessions goes on
				if err != nil {
					t.Errorf("%s = %v, want nil", op.name, err)
				}
			}
			if op.name == "Commit" && len(contents(t, b, id)) != 1 {
				t.Errorf("a refused Commit left %v", contents(t, b, id))
			}
		}
		if _, err := server.Do("CONFIG", "SET", "maxmemory", "0"); err != nil {
			t.Fatal(err)
		}
		create(t, b)
	})
}

func TestServerThatIsNotThere(t *testing.T) {
	server := testserver.Redis(t, testserver.WithArgs("--loglevel", "warning"))
	both(t, func(t *testing.T, o redisstore.Options) {
		o.Namespace = namespace(t)
		server.Restart()
		b := open(t, dial(t, server.URL, func(o *redis.Options) {
			o.DialerRetries = 1
		}), o)
		id, s := create(t, b)
		server.Kill()
		for _, op := range operations {
			wantRefused(t, op.name, op.run(t.Context(), b, id, s), "cannot be reached", id)
		}
	})
}

// A server that hangs holds nobody beyond the end of the context. What a write
// did is unknown then, unless it was not even sent.
func TestServerThatHangs(t *testing.T) {
	server := testserver.Redis(t, testserver.WithArgs("--loglevel", "warning"))
	both(t, func(t *testing.T, o redisstore.Options) {
		o.Namespace = namespace(t)
		hang := func(t *testing.T, op operation, cause error) {
			b := open(t, dial(t, server.URL, func(o *redis.Options) { o.ReadTimeout = 500 * time.Millisecond }), o)
			redisstore.WriteByScript(b)                                      // its question would need a second connection
			id, s := create(t, b, store.Entry{Key: "k", Value: []byte("v")}) // over a connection that stays
			server.Pause()
			defer server.Resume()
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond) // enough to send the request
			if cause == context.Canceled {
				ctx, cancel = context.WithCancel(t.Context())
				time.AfterFunc(200*time.Millisecond, cancel)
			}
			defer cancel()
			err := op.run(ctx, b, id, s)
			if !errors.Is(err, cause) {
				t.Fatalf("%s = %v, want %v", op.name, err, cause)
			}
			want := op.writes && !op.attaches && !strings.HasPrefix(op.name, "Renew")
			if unknown := errors.Is(err, store.ErrUnknownOutcome); unknown != want {
				t.Errorf("%s = %v; unknown outcome: %v, want %v", op.name, err, unknown, want)
			}
			wantSilent(t, err, id)

			// The connection is taken, and the server accepts no other.
			again, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer stop()
			err = op.run(again, b, id, s)
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s on no connection = %v, want %v", op.name, err, context.DeadlineExceeded)
			}
			if o.DisableBatching && errors.Is(err, store.ErrUnknownOutcome) {
				t.Errorf("%s on no connection = %v, want a known outcome", op.name, err)
			}
		}
		for _, op := range operations {
			for _, cause := range []error{context.DeadlineExceeded, context.Canceled} {
				t.Run(op.name+"/"+cause.Error(), func(t *testing.T) { hang(t, op, cause) })
			}
		}
	})
}

// With a context that has ended nothing is sent.
func TestEndedContext(t *testing.T) {
	server := testserver.SharedRedis(t)
	both(t, func(t *testing.T, o redisstore.Options) {
		p := newProxy(t, server.Addr)
		b := open(t, dial(t, "redis://"+p.addr), o)
		id, s := create(t, b)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		p.arm(nothing, "", nil)
		for _, op := range operations {
			if err := op.run(ctx, b, id, s); !errors.Is(err, context.Canceled) || errors.Is(err, store.ErrUnknownOutcome) {
				t.Errorf("%s = %v, want context.Canceled", op.name, err)
			}
		}
		if n := p.count(id); n > 0 {
			t.Errorf("%d commands were sent, want 0", n)
		}
	})
}

func TestClosed(t *testing.T) {
	server := testserver.SharedRedis(t)
	both(t, func(t *testing.T, o redisstore.Options) {
		client := dial(t, server.URL)
		b := open(t, client, o)
		id, s := create(t, b, store.Entry{Key: "k", Value: []byte("v")})
		for range 2 {
			if err := b.Close(); err != nil {
				t.Errorf("Close() = %v, want nil", err)
			}
		}
		for _, op := range operations {
			wantErr(t, op.name, op.run(t.Context(), b, id, s), store.ErrClosed)
		}
		if err := client.Ping(t.Context()).Err(); err != nil {
			t.Errorf("the client after Close = %v, want it to work", err)
		}
	})
	t.Run("client", func(t *testing.T) {
		client := dial(t, server.URL)
		b := open(t, client, redisstore.Options{})
		id, s := create(t, b)
		client.Close()
		for _, op := range operations {
			wantRefused(t, op.name, op.run(t.Context(), b, id, s), "the client was closed", id)
		}
	})
}

// A server that repeats what it was sent in plain words, in a text of its own, does not bring that
// into an error. Neither a session's ID nor the client's password is in it.
func TestRefusalsThatRepeatSecrets(t *testing.T) {
	const password, id, other = "Geheimnis", "Karlsson", "Pippilotta"
	server := testserver.Redis(t, testserver.WithACL("user app on >"+password+" ~* &* +@all"))
	both(t, func(t *testing.T, o redisstore.Options) {
		w := new(wire)
		b := open(t, dial(t, server.URL, func(o *redis.Options) { o.Username, o.Password, o.Dialer = "app", password, w.dial }), o)
		var sessions []store.Store
		for _, id := range []string{id, other} {
			s, err := b.Create(t.Context(), id, []store.Entry{{Key: "k", Value: []byte("v")}}, store.Terms{Lease: lease})
			if err != nil {
				t.Fatal(err)
			}
			sessions = append(sessions, s)
		}
		w.set(oddReplies, "-ERR no "+id+" and no "+other+" for "+password+"\r\n")
		for name, do := range map[string]func() error{
			"Create":  func() error { return second(b.Create(t.Context(), id, nil, store.Terms{Lease: lease})) },
			"Attach":  func() error { return second(b.Attach(t.Context(), id, store.Terms{})) },
			"Set":     func() error { return sessions[0].Set(t.Context(), "k", []byte("w")) },
			"Renew":   func() error { return b.Renew(t.Context(), sessions[:1], lease)[0] },
			"Renew 0": func() error { return b.Renew(t.Context(), sessions, 0)[0] },
			"Renews":  func() error { return b.Renew(t.Context(), sessions, lease)[0] },
			"Suspend": func() error { return b.Suspend(t.Context(), sessions[0], lease) },
		} {
			err := do()
			if err == nil || !strings.Contains(err.Error(), "refused the command: no … and no") {
				t.Errorf("%s = %v, want the refusal without names", name, err)
				continue
			}
			wantSilent(t, err, id, password)
		}
	})
}
