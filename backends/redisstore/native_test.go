package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/internal/testserver"
)

// natives are the servers that take native writes.
var natives = []testserver.Flavour{testserver.FlavourRedis8, testserver.FlavourValkey9, testserver.FlavourDragonfly}

// onNatives runs f on each of them. Its backends are known to write natively.
func onNatives(t *testing.T, f func(t *testing.T, server *testserver.Server)) {
	for _, flavour := range natives {
		t.Run(string(flavour), func(t *testing.T) {
			t.Parallel()
			f(t, testserver.SharedRedis(t, flavour))
		})
	}
}

// openNative returns a backend that writes natively.
func openNative(t *testing.T, url string, o redisstore.Options, change ...func(*redis.Options)) *redisstore.Backend {
	t.Helper()
	b := open(t, dial(t, url, change...), o)
	if !redisstore.WritesNatively(t.Context(), b) {
		t.Fatal("the server does not take native writes")
	}
	return b
}

// commands returns a hook that counts the commands that a client sends, by name.
type commands struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *commands) count(cmds ...redis.Cmder) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, cmd := range cmds {
		c.n[cmd.Name()]++
	}
}

// take returns the counts since the last call.
func (c *commands) take() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.n
	c.n = make(map[string]int)
	return n
}

func (c *commands) DialHook(next redis.DialHook) redis.DialHook { return next }
func (c *commands) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { c.count(cmd); return next(ctx, cmd) }
}

func (c *commands) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { c.count(cmds...); return next(ctx, cmds) }
}

func hooked(client *redis.Client) *commands {
	c := &commands{n: make(map[string]int)}
	client.AddHook(c)
	return c
}

// A Set of a key that has a value is one native write; any other is one script. The
// session keeps its expiry, and its values.
func TestNativeSets(t *testing.T) {
	onNatives(t, func(t *testing.T, server *testserver.Server) {
		both(t, func(t *testing.T, o redisstore.Options) {
			client := dial(t, server.URL)
			b := open(t, client, o)
			if !redisstore.WritesNatively(t.Context(), b) {
				t.Fatal("the server does not take native writes")
			}
			id, s := create(t, b, store.Entry{Key: "k", Value: []byte("v")})
			if err := s.Set(t.Context(), "warm", nil); err != nil { // teaches the scripts
				t.Fatal(err)
			}
			if _, err := store.Commit(t.Context(), s, nil, []store.Entry{{Key: "warm"}}); err != nil {
				t.Fatal(err)
			}
			if err := s.Delete(t.Context(), "warm"); err != nil {
				t.Fatal(err)
			}
			attached, err := b.Attach(t.Context(), id, store.Terms{})
			if err != nil {
				t.Fatal(err)
			}
			if err := attached.Set(t.Context(), "warm", []byte("v")); err != nil {
				t.Fatal(err)
			}
			hook := hooked(client)
			for i, step := range []struct {
				call string
				do   func() error
				want map[string]int
			}{
				{"Set of a key that Create wrote", func() error { return s.Set(t.Context(), "k", []byte("v2")) }, map[string]int{"hsetex": 1}},
				{"Set of a new key", func() error { return s.Set(t.Context(), "new", []byte("n")) }, map[string]int{"evalsha": 1}},
				{"Set of it again", func() error { return s.Set(t.Context(), "new", []byte("n2")) }, map[string]int{"hsetex": 1}},
				{"Set of an empty value", func() error { return s.Set(t.Context(), "new", []byte{}) }, map[string]int{"hsetex": 1}},
				{"Set on another handle", func() error { return attached.Set(t.Context(), "k", []byte("v3")) }, map[string]int{"hsetex": 1}},
				{"Set of a new key there", func() error { return attached.Set(t.Context(), "other", []byte("o")) }, map[string]int{"hsetex": 1, "evalsha": 1}},
				{"Delete", func() error { return s.Delete(t.Context(), "k") }, map[string]int{"evalsha": 1}},
				{"Set of what was deleted", func() error { return s.Set(t.Context(), "k", []byte("v4")) }, map[string]int{"evalsha": 1}},
			} {
				hook.take()
				if err := step.do(); err != nil {
					t.Errorf("%s = %v, want nil", step.call, err)
				}
				if diff := cmp.Diff(step.want, hook.take()); diff != "" {
					t.Errorf("step %d, %s sent (-want +got):\n%s", i, step.call, diff)
				}
				if left := client.PTTL(t.Context(), b.Namespace()+":"+id).Val(); left <= 0 || left > lease {
					t.Errorf("after %s the session has %v left, want its lease", step.call, left)
				}
			}
			if diff := cmp.Diff(map[string]string{"k": "v4", "new": "", "other": "o", "warm": "v"}, contents(t, b, id)); diff != "" {
				t.Errorf("values (-want +got):\n%s", diff)
			}
		})
	})
}

