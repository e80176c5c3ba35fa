package testserver

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

const (
	sentinelReplicas = 2
	sentinelCount    = 3
)

// Sentinel is one primary with two replicas, watched by three sentinels. Methods that return no error fail the test
// instead, and so belong in the test's own goroutine.
type Sentinel struct {
	SentinelAddrs []string  // host:port of the sentinels
	MasterName    string    // under which the sentinels watch the primary
	Nodes         []*Server // as started, the primary and its two replicas

	t         testing.TB
	sentinels []*Server
}

// RedisSentinel starts a primary, two replicas and three sentinels. It returns when the replicas are linked and all
// sentinels have found each other and the replicas. It always starts its own, whatever the environment names.
func RedisSentinel(t testing.TB, opts ...Option) *Sentinel {
	t.Helper()
	settings := settingsOf(opts)
	if settings.flavour == FlavourDragonfly {
		t.Fatal("testserver.RedisSentinel cannot start Dragonfly")
	}
	dir := t.TempDir()
	s := &Sentinel{MasterName: fmt.Sprintf("primary-%d", generation.Add(1)), t: t}
	release, err := withPorts(1+sentinelReplicas, func(ports []int) (err error) {
		s.Nodes, err = startNodes(dir, ports, settings)
		return err
	})
	if err != nil {
		giveUp(t, err)
	}
	ownAll(t, s.Nodes, release)
	must(t, s.link())
	release, err = withPorts(sentinelCount, func(ports []int) (err error) {
		s.sentinels, err = s.startSentinels(dir, ports, settings.flavour)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	ownAll(t, s.sentinels, release)
	for _, sentinel := range s.sentinels {
		s.SentinelAddrs = append(s.SentinelAddrs, sentinel.Addr)
	}
	s.AwaitReady()
	return s
}

// link makes the replicas follow the primary. The sentinels come after that: those that look at a primary without
// replicas take ten seconds until they look again.
func (s *Sentinel) link() error {
	host, port, err := net.SplitHostPort(s.Nodes[0].Addr)
	if err != nil {
		return err
	}
	for _, replica := range s.Nodes[1:] {
		if _, err := replica.Do("REPLICAOF", host, port); err != nil {
			return err
		}
	}
	for _, replica := range s.Nodes[1:] {
		if err := replica.process.await(func() error { return linked(replica, "slave") }); err != nil {
			return err
		}
	}
	primary := s.Nodes[0]
	return primary.process.await(func() error {
		info, err := primary.info("replication")
		if err == nil && info["connected_slaves"] != strconv.Itoa(sentinelReplicas) {
			err = errors.New("the primary does not see its replicas")
		}
		return err
	})
}

func (s *Sentinel) startSentinels(dir string, ports []int, f Flavour) (started []*Server, err error) {
	for _, port := range ports {
		var sentinel *Server
		if sentinel, err = s.newSentinel(dir, port, f); err != nil {
			break
		}
		if err = sentinel.start(); err != nil {
			break
		}
		started = append(started, sentinel)
	}
	if err != nil {
		killNodes(started)
		return nil, err
	}
	return started, nil
}

func (s *Sentinel) newSentinel(dir string, port int, f Flavour) (*Server, error) {
	path, err := f.binary()
	if err != nil {
		return nil, err
	}
	if dir, err = os.MkdirTemp(dir, "sentinel-"); err != nil {
		return nil, err
	}
	host, primaryPort, err := net.SplitHostPort(s.Nodes[0].Addr)
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "sentinel.conf")
	lines := fmt.Sprintf(`port %d
bind 127.0.0.1
dir "%s"
sentinel monitor %[3]s %s %s 2
sentinel down-after-milliseconds %[3]s 2000
sentinel failover-timeout %[3]s 6000
sentinel parallel-syncs %[3]s 1
`, port, dir, s.MasterName, host, primaryPort)
	if err := os.WriteFile(config, []byte(lines), 0o600); err != nil {
		return nil, err
	}
	e := endpoint{addr: loopback(port)}
	return &Server{
		Addr: e.addr, URL: "redis://" + e.addr, Flavour: f, endpoint: e,
		process: &process{
			name: fmt.Sprintf("%s sentinel on port %d", f, port), path: path, args: []string{config, "--sentinel"},
			dir: dir, logPath: filepath.Join(dir, "log"),
		},
	}, nil
}

// AwaitReady waits until every sentinel lists the other sentinels and all three servers. Each must show that their
// present primary is up and can be replaced by a vote. After [Sentinel.KillPrimary] this means the failover is over,
// but not that the killed server is back.
func (s *Sentinel) AwaitReady() {
	s.t.Helper()
	for _, sentinel := range s.sentinels {
		if sentinel.process.active() {
			if err := sentinel.process.await(func() error { return s.sentinelReady(sentinel) }); err != nil {
				s.t.Fatalf("%s: %v", sentinel.process.name, err)
			}
		}
	}
}

func (s *Sentinel) sentinelReady(sentinel *Server) error {
	answer, err := sentinel.Do("SENTINEL", "MASTER", s.MasterName)
	if err != nil {
		return err
	}
	state := pairs(answer)
	if state["num-slaves"] != strconv.Itoa(sentinelReplicas) ||
		state["num-other-sentinels"] != strconv.Itoa(sentinelCount-1) || state["flags"] != "master" {
		return fmt.Errorf("has not discovered everything: %v", state)
	}
	for _, node := range s.Nodes {
		if node.Addr == net.JoinHostPort(state["ip"], state["port"]) {
			return linked(node, "master")
		}
	}
	return errors.New("watches a server that is not of this test")
}

// pairs reads an answer that lists names and values in turn.
func pairs(answer any) map[string]string {
	all := make(map[string]string)
	items, _ := answer.([]any)
	for i := 0; i+1 < len(items); i += 2 {
		name, _ := items[i].(string)
		value, _ := items[i+1].(string)
		all[name] = value
	}
	return all
}

// Primary returns the index of the server that the first running sentinel takes for the primary.
func (s *Sentinel) Primary() int {
	s.t.Helper()
	for _, sentinel := range s.sentinels {
		if !sentinel.process.active() {
			continue
		}
		answer, err := sentinel.Do("SENTINEL", "MASTER", s.MasterName)
		if err != nil {
			s.t.Fatal(err)
		}
		state := pairs(answer)
		for i, node := range s.Nodes {
			if node.Addr == net.JoinHostPort(state["ip"], state["port"]) {
				return i
			}
		}
	}
	s.t.Fatal("no sentinel knows a primary of this test")
	return 0
}

// KillPrimary ends the present primary at once (SIGKILL) and returns its index.
func (s *Sentinel) KillPrimary() int {
	s.t.Helper()
	i := s.Primary()
	s.Nodes[i].Kill()
	return i
}
