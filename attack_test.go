package store_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessionkv/store"
)

var attackRounds = flag.Int("attack", 200, "rounds of TestLivesUnderAttack")

// An attack is one round of TestLivesUnderAttack: nodes on one backend, on which
// goroutines do whatever ends or moves a session, in a random schedule.
type attack struct {
	t        *testing.T
	seed     uint64
	backend  *hooked
	nodes    []*store.Sessions
	grace    time.Duration
	faults   bool // replies get lost
	cancels  bool // contexts end
	destroys bool // sessions are destroyed

	mu        sync.Mutex
	handles   []*attackedHandle // guarded by mu
	ids       []string          // guarded by mu; those that the session had
	hidden    []string          // guarded by mu; those of a Rotate that failed, which nobody has
	strangers []string          // guarded by mu; sessions that Open began anew
	acked     int64             // guarded by mu; increments that were acknowledged
	unknown   int64             // guarded by mu; increments that may have come
}

// An attackedHandle is a handle with what was told about its end.
type attackedHandle struct {
	*store.Session
	node  *store.Sessions
	told  atomic.Int64 // calls of the function of AfterEnd
	why   atomic.Pointer[error]
	bound context.Context
}

func (a *attack) failf(format string, args ...any) {
	a.t.Helper()
	a.t.Errorf("seed %d (grace %v, faults %t, cancels %t, destroys %t): %s", a.seed, a.grace, a.faults, a.cancels, a.destroys, fmt.Sprintf(format, args...))
}

// got notes a handle, and waits for its end in each way there is.
func (a *attack) got(node *store.Sessions, s *store.Session) *attackedHandle {
	h := &attackedHandle{Session: s, node: node}
	h.bound, _ = s.Context(context.WithoutCancel(a.t.Context()))
	s.AfterEnd(func(why error) {
		h.told.Add(1)
		h.why.Store(&why)
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	a.handles = append(a.handles, h)
	return h
}

func (a *attack) anyHandle(r *rand.Rand) *attackedHandle {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.handles[r.IntN(len(a.handles))]
}

func (a *attack) anyID(r *rand.Rand) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ids[len(a.ids)-1-r.IntN(min(2, len(a.ids)))]
}

// chaos delays what the backend does and what it answers, and loses answers.
func (a *attack) chaos(r *rand.Rand) hook {
	var mu sync.Mutex
	random := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return r.IntN(n)
	}
	pause := func() {
		if random(2) == 0 {
			time.Sleep(time.Duration(random(300)) * time.Millisecond)
		}
	}
	return func(ctx context.Context, op string, do func() error) error {
		pause()
		if err := ctx.Err(); err != nil {
			return err
		}
		if a.faults && op != "renew" && random(20) == 0 {
			return errFlaky
		}
		err := do()
		pause()
		if err == nil && (a.faults && op != "renew" && random(20) == 0 || a.cancels && ctx.Err() != nil && random(2) == 0) {
			if slices.Contains(reads, op) {
				return errFlaky
			}
			return fmt.Errorf("%w: the answer got lost", store.ErrUnknownOutcome)
		}
		return err
	}
}

// step does one thing.
func (a *attack) step(r *rand.Rand) {
	ctx := a.t.Context()
	if a.cancels && r.IntN(3) == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(r.IntN(500))*time.Millisecond)
		defer cancel()
	}
	node := a.nodes[r.IntN(len(a.nodes))]
	h := a.anyHandle(r)
	switch r.IntN(13) {
	case 0:
		_ = h.Release(ctx)
	case 1:
		_ = h.Suspend(ctx, time.Hour)
	case 2:
		if a.destroys && h.Owned() { // a handle of Attach is counted as the owner's loss
			_ = h.Destroy(ctx)
		}
	case 3, 4:
		if s, err := node.Resume(ctx, a.anyID(r)); err == nil {
			a.got(node, s)
		}
	case 5:
		id := a.anyID(r)
		switch s, resumed, err := node.Open(ctx, id, func(ctx context.Context, s *store.Session) error {
			return second(logins.GetOr(ctx, s, 0))
		}); {
		case err != nil:
		case resumed:
			a.got(node, s)
		default:
			a.got(node, s)
			a.mu.Lock()
			a.strangers = append(a.strangers, s.ID())
			a.mu.Unlock()
		}
	case 6:
		id := store.NewID()
		if a.stranger(h.ID()) {
			return
		}
		s, err := h.node.Rotate(ctx, h.Session, id)
		if err == nil {
			a.got(h.node, s)
		}
		a.mu.Lock()
		if err == nil {
			a.ids = append(a.ids, id)
		} else {
			a.hidden = append(a.hidden, id)
		}
		a.mu.Unlock()
	case 7:
		if s, err := node.Attach(ctx, a.anyID(r)); err == nil {
			a.got(node, s)
		}
	case 8, 9:
		if a.stranger(h.ID()) {
			return
		}
		_, err := logins.Update(ctx, h.Session, func(n int64, _ bool) (int64, error) { return n + 1, nil })
		a.mu.Lock()
		switch {
		case err == nil:
			a.acked++
		case errors.Is(err, store.ErrUnknownOutcome):
			a.unknown++
		}
		a.mu.Unlock()
	case 10:
		_ = h.Extend(ctx, time.Minute)
	case 11:
		var stopped atomic.Bool
		stop := h.AfterEnd(func(error) {
			time.Sleep(time.Second)
			if stopped.Load() {
				a.failf("a function that was stopped is called")
			}
		})
		h.Done()
		stopped.Store(stop())
	case 12:
		if r.IntN(4) == 0 {
			node.Close(ctx)
		}
	}
}

