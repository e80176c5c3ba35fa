package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessionkv/store"
)

// A cancelCase is an operation whose context ends at some moment.
type cancelCase struct {
	name  string
	fatal bool // it may end the session
	// run is the operation. It returns the handles and the IDs that it brought.
	run func(ctx context.Context, c *cancelWorld) error
}

// A cancelWorld is what the operations of the table work on.
type cancelWorld struct {
	backend  *hooked
	sessions *store.Sessions
	owned    *store.Session // of sessions
	attached *store.Session // a handle of sessions to a session that nobody owns
	away     string         // the ID of a suspended session

	mu      sync.Mutex
	handles []*store.Session // guarded by mu; what operations returned
	chosen  string           // the ID that an operation may give to a session
}

func (c *cancelWorld) brought(s *store.Session, err error) error {
	if err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.handles = append(c.handles, s)
	}
	return err
}

var cancelCases = []cancelCase{
	{name: "Create", run: func(ctx context.Context, c *cancelWorld) error {
		return c.brought(c.sessions.Create(ctx, c.chosen, userID.To("u")))
	}},
	{name: "CreateFor", run: func(ctx context.Context, c *cancelWorld) error {
		return c.brought(c.sessions.CreateFor(ctx, c.chosen, time.Minute, userID.To("u")))
	}},
	{name: "Attach", run: func(ctx context.Context, c *cancelWorld) error { return c.brought(c.sessions.Attach(ctx, c.away)) }},
	{name: "Resume", run: func(ctx context.Context, c *cancelWorld) error { return c.brought(c.sessions.Resume(ctx, c.away)) }},
	{name: "Open", run: func(ctx context.Context, c *cancelWorld) error {
		s, _, err := c.sessions.Open(ctx, c.away, func(ctx context.Context, s *store.Session) error { return second(userID.Get(ctx, s)) })
		return c.brought(s, err)
	}},
	{name: "Open of a new one", run: func(ctx context.Context, c *cancelWorld) error {
		s, _, err := c.sessions.Open(ctx, "", nil, userID.To("u"))
		return c.brought(s, err)
	}},
	{name: "Rotate", run: func(ctx context.Context, c *cancelWorld) error {
		return c.brought(c.sessions.Rotate(ctx, c.owned, c.chosen, logins.To(1)))
	}},
	{name: "Rotate of nobody's", run: func(ctx context.Context, c *cancelWorld) error {
		return c.brought(c.sessions.Rotate(ctx, c.attached, c.chosen))
	}},
	{name: "Ping", run: func(ctx context.Context, c *cancelWorld) error { return c.sessions.Ping(ctx) }},
	{name: "Release", run: func(ctx context.Context, c *cancelWorld) error { return c.owned.Release(ctx) }},
	{name: "Suspend", run: func(ctx context.Context, c *cancelWorld) error { return c.owned.Suspend(ctx, time.Hour) }},
	{name: "Destroy", fatal: true, run: func(ctx context.Context, c *cancelWorld) error { return c.owned.Destroy(ctx) }},
	{name: "Destroy of nobody's", fatal: true, run: func(ctx context.Context, c *cancelWorld) error { return c.attached.Destroy(ctx) }},
	{name: "Extend", run: func(ctx context.Context, c *cancelWorld) error { return c.owned.Extend(ctx, time.Hour) }},
	{name: "Extend of nobody's", run: func(ctx context.Context, c *cancelWorld) error { return c.attached.Extend(ctx, time.Hour) }},
	{name: "Session.Keys", run: func(ctx context.Context, c *cancelWorld) error { return second(c.owned.Keys(ctx)) }},
	{name: "Session.Update", run: func(ctx context.Context, c *cancelWorld) error {
		return c.owned.Update(ctx, func(tx *store.Tx) error {
			n, err := logins.In(tx).GetOr(0)
			return errors.Join(err, logins.In(tx).Set(n+1))
		})
	}},
	{name: "Get", run: func(ctx context.Context, c *cancelWorld) error { return second(userID.Get(ctx, c.owned)) }},
	{name: "Has", run: func(ctx context.Context, c *cancelWorld) error { return second(userID.Has(ctx, c.owned)) }},
	{name: "Set", run: func(ctx context.Context, c *cancelWorld) error { return logins.Set(ctx, c.owned, 2) }},
	{name: "Delete", run: func(ctx context.Context, c *cancelWorld) error { return logins.Delete(ctx, c.owned) }},
	{name: "SetIfAbsent", run: func(ctx context.Context, c *cancelWorld) error { return second(logins.SetIfAbsent(ctx, c.owned, 2)) }},
	{name: "Take", run: func(ctx context.Context, c *cancelWorld) error { return second(userID.Take(ctx, c.owned)) }},
	{name: "Key.Update", run: func(ctx context.Context, c *cancelWorld) error {
		return second(logins.Update(ctx, c.owned, func(n int64, _ bool) (int64, error) { return n + 1, nil }))
	}},
	{name: "Load", run: func(ctx context.Context, c *cancelWorld) error {
		var u string
		var n int64
		return store.Load(ctx, c.owned, userID.IntoOr(&u, ""), logins.IntoOr(&n, 0))
	}},
	{name: "Save", run: func(ctx context.Context, c *cancelWorld) error { return store.Save(ctx, c.owned, logins.To(2)) }},
	{name: "Close", run: func(ctx context.Context, c *cancelWorld) error { return c.sessions.Close(ctx) }},
}

