package systemtest

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/testserver"
)

// movingCluster opens two nodes on a cluster whose slots move: each time disturb is
// called, the slot of a session that lives at that moment.
func movingCluster(t *testing.T, chance *rand.Rand, param string) (nodes []*store.Sessions, disturb func(), moved *atomic.Int64) {
	c := testserver.RedisCluster(t)
	for _, n := range c.Nodes[:3] {
		watchRedis(t, n)
	}
	moved = new(atomic.Int64)
	disturb = func() {
		from := chance.IntN(3)
		key, err := c.Nodes[from].Do("RANDOMKEY")
		if err != nil {
			t.Fatalf("RANDOMKEY = %v", err)
		}
		name, ok := key.(string)
		if !ok {
			return // it has none at present
		}
		if slot := c.SlotOf(name); c.Owner(slot) == from {
			c.StartMigration(slot, (from+1+chance.IntN(2))%3).Finish()
			moved.Add(1)
		}
	}
	return twoNodes(t, withParams(clusterURL(c), param)), disturb, moved
}

// While slots move, every operation goes on as if none did: nothing fails, and no
// outcome is unknown.
func TestLinearizableWhileSlotsMove(t *testing.T) {
	for _, param := range []string{"batching=on", "batching=off"} {
		t.Run(param, func(t *testing.T) {
			chance := newRand(t)
			nodes, disturb, moved := movingCluster(t, chance, param)
			var y *tally
			rounds := rand.New(rand.NewPCG(chance.Uint64(), 0))
			while(chance, disturb, func() {
				y = record(t, nodes, rounds, recording{steps: 40, more: lastingUntil(t, faultTime, func(*tally) bool { return moved.Load() > 0 }), least: leastOperations(t)})
			})
			wantHealthy(t, y)
			if y.unknown > 0 {
				t.Errorf("%d outcomes are unknown although no connection was lost", y.unknown)
			}
			if moved.Load() == 0 {
				t.Error("no slot has moved, so nothing was shown")
			}
			t.Logf("%d slots moved under %d operations", moved.Load(), y.ops)
		})
	}
}
