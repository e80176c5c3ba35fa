package hazelcaststore

import (
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/testserver"
	"github.com/sessionkv/store/storetest"
)

// contract holds c to the whole contract; every node has a client of its own.
func contract(t *testing.T, c *testserver.HazelcastCluster) {
	opts, other := namespace(), namespace()
	opener := func(o *Options) func(testing.TB) store.Backend {
		return func(t testing.TB) store.Backend { return open(t, dial(t, c), o) }
	}
	storetest.Run(t, storetest.Harness{
		Open:  opener(opts),
		Other: opener(other),
		Lease: 500 * time.Millisecond,
	})
}

func TestContractOnOneMember(t *testing.T) {
	contract(t, cluster(t, 1))
}

func TestContractOnThreeMembers(t *testing.T) {
	contract(t, cluster(t, 3))
}

// The suite's usual lease is an hour, so that here every write has to stretch the
// entry's time to live.
func TestContractWithShortDefaultTTL(t *testing.T) {
	contract(t, testserver.Hazelcast(t, 1, maps(10*time.Second)))
}