// A native write is refused like any other once its life has ended, and says how.
func TestNativeSetsAreFenced(t *testing.T) {
	onNatives(t, func(t *testing.T, server *testserver.Server) {
		both(t, func(t *testing.T, o redisstore.Options) {
			b := openNative(t, server.URL, o)
			for end, want := range map[string]error{"Destroy": store.ErrDestroyed, "Resume": store.ErrResumed, "Create": store.ErrResumed, "expiry": store.ErrDestroyed} {
				id, s := create(t, b, store.Entry{Key: "k", Value: []byte("v")})
				if err := s.Set(t.Context(), "k", []byte("v2")); err != nil {
					t.Fatal(err)
				}
				other, err := b.Attach(t.Context(), id, store.Terms{})
				if err != nil {
					t.Fatal(err)
				}
				after := map[string]string{"k": "v2"}
				switch end {
				case "Destroy":
					err, after = other.Destroy(t.Context()), nil
				case "expiry":
					_, err = server.Do("DEL", b.Namespace()+":"+id)
					after = nil
				case "Resume":
					_, err = b.Resume(t.Context(), id, store.Terms{Lease: lease})
				case "Create":
					if err = other.Destroy(t.Context()); err == nil {
						_, err = b.Create(t.Context(), id, []store.Entry{{Key: "k", Value: []byte("v2")}}, store.Terms{Lease: lease})
					}
				}
				if err != nil {
					t.Fatal(err)
				}
				if err := s.Set(t.Context(), "k", []byte("late")); !errors.Is(err, want) {
					t.Errorf("Set() after %s = %v, want %v", end, err, want)
				}
				if diff := cmp.Diff(after, contents(t, b, id)); diff != "" {
					t.Errorf("values after %s and a late Set (-want +got):\n%s", end, diff)
				}
			}
		})
	})
}

// fields returns the names of the fields that are not keys.
func reserved(t *testing.T, client redis.UniversalClient, name string) []string {
	t.Helper()
	names, err := client.HKeys(t.Context(), name).Result()
	if err != nil {
		t.Fatal(err)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, "\x00") })
	slices.Sort(names)
	return names
}

// The limit of keys counts keys alone, whatever fields there are besides.
func TestLimitWithAFence(t *testing.T) {
	onNatives(t, func(t *testing.T, server *testserver.Server) {
		b := openNative(t, server.URL, redisstore.Options{})
		id := store.NewID()
		const most = 3
		s, err := b.Create(t.Context(), id, []store.Entry{{Key: "k1", Value: []byte("v")}}, store.Terms{Lease: lease, MaxKeys: most})
		if err != nil {
			t.Fatal(err)
		}
		entry := func(key string) []store.Entry { return []store.Entry{{Key: key, Value: []byte("v")}} }
		if err := s.Set(t.Context(), "k2", []byte("v")); err != nil {
			t.Errorf("Set of key 2 of 3 = %v, want nil", err)
		}
		if _, err := store.Commit(t.Context(), s, nil, entry("k3")); err != nil {
			t.Errorf("Commit of key 3 of 3 = %v, want nil", err)
		}
		for range 2 {
			if err := s.Set(t.Context(), "k4", []byte("v")); !errors.Is(err, store.ErrTooManyKeys) {
				t.Errorf("Set of key 4 of 3 = %v, want ErrTooManyKeys", err)
			}
			if _, err := store.Commit(t.Context(), s, nil, entry("k4")); !errors.Is(err, store.ErrTooManyKeys) {
				t.Errorf("Commit of key 4 of 3 = %v, want ErrTooManyKeys", err)
			}
			if s, err = b.Attach(t.Context(), id, store.Terms{MaxKeys: most}); err != nil { // tries the native write first
				t.Fatal(err)
			}
		}
		if _, err := store.Commit(t.Context(), s, nil, []store.Entry{{Key: "k4", Value: []byte("v")}, {Key: "k1"}}); err != nil {
			t.Errorf("Commit of a key in place of another = %v, want nil", err)
		}
		if got := len(contents(t, b, id)); got != most {
			t.Errorf("the session has %d keys, want %d", got, most)
		}
	})
}

