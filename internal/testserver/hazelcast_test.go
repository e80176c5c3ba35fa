package testserver

import (
	"testing"
	"time"
)

func TestHazelcast(t *testing.T) {
	var pids []int
	t.Run("life", func(t *testing.T) {
		c := Hazelcast(t, 2, WithMap("sessions*", time.Hour, 90*time.Minute), WithHeartbeat(4*time.Second))
		pids = append(pids, c.PID(0), c.PID(1))
		c.Kill(0)
		requireGone(t, pids[0])
		c.AwaitSafe()
		c.Restart(0)
		pids = append(pids, c.PID(0))
		c.Pause(1)
		c.AwaitSafe() // member 0 has dropped member 1
		requireSilent(t, c.Addrs[1], "GET /hazelcast/health HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n", func() { c.Resume(1) })
		c.AwaitSafe()
		c.Stop(1)
		c.AwaitSafe()
		if h, err := memberHealth(c.Addrs[0]); err != nil || h.ClusterSize != 1 {
			t.Errorf("health = %+v, %v; want a cluster of one", h, err)
		}
	})
	for _, pid := range pids {
		requireGone(t, pid)
	}
}

func TestSharedHazelcast(t *testing.T) {
	a, b := SharedHazelcast(t), SharedHazelcast(t)
	if a.Addrs[0] != b.Addrs[0] || a.ClusterName != b.ClusterName {
		t.Errorf("SharedHazelcast: two clusters, %s and %s", a.ClusterName, b.ClusterName)
	}
}
