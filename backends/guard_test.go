package backends_test

import (
	"errors"
	"io"
	"net"
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
func balancer(t *testing.T) (addr string, target *atomic.Pointer[string]) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
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
	for _, flavour := range []testserver.Flavour{testserver.FlavourRedis, testserver.FlavourRedis8, testserver.FlavourValkey} {
		t.Run(string(flavour), func(t *testing.T) {
			var servers [2]*testserver.Server
			for i := range servers {
				servers[i] = testserver.Redis(t, testserver.WithFlavour(flavour), testserver.WithArgs("--loglevel", "warning"))
			}
			before, after := servers[0], servers[1]
			do := func(s *testserver.Server, args ...string) any {
				answer, err := s.Do(args...)
				if err != nil {
					t.Fatalf("%v = %v", args, err)
				}
				return answer
			}
			addr, target := balancer(t)
			target.Store(&before.Addr)
			b, err := backends.Open(t.Context(), "redis://"+addr+"?pool_size=8")
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
			read := func(want error) {
				t.Helper()
				var wg sync.WaitGroup
				for range 64 {
					wg.Go(func() {
						if _, err := s.Get(t.Context(), "k"); !errors.Is(err, want) {
							t.Errorf("Get() = %v, want %v", err, want)
						}
					})
				}
				wg.Wait()
			}
			read(nil) // opens connections

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
			read(store.ErrDestroyed)

			// A new connection to a replica is not used.
			target.Store(&before.Addr)
			if b, err := backends.Open(t.Context(), "redis://"+addr); err == nil {
				b.Close()
				t.Error("Open() of a replica = nil, want an error")
			} else if !strings.Contains(err.Error(), "read-only replica") {
				t.Errorf("Open() of a replica = %v, want it to speak of a replica", err)
			}
		})
	}
}
