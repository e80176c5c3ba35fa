//go:build unix

package systemtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/testserver"
)

// churn is how much TestFindUnderChurn does. INDEX_SESSIONS, INDEX_USERS, INDEX_TIME and INDEX_LEASE change it: 100000, 10000, 10m
// and 60s is a size for a machine of its own.
type churn struct {
	sessions, users int
	time, lease     time.Duration
}

func churnOf(t *testing.T) churn {
	t.Helper()
	c := churn{sessions: 300, users: 30, time: 6 * time.Second, lease: 2 * time.Second}
	for name, set := range map[string]func(string) error{
		"INDEX_SESSIONS": func(v string) (err error) { c.sessions, err = strconv.Atoi(v); return err },
		"INDEX_USERS":    func(v string) (err error) { c.users, err = strconv.Atoi(v); return err },
		"INDEX_TIME":     func(v string) (err error) { c.time, err = time.ParseDuration(v); return err },
		"INDEX_LEASE":    func(v string) (err error) { c.lease, err = time.ParseDuration(v); return err },
	} {
		if v := os.Getenv(name); v != "" {
			if err := set(v); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
	return c
}

// TestFindUnderChurn: three processes own sessions, one of them is killed again and again. Sessions change their user, through their owners and
// through other processes, get new IDs, are suspended, resumed and destroyed. Meanwhile this process looks for users. A session that has the
// user before and after must be found. What is found must have had the user in between. A lease after the last session there is nothing left.
func TestFindUnderChurn(t *testing.T) {
	size := churnOf(t)
	t.Run("redis", func(t *testing.T) {
		server := testserver.Redis(t, testserver.WithArgs("--save", ""))
		findUnderChurn(t, redisURL(server), size, func() int { return keyspace(t, server) })
	})
	t.Run("cluster", func(t *testing.T) {
		c := testserver.RedisCluster(t)
		findUnderChurn(t, clusterURL(c), size, nil)
	})
	t.Run("hazelcast", func(t *testing.T) {
		findUnderChurn(t, hazelcastURL(hazelcast(t, 1)), size, nil)
	})
}

// A tracked is what the test has on a session.
type tracked struct {
	id     string
	user   string // "" for none
	node   int    // that owns it, -1 for none
	quiet  bool   // hardly anything is done to it: what keeps it listed is the renewals
	busy   bool   // something is done to it
	change uint64 // when the last change began or ended
}

// A ledger of all sessions.
type ledger struct {
	mu     sync.Mutex
	now    uint64
	all    []*tracked
	byUser map[string]map[*tracked]bool
	byID   map[string]*tracked
	doubt  map[string]uint64 // IDs of which nothing is known any more, since when
}

func newLedger() *ledger {
	return &ledger{byUser: make(map[string]map[*tracked]bool), byID: make(map[string]*tracked), doubt: make(map[string]uint64)}
}

// The methods below need mu.

func (r *ledger) list(s *tracked) {
	if r.byUser[s.user] == nil {
		r.byUser[s.user] = make(map[*tracked]bool)
	}
	r.byUser[s.user][s] = true
	r.byID[s.id] = s
}

func (r *ledger) unlist(s *tracked) {
	delete(r.byUser[s.user], s)
	delete(r.byID, s.id)
}

func (r *ledger) tick() uint64 { r.now++; return r.now }

// drop forgets s.
func (r *ledger) drop(s *tracked) {
	r.unlist(s)
	r.doubt[s.id] = r.tick()
	if i := slices.Index(r.all, s); i >= 0 {
		r.all[i] = r.all[len(r.all)-1]
		r.all = r.all[:len(r.all)-1]
	}
}

type churning struct {
	t     *testing.T
	url   string
	size  churn
	rec   *ledger
	nodes []atomic.Pointer[indexProcess]

	deeds, refused, kills, looks, found atomic.Int64
	missed, false                       atomic.Int64
}

func (c *churning) user() string { return fmt.Sprint("user ", rand.IntN(c.size.users)) }

func findUnderChurn(t *testing.T, url string, size churn, keys func() int) {
	c := &churning{t: t, url: url, size: size, rec: newLedger(), nodes: make([]atomic.Pointer[indexProcess], 3)}
	for i := range c.nodes {
		c.nodes[i].Store(startIndexProcess(t, url, size.lease))
	}
	ss := sessions(t, open(t, url), indexOptions(size.lease))
	end := time.Now().Add(size.time)
	var parts sync.WaitGroup
	for i := range c.nodes {
		parts.Go(func() {
			// Each session is touched about once in a lease.
			tick := time.NewTicker(size.lease * time.Duration(3*c.batch()) / time.Duration(size.sessions))
			defer tick.Stop()
			for time.Now().Before(end) {
				c.work(i)
				<-tick.C
			}
		})
	}
	parts.Go(func() {
		for time.Now().Before(end) {
			pause := size.lease/2 + rand.N(2*size.lease)
			select {
			case <-time.After(min(pause, time.Until(end))):
			case <-t.Context().Done():
				return
			}
			c.killOne()
		}
	})
	for range 4 {
		parts.Go(func() {
			for time.Now().Before(end) {
				c.look(ss)
			}
		})
	}
	parts.Wait()
	t.Logf("%d sessions, %d users, lease %v, %v: %d deeds (%d refused), %d kills; %d users looked for, %d sessions found, missed %d, false %d",
		len(c.rec.all), size.users, size.lease, size.time, c.deeds.Load(), c.refused.Load(), c.kills.Load(), c.looks.Load(), c.found.Load(), c.missed.Load(), c.false.Load())
	if n := c.missed.Load(); n > 0 {
		t.Errorf("Find() missed sessions that had the user before and after it, %d times", n)
	}
	if n := c.false.Load(); n > 0 {
		t.Errorf("Find() found sessions that have had another user since before it, %d times", n)
	}
	if c.found.Load() == 0 || c.kills.Load() == 0 {
		t.Errorf("%d sessions found, %d kills: the test has not tested anything", c.found.Load(), c.kills.Load())
	}

	// Log out everywhere: none of a user's sessions is left, in whatever process.
	for range 5 {
		user := c.user()
		if _, err := owner.DestroyAll(t.Context(), ss, user); err != nil {
			t.Errorf("DestroyAll() = %v", err)
		}
		c.rec.mu.Lock()
		listed := c.rec.byUser[user]
		var ids []string
		for s := range listed {
			ids = append(ids, s.id)
		}
		c.rec.mu.Unlock()
		for _, id := range ids {
			if got, ok := valueOf(t, ss, id); ok && got == user {
				t.Errorf("a session of a user lives after DestroyAll")
			}
		}
	}

	// All owners die. What lives longest is suspended for four leases; entries may outlive it by one and a margin.
	for i := range c.nodes {
		c.nodes[i].Load().kill()
	}
	died := time.Now()
	if keys == nil {
		return
	}
	left := keys()
	limit := 5*size.lease + size.lease/16 + time.Second
	for left > 0 && time.Since(died) < limit {
		time.Sleep(size.lease / 16)
		left = keys()
	}
	t.Logf("%d keys are left on the server %v after the owners died", left, time.Since(died).Round(100*time.Millisecond))
	if left > 0 {
		t.Errorf("%d keys are left on the server a lease after the last session, want 0", left)
	}
}

// valueOf reads the session directly, and reports whether it lives.
func valueOf(t *testing.T, ss *store.Sessions, id string) (user string, lives bool) {
	for {
		s, err := ss.Attach(t.Context(), id)
		if errors.Is(err, store.ErrNoSession) {
			return "", false
		}
		if err == nil {
			user, err = owner.GetOr(t.Context(), s, "")
		}
		switch {
		case err == nil:
			return user, true
		case !errors.Is(err, store.ErrDestroyed):
			return "", false // the server is slow: nothing is known
		}
	}
}

// killOne kills a node and starts another in its place. Clients of the dead one come back to others.
func (c *churning) killOne() {
	i := rand.IntN(len(c.nodes))
	next := startIndexProcess(c.t, c.url, c.size.lease)
	c.nodes[i].Swap(next).kill()
	c.kills.Add(1)
	c.rec.mu.Lock()
	for _, s := range c.rec.all {
		if s.node == i {
			s.node = -1
		}
	}
	c.rec.mu.Unlock()
}

// batch is how many deeds a node does at a time.
func (c *churning) batch() int { return min(100, max(4, c.size.sessions/30)) }

// work does a batch of deeds on node i.
func (c *churning) work(i int) {
	batch := c.batch()
	node := c.nodes[i].Load()
	var deeds []deed
	var on []*tracked
	c.rec.mu.Lock()
	for n := len(c.rec.all); n < c.size.sessions && len(deeds) < 10*batch; n++ {
		s := &tracked{id: store.NewID(), user: c.user(), node: i, busy: true, quiet: rand.IntN(2) == 0, change: c.rec.tick()}
		do := "create"
		if rand.IntN(10) == 0 {
			do, s.node = "createFor", -1
		}
		deeds, on = append(deeds, deed{Do: do, ID: s.id, User: s.user}), append(on, s)
	}
	for tries, most := 0, len(deeds)+batch; len(deeds) < most && tries < 3*batch && len(c.rec.all) > 0; tries++ {
		s := c.rec.all[rand.IntN(len(c.rec.all))]
		if s.busy || s.quiet && s.node >= 0 && rand.IntN(100) > 0 {
			continue
		}
		d := deed{ID: s.id, User: c.user()}
		switch dice := rand.IntN(100); {
		case s.node == i && dice < 40:
			d.Do = "set"
		case s.node == i && dice < 45:
			d.Do = "delete"
		case s.node == i && dice < 60:
			d.Do = "suspend"
		case s.node == i && dice < 75:
			d.Do, d.NewID = "rotate", store.NewID()
		case s.node == i && dice < 80:
			d.Do = "destroy"
		case s.node == i:
			continue
		case s.node < 0 && dice < 50:
			d.Do = "resume"
		case s.node < 0 && dice < 60:
			d.Do = "extend"
		default:
			d.Do = "attach and set"
		}
		s.busy, s.change = true, c.rec.tick()
		deeds, on = append(deeds, d), append(on, s)
	}
	c.rec.mu.Unlock()
	if len(deeds) == 0 {
		return
	}
	results := node.do(deeds)
	c.deeds.Add(int64(len(deeds)))

	c.rec.mu.Lock()
	defer c.rec.mu.Unlock()
	alive := c.nodes[i].Load() == node
	for n, d := range deeds {
		s := on[n]
		s.busy, s.change = false, c.rec.tick()
		began := d.Do == "create" || d.Do == "createFor"
		switch {
		case results == nil || results[n].Kind != "":
			c.refused.Add(1)
			if results != nil && results[n].Kind == "other: "+errNotOwned.Error() {
				s.node = -1 // as after an end that the node has noticed
			}
			if began {
				c.rec.doubt[s.id] = c.rec.tick()
			} else {
				c.rec.drop(s) // it may have ended, or not; and what was written may be there, or not
				c.rec.doubt[d.NewID] = c.rec.tick()
			}
			continue
		case began:
			c.rec.all = append(c.rec.all, s)
			c.rec.list(s)
		case d.Do == "set", d.Do == "attach and set", d.Do == "delete":
			c.rec.unlist(s)
			if s.user = d.User; d.Do == "delete" {
				s.user = ""
			}
			c.rec.list(s)
		case d.Do == "suspend":
			s.node = -1
		case d.Do == "resume":
			s.node = i
		case d.Do == "rotate":
			c.rec.unlist(s)
			c.rec.doubt[s.id] = c.rec.tick()
			s.id = d.NewID
			c.rec.list(s)
		case d.Do == "destroy":
			c.rec.drop(s)
		}
		if !alive && s.node == i {
			s.node = -1 // the node was killed meanwhile
		}
	}
}

// look looks for a user, and judges what is found.
func (c *churning) look(ss *store.Sessions) {
	t := c.t
	user := c.user()
	type snapshot struct {
		s      *tracked
		id     string
		change uint64
	}
	var sure []snapshot
	c.rec.mu.Lock()
	for s := range c.rec.byUser[user] {
		if !s.busy && len(sure) < 64 {
			sure = append(sure, snapshot{s, s.id, s.change})
		}
	}
	c.rec.mu.Unlock()
	sure = slices.DeleteFunc(sure, func(x snapshot) bool {
		got, lives := valueOf(t, ss, x.id)
		return !lives || got != user
	})
	c.rec.mu.Lock()
	begin := c.rec.tick()
	c.rec.mu.Unlock()

	found := make(map[string]bool)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for s, err := range owner.Find(ctx, ss, user) {
		if err != nil {
			t.Errorf("Find() yields %v", err)
			return
		}
		found[s.ID()] = true
	}
	c.looks.Add(1)
	c.found.Add(int64(len(found)))
	for _, x := range sure {
		if found[x.id] {
			continue
		}
		got, lives := valueOf(t, ss, x.id)
		c.rec.mu.Lock()
		unchanged := x.s.change == x.change && !x.s.busy
		c.rec.mu.Unlock()
		if lives && got == user && unchanged {
			c.missed.Add(1)
		}
	}
	c.rec.mu.Lock()
	defer c.rec.mu.Unlock()
	for id := range found {
		s := c.rec.byID[id]
		if s == nil || s.busy || s.change > begin || s.user == user {
			continue
		}
		c.false.Add(1)
	}
}
