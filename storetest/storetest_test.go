package storetest_test

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/storetest"
)

func memory(b bug) storetest.Harness {
	return storetest.Harness{
		Open:     func(testing.TB) store.Backend { return newReference(b) },
		Synctest: true,
	}
}

// The suite must pass on a correct backend.
func TestReference(t *testing.T) {
	storetest.Run(t, memory(""))
}

// apart is a harness in which time is real, nodes are apart and namespaces exist,
// as with a server.
func apart(b bug) storetest.Harness {
	server, other := newReference(""), newReference("")
	if b == "namespaces share sessions" {
		other = server
	}
	var opened atomic.Int64
	return storetest.Harness{
		Open: func(testing.TB) store.Backend {
			d := &door{reference: server, namespace: "one"}
			if opened.Add(1) > 1 && b == "every node has a namespace of its own" {
				d.namespace = "another"
			}
			return d
		},
		Other: func(testing.TB) store.Backend { return &door{reference: other, namespace: "two"} },
		Lease: 200 * time.Millisecond,
	}
}

// It must also pass on that.
func TestReferenceInRealTime(t *testing.T) {
	storetest.Run(t, apart(""))
}

// It must pass on a backend without any optional ability.
func TestReferenceWithoutAbilities(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		Open:     func(testing.TB) store.Backend { return &door{reference: newReference(""), bare: true} },
		Synctest: true,
	})
}

func TestRuleNamesAreUnique(t *testing.T) {
	names := slices.Sorted(slices.Values(storetest.RuleNames()))
	for i := range len(names) - 1 {
		if names[i] == names[i+1] {
			t.Errorf("two rules are named %q", names[i])
		}
	}
}

func BenchmarkReference(b *testing.B) {
	storetest.Benchmark(b, memory(""))
}
