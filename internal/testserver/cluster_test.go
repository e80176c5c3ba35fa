package testserver

import (
	"strings"
	"testing"
)

func TestRedisCluster(t *testing.T) {
	for _, f := range []Flavour{FlavourRedis, FlavourRedis8, FlavourValkey} {
		t.Run(string(f), func(t *testing.T) {
			var pids []int
			t.Run("life", func(t *testing.T) {
				c := RedisCluster(t, WithFlavour(f))
				for _, node := range c.Nodes {
					pids = append(pids, node.PID())
				}
				moveSlot(t, c)
				slot := c.SlotOf("other")
				i := c.Owner(slot)
				c.Kill(i)
				requireGone(t, pids[i])
				awaitOwnerOtherThan(t, c, slot, i)
				c.AwaitReady()
			})
			for _, pid := range pids {
				requireGone(t, pid)
			}
		})
	}
}

// moveSlot moves the slot of a key and looks at what its old owner answers on the way.
func moveSlot(t *testing.T, c *Cluster) {
	t.Helper()
	slot := c.SlotOf("{tag}a")
	from := c.Owner(slot)
	old := c.Nodes[from]
	requireReply(t, old, "OK", "SET", "{tag}a", "1")
	requireReply(t, old, "OK", "SET", "{tag}b", "2")
	to := (from + 1) % clusterPrimaries
	m := c.StartMigration(slot, to)
	requireReply(t, old, "1", "GET", "{tag}a")
	m.MoveKeys("{tag}a")
	requireError(t, old, "ASK ", "GET", "{tag}a")
	requireReply(t, old, "2", "GET", "{tag}b")
	m.Finish()
	requireError(t, old, "MOVED ", "GET", "{tag}b")
	requireReply(t, c.Nodes[to], "2", "GET", "{tag}b")
	if got := c.Owner(slot); got != to {
		t.Errorf("Owner(%d) = %d, want %d", slot, got, to)
	}
}

func requireError(t *testing.T, s *Server, prefix string, args ...string) {
	t.Helper()
	got, err := s.Do(args...)
	if err == nil || !strings.HasPrefix(err.Error(), prefix) {
		t.Fatalf("Do(%q) = %v, %v; want an error that begins with %q", args, got, err, prefix)
	}
}

func awaitOwnerOtherThan(t *testing.T, c *Cluster, slot, dead int) {
	t.Helper()
	replica := c.Nodes[dead+clusterPrimaries]
	if err := replica.process.await(func() error { return linked(replica, "master") }); err != nil {
		t.Fatal(err)
	}
	if got := c.Owner(slot); got != dead+clusterPrimaries {
		t.Errorf("Owner(%d) = %d, want %d", slot, got, dead+clusterPrimaries)
	}
}
