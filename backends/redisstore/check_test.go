package redisstore_test

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/internal/testserver"
)

// wantCheck requires Check to fail with text, or to succeed where that is empty,
// and nothing to stay behind on the server.
func wantCheck(t *testing.T, client redis.UniversalClient, o redisstore.Options, text string) {
	t.Helper()
	o.Namespace = namespace(t)
	err := open(t, client, o).Check(t.Context())
	if text == "" && err != nil || text != "" && (err == nil || !strings.Contains(err.Error(), text)) {
		t.Errorf("Check() = %v, want an error that contains %q", err, text)
	}
	if err != nil {
		wantSilent(t, err, "pw", "\x00")
	}
}

// serverFlavours are those that this package starts itself.
var serverFlavours = []testserver.Flavour{testserver.FlavourRedis, testserver.FlavourRedis8, testserver.FlavourValkey, testserver.FlavourValkey9}

func TestCheckPasses(t *testing.T) {
	for _, flavour := range testserver.Flavours {
		t.Run(string(flavour), func(t *testing.T) {
			server := testserver.SharedRedis(t, flavour)
			both(t, func(t *testing.T, o redisstore.Options) { wantCheck(t, dial(t, server.URL), o, "") })
		})
	}
}

// A user without any right besides those that the documentation names passes, and
// each right that is taken away is named.
func TestCheckNamesRights(t *testing.T) {
	for _, flavour := range serverFlavours {
		t.Run(string(flavour), func(t *testing.T) {
			server := testserver.Redis(t, testserver.WithFlavour(flavour), testserver.WithArgs("--loglevel", "warning"))
			all := rule(t, "test-*")
			user := func(rights ...string) redis.UniversalClient {
				args := append([]string{"ACL", "SETUSER", "app", "reset", "on", ">pw"}, rights...)
				if _, err := server.Do(args...); err != nil {
					t.Fatal(err)
				}
				if _, err := server.Do("SCRIPT", "FLUSH"); err != nil {
					t.Fatal(err)
				}
				return dial(t, server.URL, func(o *redis.Options) { o.Username, o.Password = "app", "pw" })
			}
			wantCheck(t, user(all...), redisstore.Options{}, "")
			for i, right := range all {
				fewer := append(append([]string{}, all[:i]...), all[i+1:]...)
				switch {
				case strings.HasPrefix(right, "+"):
					wantCheck(t, user(fewer...), redisstore.Options{}, right)
				case strings.HasPrefix(right, "~"):
					wantCheck(t, user(fewer...), redisstore.Options{}, "may not touch the keys of this namespace")
				}
			}
			wantCheck(t, user(append(all, "-hset", "-pexpire")...), redisstore.Options{}, "may not run PEXPIRE, HSET; its rule needs +pexpire +hset")
			if keys, err := server.Do("KEYS", "test-*"); err != nil || len(keys.([]any)) > 0 {
				t.Errorf("KEYS after the checks = %v, %v, want none", keys, err)
			}
		})
	}
}

func TestCheckNamesRenamedCommands(t *testing.T) {
	for _, command := range []string{"EVAL", "EVALSHA", "HMGET", "HSET", "UNLINK"} {
		t.Run(command, func(t *testing.T) {
			server := testserver.Redis(t, testserver.WithArgs("--rename-command", command, "x-"+command))
			wantCheck(t, dial(t, server.URL), redisstore.Options{}, "does not know "+command)
		})
	}
}

func TestCheckNamesTheWrongServer(t *testing.T) {
	t.Run("one node of a cluster", func(t *testing.T) {
		cluster := testserver.RedisCluster(t)
		for _, node := range cluster.Nodes[:3] {
			wantCheck(t, dial(t, node.URL), redisstore.Options{}, "node of a Redis Cluster")
		}
		client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: cluster.Addrs})
		t.Cleanup(func() { client.Close() })
		wantCheck(t, client, redisstore.Options{}, "")
	})
	t.Run("sentinel", func(t *testing.T) {
		s := testserver.RedisSentinel(t)
		wantCheck(t, dial(t, "redis://"+s.SentinelAddrs[0]), redisstore.Options{}, "is a Sentinel")
		replicas := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: s.MasterName, SentinelAddrs: s.SentinelAddrs, ReplicaOnly: true})
		t.Cleanup(func() { replicas.Close() })
		wantCheck(t, replicas, redisstore.Options{}, "read-only replica")
		client := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: s.MasterName, SentinelAddrs: s.SentinelAddrs})
		t.Cleanup(func() { client.Close() })
		wantCheck(t, client, redisstore.Options{}, "")
	})
	t.Run("no cluster", func(t *testing.T) {
		client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{testserver.SharedRedis(t).Addr}})
		t.Cleanup(func() { client.Close() })
		wantCheck(t, client, redisstore.Options{}, "the server is no cluster")
	})
	t.Run("TLS", func(t *testing.T) {
		server := testserver.RedisTLS(t, []string{"user app on >pw ~* &* +@all"})
		wantCheck(t, dial(t, "redis://app:pw@"+server.Addr), redisstore.Options{}, "the server speaks TLS")
	})
	t.Run("no TLS", func(t *testing.T) {
		wantCheck(t, dial(t, testserver.SharedRedis(t).URL, func(o *redis.Options) {
			o.TLSConfig, o.DialerRetries = &tls.Config{InsecureSkipVerify: true}, 1
		}), redisstore.Options{}, "does not speak TLS")
	})
	t.Run("closes at HELLO", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = conn.Read(make([]byte, 1024))
				conn.Close()
			}
		}()
		wantCheck(t, dial(t, "redis://"+l.Addr().String()), redisstore.Options{}, "does not know HELLO")
	})
}

// An eviction policy loses sessions without an error, so it is reported; where
// nobody may ask, nothing is.
func TestCheckWarns(t *testing.T) {
	server := testserver.Redis(t, testserver.WithArgs("--maxmemory-policy", "volatile-lru"))
	if _, err := server.Do("ACL", "SETUSER", "blind", "on", ">pw", "~*", "&*", "+@all", "-config", "-info"); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, user, want string
		o                redisstore.Options
	}{
		{"eviction", "", "maxmemory-policy=volatile-lru", redisstore.Options{}},
		{"nobody may ask", "blind", "", redisstore.Options{}},
		{"replicas", "", "too few replicas confirm writes", redisstore.Options{WaitReplicas: 1, WaitTimeout: 1}},
		{"slow replicas", "", "too few replicas confirm writes", redisstore.Options{WaitReplicas: 1, WaitTimeout: 1100 * time.Millisecond}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			log, o := logTo("")
			tt.o.Logger = o.Logger
			wantCheck(t, dial(t, server.URL, func(o *redis.Options) {
				if tt.user != "" {
					o.Username, o.Password = tt.user, "pw"
				}
			}), tt.o, "")
			if got := log.String(); tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("Check() logged %q, want %q", got, tt.want)
			}
			if n, err := dial(t, server.URL).DBSize(t.Context()).Result(); n > 0 || err != nil {
				t.Errorf("after Check() the server has %d keys, %v, want none", n, err)
			}
		})
	}
}

func ExampleBackend_Check() {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", DialerRetries: 1, MaxRetries: -1})
	defer client.Close()
	backend, err := redisstore.New(client, &redisstore.Options{Logger: slog.Default()})
	if err != nil {
		slog.Error("no backend", "error", err)
		return
	}
	defer backend.Close()
	if err := backend.Check(context.Background()); err != nil {
		slog.Debug("the server cannot serve sessions", "error", err)
	}
	// Output:
}
