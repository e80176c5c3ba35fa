package hazelcaststore

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/hazelcast/hazelcast-go-client"
	"github.com/hazelcast/hazelcast-go-client/hzerrors"
	"github.com/hazelcast/hazelcast-go-client/nearcache"
	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/testserver"
)

func TestMapConfig(t *testing.T) {
	if os.Getenv("STORE_TEST_HAZELCAST_ADDRS") != "" {
		t.Skip("needs members with a configuration of its own")
	}
	c := testserver.Hazelcast(t, 1,
		testserver.WithMap("idle:*", time.Hour, time.Minute),
		testserver.WithMap("short:*", time.Second, 0),
		testserver.WithMap("good:*", time.Minute, 0))
	client := dial(t, c)
	for _, tt := range []struct {
		namespace string
		text      []string // nothing: New succeeds
	}{
		{"good", nil},
		{"forever", []string{`<map name="forever:sessions">`, "<time-to-live-seconds>", `"forever:sessions":`, "time-to-live-seconds: "}},
		{"short", []string{`<map name="short:sessions">`, "<time-to-live-seconds>"}},
		{"idle", []string{`<map name="idle:sessions">`, "<max-idle-seconds>0</max-idle-seconds>"}},
	} {
		b, err := New(t.Context(), client, &Options{Namespace: tt.namespace})
		if tt.text == nil {
			if err != nil {
				t.Errorf("New on map %q = %v, want no error", tt.namespace, err)
				continue
			}
			b.Close()
		} else if b != nil || !errors.Is(err, ErrMapConfig) {
			t.Errorf("New on map %q = %v, %v, want %v", tt.namespace, b, err, ErrMapConfig)
			continue
		}
		for _, text := range tt.text {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("New on map %q = %q, want it to contain %q", tt.namespace, err, text)
			}
		}
		m, err := client.GetMap(t.Context(), tt.namespace+":sessions")
		if err != nil {
			t.Fatal(err)
		}
		// What Close cut off in the middle of a probe goes with the probe's own time to live.
		for deadline := time.Now().Add(2 * probeTTL); ; time.Sleep(10 * time.Millisecond) {
			n, err := m.Size(t.Context())
			if n == 0 && err == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Errorf("New left %d entries in map %q, %v, want none", n, tt.namespace, err)
				break
			}
		}
	}
}

func TestBadOptions(t *testing.T) {
	if b, err := New(t.Context(), nil, nil); b != nil || err == nil {
		t.Errorf("New without a client = %v, %v, want an error", b, err)
	}
	if b, err := New(t.Context(), new(hazelcast.Client), &Options{Namespace: "a:b"}); b != nil || err == nil {
		t.Errorf("New with a bad namespace = %v, %v, want an error", b, err)
	}
}

