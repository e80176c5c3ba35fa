package testserver

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"testing"
)

const (
	clusterPrimaries = 3
	clusterNodes     = 2 * clusterPrimaries
	slotCount        = 16384
)

// Cluster is a Redis or Valkey Cluster. As started, nodes 0 to 2 are the primaries and node i+3 is the replica of
// node i. Methods that return no error fail the test instead, and so belong in the test's own goroutine.
type Cluster struct {
	Addrs []string  // host:port of the six nodes
	URL   string    // of node 0
	Nodes []*Server // to restart or pause one, or to send it a command

	t   testing.TB
	ids []string
}

// RedisCluster starts a cluster of three primaries with one replica each and returns when all six nodes agree that
// it is complete. It always starts its own, whatever the environment names.
func RedisCluster(t testing.TB, opts ...Option) *Cluster {
	t.Helper()
	s := settingsOf(opts)
	if s.flavour == FlavourDragonfly {
		t.Fatal("testserver.RedisCluster cannot start Dragonfly")
	}
	s.args = append(s.args, "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf",
		"--cluster-node-timeout", "3000", "--cluster-announce-ip", "127.0.0.1")
	dir := t.TempDir()
	c := &Cluster{t: t}
	release, err := withPorts(clusterNodes, func(ports []int) (err error) {
		c.Nodes, err = startNodes(dir, ports, s)
		return err
	})
	if err != nil {
		giveUp(t, err)
	}
	ownAll(t, c.Nodes, release)
	for _, node := range c.Nodes {
		c.Addrs = append(c.Addrs, node.Addr)
	}
	c.URL = c.Nodes[0].URL
	if err := c.form(); err != nil {
		t.Fatal(err)
	}
	c.AwaitReady()
	return c
}

// startNodes starts one server on each port, all or none.
func startNodes(dir string, ports []int, s settings) (nodes []*Server, err error) {
	for _, port := range ports {
		var node *Server
		if node, err = newNode(dir, port, s); err != nil {
			break
		}
		if err = node.start(); err != nil {
			break
		}
		nodes = append(nodes, node)
	}
	if err != nil {
		killNodes(nodes)
		return nil, err
	}
	return nodes, nil
}

func killNodes(nodes []*Server) {
	for _, node := range nodes {
		node.process.kill()
	}
}

// ownAll binds started servers to t: they are stopped when t ends.
func ownAll(t testing.TB, nodes []*Server, release func()) {
	for _, node := range nodes {
		node.t = t
	}
	t.Cleanup(func() {
		killNodes(nodes)
		release()
		for _, node := range nodes {
			logOnFailure(t, node.process)
		}
	})
}

