package testserver

import "testing"

func TestRedisSentinel(t *testing.T) {
	for _, f := range []Flavour{FlavourRedis, FlavourRedis8, FlavourValkey} {
		t.Run(string(f), func(t *testing.T) {
			var pids []int
			t.Run("life", func(t *testing.T) {
				s := RedisSentinel(t, WithFlavour(f))
				for _, node := range append(s.Nodes, s.sentinels...) {
					pids = append(pids, node.PID())
				}
				old := s.KillPrimary()
				requireGone(t, pids[old])
				s.AwaitReady()
				now := s.Primary()
				if now == old {
					t.Fatalf("Primary() = %d, the one that was killed", now)
				}
				requireReply(t, s.Nodes[now], "OK", "SET", "k", "v")
				s.Nodes[old].Restart()
				pids = append(pids, s.Nodes[old].PID())
			})
			for _, pid := range pids {
				requireGone(t, pid)
			}
		})
	}
}
