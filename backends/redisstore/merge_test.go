package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/internal/testserver"
)

const setters = 64

// together calls set with each number below setters while the server is paused, so that most of the
// calls share pipelines. It returns their errors.
func together(t *testing.T, server *testserver.Server, set func(i int) error) []error {
	t.Helper()
	errs := make([]error, setters)
	var started, wg sync.WaitGroup
	server.Pause()
	for i := range setters {
		started.Add(1)
		wg.Go(func() {
			started.Done()
			errs[i] = set(i)
		})
	}
	started.Wait()
	server.Resume()
	wg.Wait()
	return errs
}

// awaitMerging waits until b has found out that its server may get merged scripts.
func awaitMerging(t *testing.T, b *redisstore.Backend) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !redisstore.Merges(b); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the backend does not merge")
		}
	}
}

// scripts returns how many scripts the server has run.
func scripts(t *testing.T, server *testserver.Server) int {
	t.Helper()
	info, err := server.Do("INFO", "commandstats")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, m := range regexp.MustCompile(`cmdstat_eval(?:sha)?:calls=(\d+)`).FindAllStringSubmatch(info.(string), -1) {
		calls, _ := strconv.Atoi(m[1])
		n += calls
	}
	return n
}

// Sets that share a script have outcomes of their own.
func TestMergedSets(t *testing.T) {
	for _, flavour := range []testserver.Flavour{testserver.FlavourRedis, testserver.FlavourRedis8, testserver.FlavourValkey} {
		t.Run(string(flavour), func(t *testing.T) {
			t.Parallel()
			server := testserver.Redis(t, testserver.WithFlavour(flavour), testserver.WithArgs("--loglevel", "warning"))
			b := open(t, dial(t, server.URL), redisstore.Options{})
			redisstore.WriteByScript(b)
			awaitMerging(t, b)
			for round := range 3 { // the first teaches the server the script
				ids, sessions := make([]string, setters), make([]store.Store, setters)
				want, key := make([]error, setters), func(i int) string { return fmt.Sprint("key", i) }
				after := make([]map[string]string, setters)
				for i := range setters {
					id, s := create(t, b, store.Entry{Key: "k", Value: []byte("v")})
					value := strings.Repeat("x", i)
					after[i] = map[string]string{"k": "v", key(i): value}
					limit := func(n int) {
						var err error
						if s, err = b.Attach(t.Context(), id, store.Terms{MaxKeys: n}); err != nil {
							t.Fatal(err)
						}
					}
					switch i % 8 {
					case 1: // destroyed by somebody else
						other, err := b.Attach(t.Context(), id, store.Terms{})
						if err == nil {
							err = other.Destroy(t.Context())
						}
						if err != nil {
							t.Fatal(err)
						}
						want[i], after[i] = store.ErrDestroyed, nil
					case 2: // full
						limit(1)
						want[i], after[i] = store.ErrTooManyKeys, map[string]string{"k": "v"}
					case 3: // full by one more than it may have now, with the mark of a commit
						limit(2)
						if _, err := store.Commit(t.Context(), s, nil, []store.Entry{{Key: "k3", Value: []byte("v")}}); err != nil {
							t.Fatal(err)
						}
						limit(1)
						want[i], after[i] = store.ErrTooManyKeys, map[string]string{"k": "v", "k3": "v"}
					case 4: // the last that it may have, with the mark of a commit
						limit(2)
						if _, err := store.Commit(t.Context(), s, nil, []store.Entry{{Key: "k", Value: []byte("v")}}); err != nil {
							t.Fatal(err)
						}
					case 5: // lives again
						if _, err := b.Resume(t.Context(), id, store.Terms{Lease: lease}); err != nil {
							t.Fatal(err)
						}
						want[i], after[i] = store.ErrDestroyed, map[string]string{"k": "v"}
					case 6: // taken by somebody else's string
						if err := s.Destroy(t.Context()); err != nil {
							t.Fatal(err)
						}
						var err error
						if s, err = b.Create(t.Context(), id, nil, store.Terms{Lease: lease}); err != nil {
							t.Fatal(err)
						}
						if _, err := server.Do("SET", b.Namespace()+":"+id, "foreign"); err != nil {
							t.Fatal(err)
						}
					}
					ids[i], sessions[i] = id, s
				}
				before := scripts(t, server)
				errs := together(t, server, func(i int) error {
					return sessions[i].Set(t.Context(), key(i), []byte(strings.Repeat("x", i)))
				})
				if n := scripts(t, server) - before; round > 0 && n >= setters {
					t.Errorf("round %d: %d Sets took %d scripts, want fewer", round, setters, n)
				}
				for i, err := range errs {
					if i%8 == 6 {
						wantRefused(t, "Set() of a foreign key", err, "taken by a key that is no hash", ids[i])
						wantReply(t, "Set() of a foreign key", err)
						continue
					}
					if !errors.Is(err, want[i]) {
						t.Errorf("round %d: Set() of kind %d = %v, want %v", round, i%8, err, want[i])
					}
					if diff := cmp.Diff(after[i], contents(t, b, ids[i])); diff != "" {
						t.Errorf("round %d: values after Set() of kind %d (-want +got):\n%s", round, i%8, diff)
					}
				}
			}
		})
	}
}

