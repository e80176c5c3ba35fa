package redisstore_test

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/internal/testserver"
	"github.com/sessionkv/store/storetest"
)

func TestMain(m *testing.M) {
	logging.Disable() // of the client, which reports every connection that a test breaks
	if peer := strings.Fields(os.Getenv(peerVariable)); len(peer) == 3 {
		if err := bePeer(peer[0], peer[1], peer[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(testserver.Main(m))
}

// lease is the lease of sessions in tests that do not care.
const lease = time.Minute

// dial returns a client of the server at url, closed when t ends.
func dial(t testing.TB, url string, change ...func(*redis.Options)) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(o)
	}
	client := redis.NewClient(o)
	t.Cleanup(func() { client.Close() })
	return client
}

// namespace returns one that no other test uses, on a server that may be in use.
func namespace(t testing.TB) string { return "test-" + store.NewID() }

// open returns a backend over client, closed when t ends.
func open(t testing.TB, client redis.UniversalClient, o redisstore.Options) *redisstore.Backend {
	t.Helper()
	o.Namespace = cmp.Or(o.Namespace, namespace(t))
	b, err := redisstore.New(client, &o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// create begins a session with a random ID.
func create(t testing.TB, b *redisstore.Backend, initial ...store.Entry) (string, store.Store) {
	t.Helper()
	id := store.NewID()
	s, err := b.Create(t.Context(), id, initial, store.Terms{Lease: lease})
	if err != nil {
		t.Fatalf("Create() = %v", err)
	}
	return id, s
}

// contract runs the suite. dial returns a client of its own for every backend.
func contract(t *testing.T, o redisstore.Options, dial func(testing.TB) redis.UniversalClient) {
	mine, other := namespace(t), namespace(t)
	opener := func(namespace string) func(testing.TB) store.Backend {
		return func(t testing.TB) store.Backend {
			o := o
			o.Namespace = namespace
			return open(t, dial(t), o)
		}
	}
	storetest.Run(t, storetest.Harness{Open: opener(mine), Other: opener(other)})
}

func TestContract(t *testing.T) {
	for _, flavour := range testserver.Flavours {
		t.Run(string(flavour), func(t *testing.T) {
			t.Parallel()
			server := testserver.SharedRedis(t, flavour)
			contract(t, redisstore.Options{}, func(t testing.TB) redis.UniversalClient { return dial(t, server.URL) })
		})
	}
}

func TestContractWithoutBatching(t *testing.T) {
	for _, flavour := range []testserver.Flavour{testserver.FlavourRedis, testserver.FlavourRedis8} {
		t.Run(string(flavour), func(t *testing.T) {
			t.Parallel()
			server := testserver.SharedRedis(t, flavour)
			contract(t, redisstore.Options{DisableBatching: true}, func(t testing.TB) redis.UniversalClient { return dial(t, server.URL) })
		})
	}
}

// No ID or secret of a session may appear in an error.
func wantSilent(t *testing.T, err error, secrets ...string) {
	t.Helper()
	for _, secret := range secrets {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("error %q contains %q, want it to be kept secret", err, secret)
		}
	}
	if strings.ContainsAny(err.Error(), "\r\n") {
		t.Errorf("error %q has several lines, want one", err)
	}
}

// wantErr requires err to be one of want.
func wantErr(t *testing.T, call string, err error, want ...error) {
	t.Helper()
	for _, w := range want {
		if errors.Is(err, w) {
			return
		}
	}
	t.Errorf("%s = %v, want %v", call, err, want)
}
