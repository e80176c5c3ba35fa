package systemtest

import (
	"context"
	"math"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	hz "github.com/hazelcast/hazelcast-go-client"
	"github.com/hazelcast/hazelcast-go-client/logger"
	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/testserver"
)

// watchRedis looks at all keys of the server, of whatever namespace, again and again until t ends.
// It fails t if one of them ever has no expiry.
func watchRedis(t *testing.T, server *testserver.Server) {
	t.Helper()
	if server.External {
		return // it may hold anything
	}
	o, err := redis.ParseURL(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	o.MaxRetries = -1
	client := redis.NewClient(o)
	t.Cleanup(func() { client.Close() })
	watch(t, func(ctx context.Context) (int, int) { return lookRedis(ctx, client) })
}

// lookRedis counts the keys of a server that have an expiry and those that have
// none.
func lookRedis(ctx context.Context, client *redis.Client) (keys, immortal int) {
	for cursor := uint64(0); ; {
		names, next, err := client.Scan(ctx, cursor, "*", 512).Result()
		if err != nil {
			return keys, immortal // the server is down or paused
		}
		pipe := client.Pipeline()
		for _, name := range names {
			pipe.PTTL(ctx, name)
		}
		replies, _ := pipe.Exec(ctx)
		for _, r := range replies {
			// PTTL answers -1 for no expiry, -2 for no key.
			switch ttl := r.(*redis.DurationCmd).Val(); {
			case r.Err() != nil:
			case ttl == -1:
				immortal++
			default:
				keys++
			}
		}
		if cursor = next; cursor == 0 {
			return keys, immortal
		}
	}
}

// watchHazelcast does the same with the entries of the map of the store URL u.
func watchHazelcast(t *testing.T, u string) {
	t.Helper()
	parsed, err := url.Parse(u)
	if err != nil {
		t.Fatal(err)
	}
	config := hz.NewConfig()
	config.Cluster.Name = strings.TrimPrefix(parsed.Path, "/")
	config.Cluster.Network.SetAddresses(strings.Split(parsed.Host, ",")...)
	config.Logger.Level = logger.OffLevel
	client, err := hz.StartNewClientWithConfig(t.Context(), config)
	if err != nil {
		t.Fatalf("StartNewClientWithConfig() = %v", err)
	}
	m, err := client.GetMap(t.Context(), parsed.Query().Get("namespace")+":sessions")
	if err != nil {
		t.Fatalf("GetMap() = %v", err)
	}
	t.Cleanup(func() { client.Shutdown(context.Background()) })
	watch(t, func(ctx context.Context) (int, int) { return lookHazelcast(ctx, m) })
}

// lookHazelcast is lookRedis for a map.
func lookHazelcast(ctx context.Context, m *hz.Map) (keys, immortal int) {
	names, err := m.GetKeySet(ctx)
	if err != nil {
		return 0, 0
	}
	for _, name := range names {
		switch view, err := m.GetEntryView(ctx, name); {
		case err != nil || view == nil:
		case view.ExpirationTime == math.MaxInt64 || view.ExpirationTime <= 0:
			immortal++
		default:
			keys++
		}
	}
	return keys, immortal
}

// watch calls look until t ends.
func watch(t *testing.T, look func(context.Context) (keys, immortal int)) {
	ctx, cancel := context.WithCancel(context.Background())
	var (
		wg                     sync.WaitGroup
		looks, total, immortal int
	)
	wg.Go(func() {
		pause := time.NewTicker(time.Millisecond) // leaves something of the machine to the test
		defer pause.Stop()
		for ctx.Err() == nil {
			keys, bad := look(ctx)
			looks, total, immortal = looks+1, total+keys, immortal+bad
			<-pause.C
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		t.Logf("looked at the expiry of %d keys in %d rounds", total, looks)
		if immortal > 0 {
			t.Errorf("%d times a key had no expiry, want every key to have one at every instant", immortal)
		}
	})
}

// The watch itself must see what it looks for.
func TestWatchSeesKeysWithoutExpiry(t *testing.T) {
	t.Run("redis", func(t *testing.T) {
		server := testserver.Redis(t, testserver.WithArgs("--save", ""))
		o, err := redis.ParseURL(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		client := redis.NewClient(o)
		defer client.Close()
		client.Set(t.Context(), "mortal", "v", time.Hour)
		client.Set(t.Context(), "immortal", "v", 0)
		if keys, immortal := lookRedis(t.Context(), client); keys != 1 || immortal != 1 {
			t.Errorf("lookRedis() = %d, %d, want 1, 1", keys, immortal)
		}
	})
	t.Run("hazelcast", func(t *testing.T) {
		c := testserver.SharedHazelcast(t)
		config := hz.NewConfig()
		config.Cluster.Name = c.ClusterName
		config.Cluster.Network.SetAddresses(c.Addrs...)
		config.Logger.Level = logger.OffLevel
		client, err := hz.StartNewClientWithConfig(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Shutdown(context.Background())
		m, err := client.GetMap(t.Context(), "forever-"+store.NewID())
		if err != nil {
			t.Fatal(err)
		}
		if err := m.SetWithTTL(t.Context(), "mortal", "v", time.Hour); err != nil {
			t.Fatal(err)
		}
		if err := m.Set(t.Context(), "immortal", "v"); err != nil {
			t.Fatal(err)
		}
		if keys, immortal := lookHazelcast(t.Context(), m); keys != 1 || immortal != 1 {
			t.Errorf("lookHazelcast() = %d, %d, want 1, 1", keys, immortal)
		}
	})
}