// When the reply to a merged script is lost, none of its Sets is sent again, and
// none is reported as done or refused.
func TestMergedSetsWithALostReply(t *testing.T) {
	server := testserver.Redis(t, testserver.WithArgs("--loglevel", "warning"))
	p := newProxy(t, server.Addr)
	b := open(t, dial(t, "redis://"+p.addr), redisstore.Options{})
	redisstore.WriteByScript(b)
	awaitMerging(t, b)
	sessions, ids := make([]store.Store, setters), make([]string, setters)
	for i := range setters {
		ids[i], sessions[i] = create(t, b)
	}
	marked := func(i int) string { return fmt.Sprintf("MARKED%02d.", i) }
	set := func(i int) error { return sessions[i].Set(context.Background(), "k", []byte(marked(i))) }
	if err := errors.Join(together(t, server, set)...); err != nil {
		t.Fatalf("Set() before the loss = %v", err)
	}
	const victim = setters - 1
	p.arm(reply, marked(victim), nil)
	errs := together(t, server, set)
	if !p.sprung() || !errors.Is(errs[victim], store.ErrUnknownOutcome) {
		t.Errorf("Set() with a lost reply = %v, want ErrUnknownOutcome", errs[victim])
	}
	for i, err := range errs {
		if err != nil && !errors.Is(err, store.ErrUnknownOutcome) {
			t.Errorf("Set() beside one with a lost reply = %v, want nil or ErrUnknownOutcome", err)
		}
		if n := p.count(marked(i)); n != 1 {
			t.Errorf("%s was sent %d times, want 1", marked(i), n)
		}
		if diff := cmp.Diff(map[string]string{"k": marked(i)}, contents(t, b, ids[i])); diff != "" {
			t.Errorf("values afterwards (-want +got):\n%s", diff)
		}
	}
}

// A server short of memory refuses each of the Sets with its own words. One that refuses scripts
// with several keys gets each Set individually.
func TestMergedSetsRefused(t *testing.T) {
	t.Run("no memory", func(t *testing.T) {
		server := testserver.Redis(t, testserver.WithArgs("--loglevel", "warning"))
		b := open(t, dial(t, server.URL), redisstore.Options{})
		awaitMerging(t, b)
		_, s := create(t, b)
		if _, err := server.Do("CONFIG", "SET", "maxmemory", "1"); err != nil {
			t.Fatal(err)
		}
		for i, err := range together(t, server, func(i int) error { return s.Set(t.Context(), fmt.Sprint(i), []byte("v")) }) {
			wantRefused(t, fmt.Sprint("Set() number ", i), err, "no memory left")
			wantReply(t, "Set()", err)
		}
	})
	t.Run("one node of a cluster", func(t *testing.T) {
		server := testserver.Redis(t, testserver.WithArgs("--loglevel", "warning", "--cluster-enabled", "yes"))
		if _, err := server.Do("CLUSTER", "ADDSLOTSRANGE", "0", "16383"); err != nil {
			t.Fatal(err)
		}
		b := open(t, dial(t, server.URL), redisstore.Options{})
		awaitMerging(t, b)
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
			info, err := server.Do("CLUSTER", "INFO")
			if err == nil && strings.Contains(info.(string), "cluster_state:ok") {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("CLUSTER INFO = %v, %v, want cluster_state:ok", info, err)
			}
		}
		sessions := make([]store.Store, setters)
		for i := range setters {
			_, sessions[i] = create(t, b)
		}
		for range 2 {
			if err := errors.Join(together(t, server, func(i int) error { return sessions[i].Set(t.Context(), "k", []byte("v")) })...); err != nil {
				t.Errorf("Set() = %v, want nil", err)
			}
		}
	})
}
