package redisstore_test

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/internal/testserver"
)

func dialCluster(t testing.TB, c *testserver.Cluster) *redis.ClusterClient {
	t.Helper()
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: c.Addrs})
	t.Cleanup(func() { client.Close() })
	return client
}

func TestCluster(t *testing.T) {
	for _, flavour := range []testserver.Flavour{testserver.FlavourRedis, testserver.FlavourRedis8, testserver.FlavourValkey9} {
		t.Run(string(flavour), func(t *testing.T) {
			t.Parallel()
			c := testserver.RedisCluster(t, testserver.WithFlavour(flavour))
			t.Run("contract", func(t *testing.T) {
				contract(t, redisstore.Options{}, func(t testing.TB) redis.UniversalClient { return dialCluster(t, c) })
			})
			t.Run("resharding", func(t *testing.T) {
				for _, o := range []redisstore.Options{{}, {DisableBatching: true}, {WaitReplicas: 1}} {
					t.Run(fmt.Sprintf("%+v", o), func(t *testing.T) { reshard(t, c, o) })
				}
			})
			t.Run("failover", func(t *testing.T) { failover(t, c) })
		})
	}
}

// reshard moves a session's slot while its session is written to, and back, and
// counts whether a write was lost or done twice.
func reshard(t *testing.T, c *testserver.Cluster, o redisstore.Options) {
	b := open(t, dialCluster(t, c), o)
	id, s := create(t, b, store.Entry{Key: "n", Value: []byte("0")})
	name := b.Namespace() + ":" + id
	slot := c.SlotOf(name)
	var (
		wg             sync.WaitGroup
		done           = make(chan struct{})
		tried, written atomic.Int64
	)
	const writers = 4
	for range writers {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				err := increment(t, s)
				tried.Add(1)
				switch {
				case err == nil:
					written.Add(1)
				case o.WaitReplicas > 0 && !errors.Is(err, store.ErrUnknownOutcome):
					// Refused while the slot moves, as documented.
				default:
					t.Errorf("Commit() while the slot moves = %v, want nil", err)
					return
				}
			}
		})
	}
	home := c.Owner(slot)
	for _, to := range []int{(home + 1) % 3, home} {
		m := c.StartMigration(slot, to)
		m.MoveKeys(name)
		// A new session in the slot is born on the node that it moves to.
		if o.WaitReplicas == 0 {
			if _, err := s.Get(t.Context(), "n"); err != nil {
				t.Errorf("Get() while the slot moves = %v, want nil", err)
			}
			if errs := b.Renew(t.Context(), []store.Store{s}, 2*lease); errs != nil {
				t.Errorf("Renew() while the slot moves = %v, want nil", errs)
			}
		}
		before := tried.Load()
		eventually(t, "writes while the slot moves", noError, func(error) bool {
			return tried.Load() >= before+writers || t.Failed()
		})
		m.Finish()
	}
	eventually(t, "a write that passes", noError, func(error) bool { return written.Load() > 0 || t.Failed() })
	close(done)
	wg.Wait()
	value, err := s.Get(t.Context(), "n")
	if got, want := string(value), strconv.FormatInt(written.Load(), 10); err != nil || got != want {
		t.Errorf("the counter is %q, %v, want %s", got, err, want)
	}
}

func noError() error { return nil }

// increment adds one to the session's counter.
func increment(t *testing.T, s store.Store) error {
	old, err := s.Get(t.Context(), "n")
	if err != nil {
		return err
	}
	for {
		n, err := strconv.Atoi(string(old))
		if err != nil {
			return err
		}
		current, err := store.Commit(t.Context(), s, []store.Entry{{Key: "n", Value: old}}, []store.Entry{{Key: "n", Value: []byte(strconv.Itoa(n + 1))}})
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
		old = current[0]
	}
}

// failover kills the primary of a session, and waits until the session is there
// again, with a value that the replica had confirmed.
func failover(t *testing.T, c *testserver.Cluster) {
	b := open(t, dialCluster(t, c), redisstore.Options{WaitReplicas: 1})
	id, s := create(t, b, store.Entry{Key: "k", Value: []byte("v")})
	c.Kill(c.Owner(c.SlotOf(b.Namespace() + ":" + id)))
	eventually(t, "Set after a failover", func() error { return s.Delete(t.Context(), "other") },
		func(err error) bool { return err == nil || errors.Is(err, store.ErrUnknownOutcome) }) // with no replica left to confirm it
	value, err := s.Get(t.Context(), "k")
	if string(value) != "v" || err != nil {
		t.Errorf("Get() after a failover = %q, %v, want %q", value, err, "v")
	}
}

// eventually repeats call until its error is one that done accepts.
func eventually(t *testing.T, what string, call func() error, done func(error) bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		err := call()
		if done(err) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s = %v after a minute", what, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
