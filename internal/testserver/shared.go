package testserver

import (
	"os"
	"sync"
	"testing"
	"time"
)

// shared holds what the tests of one test binary have in common. It is started when first asked for.
var shared struct {
	sync.Mutex
	dir       string
	redis     map[Flavour]*sharedEntry[*Server]
	hazelcast *sharedEntry[*HazelcastCluster]
	cleanups  []func()
}

type sharedEntry[T any] struct {
	value T
	err   error
}

// Main runs the tests of m and then stops the servers that they shared. A test binary that calls [SharedRedis] or
// [SharedHazelcast] should have
//
//	func TestMain(m *testing.M) { os.Exit(testserver.Main(m)) }
//
// Without it the servers end with the process all the same, but leave their temporary files behind.
func Main(m *testing.M) int {
	defer StopShared()
	return m.Run()
}

// StopShared stops what [SharedRedis] and [SharedHazelcast] have started, and waits until it is gone. Only a
// TestMain that does not use [Main] needs it.
func StopShared() {
	shared.Lock()
	defer shared.Unlock()
	for _, cleanup := range shared.cleanups {
		cleanup()
	}
	if shared.dir != "" {
		_ = os.RemoveAll(shared.dir) // what cannot be removed from the folder for temporary files may stay there
	}
	shared.dir, shared.redis, shared.hazelcast, shared.cleanups = "", nil, nil, nil
}

// sharedDir returns the folder of the shared servers; the caller holds the lock.
func sharedDir() (string, error) {
	if shared.dir == "" {
		dir, err := os.MkdirTemp("", "sessionkv-store-test-")
		if err != nil {
			return "", err
		}
		shared.dir = dir
	}
	return shared.dir, nil
}

// SharedRedis returns the standalone server of the given flavour that all tests of this test binary share. It holds
// other tests' data, so use a namespace per test, and it cannot be killed or paused.
func SharedRedis(t testing.TB, flavour ...Flavour) *Server {
	t.Helper()
	f := FlavourRedis
	if len(flavour) > 0 {
		f = flavour[0]
	}
	if server := external(t, f); server != nil {
		return server
	}
	if f == FlavourDragonfly {
		skipDragonfly(t)
	}
	shared.Lock()
	defer shared.Unlock()
	entry := shared.redis[f]
	if entry == nil {
		entry = new(sharedEntry[*Server])
		entry.value, entry.err = startSharedRedis(f)
		if shared.redis == nil {
			shared.redis = make(map[Flavour]*sharedEntry[*Server])
		}
		shared.redis[f] = entry
	}
	if entry.err != nil {
		giveUp(t, entry.err)
	}
	server := *entry.value
	server.t, server.shared = t, true
	t.Cleanup(func() { logOnFailure(t, server.process) })
	return &server
}

func startSharedRedis(f Flavour) (*Server, error) {
	dir, err := sharedDir()
	if err != nil {
		return nil, err
	}
	server, release, err := startStandalone(dir, settings{flavour: f})
	if err != nil {
		return nil, err
	}
	shared.cleanups = append(shared.cleanups, func() { server.process.kill(); release() })
	return server, nil
}

// Names of maps by the configuration that the cluster of [SharedHazelcast] has for them.
const (
	// MapsWithTTL are maps whose entries live for an hour unless they are told otherwise.
	MapsWithTTL = "ttl-*"
	// MapsWithoutTTL are maps whose entries live permanently unless they are told otherwise, as do those of all others.
	MapsWithoutTTL = "forever-*"
)

// SharedHazelcast returns the cluster of one member that all tests of this test binary share. Maps named like
// [MapsWithTTL] have a default time to live. It holds other tests' data, so use a map or a namespace per test, and it
// cannot be killed or paused.
func SharedHazelcast(t testing.TB) *HazelcastCluster {
	t.Helper()
	if c := externalHazelcast(t); c != nil {
		return c
	}
	shared.Lock()
	defer shared.Unlock()
	if shared.hazelcast == nil {
		shared.hazelcast = new(sharedEntry[*HazelcastCluster])
		shared.hazelcast.value, shared.hazelcast.err = startSharedHazelcast()
	}
	if err := shared.hazelcast.err; err != nil {
		giveUp(t, err)
	}
	c := *shared.hazelcast.value
	c.t, c.shared = t, true
	t.Cleanup(func() { logOnFailure(t, c.members...) })
	return &c
}

func startSharedHazelcast() (*HazelcastCluster, error) {
	dir, err := sharedDir()
	if err != nil {
		return nil, err
	}
	c, release, err := startHazelcast(dir, 1, []HazelcastOption{WithMap(MapsWithTTL, time.Hour, 0)})
	if err != nil {
		return nil, err
	}
	shared.cleanups = append(shared.cleanups, func() { c.killAll(); release() })
	return c, nil
}