// reads are the operations whose lost answer leaves nothing unknown.
var reads = []string{"get", "has", "keys", "getmany", "attach", "renew"}

// The ways in which a backend meets the end of a context that it was called with.
var cancelModes = map[string]func(told <-chan struct{}) hook{
	"the backend gives up": func(<-chan struct{}) hook {
		return func(ctx context.Context, op string, do func() error) error {
			<-ctx.Done()
			return ctx.Err()
		}
	},
	"the backend acts, and the answer is lost": func(<-chan struct{}) hook {
		return func(ctx context.Context, op string, do func() error) error {
			_ = do()
			<-ctx.Done()
			if slices.Contains(reads, op) {
				return ctx.Err()
			}
			return fmt.Errorf("%w: %w", store.ErrUnknownOutcome, ctx.Err())
		}
	},
	"the backend acts, and answers late": func(told <-chan struct{}) hook {
		return func(ctx context.Context, op string, do func() error) error {
			err := do()
			<-told
			return err
		}
	},
	"the backend acts late": func(told <-chan struct{}) hook {
		return func(ctx context.Context, op string, do func() error) error {
			<-told
			return do()
		}
	},
}

// TestContextsThatEnd: whatever moment the context of an operation ends at, the
// operation returns, no session is lost, no handle is stuck, and Close returns.
func TestContextsThatEnd(t *testing.T) {
	for _, c := range cancelCases {
		t.Run(c.name, func(t *testing.T) {
			calls := 0
			synctest.Test(t, func(t *testing.T) { calls = c.attack(t, "counted", 0, nil) })
			synctest.Test(t, func(t *testing.T) { c.attack(t, "ended before", -1, nil) })
			for name, mode := range cancelModes {
				for n := 1; n <= calls; n++ {
					synctest.Test(t, func(t *testing.T) { c.attack(t, fmt.Sprintf("%s at call %d", name, n), n, mode) })
				}
			}
		})
	}
}