// form introduces the nodes to each other and gives out the slots and the roles.
func (c *Cluster) form() error {
	_, port, err := net.SplitHostPort(c.Addrs[0])
	if err != nil {
		return err
	}
	for i, node := range c.Nodes {
		id, err := node.Do("CLUSTER", "MYID")
		if err != nil {
			return err
		}
		c.ids = append(c.ids, id.(string))
		_, errEpoch := node.Do("CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1))
		var errSlots, errMeet error
		if i < clusterPrimaries {
			_, errSlots = node.Do(addSlots(i)...)
		}
		if i > 0 {
			_, errMeet = node.Do("CLUSTER", "MEET", "127.0.0.1", port)
		}
		if err := errors.Join(errEpoch, errSlots, errMeet); err != nil {
			return err
		}
	}
	for i := clusterPrimaries; i < clusterNodes; i++ {
		node, primary := c.Nodes[i], c.ids[i-clusterPrimaries]
		if err := node.process.await(func() error { // until it has heard of its primary
			_, err := node.Do("CLUSTER", "REPLICATE", primary)
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// addSlots is the command that gives primary i its third of the slots, each by its number, which every version takes.
func addSlots(i int) []string {
	command := []string{"CLUSTER", "ADDSLOTS"}
	for slot := i * slotCount / clusterPrimaries; slot < (i+1)*slotCount/clusterPrimaries; slot++ {
		command = append(command, strconv.Itoa(slot))
	}
	return command
}

// AwaitReady waits until every node that runs and is not paused says that the cluster is complete and lists as many nodes as there are.
// It also waits until every replica is linked to its primary. After a failover it also waits for the promotion.
func (c *Cluster) AwaitReady() {
	c.t.Helper()
	for _, node := range c.Nodes {
		if !node.process.active() {
			continue
		}
		if err := node.process.await(func() error { return c.nodeReady(node) }); err != nil {
			c.t.Fatalf("%s: %v", node.process.name, err)
		}
	}
}

func (c *Cluster) nodeReady(node *Server) error {
	answer, err := node.Do("CLUSTER", "INFO")
	if err != nil {
		return err
	}
	text, _ := answer.(string)
	cluster := fields(text)
	if cluster["cluster_state"] != "ok" || cluster["cluster_slots_ok"] != strconv.Itoa(slotCount) ||
		cluster["cluster_known_nodes"] != strconv.Itoa(clusterNodes) || cluster["cluster_size"] != strconv.Itoa(clusterPrimaries) {
		return fmt.Errorf("the cluster is not complete:\n%s", text)
	}
	return linked(node, "")
}

// linked returns nil if node is a primary or a replica whose link is up. A role that is not "" is demanded.
func linked(node *Server, role string) error {
	info, err := node.info("replication")
	if err != nil {
		return err
	}
	if role != "" && info["role"] != role {
		return fmt.Errorf("role is %s, not %s", info["role"], role)
	}
	if info["role"] == "slave" && info["master_link_status"] != "up" {
		return errors.New("the replica is not linked to its primary")
	}
	return nil
}

// Kill ends node i at once (SIGKILL). A primary's slots are then refused until its replica has taken over, which
// [Cluster.AwaitReady] waits for.
func (c *Cluster) Kill(i int) {
	c.t.Helper()
	c.Nodes[i].Kill()
}

// SlotOf returns the slot of key.
func (c *Cluster) SlotOf(key string) int {
	c.t.Helper()
	for _, node := range c.Nodes {
		if node.process.active() {
			slot, err := node.Do("CLUSTER", "KEYSLOT", key)
			if err != nil {
				c.t.Fatal(err)
			}
			return int(slot.(int64))
		}
	}
	c.t.Fatal("no node of the cluster is running")
	return 0
}

// Owner returns the index of the node that serves slot now.
func (c *Cluster) Owner(slot int) int {
	c.t.Helper()
	for i, node := range c.Nodes {
		if !node.process.active() || linked(node, "master") != nil {
			continue
		}
		answer, err := node.Do("CLUSTER", "SLOTS")
		if err != nil {
			c.t.Fatal(err)
		}
		if slotOwner(answer, slot) == c.ids[i] {
			return i
		}
	}
	c.t.Fatalf("no running node owns slot %d", slot)
	return 0
}

// Migration is a slot on its way from one primary to another. While it is, the old owner answers for the keys it
// still has and redirects those it has not, or no longer, with ASK. After [Migration.Finish] it answers MOVED.
type Migration struct {
	Slot     int
	From, To int // indexes of the two primaries

	c *Cluster
}

// StartMigration begins to move slot to primary number to. No key is moved yet.
func (c *Cluster) StartMigration(slot, to int) *Migration {
	c.t.Helper()
	m := &Migration{Slot: slot, From: c.Owner(slot), To: to, c: c}
	if m.From == to {
		c.t.Fatalf("node %d owns slot %d already", to, slot)
	}
	number := strconv.Itoa(slot)
	_, errTo := c.Nodes[m.To].Do("CLUSTER", "SETSLOT", number, "IMPORTING", c.ids[m.From])
	_, errFrom := c.Nodes[m.From].Do("CLUSTER", "SETSLOT", number, "MIGRATING", c.ids[m.To])
	must(c.t, errors.Join(errTo, errFrom))
	return m
}

// MoveKeys moves some of the slot's keys; keys that do not exist are passed over.
func (m *Migration) MoveKeys(keys ...string) {
	m.c.t.Helper()
	if len(keys) == 0 {
		return
	}
	host, port, err := net.SplitHostPort(m.c.Addrs[m.To])
	must(m.c.t, err)
	command := append([]string{"MIGRATE", host, port, "", "0", "5000", "KEYS"}, keys...)
	_, err = m.c.Nodes[m.From].Do(command...)
	must(m.c.t, err)
}

// Finish moves the keys that are left, and the slot with them, and returns when every running node says so.
func (m *Migration) Finish() {
	m.c.t.Helper()
	number := strconv.Itoa(m.Slot)
	for {
		answer, err := m.c.Nodes[m.From].Do("CLUSTER", "GETKEYSINSLOT", number, "100")
		must(m.c.t, err)
		left, _ := answer.([]any)
		if len(left) == 0 {
			break
		}
		keys := make([]string, len(left))
		for i, key := range left {
			keys[i] = key.(string)
		}
		m.MoveKeys(keys...)
	}
	for _, i := range []int{m.To, m.From} { // the new owner first, so that there always is one
		_, err := m.c.Nodes[i].Do("CLUSTER", "SETSLOT", number, "NODE", m.c.ids[m.To])
		must(m.c.t, err)
	}
	for _, node := range m.c.Nodes {
		if !node.process.active() {
			continue
		}
		must(m.c.t, node.process.await(func() error {
			answer, err := node.Do("CLUSTER", "SLOTS")
			if err != nil {
				return err
			}
			if id := slotOwner(answer, m.Slot); id != m.c.ids[m.To] {
				return fmt.Errorf("%s does not know yet that slot %d has moved", node.process.name, m.Slot)
			}
			return nil
		}))
	}
}

// slotOwner returns the ID of the primary of slot in an answer to CLUSTER SLOTS, or "".
func slotOwner(answer any, slot int) string {
	ranges, _ := answer.([]any)
	for _, entry := range ranges {
		parts, _ := entry.([]any)
		if len(parts) < 3 {
			continue
		}
		low, _ := parts[0].(int64)
		high, _ := parts[1].(int64)
		primary, _ := parts[2].([]any)
		if int64(slot) < low || int64(slot) > high || len(primary) < 3 {
			continue
		}
		id, _ := primary[2].(string)
		return id
	}
	return ""
}