func (a *attack) stranger(id string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Contains(a.strangers, id)
}

func (a *attack) run() {
	t := a.t
	r := rand.New(rand.NewPCG(a.seed, 1))
	a.grace = []time.Duration{0, 10 * time.Minute}[r.IntN(2)]
	a.faults, a.cancels, a.destroys = r.IntN(3) == 0, r.IntN(2) == 0, r.IntN(3) == 0
	a.backend = newHooked(t)
	for range 2 {
		a.nodes = append(a.nodes, newSessions(t, a.backend, &store.Options{Grace: a.grace}))
	}
	first := create(t, a.nodes[0], logins.To(0))
	a.ids = []string{first.ID()}
	a.got(a.nodes[0], first)
	a.backend.set(a.chaos(rand.New(rand.NewPCG(a.seed, 2))))
	var all sync.WaitGroup
	for i := range 5 {
		r := rand.New(rand.NewPCG(a.seed, uint64(10+i)))
		all.Go(func() {
			for range 4 {
				time.Sleep(time.Duration(r.IntN(200)) * time.Millisecond)
				a.step(r)
			}
		})
	}
	if r.IntN(2) == 0 {
		time.Sleep(time.Duration(r.IntN(1000)) * time.Millisecond)
	} else {
		all.Wait()
	}
	for _, node := range a.nodes { // as a rolling restart does
		if err := node.Close(t.Context()); err != nil && !a.faults && !a.cancels {
			a.failf("Close() = %v, want nil", err)
		}
	}
	all.Wait()
	a.backend.set(func(_ context.Context, _ string, do func() error) error { return do() })
	synctest.Wait()
	a.judge()
}

// judge looks at what has become of everything.
func (a *attack) judge() {
	t := a.t
	for _, h := range a.handles {
		if !isDone(h.Session) || h.Err() == nil {
			a.failf("a handle is stuck, Err() = %v", h.Err())
			continue
		}
		<-h.bound.Done()
		synctest.Wait()
		if n := h.told.Load(); n != 1 {
			a.failf("the function of AfterEnd was called %d times, want 1", n)
			continue
		}
		why := *h.why.Load()
		ends := []error{store.ErrSuspended, store.ErrDestroyed, store.ErrReleased, store.ErrClosed}
		if !slices.ContainsFunc(ends, func(end error) bool { return errors.Is(why, end) }) {
			a.failf("AfterEnd's reason is %v", why)
		}
		if !a.faults && !a.cancels && why != h.Err() {
			a.failf("AfterEnd's reason is %v, Err() = %v", why, h.Err())
		}
		if cause := context.Cause(h.bound); cause != why {
			a.failf("the context's cause is %v, AfterEnd's reason %v", cause, why)
		}
	}
	for i, node := range a.nodes {
		st := node.Stats()
		if st.Owned != 0 || st.Created+st.Resumed != uint64(st.Left)+st.Suspended+st.Destroyed+st.Lost {
			a.failf("Stats() of node %d do not add up: %+v", i, st)
		}
	}
	n := alive(t, a.backend.Backend, append(a.ids, a.hidden...))
	switch doubtful := a.faults || a.cancels; {
	case a.grace > 0 && !a.destroys && n == 0:
		a.failf("the session is lost")
	case !doubtful && n > 1:
		a.failf("the session lives under %d IDs", n)
	}
	for _, id := range a.ids {
		if n != 1 {
			break // of two, one is a copy of a Rotate that failed
		}
		s, err := newSessions(t, a.backend, nil).Attach(t.Context(), id)
		if err != nil {
			continue
		}
		if got, err := logins.Get(t.Context(), s); err != nil || got < a.acked || got > a.acked+a.unknown {
			a.failf("%d increments are left, %v; %d were acknowledged and %d unknown", got, err, a.acked, a.unknown)
		}
	}
	time.Sleep(max(a.grace, time.Hour) + time.Minute + 10*time.Second)
	if n := alive(t, a.backend.Backend, slices.Concat(a.ids, a.hidden, a.strangers)); n > 0 {
		a.failf("%d sessions outlive their lease and grace", n)
	}
}

// TestLivesUnderAttack runs random schedules of everything that ends or moves sessions.
// A seed that fails is printed; -attack sets how many there are.
func TestLivesUnderAttack(t *testing.T) {
	rounds := *attackRounds
	if testing.Short() {
		rounds = min(rounds, 50)
	}
	for seed := range uint64(rounds) {
		synctest.Test(t, func(t *testing.T) { (&attack{t: t, seed: seed}).run() })
	}
}
