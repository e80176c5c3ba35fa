package systemtest

import (
	"errors"
	"math/rand/v2"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends"
	"github.com/sessionkv/store/internal/await"
	"github.com/sessionkv/store/internal/testserver"
)

// faultTime is how long operations go on while things break.
const faultTime = 4 * time.Second

// A broken setup opens two nodes on servers that it disturbs, one fault at a time,
// each time disturb is called.
type brokenSetup struct {
	name string
	open func(t *testing.T, chance *rand.Rand) (nodes []*store.Sessions, disturb func())
}

func brokenSetups() []brokenSetup {
	return []brokenSetup{
		{"redis", func(t *testing.T, chance *rand.Rand) ([]*store.Sessions, func()) {
			return brokenRedis(t, chance, testserver.FlavourRedis, "batching=on")
		}},
		{"redis without batching", func(t *testing.T, chance *rand.Rand) ([]*store.Sessions, func()) {
			return brokenRedis(t, chance, testserver.FlavourRedis, "batching=off")
		}},
		{"redis8", func(t *testing.T, chance *rand.Rand) ([]*store.Sessions, func()) {
			return brokenRedis(t, chance, testserver.FlavourRedis8, "batching=on")
		}},
		{"valkey9", func(t *testing.T, chance *rand.Rand) ([]*store.Sessions, func()) {
			return brokenRedis(t, chance, testserver.FlavourValkey9, "batching=on")
		}},
		{"dragonfly", func(t *testing.T, chance *rand.Rand) ([]*store.Sessions, func()) {
			return brokenRedis(t, chance, testserver.FlavourDragonfly, "batching=on")
		}},
		{"redis with changing credentials", changingCredentials},
		{"cluster", brokenCluster},
		{"hazelcast", func(t *testing.T, chance *rand.Rand) ([]*store.Sessions, func()) {
			return brokenHazelcast(t, chance, 1)
		}},
		{"hazelcast of three members", func(t *testing.T, chance *rand.Rand) ([]*store.Sessions, func()) {
			return brokenHazelcast(t, chance, 3)
		}},
	}
}