// attack runs the operation while the backend's call n meets the end of its context: 0 is
// none, and at -1 the context has ended before. It returns how many calls there were.
func (c cancelCase) attack(t *testing.T, what string, n int, mode func(<-chan struct{}) hook) (calls int) {
	const grace = time.Hour
	ctx := t.Context()
	w := &cancelWorld{backend: newHooked(t), chosen: store.NewID()}
	w.sessions = newSessions(t, w.backend, &store.Options{Grace: grace})
	w.owned = create(t, w.sessions, userID.To("u"))
	var err error
	if w.attached, err = w.sessions.CreateFor(ctx, store.NewID(), grace, userID.To("u")); err != nil {
		t.Fatal(err)
	}
	suspended := create(t, w.sessions, userID.To("u"))
	w.away = suspended.ID()
	if err := suspended.Suspend(ctx, grace); err != nil {
		t.Fatal(err)
	}
	ends := make(chan error, 1)
	w.owned.AfterEnd(func(err error) { ends <- err })

	told := make(chan struct{})
	var blocking hook
	if mode != nil {
		blocking = mode(told)
	}
	var mu sync.Mutex
	blocked := make(chan struct{})
	w.backend.set(func(ctx context.Context, op string, do func() error) error {
		if op == "renew" && c.name != "Extend" && c.name != "Extend of nobody's" {
			return do()
		}
		mu.Lock()
		calls++
		here := calls == n
		mu.Unlock()
		if !here {
			if err := ctx.Err(); err != nil {
				return err
			}
			return do()
		}
		close(blocked)
		return blocking(ctx, op, do)
	})
	opCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	if n < 0 {
		cancel()
	}
	returned := make(chan error, 1)
	go func() { returned <- c.run(opCtx, w) }()
	if n > 0 {
		<-blocked
		synctest.Wait()
		cancel()
		start := time.Now()
		time.Sleep(time.Second)
		close(told)
		err = <-returned
		if took := time.Since(start); took > 6*time.Second {
			t.Errorf("%s, %s: it took %v after its context ended", c.name, what, took)
		}
	} else {
		err = <-returned
	}
	if n == 0 && err != nil {
		t.Fatalf("%s: %v, want nil", c.name, err)
	}
	w.backend.set(func(_ context.Context, _ string, do func() error) error { return do() })

	closeErr := w.sessions.Close(ctx)
	if closeErr != nil && c.name != "Close" {
		t.Errorf("%s, %s: Close() = %v, want nil", c.name, what, closeErr)
	}
	for _, s := range append(w.handles, w.owned, w.attached, suspended) {
		if !isDone(s) || s.Err() == nil {
			t.Errorf("%s, %s: a handle is stuck after Close, Err() = %v", c.name, what, s.Err())
		}
	}
	<-ends
	st := w.sessions.Stats()
	if st.Owned != 0 {
		t.Errorf("%s, %s: Stats() = %+v, want none owned", c.name, what, st)
	}
	// The initial values are found, wherever the session is now.
	for _, id := range []string{w.owned.ID(), w.attached.ID(), w.away} {
		ids := []string{id}
		if c.name == "Rotate" && id == w.owned.ID() || c.name == "Rotate of nobody's" && id == w.attached.ID() {
			ids = append(ids, w.chosen)
		}
		if lives := alive(t, w.backend.Backend, ids); lives == 0 && !c.fatal {
			t.Errorf("%s, %s: a session is lost; the operation said %v", c.name, what, err)
		} else if lives == 2 && !errors.Is(err, store.ErrUnknownOutcome) {
			t.Errorf("%s, %s: the session lives under both IDs; the operation said %v", c.name, what, err)
		}
	}
	if err == nil && (c.name == "Create" || c.name == "CreateFor") {
		if alive(t, w.backend.Backend, []string{w.chosen}) != 1 {
			t.Errorf("%s, %s: nil, but there is no session", c.name, what)
		}
	}
	time.Sleep(grace + time.Minute + 10*time.Second)
	if n := alive(t, w.backend.Backend, []string{w.owned.ID(), w.attached.ID(), w.away, w.chosen}); n != 0 {
		t.Errorf("%s, %s: %d sessions outlive the grace", c.name, what, n)
	}
	return calls
}