// A user who may not run HSETEX writes with scripts, and a session has no fence.
func TestRightToWriteNatively(t *testing.T) {
	for _, flavour := range natives[:2] {
		t.Run(string(flavour), func(t *testing.T) {
			t.Parallel()
			server := testserver.Redis(t, testserver.WithFlavour(flavour), testserver.WithArgs("--loglevel", "warning"))
			ns := namespace(t)
			for _, allowed := range []bool{false, true} {
				rights := append([]string{"ACL", "SETUSER", "app", "reset", "on", ">pw"}, rule(t, ns)...)
				if allowed {
					rights = append(rights, "+hsetex")
				}
				if _, err := server.Do(rights...); err != nil {
					t.Fatal(err)
				}
				client := dial(t, server.URL, func(o *redis.Options) { o.Username, o.Password = "app", "pw" })
				b := open(t, client, redisstore.Options{Namespace: ns})
				if err := b.Check(t.Context()); err != nil {
					t.Errorf("Check() = %v, want nil", err)
				}
				if got := redisstore.WritesNatively(t.Context(), b); got != allowed {
					t.Errorf("with +hsetex %v, native writes are %v", allowed, got)
				}
				id, s := create(t, b, store.Entry{Key: "k", Value: []byte("v")})
				if err := s.Set(t.Context(), "k", []byte("v2")); err != nil {
					t.Errorf("Set() = %v, want nil", err)
				}
				want := 1
				if allowed {
					want = 3
				}
				if got := reserved(t, dial(t, server.URL), ns+":"+id); len(got) != want {
					t.Errorf("with +hsetex %v, the reserved fields are %q, want %d", allowed, got, want)
				}
			}
			// The right is taken away while the backend writes natively.
			client := dial(t, server.URL, func(o *redis.Options) { o.Username, o.Password = "app", "pw" })
			b := open(t, client, redisstore.Options{Namespace: ns})
			id, s := create(t, b, store.Entry{Key: "k", Value: []byte("v")})
			if !redisstore.WritesNatively(t.Context(), b) {
				t.Fatal("the server does not take native writes")
			}
			if _, err := server.Do("ACL", "SETUSER", "app", "-hsetex"); err != nil {
				t.Fatal(err)
			}
			if err := s.Set(t.Context(), "k", []byte("v2")); err != nil {
				t.Errorf("Set() without the right = %v, want nil", err)
			}
			if diff := cmp.Diff(map[string]string{"k": "v2"}, contents(t, b, id)); diff != "" {
				t.Errorf("values (-want +got):\n%s", diff)
			}
		})
	}
}

