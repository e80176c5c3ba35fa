package hazelcaststore

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hazelcast/hazelcast-go-client"
	"github.com/hazelcast/hazelcast-go-client/logger"
	"github.com/hazelcast/hazelcast-go-client/types"
	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/testserver"
)

func TestMain(m *testing.M) { os.Exit(testserver.Main(m)) }

// maps is a default time to live for all maps of this package.
func maps(ttl time.Duration) testserver.HazelcastOption {
	return testserver.WithMap("*:sessions", ttl, 0)
}

// cluster starts n members on which sessions can be kept, or returns the one that
// STORE_TEST_HAZELCAST_ADDRS names.
func cluster(t testing.TB, n int) *testserver.HazelcastCluster {
	t.Helper()
	if os.Getenv("STORE_TEST_HAZELCAST_ADDRS") != "" {
		return testserver.Hazelcast(t, n)
	}
	return testserver.Hazelcast(t, n, maps(2*time.Hour))
}

// dial returns a client that is shut down when t ends.
func dial(t testing.TB, c *testserver.HazelcastCluster, configure ...func(*hazelcast.Config)) *hazelcast.Client {
	t.Helper()
	config := hazelcast.NewConfig()
	config.Cluster.Name = c.ClusterName
	config.Cluster.Network.SetAddresses(c.Addrs...)
	config.Cluster.ConnectionStrategy.Timeout = types.Duration(20 * time.Second)
	config.Logger.Level = logger.OffLevel
	for _, f := range configure {
		f(&config)
	}
	client, err := hazelcast.StartNewClientWithConfig(t.Context(), config)
	if err != nil {
		t.Fatalf("StartNewClientWithConfig = %v", err)
	}
	t.Cleanup(func() {
		if err := client.Shutdown(context.Background()); err != nil {
			t.Errorf("Shutdown = %v", err)
		}
	})
	return client
}

// open returns a Backend on client that is closed when t ends.
func open(t testing.TB, client *hazelcast.Client, opts *Options) *Backend {
	t.Helper()
	b, err := New(t.Context(), client, opts)
	if err != nil {
		t.Fatalf("New = %v", err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// namespace returns a namespace of its own, of maps that have a default time to
// live on the shared member too.
func namespace() *Options {
	return &Options{Namespace: "ttl-" + strings.ToLower(store.NewID()[:12])}
}

// blind is a map on which nobody sees how long entries stay.
type blind struct{ grid }

func (blind) GetEntryView(context.Context, any) (*types.SimpleEntryView, error) { return nil, nil }