// brokenRedis cuts connections, loses replies and freezes the server, unless somebody else has started that.
func brokenRedis(t *testing.T, chance *rand.Rand, flavour testserver.Flavour, param string) ([]*store.Sessions, func()) {
	var server *testserver.Server
	if flavour == testserver.FlavourDragonfly { // one that is running already
		server = testserver.SharedRedis(t, flavour)
	} else {
		server = testserver.Redis(t, testserver.WithFlavour(flavour), testserver.WithArgs("--save", ""))
	}
	watchRedis(t, server)
	shared := newNamespace()
	var nodes []*store.Sessions
	var proxies []*proxy
	for range 2 {
		p := newProxy(t, server.Addr, chance)
		u, err := url.Parse(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		u.Host = p.addr
		b := openSoon(t, withParams(u.String(), shared, param, "read_timeout=150ms", "dial_timeout=150ms", "write_timeout=150ms"))
		nodes, proxies = append(nodes, sessions(t, b, &store.Options{Lease: long})), append(proxies, p)
	}
	disturb := func() {
		p := proxies[chance.IntN(2)]
		switch fault := chance.IntN(4); {
		case fault < 2:
			p.cut()
		case fault == 2 || server.External:
			p.lose(0.02)
			time.Sleep(20 * time.Millisecond)
			p.lose(0)
		default:
			server.Pause()
			time.Sleep(200 * time.Millisecond)
			server.Resume()
		}
	}
	t.Cleanup(func() { t.Logf("%d and %d connections broken", proxies[0].losses.Load(), proxies[1].losses.Load()) })
	return nodes, disturb
}

// brokenCluster cuts the connections of nodes and freezes them, for less time than
// it takes the others to replace them.
func brokenCluster(t *testing.T, chance *rand.Rand) ([]*store.Sessions, func()) {
	c := testserver.RedisCluster(t)
	for _, n := range c.Nodes[:3] { // the primaries; replicas answer for no key
		watchRedis(t, n)
	}
	u := withParams(clusterURL(c), "read_timeout=150ms", "dial_timeout=150ms", "write_timeout=150ms")
	nodes := make([]*store.Sessions, 2)
	for i := range nodes {
		nodes[i] = sessions(t, openSoon(t, u), &store.Options{Lease: long})
	}
	disturb := func() {
		n := c.Nodes[chance.IntN(3)]
		if chance.IntN(3) > 0 {
			_, _ = n.Do("CLIENT", "KILL", "TYPE", "normal")
			return
		}
		n.Pause()
		time.Sleep(200 * time.Millisecond)
		n.Resume()
	}
	return nodes, disturb
}

// brokenHazelcast cuts the connections of nodes to members, and freezes members for longer
// than the nodes wait for an answer.
func brokenHazelcast(t *testing.T, chance *rand.Rand, members int) ([]*store.Sessions, func()) {
	// A member that the others have dropped comes back by a split-brain merge, which may
	// lose what was acknowledged.
	c := hazelcast(t, members, testserver.WithHeartbeat(10*time.Minute))
	u := hazelcastURL(c)
	watchHazelcast(t, u)
	timeout := time.Second
	nodes := make([]*store.Sessions, 2)
	for i := range nodes {
		await.Until(t, "the backend is opened within its timeout", func() bool {
			b, err := backends.Open(t.Context(), withParams(u, "timeout="+timeout.String()))
			if err != nil {
				timeout *= 2 // the machine is slow
				return false
			}
			t.Cleanup(func() { b.Close() })
			nodes[i] = sessions(t, b, &store.Options{Lease: long})
			return true
		})
	}
	cuts, stalls := 0, 0
	// One disturbance in three is a stall, and each member has its turn. By chance, a session's
	// member may be spared for as long as the test runs.
	turn := chance.IntN(3 * members)
	t.Cleanup(func() { t.Logf("%d connections cut, %d stalls of more than %v", cuts, stalls, timeout) })
	disturb := func() {
		// The client takes a second or more until it is connected again: without time
		// in between, little more than the first operations would get through.
		time.Sleep(time.Duration(chance.Int64N(int64(2 * timeout))))
		if turn++; turn%3 > 0 {
			cuts += cutConnections(t, c.Addrs, chance, 0.3)
			return
		}
		stalls++
		i := turn / 3 % members
		c.Pause(i)
		time.Sleep(timeout + time.Duration(chance.Int64N(int64(timeout))))
		c.Resume(i)
	}
	return nodes, disturb
}

// openSoon opens the backend at url, whose timeouts are so short that a busy machine may
// exceed them.
func openSoon(t *testing.T, url string) (b store.Backend) {
	t.Helper()
	await.Until(t, "the backend is opened within its timeouts", func() bool {
		opened, err := backends.Open(t.Context(), url)
		if err != nil {
			return false
		}
		t.Cleanup(func() { opened.Close() })
		b = opened
		return true
	})
	return b
}

// while calls disturb, with pauses by chance, as long as f runs.
func while(chance *rand.Rand, disturb, f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	for {
		select {
		case <-done:
			return
		case <-time.After(time.Duration(chance.Int64N(int64(30 * time.Millisecond)))):
			disturb()
		}
	}
}

// hit reports whether a fault has met an operation.
func hit(y *tally) bool { return y.unknown+y.failed > 0 }

func TestLinearizableWithFaults(t *testing.T) {
	for _, c := range brokenSetups() {
		t.Run(c.name, func(t *testing.T) {
			chance := newRand(t)
			nodes, disturb := c.open(t, chance)
			var y *tally
			rounds := rand.New(rand.NewPCG(chance.Uint64(), 0))
			while(chance, disturb, func() {
				y = record(t, nodes, rounds, recording{steps: 12, more: lastingUntil(t, faultTime, hit), least: leastOperations(t)})
			})
			logErrors(t, y.errors)
			if !hit(y) {
				t.Error("nothing failed, so nothing was shown")
			}
		})
	}
}

// A member that dies takes nothing with it that was acknowledged.
func TestLinearizableWhileMemberDies(t *testing.T) {
	c := hazelcast(t, 3)
	u := hazelcastURL(c)
	watchHazelcast(t, u)
	nodes := twoNodes(t, withParams(u, "timeout=10s"))
	chance := newRand(t)
	const some = 500
	var (
		over atomic.Bool
		done atomic.Int64
	)
	recorded := make(chan *tally)
	go func() {
		recorded <- record(t, nodes, chance, recording{steps: 12, more: func(y *tally) bool {
			done.Store(int64(y.ops))
			return !over.Load()
		}})
	}()
	defer over.Store(true)
	more := func(what string) {
		before := done.Load()
		await.Until(t, what, func() bool { return done.Load() >= before+some || t.Failed() })
	}
	more("history is recorded on three members")
	c.Kill(2)
	c.AwaitSafe()
	more("history is recorded on two members")
	over.Store(true)
	logErrors(t, (<-recorded).errors)
}

// logErrors shows what kinds of errors there were.
func logErrors(t *testing.T, errs []error) {
	t.Helper()
	texts := make(map[string]int)
	for _, err := range errs {
		if e, ok := errors.AsType[*store.Error](err); ok {
			err = e.Err
		}
		texts[err.Error()]++
	}
	shown := 0
	for text, n := range texts {
		if shown++; shown > 12 {
			t.Logf("… and %d other texts", len(texts)-12)
			return
		}
		t.Logf("%d × %s", n, text)
	}
}

const (
	// counter is incremented by many at once.
	counter = store.Key[int]("counter")
	// name is the key that the tests between processes write.
	name = store.Key[string]("name")
)

// count has writers on all nodes increment one counter until more is false, and
// checks that its value is what they were told.
func count(t *testing.T, nodes []*store.Sessions, more func(*tally) bool, broken func(f func()), observer *store.Session) {
	t.Helper()
	id := observer.ID()
	var acknowledged, unknown, failed atomic.Int64
	sofar := func() *tally {
		u, f := int(unknown.Load()), int(failed.Load())
		return &tally{ops: int(acknowledged.Load()) + u + f, unknown: u, failed: f}
	}
	broken(func() {
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				var s *store.Session
				for more(sofar()) {
					if s == nil {
						var err error
						if s, err = nodes[i%len(nodes)].Attach(t.Context(), id); err != nil {
							failed.Add(1)
						}
						continue
					}
					_, err := counter.Update(t.Context(), s, func(old int, _ bool) (int, error) { return old + 1, nil })
					switch kind(err) {
					case "":
						acknowledged.Add(1)
					case "unknown outcome":
						unknown.Add(1)
					case "destroyed":
						t.Errorf("Update() = %v, although the session lives", err)
						return
					default:
						failed.Add(1)
					}
				}
			})
		}
		wg.Wait()
	})
	var got int64
	await.Until(t, "the counter can be read", func() bool {
		n, err := counter.Get(t.Context(), observer)
		got = int64(n)
		return err == nil
	})
	a, u := acknowledged.Load(), unknown.Load()
	t.Logf("counter %d; %d acknowledged, %d of unknown outcome, %d failed", got, a, u, failed.Load())
	if got < a || got > a+u {
		t.Errorf("the counter is %d, want from %d (acknowledged) to %d (and of unknown outcome)", got, a, a+u)
	}
	if a == 0 || !hit(sofar()) {
		t.Error("nothing was acknowledged, or nothing failed, so nothing was shown")
	}
}

func TestNoUpdateIsLost(t *testing.T) {
	for _, c := range brokenSetups() {
		t.Run(c.name, func(t *testing.T) {
			chance := newRand(t)
			nodes, disturb := c.open(t, chance)
			var s *store.Session
			await.Until(t, "a session is created", func() bool {
				var err error
				s, err = nodes[0].Create(t.Context(), store.NewID(), counter.To(0))
				return err == nil
			})
			shown := func(y *tally) bool { return hit(y) && y.ops > y.unknown+y.failed }
			count(t, nodes, lastingUntil(t, faultTime, shown), func(f func()) {
				while(chance, disturb, f)
			}, s)
		})
	}
}
