package backends_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends"
	"github.com/sessionkv/store/internal/testserver"
)

// A balancer leads new connections to whatever its target is, as a name or a load
// balancer does. Those that are open stay where they are.
// With secure it speaks TLS to its clients.
func balancer(t *testing.T, secure bool) (addr string, target *atomic.Pointer[string]) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if secure {
		s := httptest.NewTLSServer(nil) // for its certificate
		s.Close()
		l = tls.NewListener(l, &tls.Config{Certificates: s.TLS.Certificates})
	}
	target = new(atomic.Pointer[string])
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", *target.Load())
			if err != nil {
				client.Close()
				continue
			}
			go func() { io.Copy(server, client); server.Close() }()
			go func() { io.Copy(client, server); client.Close() }()
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return l.Addr().String(), target
}

// After a failover behind a load balancer, the first write that the old primary
// refuses is the last operation there.
func TestOldPrimaryIsLeft(t *testing.T) {
	for _, tt := range []struct {
		name, scheme, params string
		flavour              testserver.Flavour
	}{
		{"redis", "redis", "", testserver.FlavourRedis},
		{"redis8", "redis", "", testserver.FlavourRedis8},
		{"valkey", "redis", "", testserver.FlavourValkey},
		{"cache", "redis", "&cache=on", testserver.FlavourRedis},
		{"TLS", "rediss", "&tls_insecure_skip_verify=true", testserver.FlavourRedis},
		{"TLS and cache", "rediss", "&tls_insecure_skip_verify=true&cache=on", testserver.FlavourRedis},
		{"without batching", "redis", "&batching=off", testserver.FlavourRedis},
		{"cache without batching", "redis", "&batching=off&cache=on", testserver.FlavourRedis},
		{"TLS and cache without batching", "rediss", "&tls_insecure_skip_verify=true&batching=off&cache=on", testserver.FlavourRedis},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var servers [2]*testserver.Server
			for i := range servers {
				servers[i] = testserver.Redis(t, testserver.WithFlavour(tt.flavour), testserver.WithArgs("--loglevel", "warning"))
			}
			before, after := servers[0], servers[1]
			do := func(s *testserver.Server, args ...string) any {
				answer, err := s.Do(args...)
				if err != nil {
					t.Fatalf("%v = %v", args, err)
				}
				return answer
			}
			addr, target := balancer(t, tt.scheme == "rediss")
			u := tt.scheme + "://" + addr + "?pool_size=8" + tt.params
			target.Store(&before.Addr)
			b, err := backends.Open(t.Context(), u)
			if err != nil {
				t.Fatalf("Open() = %v, want nil", err)
			}
			defer b.Close()
			terms := store.Terms{Lease: time.Minute}
			id := store.NewID()
			s, err := b.Create(t.Context(), id, []store.Entry{{Key: "k", Value: []byte("old")}}, terms)
			if err != nil {
				t.Fatalf("Create() = %v, want nil", err)
			}
			read := func(key string, want error) {
				t.Helper()
				var wg sync.WaitGroup
				for i := range 64 {
					wg.Go(func() {
						if _, err := s.Get(t.Context(), fmt.Sprint(key, i)); !errors.Is(err, want) {
							t.Errorf("Get() = %v, want %v", err, want)
						}
					})
				}
				wg.Wait()
			}
			read("before", store.ErrNotFound) // opens connections, also under a cache

			host, port, _ := strings.Cut(before.Addr, ":")
			do(after, "REPLICAOF", host, port)
			for deadline := time.Now().Add(30 * time.Second); do(after, "EXISTS", "store:"+id) != int64(1); time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("the session does not reach the replica")
				}
			}
			do(after, "REPLICAOF", "NO", "ONE")
			do(before, "REPLICAOF", "127.0.0.1", "1") // cut off: nobody is there
			target.Store(&after.Addr)

			if err := s.Set(t.Context(), "k", []byte("new")); err != nil {
				t.Fatalf("Set() after the failover = %v, want nil", err)
			}
			for range 50 {
				if v, err := s.Get(t.Context(), "k"); err != nil || string(v) != "new" {
					t.Fatalf("Get() after the failover = %q, %v, want new", v, err)
				}
			}
			// On the new primary, behind the back of this backend.
			do(after, "UNLINK", "store:"+id)
			if strings.Contains(tt.params, "cache") { // which hears of it a moment later
				for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
					if _, err := s.Get(t.Context(), "k"); errors.Is(err, store.ErrDestroyed) {
						break
					} else if time.Now().After(deadline) {
						t.Fatalf("Get() from the cache = %v, want %v in the end", err, store.ErrDestroyed)
					}
				}
			}
			read("after", store.ErrDestroyed)

			// A new connection to a replica is not used.
			target.Store(&before.Addr)
			if b, err := backends.Open(t.Context(), u); err == nil {
				b.Close()
				t.Error("Open() of a replica = nil, want an error")
			} else if !strings.Contains(err.Error(), "read-only replica") {
				t.Errorf("Open() of a replica = %v, want it to speak of a replica", err)
			}
		})
	}
}
