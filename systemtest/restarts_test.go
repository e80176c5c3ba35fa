//go:build unix

package systemtest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends"
	"github.com/sessionkv/store/internal/testserver"
)

// The full run of TestRollingRestarts, 100 000 sessions and 50 restarts, takes a
// quarter of an hour: RESTARTS_SESSIONS=100000 RESTARTS=50.
const (
	restartsSessions = "RESTARTS_SESSIONS"
	restartsRounds   = "RESTARTS"
	nodeURL          = "STORE_SYSTEMTEST_NODE_URL"
)

// The times of a node: nodeTimes makes them longer for the full run, in which
// reconnecting everybody takes a while.
var (
	nodeLease = 8 * time.Second
	nodeGrace = 12 * time.Second
)

// nodeSlack is what clocks, queues and a busy machine may take away from a lease or a
// grace.
const nodeSlack = 2 * time.Second

// nodeTimes sets the times for so many sessions.
func nodeTimes(sessions int) {
	if sessions > 10_000 {
		nodeLease, nodeGrace = time.Minute, 3*time.Minute
	}
}

// number returns the value of an environment variable.
func number(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// An order asks a node to do something for many clients. A node answers when it
// has done it for all.
type order struct {
	Seq     int
	Do      string // open, write, release
	Clients []visitor
}

// A visitor is what a client and its node tell each other.
type visitor struct {
	N       int    // which client
	ID      string // its session
	Value   int64  // to write; in an answer to open, what was there
	Resumed bool
	Kind    string // of the error
}

var (
	nodeUser  = store.Key[int]("user")
	nodeValue = store.Key[int64]("value")
)

func init() { processes[nodeURL] = node }

// node is the main function of a process that serves connections.
func node(url string) int {
	nodeTimes(number(restartsSessions, 0))
	ctx := context.Background()
	b, err := backends.Open(ctx, url)
	if err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		return 1
	}
	ss, err := store.New(b, &store.Options{Lease: nodeLease, Grace: nodeGrace})
	if err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		return 1
	}
	serving, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer stop()
	go nodeServe(serving, ss)
	<-serving.Done()

	// The handlers of all connections wake up and release their sessions while
	// the process closes.
	var handlers sync.WaitGroup
	connected := make(chan *store.Session)
	for range 64 {
		handlers.Go(func() {
			for s := range connected {
				_ = s.Release(serving)
			}
		})
	}
	handlers.Go(func() {
		defer close(connected)
		for s := range ss.All() {
			connected <- s
		}
	})
	closing, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err = ss.Close(closing)
	handlers.Wait()
	if err := errors.Join(err, b.Close()); err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		return 1
	}
	return 0
}

// nodeServe carries out the orders on standard input.
func nodeServe(ctx context.Context, ss *store.Sessions) {
	var (
		mu       sync.Mutex
		out      = json.NewEncoder(os.Stdout) // guarded by mu
		sessions sync.Map                     // client -> *store.Session
		slots    = make(chan struct{}, 512)
	)
	serve := func(do string, c *visitor) error {
		switch do {
		case "open":
			s, resumed, err := ss.Open(ctx, c.ID, func(ctx context.Context, s *store.Session) error {
				if user, err := nodeUser.Get(ctx, s); err != nil || user != c.N {
					return fmt.Errorf("user %d: %w", user, errors.Join(err, store.ErrDecode))
				}
				return nil
			}, nodeUser.To(c.N), nodeValue.To(c.Value))
			if err != nil {
				return err
			}
			c.ID, c.Resumed = s.ID(), resumed
			c.Value, err = nodeValue.Get(ctx, s)
			if old, ok := sessions.Swap(c.N, s); ok {
				_ = old.(*store.Session).Release(ctx) // ended by the takeover, or never claimed again
			}
			return err
		case "write":
			if s, ok := sessions.Load(c.N); ok {
				return nodeValue.Set(ctx, s.(*store.Session), c.Value)
			}
		case "release":
			if s, ok := sessions.LoadAndDelete(c.N); ok {
				return s.(*store.Session).Release(ctx)
			}
		}
		return store.ErrNoSession
	}
	in := json.NewDecoder(bufio.NewReader(os.Stdin))
	for {
		var o order
		if in.Decode(&o) != nil || ctx.Err() != nil {
			return
		}
		go func() {
			var all sync.WaitGroup
			for i := range o.Clients {
				slots <- struct{}{}
				all.Go(func() {
					defer func() { <-slots }()
					o.Clients[i].Kind = kind(serve(o.Do, &o.Clients[i]))
				})
			}
			all.Wait()
			mu.Lock()
			defer mu.Unlock()
			_ = out.Encode(o)
		}()
	}
}

// A peer is a running node as the test sees it.
type peer struct {
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	orders  *json.Encoder
	answers chan order
	exited  chan struct{}
	err     error // of the exit; valid when exited is closed
}

