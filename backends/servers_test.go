package backends_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends"
	"github.com/sessionkv/store/internal/testserver"
)

func TestMain(m *testing.M) { os.Exit(testserver.Main(m)) }

const (
	userID = store.Key[string]("userId")
	logins = store.Key[int]("logins")
)

// The same code runs on whatever a URL names, and two nodes meet there.
func TestOpenServers(t *testing.T) {
	tests := map[string]func(t *testing.T) string{
		"memory": func(*testing.T) string { return "memory:" },
		"redis":  func(t *testing.T) string { return testserver.SharedRedis(t).URL },
		"redis with parameters": func(t *testing.T) string {
			return testserver.SharedRedis(t).URL + "/3?namespace=chat&pool_size=4&batching=off&read_timeout=3s&dial_timeout=2s"
		},
		"redis with a cache": func(t *testing.T) string {
			return testserver.SharedRedis(t).URL + "?cache=on&cache_staleness=1s"
		},
		"redis with protocol 2": func(t *testing.T) string {
			return testserver.SharedRedis(t).URL + "?protocol=2&conn_max_lifetime=1m"
		},
		"redis+unix": func(t *testing.T) string {
			socket := filepath.Join(shortDir(t), "redis.sock")
			testserver.Redis(t, testserver.WithArgs("--unixsocket", socket))
			return "redis+unix://" + socket + "?db=2"
		},
		"valkey": func(t *testing.T) string {
			return "valkey" + strings.TrimPrefix(testserver.SharedRedis(t, testserver.FlavourValkey).URL, "redis")
		},
		"dragonfly": func(t *testing.T) string {
			return "dragonfly" + strings.TrimPrefix(testserver.SharedRedis(t, testserver.FlavourDragonfly).URL, "redis")
		},
		"rediss": func(t *testing.T) string {
			s := testserver.RedisTLS(t, []string{"user app on >p%:@w ~* +@all"})
			return s.URLFor("app", "p%:@w") + "?" + url.Values{"tls_ca": {s.CAFile}, "tls_cert": {s.CertFile}, "tls_key": {s.KeyFile}}.Encode()
		},
		"rediss with PEM in the URL": func(t *testing.T) string {
			s := testserver.RedisTLS(t, []string{"user app on >pw ~* +@all"})
			q := url.Values{"tls_ca": {content(t, s.CAFile)}, "tls_cert": {content(t, s.CertFile)}, "tls_key": {content(t, s.KeyFile)}}
			return s.URLFor("app", "pw") + "?" + q.Encode()
		},
		"rediss without verification": func(t *testing.T) string {
			s := testserver.RedisTLS(t, []string{"user app on >pw ~* +@all"})
			q := url.Values{"tls_cert": {s.CertFile}, "tls_key": {s.KeyFile}, "tls_insecure_skip_verify": {"on"}}
			return s.URLFor("app", "pw") + "?" + q.Encode()
		},
		"redis+sentinel": func(t *testing.T) string {
			s := testserver.RedisSentinel(t)
			return fmt.Sprintf("redis+sentinel://%s/%s?wait=1", strings.Join(s.SentinelAddrs, ","), s.MasterName)
		},
		"redis+cluster": func(t *testing.T) string {
			return "redis+cluster://" + strings.Join(testserver.RedisCluster(t).Addrs, ",")
		},
		"hazelcast": func(t *testing.T) string {
			c := testserver.SharedHazelcast(t)
			return fmt.Sprintf("hazelcast://%s/%s?namespace=ttl-backends", strings.Join(c.Addrs, ","), c.ClusterName)
		},
	}
	for name, start := range tests {
		t.Run(name, func(t *testing.T) {
			at := start(t)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			node := func() *store.Sessions {
				b, err := backends.Open(ctx, at)
				if err != nil {
					t.Fatalf("Open() = %v, want nil", err)
				}
				sessions, err := store.New(b, nil)
				if err != nil {
					t.Fatalf("New() = %v, want nil", err)
				}
				t.Cleanup(func() {
					ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
					defer cancel()
					if err := errors.Join(sessions.Close(ctx), b.Close(), b.Close()); err != nil {
						t.Errorf("closing = %v, want nil", err)
					}
				})
				return sessions
			}
			a := node()
			s, err := a.Create(ctx, store.NewID(), userID.To("u-42"))
			if err != nil {
				t.Fatalf("Create() = %v, want nil", err)
			}
			other := a
			if name != "memory" {
				other = node()
			}
			h, err := other.Attach(ctx, s.ID())
			if err != nil {
				t.Fatalf("Attach() on another node = %v, want nil", err)
			}
			if err := logins.Set(ctx, h, 7); err != nil {
				t.Fatalf("Set() on another node = %v, want nil", err)
			}
			var id string
			var n int
			if err := store.Load(ctx, s, userID.Into(&id), logins.Into(&n)); err != nil || id != "u-42" || n != 7 {
				t.Errorf("Load() = %v with %q, %d, want u-42, 7", err, id, n)
			}
			if err := h.Destroy(ctx); err != nil {
				t.Fatalf("Destroy() = %v, want nil", err)
			}
			if err := logins.Set(ctx, s, 8); !errors.Is(err, store.ErrDestroyed) {
				t.Errorf("Set() after Destroy on another node = %v, want ErrDestroyed", err)
			}
		})
	}
}

