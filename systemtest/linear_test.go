package systemtest

import (
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/testserver"
)

// historyTime is how long histories of each kind are recorded.
const historyTime = 2 * time.Second

// twoNodes returns the Sessions of two nodes on the store at url.
func twoNodes(t *testing.T, url string) []*store.Sessions {
	t.Helper()
	nodes := make([]*store.Sessions, 2)
	for i := range nodes {
		nodes[i] = sessions(t, open(t, url), &store.Options{Lease: long})
	}
	return nodes
}

// wantHealthy checks that nothing failed but by the end of a context.
func wantHealthy(t *testing.T, y *tally) {
	t.Helper()
	for _, err := range y.errors {
		t.Errorf("an operation failed although nothing is broken: %v", err)
	}
}

// A setup opens two nodes on a kind of server.
type setup struct {
	name string
	open func(t *testing.T) []*store.Sessions
}

func setups() []setup {
	redisLike := func(f testserver.Flavour, params ...string) func(*testing.T) []*store.Sessions {
		return func(t *testing.T) []*store.Sessions {
			server := testserver.SharedRedis(t, f)
			watchRedis(t, server)
			return twoNodes(t, withParams(redisURL(server), params...))
		}
	}
	return []setup{
		{"memory", func(t *testing.T) []*store.Sessions {
			b := open(t, "memory:")
			o := &store.Options{Lease: long}
			return []*store.Sessions{sessions(t, b, o), sessions(t, b, o)}
		}},
		{"redis", redisLike(testserver.FlavourRedis)},
		{"redis without batching", redisLike(testserver.FlavourRedis, "batching=off")},
		{"redis8", redisLike(testserver.FlavourRedis8)},
		{"valkey", redisLike(testserver.FlavourValkey)},
		{"valkey9", redisLike(testserver.FlavourValkey9)},
		{"dragonfly", redisLike(testserver.FlavourDragonfly)},
		{"cluster", func(t *testing.T) []*store.Sessions {
			return twoNodes(t, clusterURL(testserver.RedisCluster(t)))
		}},
		{"hazelcast", func(t *testing.T) []*store.Sessions {
			u := hazelcastURL(testserver.SharedHazelcast(t))
			watchHazelcast(t, u)
			return twoNodes(t, u)
		}},
	}
}

func TestLinearizable(t *testing.T) {
	for _, c := range setups() {
		t.Run(c.name, func(t *testing.T) {
			nodes := c.open(t)
			y := record(t, nodes, newRand(t), recording{steps: 25, more: lasting(historyTime), least: leastOperations(t)})
			wantHealthy(t, y)
			if y.unknown > 0 {
				t.Errorf("%d outcomes are unknown although nothing is broken", y.unknown)
			}
		})
	}
}
