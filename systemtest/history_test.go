package systemtest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/sessionkv/store"
)

// A history records what clients did with one session ID and what they were
// told.
type history struct {
	id    string
	begin time.Time
	value atomic.Int64 // the last one that was written
	vague atomic.Int64 // operations of unknown outcome

	mu  sync.Mutex
	ops []porcupine.Operation
}

// A client does one thing after the other to the session of its history, through
// one handle at a time.
type client struct {
	h        *history
	n        int
	sessions *store.Sessions
	chance   *rand.Rand
	limit    time.Duration // of some operations; zero for none
	handle   *store.Session
	total    *tally
}

// A tally counts what became of operations.
type tally struct {
	mu      sync.Mutex
	ops     int
	unknown int
	ended   int // failed without effect because their context ended
	failed  int // failed without effect for another reason
	errors  []error
	leaks   []error // with the session ID in their texts
}

// keys of the checked sessions.
var keys = [keyCount]store.Key[int]{"one", "two", "three"}

// weights are how often a client with a handle does what.
var weights = func() (w []opKind) {
	for op, n := range map[opKind]int{
		opGet: 16, opHas: 4, opSet: 14, opSetIfAbsent: 10, opTake: 8, opDelete: 4, opUpdate: 14,
		opSave: 10, opLoad: 12, opDestroy: 3, opResume: 3, opAttach: 2,
	} {
		for range n {
			w = append(w, op)
		}
	}
	slices.Sort(w) // the order of a map is not the seed's
	return w
}()

// vagueMost is from how many unknown outcomes on a history ends. Each may have come at any later
// moment, or never, so that judging it takes twice as long with each.
const vagueMost = 5

// run does n operations.
func (c *client) run(ctx context.Context, n int) {
	for range n {
		if c.h.vague.Load() >= vagueMost {
			return
		}
		in := input{client: c.n, key: c.chance.IntN(keyCount)}
		if c.handle == nil {
			in.op = []opKind{opCreate, opCreate, opAttach, opAttach, opResume}[c.chance.IntN(5)]
		} else {
			in.op = weights[c.chance.IntN(len(weights))]
		}
		c.do(ctx, in)
	}
}

func (c *client) do(ctx context.Context, in input) {
	in.value = int(c.h.value.Add(2))
	in.value2 = in.value + 1
	if c.limit > 0 && c.chance.IntN(8) == 0 {
		limited, cancel := context.WithTimeout(ctx, time.Duration(c.chance.Int64N(int64(c.limit))))
		defer cancel()
		ctx = limited
	}
	call := time.Since(c.h.begin)
	out, err := c.call(ctx, in)
	op := porcupine.Operation{ClientId: c.n, Input: in, Call: int64(call), Output: out, Return: int64(time.Since(c.h.begin))}

	if !c.count(in, out, err) {
		return // it had no effect, says the library: the history goes on without
	}
	if out.kind == "unknown outcome" {
		op.Return = math.MaxInt64 // it may still be on its way
		c.h.vague.Add(1)
	}
	c.h.mu.Lock()
	defer c.h.mu.Unlock()
	c.h.ops = append(c.h.ops, op)
}

// count counts an operation and reports whether it belongs into the history.
func (c *client) count(in input, out output, err error) bool {
	y := c.total
	y.mu.Lock()
	defer y.mu.Unlock()
	y.ops++
	if err != nil && strings.Contains(err.Error(), c.h.id) {
		y.leaks = append(y.leaks, err)
	}
	switch out.kind {
	case "", "no session", "exists":
		return true
	case "destroyed":
		c.handle = nil
		return true
	case "unknown outcome":
		y.unknown++
		if reads := in.op == opAttach || in.op == opGet || in.op == opHas || in.op == opLoad; reads {
			y.errors = append(y.errors, fmt.Errorf("a read of unknown outcome: %w", err))
		}
		return true
	}
	if errors.Is(err, context.DeadlineExceeded) && c.limit > 0 {
		y.ended++
		return false
	}
	y.failed++
	y.errors = append(y.errors, err)
	return false
}