// shortDir returns a folder whose path is short enough for a socket in it.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "s") //nolint:usetesting // t.TempDir puts the name of the test into the path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func content(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// counting is a hook that counts commands and pipelines.
type counting struct{ n atomic.Int64 }

func (c *counting) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *counting) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.n.Add(1)
		return next(ctx, cmd)
	}
}

func (c *counting) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.n.Add(1)
		return next(ctx, cmds)
	}
}

// The program can add hooks to the client of a URL. Without that client nothing is opened.
func TestOpenWithHooks(t *testing.T) {
	at := testserver.SharedRedis(t).URL
	hook := new(counting)
	add := func(client redis.UniversalClient) error {
		client.AddHook(hook)
		return nil
	}
	b, err := backends.OpenWith(t.Context(), at, &backends.Options{Redis: add})
	if err != nil {
		t.Fatalf("OpenWith() = %v", err)
	}
	defer b.Close()
	before := hook.n.Load()
	if _, err := b.Attach(t.Context(), "nobody", store.Terms{}); !errors.Is(err, store.ErrNoSession) || hook.n.Load() == before {
		t.Errorf("Attach() = %v, and the hook has seen %d commands, want ErrNoSession and more than %d", err, hook.n.Load(), before)
	}
	refusal := errors.New("no meter")
	refuse := func(redis.UniversalClient) error { return refusal }
	if _, err := backends.OpenWith(t.Context(), at, &backends.Options{Redis: refuse}); !errors.Is(err, refusal) || !strings.Contains(err.Error(), "Options.Redis: no meter") {
		t.Errorf("OpenWith() whose function fails = %v, want that error", err)
	}
	m, err := backends.OpenWith(t.Context(), "memory:", &backends.Options{Redis: refuse})
	if err != nil {
		t.Fatalf("OpenWith(memory) = %v, want no call", err)
	}
	m.Close()
}

// Each new connection asks for the password, so that one that changes in time
// goes on working.
func TestOpenWithCredentials(t *testing.T) {
	s := testserver.Redis(t, testserver.WithACL("user app on >first ~* +@all", "user default off"))
	admin := redis.NewClient(&redis.Options{Addr: s.Addr, Username: "app", Password: "first"})
	defer admin.Close()
	var password atomic.Value
	password.Store("first")
	at := "redis://" + s.Addr + "?pool_size=2"
	b, err := backends.OpenWith(t.Context(), at, &backends.Options{Credentials: func(context.Context) (string, string, error) {
		return "app", password.Load().(string), nil
	}})
	if err != nil {
		t.Fatalf("OpenWith() with credentials = %v, want nil", err)
	}
	defer b.Close()
	sessions, err := store.New(b, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer sessions.Close(t.Context())
	sess, err := sessions.Create(t.Context(), store.NewID())
	if err != nil {
		t.Fatalf("Create() = %v, want nil", err)
	}
	if err := admin.Do(t.Context(), "ACL", "SETUSER", "app", "resetpass", ">second").Err(); err != nil {
		t.Fatal(err)
	}
	password.Store("second")
	// The connections that were let in with the old password break.
	if err := admin.Do(t.Context(), "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes").Err(); err != nil {
		t.Fatal(err)
	}
	if err := userID.Set(t.Context(), sess, "u-42"); err != nil {
		t.Errorf("Set() after the password has changed = %v, want nil", err)
	}

	given := &backends.Options{Credentials: func(context.Context) (string, string, error) { return "app", "second", nil }}
	for _, at := range []string{"redis://app:pw@" + s.Addr, "memory:", "hazelcast://" + s.Addr} {
		if b, err := backends.OpenWith(t.Context(), at, given); err == nil {
			b.Close()
			t.Errorf("OpenWith(%q) with credentials = nil, want an error", at)
		}
	}
}

func TestOpenWithTheWrongPassword(t *testing.T) {
	s := testserver.RedisTLS(t, []string{"user app on >right ~* +@all"})
	tls := "?" + url.Values{"tls_ca": {s.CAFile}, "tls_cert": {s.CertFile}, "tls_key": {s.KeyFile}}.Encode()
	for _, at := range []string{s.URLFor("app", "wr0ng-secret") + tls, s.URLFor("", "") + tls, s.URLFor("app", "right")} {
		b, err := backends.Open(t.Context(), at)
		if err == nil {
			b.Close()
			t.Error("Open() without the right password or certificate = nil, want an error")
			continue
		}
		if strings.Contains(err.Error(), "wr0ng-secret") {
			t.Errorf("Open() = %q, which shows the password", err)
		}
	}
}

func TestOpenHazelcastWithTheWrongClusterName(t *testing.T) {
	c := testserver.SharedHazelcast(t)
	if c.External {
		t.Skip("the cluster of STORE_TEST_HAZELCAST_ADDRS is not probed with wrong names")
	}
	b, err := backends.Open(t.Context(), fmt.Sprintf("hazelcast://%s/no-such-cluster?connect_timeout=1s", c.Addrs[0]))
	if err == nil {
		b.Close()
		t.Fatal("Open() with the wrong cluster name = nil, want an error")
	}
	if !strings.Contains(err.Error(), "cluster name") {
		t.Errorf("Open() = %q, want it to speak of the cluster name", err)
	}
}