func TestNearCache(t *testing.T) {
	c := testserver.SharedHazelcast(t)
	opts := namespace()
	client := dial(t, c, func(config *hazelcast.Config) {
		// Nothing invalidates what it has cached, so that it stays stale.
		nc := nearcache.Config{Name: opts.Namespace + ":sessions"}
		nc.SetInvalidateOnChange(false)
		config.AddNearCache(nc)
	})
	if b, err := New(t.Context(), client, opts); b != nil || !errors.Is(err, ErrMapConfig) {
		t.Fatalf("New on a client with a near cache = %v, %v, want %v", b, err, ErrMapConfig)
	}
	near := *opts
	near.NearCache = true
	b, other := open(t, client, &near), open(t, dial(t, c), opts)
	ctx := t.Context()
	id := store.NewID()
	s, err := b.Create(ctx, id, nil, store.Terms{Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	get := func(want string) {
		t.Helper()
		if v, err := s.Get(ctx, "k"); err != nil || string(v) != want {
			t.Errorf("Get(k) = %q, %v, want %q", v, err, want)
		}
	}
	set := func(h store.Store, value string) {
		t.Helper()
		if err := h.Set(ctx, "k", []byte(value)); err != nil {
			t.Errorf("Set(k, %s) = %v, want no error", value, err)
		}
	}
	set(s, "1")
	get("1")
	get("1") // from the near cache
	o, err := other.Attach(ctx, id, store.Terms{})
	if err != nil {
		t.Fatal(err)
	}
	set(o, "2")
	get("1")    // stale, as was asked for
	set(s, "3") // not held up by the stale document
	get("3")    // its own write
	if err := o.Destroy(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Set(ctx, "k", nil); !errors.Is(err, store.ErrDestroyed) {
		t.Errorf("Set after another process destroyed the session = %v, want %v", err, store.ErrDestroyed)
	}
	if _, err := s.Get(ctx, "k"); !errors.Is(err, store.ErrDestroyed) {
		t.Errorf("Get after that = %v, want %v", err, store.ErrDestroyed)
	}
	if _, err := b.Attach(ctx, id, store.Terms{}); !errors.Is(err, store.ErrNoSession) {
		t.Errorf("Attach after that = %v, want %v", err, store.ErrNoSession)
	}
}

// allCalls makes every call there is and returns their errors by name.
func allCalls(ctx context.Context, b *Backend, s store.Store, id string) map[string]error {
	errs := make(map[string]error)
	_, errs["Get"] = s.Get(ctx, "k")
	_, errs["Has"] = s.Has(ctx, "k")
	_, errs["GetMany"] = store.GetMany(ctx, s, []string{"k"})
	_, errs["Keys"] = store.Keys(ctx, s)
	errs["Set"] = s.Set(ctx, "k", nil)
	errs["Delete"] = s.Delete(ctx, "k")
	_, errs["Commit"] = store.Commit(ctx, s, nil, nil)
	errs["Renew"] = errors.Join(b.Renew(ctx, []store.Store{s}, time.Hour)...)
	errs["Suspend"] = b.Suspend(ctx, s, time.Hour)
	_, errs["Create"] = b.Create(ctx, store.NewID(), nil, store.Terms{Lease: time.Minute})
	_, errs["Attach"] = b.Attach(ctx, id, store.Terms{})
	_, errs["Resume"] = b.Resume(ctx, id, store.Terms{Lease: time.Minute})
	errs["Destroy"] = s.Destroy(ctx)
	return errs
}

func TestClientShutDownUnderUs(t *testing.T) {
	c := testserver.SharedHazelcast(t)
	client := dial(t, c)
	b := open(t, client, namespace())
	id := store.NewID()
	s, err := b.Create(t.Context(), id, nil, store.Terms{Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, err := range allCalls(t.Context(), b, s, id) {
		if !errors.Is(err, store.ErrClosed) || !errors.Is(err, hzerrors.ErrClientNotActive) || errors.Is(err, store.ErrUnknownOutcome) {
			t.Errorf("%s on a client that was shut down = %v, want %v and %v", name, err, store.ErrClosed, hzerrors.ErrClientNotActive)
		}
		if strings.Contains(err.Error(), id) {
			t.Errorf("%s: the error %q has the session ID in it", name, err)
		}
	}
	if b, err := New(t.Context(), client, nil); b != nil || !errors.Is(err, store.ErrClosed) {
		t.Errorf("New on it = %v, %v, want %v", b, err, store.ErrClosed)
	}
}

// With no member left, calls end with their contexts, or else with the timeout,
// and Close leaves nothing running.
func TestNoMemberReachable(t *testing.T) {
	if os.Getenv("STORE_TEST_HAZELCAST_ADDRS") != "" {
		t.Skip("needs members that can be killed")
	}
	c := cluster(t, 1)
	client := dial(t, c)
	b := open(t, client, namespace())
	b.timeout = 300 * time.Millisecond // not before: on a busy machine New takes longer
	id := store.NewID()
	s, err := b.Create(t.Context(), id, nil, store.Terms{Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	c.Kill(0)
	for name, err := range allCalls(t.Context(), b, s, id) {
		if err == nil || errors.Is(err, store.ErrDestroyed) || errors.Is(err, store.ErrNoSession) {
			t.Errorf("%s with no member = %v, want an error that says so", name, err)
		} else if strings.Contains(err.Error(), id) {
			t.Errorf("%s: the error %q has the session ID in it", name, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Get(ctx, "k"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Get = %v, want %v", err, context.DeadlineExceeded)
	}
	if b, err := New(ctx, client, nil); b != nil || err == nil {
		t.Errorf("New = %v, %v, want an error", b, err)
	}
	if err := b.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
	noneLeft(t)
}

func TestClosed(t *testing.T) {
	b := open(t, dial(t, testserver.SharedHazelcast(t)), namespace())
	id := store.NewID()
	s, err := b.Create(t.Context(), id, nil, store.Terms{Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	results := make(chan error)
	const callers = 20
	for i := range callers {
		go func() {
			var err error
			for err == nil {
				if err = s.Set(ctx, "k", nil); i%2 == 0 && err == nil {
					_, err = s.Get(ctx, "k")
				}
			}
			results <- err
		}()
	}
	b.Close()
	for range callers {
		if err := <-results; !errors.Is(err, store.ErrClosed) {
			t.Errorf("a call while Close was called = %v, want %v", err, store.ErrClosed)
		}
	}
	cancel()
	for name, err := range allCalls(t.Context(), b, s, id) {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("%s after Close = %v, want %v", name, err, store.ErrClosed)
		}
	}
	if err := b.Close(); err != nil {
		t.Errorf("Close again = %v, want no error", err)
	}
	noneLeft(t)
}

// noneLeft checks that no goroutine runs code of this package's files other than
// tests. One that has done its work may need a moment to end.
func noneLeft(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		stack := ours()
		if stack == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("a goroutine is left:\n%s", stack)
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// ours returns the stack of a goroutine that runs code of this package, if any.
func ours() string {
	buf := make([]byte, 1<<20)
	for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(stack, "hazelcaststore.(*life)") || strings.Contains(stack, "hazelcaststore.(*Backend)") || strings.Contains(stack, "hazelcaststore.await") {
			return stack
		}
	}
	return ""
}