// call does what in says and translates the answer.
func (c *client) call(ctx context.Context, in input) (out output, err error) {
	s, key, next := c.handle, keys[in.key], keys[in.next()]
	defer func() { out.kind = kind(err) }()
	switch in.op {
	case opCreate, opAttach, opResume:
		switch in.op {
		case opCreate:
			s, err = c.sessions.Create(ctx, c.h.id, key.To(in.value))
		case opAttach:
			s, err = c.sessions.Attach(ctx, c.h.id)
		default:
			s, err = c.sessions.Resume(ctx, c.h.id)
		}
		// Whatever became of it, the handle before is of no more use to a
		// history in which a client has one handle.
		c.handle = nil
		if err == nil {
			c.handle = s
		}
	case opGet, opTake:
		if in.op == opGet {
			out.value, err = key.Get(ctx, s)
		} else {
			out.value, err = key.Take(ctx, s)
		}
		if errors.Is(err, store.ErrNotFound) {
			out.value, err = 0, nil
		}
	case opHas:
		out.ok, err = key.Has(ctx, s)
	case opSet:
		err = key.Set(ctx, s, in.value)
	case opSetIfAbsent:
		out.ok, err = key.SetIfAbsent(ctx, s, in.value)
	case opDelete:
		err = key.Delete(ctx, s)
	case opUpdate:
		_, err = key.Update(ctx, s, func(old int, _ bool) (int, error) {
			out.value = old
			return in.value, nil
		})
	case opSave:
		err = store.Save(ctx, s, key.To(in.value), next.To(in.value2))
	case opLoad:
		err = store.Load(ctx, s, key.IntoOr(&out.value, 0), next.IntoOr(&out.value2, 0))
	case opDestroy:
		err = s.Destroy(ctx)
		if err != nil {
			c.handle = nil // it is not usable any more, although its session may live
		}
	}
	return out, err
}

// A recording says how histories are recorded.
type recording struct {
	steps int               // of each client
	limit time.Duration     // that of client
	more  func(*tally) bool // whether to record another round, given what became of the operations so far
	least int               // operations to be recorded even so
}

// leastOperations returns the number of operations that OPERATIONS=n asks each history
// test to check at least: many take more time than a test should.
func leastOperations(t *testing.T) int { return fromEnvironment(t, "OPERATIONS", 0) }

// fromEnvironment returns the number that the environment variable holds, or otherwise.
func fromEnvironment(t *testing.T, variable string, otherwise int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

// lasting is a recording.more that is true for d.
func lasting(d time.Duration) func(*tally) bool {
	end := time.Now().Add(d)
	return func(*tally) bool { return time.Now().Before(end) }
}

// lastingUntil is lasting, and then goes on until shown is true of the operations: which
// of them a fault meets is a matter of chance. It gives up in time for t to say so.
func lastingUntil(t *testing.T, d time.Duration, shown func(*tally) bool) func(*tally) bool {
	begin := time.Now()
	last := begin.Add(d + 4*patience)
	if deadline, ok := t.Deadline(); ok && deadline.Add(-patience).Before(last) {
		last = deadline.Add(-patience)
	}
	return func(y *tally) bool {
		now := time.Now()
		return now.Before(begin.Add(d)) || now.Before(last) && !shown(y)
	}
}

// record runs rounds of histories over the nodes and checks each.
func record(t *testing.T, nodes []*store.Sessions, chance *rand.Rand, r recording) *tally {
	t.Helper()
	const clientsPerNode = 3
	atOnce := fromEnvironment(t, "HISTORIES", 3)
	total := &tally{}
	histories := 0
	for (r.more(total) || total.ops < r.least) && !t.Failed() {
		var (
			all []*history
			wg  sync.WaitGroup
		)
		for range atOnce {
			h := &history{id: store.NewID(), begin: time.Now()}
			all = append(all, h)
			for i := range clientsPerNode * len(nodes) {
				c := &client{
					h: h, n: i, sessions: nodes[i%len(nodes)], limit: r.limit, total: total,
					chance: rand.New(rand.NewPCG(chance.Uint64(), 0)),
				}
				wg.Go(func() { c.run(t.Context(), r.steps) })
			}
		}
		wg.Wait()
		for _, h := range all {
			check(t, h.ops)
			histories++
		}
	}
	for _, err := range total.leaks {
		t.Errorf("an error's text has the session ID in it: %v", err)
	}
	t.Logf("%d histories of %d operations; %d of unknown outcome, %d failed, %d because their context ended",
		histories, total.ops, total.unknown, total.failed, total.ended)
	return total
}