func startNode(t *testing.T, url string) *peer {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{cmd: exec.Command(exe), answers: make(chan order, 1024), exited: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), nodeURL+"="+url)
	p.cmd.Stderr = os.Stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.orders = json.NewEncoder(p.stdin)
	go func() {
		lines := json.NewDecoder(bufio.NewReader(stdout))
		for {
			var o order
			if lines.Decode(&o) != nil {
				break
			}
			p.answers <- o
		}
		close(p.answers)
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.exited
	})
	return p
}

// A life is what the test has on one client and its session.
type life struct {
	id    string
	value int64 // of the last write that was acknowledged
	maybe int64 // the largest that may have been written

	node  int       // where it is connected; nowhere otherwise
	must  time.Time // when it is connected nowhere: its session lives until then,
	may   time.Time // and not longer than until then
	stays time.Time // away until then

	order int // the node that has an order for it; nowhere otherwise
	sent  time.Time
}

const nowhere = -1

// restarts is the state of TestRollingRestarts.
type restarts struct {
	t     *testing.T
	rng   *rand.Rand
	nodes [2]*peer
	lives []life
	seq   int
	found struct {
		Begun, Resumed, Takeovers, Released, Writes, Unanswered, Ended int
		Lost, LostInLease, Beyond, Wrong                               int
	}
}

// settle takes in the answer of a node.
func (r *restarts) settle(where int, o order) {
	now := time.Now()
	for _, c := range o.Clients {
		l := &r.lives[c.N]
		if l.order != where {
			continue
		}
		l.order = nowhere
		switch {
		case c.Kind != "" && o.Do == "write": // the session is another node's, or the node is ending
		case c.Kind != "":
			r.unsure(l, now)
		case o.Do == "write":
			r.found.Writes++
			l.value = c.Value
		case o.Do == "release":
			r.found.Released++
			l.node = nowhere
			l.must, l.may = l.sent.Add(nodeGrace-nodeSlack), now.Add(nodeGrace+nodeSlack)
		default:
			r.opened(l, c, where, now)
		}
	}
}

// opened judges the answer to open.
func (r *restarts) opened(l *life, c visitor, where int, now time.Time) {
	f := &r.found
	switch {
	case l.id == "":
		f.Begun++
	case c.Resumed:
		f.Resumed++
		if l.node != nowhere {
			f.Takeovers++
		} else if l.sent.After(l.may) {
			f.Beyond++
			r.t.Errorf("client %d: its session lives %v after its end", c.N, l.sent.Sub(l.may))
		}
		if c.Value < l.value || c.Value > l.maybe {
			f.Wrong++
			r.t.Errorf("client %d: value %d after resuming, want %d to %d", c.N, c.Value, l.value, l.maybe)
		}
	case l.node != nowhere:
		f.Lost++
		r.t.Errorf("client %d: its session is lost while it was connected", c.N)
	case now.Before(l.must) && l.may.Sub(l.must) > nodeGrace/2:
		f.LostInLease++
		r.t.Errorf("client %d: its session is lost within what its process had left of its lease", c.N)
	case now.Before(l.must):
		f.Lost++
		r.t.Errorf("client %d: its session is lost %v before its grace was over", c.N, l.must.Sub(now))
	default:
		f.Ended++
	}
	l.id, l.node = c.ID, where
	l.value, l.maybe = c.Value, c.Value
}

// unsure notes that it is unknown what became of an order. The session is where it was, or it was
// taken over by a process that may be dead.
func (r *restarts) unsure(l *life, now time.Time) {
	must := now.Add(nodeLease/2 - nodeSlack)
	if l.node == nowhere && l.must.Before(must) {
		must = l.must
	}
	l.node, l.must, l.may = nowhere, must, now.Add(time.Hour)
}

// exited notes that a node has ended at some time since told.
func (r *restarts) exited(where int, told time.Time, killed bool) {
	now := time.Now()
	for i := range r.lives {
		l := &r.lives[i]
		switch {
		case l.order == where:
			r.found.Unanswered++
			l.order = nowhere
			r.unsure(l, told)
		case l.node != where:
		case killed:
			l.node, l.must, l.may = nowhere, told.Add(nodeLease/2-nodeSlack), now.Add(nodeLease+nodeSlack)
		default:
			l.node, l.must, l.may = nowhere, told.Add(nodeGrace-nodeSlack), now.Add(nodeGrace+nodeSlack)
		}
	}
}

// drain takes in the answers that are there.
func (r *restarts) drain() {
	for where, p := range r.nodes {
		for more := true; more; {
			select {
			case o, ok := <-p.answers:
				if more = ok; ok {
					r.settle(where, o)
				}
			default:
				more = false
			}
		}
	}
}

// during takes in answers until done.
func (r *restarts) during(what string, done func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(4 * patience); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("%s: not within %v", what, 4*patience)
		}
		r.drain()
	}
}

// idle waits until every order has its answer.
func (r *restarts) idle() {
	r.t.Helper()
	r.during("the answers of the nodes", func() bool {
		for i := range r.lives {
			if r.lives[i].order != nowhere {
				return false
			}
		}
		return true
	})
}

