package batch

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/sessionkv/store/internal/await"
)

// startCluster runs two nodes that serve half of the slots each.
func startCluster(t *testing.T) *redis.ClusterClient {
	t.Helper()
	addrs := []string{startRedis(t, "--cluster-enabled", "yes"), startRedis(t, "--cluster-enabled", "yes")}
	for i, addr := range addrs {
		node := newClient(t, redis.Options{Addr: addr})
		if err := node.ClusterAddSlotsRange(t.Context(), i*8192, i*8192+8191).Err(); err != nil {
			t.Fatal(err)
		}
		host, port, err := net.SplitHostPort(addrs[1-i])
		if err != nil {
			t.Fatal(err)
		}
		if err := node.ClusterMeet(t.Context(), host, port).Err(); err != nil {
			t.Fatal(err)
		}
	}
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs})
	t.Cleanup(func() { _ = client.Close() })
	await.Until(t, "every node knows the whole cluster", func() bool {
		for _, addr := range addrs {
			node := newClient(t, redis.Options{Addr: addr})
			info, err := node.ClusterInfo(t.Context()).Result()
			var state string
			_, _ = fmt.Sscanf(info, "cluster_state:%s", &state)
			slots, _ := node.Do(t.Context(), "cluster", "slots").Slice()
			if err != nil || state != "ok" || len(slots) != 2 {
				return false
			}
		}
		return true
	})
	client.ReloadState(t.Context())
	return client
}

func TestCluster(t *testing.T) {
	client := startCluster(t)
	b := New(client, Options{})
	defer closeNow(t, b)
	run := func() {
		t.Helper()
		var wg sync.WaitGroup
		for w := range 64 {
			wg.Go(func() {
				for i := range 20 {
					key := fmt.Sprint("key", w)
					set := once("eval", "return redis.call('SET', KEYS[1], ARGV[1])", 1, key, i)
					if err := b.Process(t.Context(), set); err != nil {
						t.Errorf("Process(eval) = %v, want nil", err)
					}
					get := again("get", key)
					if err := b.Process(t.Context(), get); err != nil || get.Val() != fmt.Sprint(i) {
						t.Errorf("Process(get %s) = %v, %v, want %d, nil", key, get.Val(), err, i)
					}
				}
			})
		}
		wg.Wait()
	}
	run()
	lanes := 0
	for l := range b.all {
		lanes++
		l.mu.Lock()
		if n := l.queue.len(); n != 0 {
			t.Errorf("%d calls are left in a queue", n)
		}
		l.mu.Unlock()
	}
	if lanes != 2 {
		t.Errorf("lanes = %d, want one for each node: 2", lanes)
	}

	// A slot moves to the other node unknown to the client:
	// the replies are redirections, which are followed.
	from, err := client.MasterForKey(t.Context(), "moving")
	if err != nil {
		t.Fatal(err)
	}
	slot := client.ClusterKeySlot(t.Context(), "moving").Val()
	var other *redis.Client
	_ = client.ForEachMaster(t.Context(), func(_ context.Context, node *redis.Client) error {
		if node.Options().Addr != from.Options().Addr {
			other = node
		}
		return nil
	})
	id := other.ClusterMyID(t.Context()).Val()
	for _, node := range []*redis.Client{other, from} {
		if err := node.Do(t.Context(), "cluster", "setslot", slot, "node", id).Err(); err != nil {
			t.Fatal(err)
		}
	}
	l, err := b.laneFor(t.Context(), again("get", "moving"))
	if err != nil {
		t.Fatal(err)
	}
	here := ""
	for i := 0; here == ""; i++ {
		if node, _ := client.MasterForKey(t.Context(), fmt.Sprint("key", i)); node.Options().Addr == from.Options().Addr {
			here = fmt.Sprint("key", i)
		}
	}
	cmds := []redis.Cmder{once("incr", "moving"), once("incr", "moving"), again("get", here)}
	for i, err := range oneBatchIn(t, l, cmds...) {
		if err != nil {
			t.Errorf("error of command %d = %v, want nil", i, err)
		}
	}
	if got := other.Get(t.Context(), "moving").Val(); got != "2" {
		t.Errorf("moving = %q, want 2", got)
	}
}
