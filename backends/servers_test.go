package backends_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

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
					if err := errors.Join(sessions.Close(ctx), b.Close()); err != nil {
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