// When the server becomes an older one, the backend goes on with scripts, and when it becomes a
// newer one, with native writes. Nobody who calls Set notices.
func TestServerChangesItsVersion(t *testing.T) {
	for _, flavour := range natives[:2] {
		t.Run(string(flavour), func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, o redisstore.Options) {
				newer := testserver.Redis(t, testserver.WithFlavour(flavour), testserver.WithArgs("--loglevel", "warning"))
				older := testserver.Redis(t, testserver.WithFlavour(testserver.FlavourRedis), testserver.WithArgs("--loglevel", "warning"))
				var at atomic.Pointer[testserver.Server]
				at.Store(newer)
				var mu sync.Mutex
				var conns []net.Conn
				client := dial(t, newer.URL, func(o *redis.Options) {
					o.Dialer = func(ctx context.Context, network, _ string) (net.Conn, error) {
						conn, err := new(net.Dialer).DialContext(ctx, network, at.Load().Addr)
						mu.Lock()
						defer mu.Unlock()
						conns = append(conns, conn)
						return conn, err
					}
				})
				b := open(t, client, o)
				if !redisstore.WritesNatively(t.Context(), b) {
					t.Fatal("the server does not take native writes")
				}
				id, s := create(t, b, store.Entry{Key: "k", Value: []byte("v")})
				// move copies the session to another server, which takes over. It has not seen
				// our scripts lately.
				move := func(to *testserver.Server) {
					t.Helper()
					from, name := at.Load(), b.Namespace()+":"+id
					all, err := from.Do("HGETALL", name)
					if err != nil {
						t.Fatal(err)
					}
					set := []string{"HSET", name}
					for _, v := range all.([]any) {
						set = append(set, v.(string))
					}
					for _, args := range [][]string{{"SCRIPT", "FLUSH"}, {"DEL", name}, set, {"PEXPIRE", name, "60000"}} {
						if _, err := to.Do(args...); err != nil {
							t.Fatal(err)
						}
					}
					at.Store(to)
					mu.Lock()
					defer mu.Unlock()
					for _, conn := range conns {
						conn.Close()
					}
					conns = nil
				}
				for i, to := range []*testserver.Server{older, newer, older, newer} {
					move(to)
					value := fmt.Sprint(i)
					eventually(t, "Set after a failover", func() error { return s.Set(t.Context(), "k", []byte(value)) },
						func(err error) bool { return err == nil })
					for range 3 {
						if err := s.Set(t.Context(), "k", []byte(value)); err != nil {
							t.Errorf("Set() on server %d = %v, want nil", i, err)
						}
					}
					wantGet(t, "after a failover", s, value)
					if got := redisstore.WritesNatively(t.Context(), b); got != (to == newer) {
						t.Errorf("native writes on server %d = %v, want %v", i, got, to == newer)
					}
				}
				if _, err := b.Resume(t.Context(), id, store.Terms{Lease: lease}); err != nil {
					t.Fatal(err)
				}
				if err := s.Set(t.Context(), "k", []byte("late")); !errors.Is(err, store.ErrResumed) {
					t.Errorf("Set() of the life before = %v, want ErrResumed", err)
				}
			})
		})
	}
}

// What a native write loses its reply to is as unknown as with a script, and is not sent
// again, not as a script either.
func TestLostNativeSet(t *testing.T) {
	for _, flavour := range natives[:2] {
		t.Run(string(flavour), func(t *testing.T) {
			server := testserver.SharedRedis(t, flavour)
			both(t, func(t *testing.T, o redisstore.Options) {
				for what, point := range map[string]trap{"request": request, "reply": reply} {
					p := newProxy(t, server.Addr)
					b := openNative(t, "redis://"+p.addr, o)
					id, s := create(t, b, store.Entry{Key: "k", Value: []byte("v")})
					p.arm(point, "MARKED", nil)
					err := s.Set(t.Context(), "k", []byte("MARKED"))
					if !p.sprung() || !errors.Is(err, store.ErrUnknownOutcome) {
						t.Errorf("Set() with a lost %s = %v, want ErrUnknownOutcome", what, err)
					}
					wantSilent(t, err, id)
					if got := p.count("MARKED"); got != 1 {
						t.Errorf("Set with a lost %s was sent %d times, want once", what, got)
					}
					want := map[string]string{"k": "v"}
					if point == reply {
						want["k"] = "MARKED"
					}
					if diff := cmp.Diff(want, contents(t, b, id)); diff != "" {
						t.Errorf("values after a lost %s (-want +got):\n%s", what, diff)
					}
				}
			})
		})
	}
}
