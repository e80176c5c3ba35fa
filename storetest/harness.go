package storetest

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessionkv/store"
)

// Harness tells the suite how to reach the storage under test.
type Harness struct {
	// Open returns one more node's backend. All that it returns reach the same
	// storage under the same namespace. The suite closes them, before the
	// cleanups run that Open registered with t. Required.
	Open func(t testing.TB) store.Backend

	// Other returns a backend on the same storage under another namespace,
	// closed like those of Open. Nil means that the storage has no
	// namespaces; the rule about them is skipped then.
	Other func(t testing.TB) store.Backend

	// Lease is the shortest lease that the storage keeps exactly enough. A session must not end
	// before it, and a call must be short beside it. Zero means one second, and ten with Synctest,
	// where time costs nothing.
	Lease time.Duration

	// Granularity is how much longer than asked the storage may let a session live. It may round
	// leases up, or judge them by a clock that is a little behind. A session that is seen alive
	// later than that breaks the contract. Zero means a quarter of Lease, and with Synctest a
	// tenth.
	Granularity time.Duration

	// Synctest says that the sessions live in the memory of this process. Open
	// is then called once for each rule, within a bubble of testing/synctest,
	// and what it returns serves as every node.
	Synctest bool
}

func (h Harness) withDefaults() Harness {
	switch {
	case h.Lease > 0:
	case h.Synctest:
		h.Lease = 10 * time.Second
	default:
		h.Lease = time.Second
	}
	switch {
	case h.Granularity > 0:
	case h.Synctest:
		h.Granularity = h.Lease / 10
	default:
		h.Granularity = h.Lease / 4
	}
	return h
}

// Run holds the backend that h opens to the whole contract. Each rule is a
// subtest named group/rule. Run returns when all rules are done.
func Run(t *testing.T, h Harness) {
	if h.Open == nil {
		t.Fatal("storetest: Harness.Open is nil; it must return a backend")
	}
	h = h.withDefaults()
	var shared *doors
	if !h.Synctest {
		shared = open(t, h)
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			if g.waits && !h.Synctest {
				// Run from goroutines, not with t.Parallel: they only wait,
				// and so must not queue for a processor.
				var wg sync.WaitGroup
				for _, r := range g.rules {
					wg.Go(func() { t.Run(r.subtest(), func(t *testing.T) { r.test(t, h, shared) }) })
				}
				wg.Wait()
				return
			}
			for _, r := range g.rules {
				t.Run(r.subtest(), func(t *testing.T) {
					if h.Synctest {
						synctest.Test(t, func(t *testing.T) { r.test(t, h, open(t, h)) })
						return
					}
					r.test(t, h, shared)
				})
			}
		})
	}
}

// doors are the backends of the two nodes.
type doors struct{ a, b store.Backend }

// open opens both nodes for as long as t runs.
func open(t testing.TB, h Harness) *doors {
	d := &doors{a: openOne(t, h.Open)}
	if h.Synctest {
		d.b = d.a
	} else {
		d.b = openOne(t, h.Open)
	}
	return d
}

func openOne(t testing.TB, open func(testing.TB) store.Backend) store.Backend {
	b := open(t)
	if b == nil {
		t.Fatal("storetest: Harness.Open returned nil, want a backend")
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("Close() = %v, want nil", err)
		}
	})
	return b
}

// A group is a part of the contract.
type group struct {
	name  string
	waits bool // its rules wait for time to pass
	rules []rule
}

var groups = []group{
	{name: "values", rules: valueRules},
	{name: "names", rules: nameRules},
	{name: "lives", rules: lifeRules},
	{name: "views", rules: viewRules},
	{name: "races", rules: raceRules},
	{name: "leases", waits: true, rules: slices.Concat(leaseRules, graceRules)},
	{name: "limits", rules: limitRules},
	{name: "commits", rules: commitRules},
	{name: "departures", rules: departureRules},
	{name: "scans", rules: scanRules},
	{name: "failures", rules: failureRules},
	{name: "sessions", rules: sessionRules},
	{name: "renewals", waits: true, rules: renewalRules},
	{name: "notices", waits: true, rules: noticeRules},
	{name: "indexes", waits: true, rules: indexRules},
}

// A rule is one sentence of the contract with the script that holds a backend to
// it.
type rule struct {
	name  string
	needs ability
	run   func(x *env)
}

// subtest returns the rule's name without what -run would treat specially.
func (r rule) subtest() string {
	return strings.NewReplacer("/", " ", "(", "", ")", "", "+", "and").Replace(r.name)
}

// test runs the rule's script.
func (r rule) test(t testing.TB, h Harness, d *doors) {
	const attempts = 5
	x := newEnv(t, r.name, h, d)
	for range attempts {
		x.heldUp, x.due = false, time.Time{}
		x.guarded(func() {
			for _, a := range abilities {
				if r.needs&a.bit != 0 && !x.has(a) {
					t.Skipf("the backend does not support %s", a.name)
				}
			}
			r.run(x)
		})
		if !x.heldUp {
			return
		}
	}
	t.Errorf("\nrule: %s\ncalls took longer than the leases of this rule, %d times; give a Harness.Lease longer than %v", r.name, attempts, h.Lease)
}