// give orders a node to do something for clients, in batches.
func (r *restarts) give(where int, do string, clients []visitor) {
	const batch = 200
	for len(clients) > 0 {
		some := clients[:min(batch, len(clients))]
		clients = clients[len(some):]
		r.seq++
		for _, c := range some {
			r.lives[c.N].order, r.lives[c.N].sent = where, time.Now()
		}
		_ = r.nodes[where].orders.Encode(order{r.seq, do, some}) // where it has ended, it will not answer
		r.drain()
	}
}

// churn gives both nodes work for some of the clients: those that are away connect
// with this probability.
func (r *restarts) churn(connect float64) {
	var open, write, release [2][]visitor
	now := time.Now()
	for i := range r.lives {
		l := &r.lives[i]
		if l.order != nowhere || now.Before(l.stays) {
			continue
		}
		dice, where := r.rng.Float64(), r.rng.IntN(2)
		switch {
		case l.node == nowhere:
			if dice < connect {
				open[where] = append(open[where], visitor{N: i, ID: l.id})
			}
		case dice < 0.01: // its connection broke, and the other node gets it
			open[1-l.node] = append(open[1-l.node], visitor{N: i, ID: l.id})
		case dice < 0.05:
			release[l.node] = append(release[l.node], visitor{N: i})
			if r.rng.IntN(20) == 0 {
				l.stays = now.Add(time.Duration(r.rng.Int64N(int64(2 * nodeGrace))))
			}
		case dice < 0.2:
			l.maybe++
			write[l.node] = append(write[l.node], visitor{N: i, Value: l.maybe})
		}
	}
	for where := range r.nodes {
		r.give(where, "open", open[where])
		r.give(where, "write", write[where])
		r.give(where, "release", release[where])
	}
}

// end ends a node.
func (r *restarts) end(where int, how os.Signal) {
	r.t.Helper()
	told, p := time.Now(), r.nodes[where]
	p.cmd.Process.Signal(how)
	r.during("the end of a node", func() bool {
		select {
		case <-p.exited:
			return true
		default:
			return false
		}
	})
	r.drain()
	if how == syscall.SIGTERM && p.err != nil {
		r.t.Errorf("a node that was told to end: %v", p.err)
	}
	r.exited(where, told, how == syscall.SIGKILL)
}

// living counts the keys that live. DBSIZE counts those too that have expired
// and whose memory the server has not yet come to free.
func living(t *testing.T, s *testserver.Server) (n int) {
	t.Helper()
	for cursor := "0"; ; {
		answer, err := s.Do("SCAN", cursor, "COUNT", "1000")
		if err != nil {
			t.Fatal(err)
		}
		page := answer.([]any)
		n += len(page[1].([]any))
		if cursor = page[0].(string); cursor == "0" {
			return n
		}
	}
}

// TestRollingRestarts restarts two processes in turn, by SIGTERM or SIGKILL at a random moment.
// Meanwhile clients connect, write, disconnect and are taken over at random. No session that was
// let go of is lost within its grace, and none whose process was killed within what its lease must
// have left. None lives longer than that. No acknowledged write is lost.
func TestRollingRestarts(t *testing.T) {
	count, rounds := number(restartsSessions, 500), number(restartsRounds, 4)
	nodeTimes(count)
	server := testserver.Redis(t, testserver.WithArgs("--save", ""))
	url := redisURL(server)
	r := &restarts{t: t, rng: newRand(t), lives: make([]life, count)}
	for i := range r.lives {
		r.lives[i].node, r.lives[i].order = nowhere, nowhere
	}
	for i := range r.nodes {
		r.nodes[i] = startNode(t, url)
	}
	begin, kills := time.Now(), 0
	r.churn(1)
	r.idle()
	for round := range rounds {
		r.churn(0.9)
		r.idle()
		r.churn(0.9)
		pause := time.Now().Add(time.Duration(r.rng.IntN(200)) * time.Millisecond)
		r.during("a pause", func() bool { return time.Now().After(pause) })
		where, how := round%2, os.Signal(syscall.SIGTERM)
		if r.rng.IntN(3) == 0 {
			how = syscall.SIGKILL
			kills++
		}
		r.end(where, how)
		r.nodes[where] = startNode(t, url)
		r.idle()
		if t.Failed() {
			break
		}
	}

	// In the end one is told to end and one is killed, and nothing is left after
	// the lease and the grace.
	r.end(0, syscall.SIGTERM)
	r.end(1, syscall.SIGKILL)
	gone := time.Now()
	for keyspace(t, server) > 0 && time.Since(gone) < nodeGrace+nodeSlack {
		time.Sleep(100 * time.Millisecond)
	}
	left := living(t, server)
	if left > 0 {
		t.Errorf("%d sessions live %v after the last process, with a grace of %v", left, time.Since(gone), nodeGrace)
	}
	r.found.Beyond += left
	t.Logf("%d sessions, %d restarts, %d of them by SIGKILL, in %v: %+v", count, rounds, kills, time.Since(begin).Round(time.Second), r.found)
	t.Logf("lost with a grace %d, lost within a lease %d, alive beyond lease or grace %d, writes lost %d",
		r.found.Lost, r.found.LostInLease, r.found.Beyond, r.found.Wrong)
}
