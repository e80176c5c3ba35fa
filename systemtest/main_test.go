package systemtest

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9/logging"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends"
	"github.com/sessionkv/store/internal/testserver"
)

func TestMain(m *testing.M) {
	logging.Disable() // of the client, which reports every connection that a test breaks
	for variable, run := range processes {
		if u := os.Getenv(variable); u != "" {
			os.Exit(run(u))
		}
	}
	os.Exit(testserver.Main(m))
}

// processes are what this test binary runs instead of tests when the environment
// variable holds a store URL. Each returns its exit status.
var processes = map[string]func(url string) int{workerURL: work}

const (
	// long is a lease that does not run out during a test.
	long = 10 * time.Minute
	// patience bounds waiting for what must come.
	patience = 30 * time.Second
)

// kind names what an error says, in one word that fits a line; "" for nil.
func kind(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, store.ErrUnknownOutcome):
		return "unknown outcome"
	case errors.Is(err, store.ErrDestroyed):
		return "destroyed"
	case errors.Is(err, store.ErrSuspended):
		return "suspended"
	case errors.Is(err, store.ErrNotOwner):
		return "not owner"
	case errors.Is(err, store.ErrNoSession):
		return "no session"
	case errors.Is(err, store.ErrExists):
		return "exists"
	case errors.Is(err, store.ErrNotFound):
		return "not found"
	case errors.Is(err, store.ErrClosed):
		return "closed"
	}
	return "other: " + err.Error()
}

// withParams returns the store URL u with further parameters, name=value.
func withParams(u string, params ...string) string {
	if len(params) == 0 {
		return u
	}
	separator := "?"
	if strings.Contains(u, "?") {
		separator = "&"
	}
	return u + separator + strings.Join(params, "&")
}

// newNamespace returns a parameter for a namespace of its own. The shared
// Hazelcast member keeps sessions only in maps that begin with ttl-.
func newNamespace() string { return "namespace=ttl-" + strings.ToLower(store.NewID()[:12]) }

func redisURL(s *testserver.Server) string { return withParams(s.URL, newNamespace()) }

func clusterURL(c *testserver.Cluster) string {
	return withParams("redis+cluster://"+strings.Join(c.Addrs, ","), newNamespace())
}

func sentinelURL(s *testserver.Sentinel) string {
	return withParams("redis+sentinel://"+strings.Join(s.SentinelAddrs, ",")+"/"+s.MasterName, newNamespace())
}

func hazelcastURL(c *testserver.HazelcastCluster) string {
	return withParams("hazelcast://"+strings.Join(c.Addrs, ",")+"/"+url.PathEscape(c.ClusterName), newNamespace())
}

// hazelcast starts n members on which sessions can be kept.
func hazelcast(t testing.TB, n int, options ...testserver.HazelcastOption) *testserver.HazelcastCluster {
	t.Helper()
	options = append(options, testserver.WithMap("ttl-*", time.Hour, 0), testserver.WithJVMFlags("-Xmx256m"))
	return testserver.Hazelcast(t, n, options...)
}

// open returns the backend of u, closed when t ends.
func open(t testing.TB, u string) store.Backend {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	b, err := backends.Open(ctx, u)
	if err != nil {
		t.Fatalf("Open() = %v", err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// sessions returns Sessions on b, closed when t ends.
func sessions(t testing.TB, b store.Backend, o *store.Options) *store.Sessions {
	t.Helper()
	ss, err := store.New(b, o)
	if err != nil {
		t.Fatalf("New() = %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		ss.Close(ctx) // where its server is gone by now, it cannot destroy anything
	})
	return ss
}

// newRand returns a source of chance that SEED=n makes the same again.
func newRand(t testing.TB) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv("SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("SEED: %v", err)
		}
	}
	t.Logf("SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}
