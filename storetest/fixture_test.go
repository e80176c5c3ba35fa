package storetest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
	"github.com/sessionkv/store/storetest"
)

const (
	userID = store.Key[string]("userId")
	visits = store.Key[int]("visits")
)

func sessionsOn(t testing.TB, b store.Backend, o *store.Options) *store.Sessions {
	t.Helper()
	sessions, err := store.New(b, o)
	if err != nil {
		t.Fatalf("New() = %v", err)
	}
	return sessions
}

func wantErr(t *testing.T, call string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s = %v, want %v", call, got, want)
	}
}

func TestNewSession(t *testing.T) {
	var s *store.Session
	t.Run("while the test runs", func(t *testing.T) {
		s = storetest.NewSession(t, userID.To("u-42"))
		if got, err := userID.Get(t.Context(), s); got != "u-42" || err != nil {
			t.Errorf("Get() = %q, %v, want u-42", got, err)
		}
	})
	if s.Err() == nil {
		t.Error("Err() after the test = nil, want an error")
	}
}

func TestFaulty(t *testing.T) {
	ctx := t.Context()
	memory := memstore.New(nil)
	defer memory.Close()
	backend := storetest.Faulty(memory)
	sessions := sessionsOn(t, backend, nil)
	defer sessions.Close(ctx)
	s, err := sessions.Create(ctx, store.NewID(), userID.To("u-42"))
	if err != nil {
		t.Fatal(err)
	}
	away := errors.New("server away")

	backend.Fail(storetest.OpSet, away)
	for range 2 {
		wantErr(t, "Set() while it fails", userID.Set(ctx, s, "u-43"), away)
	}
	if got, err := userID.Get(ctx, s); got != "u-42" || err != nil {
		t.Errorf("Get() = %q, %v, want u-42", got, err)
	}
	backend.Heal(storetest.OpGet)
	wantErr(t, "Set() after healing Get", userID.Set(ctx, s, "u-43"), away)
	backend.Heal()
	wantErr(t, "Set() after healing all", userID.Set(ctx, s, "u-43"), nil)

	backend.FailOnce(storetest.OpGet, nil)
	_, err = userID.Get(ctx, s)
	wantErr(t, "Get()", err, storetest.ErrFault)
	_, err = userID.Get(ctx, s)
	wantErr(t, "the next Get()", err, nil)

	backend.LoseReply(storetest.OpCommit)
	_, err = visits.Update(ctx, s, func(n int, _ bool) (int, error) { return n + 1, nil })
	wantErr(t, "Update() whose reply gets lost", err, store.ErrUnknownOutcome)
	if n, err := visits.Get(ctx, s); n != 1 || err != nil {
		t.Errorf("Get() afterwards = %d, %v, want 1: the write took effect", n, err)
	}

	backend.Fail(storetest.AnyOp, away)
	wantErr(t, "Destroy()", s.Destroy(ctx), away)
	_, err = sessions.Create(ctx, store.NewID())
	wantErr(t, "Create()", err, away)
	_, err = sessions.Attach(ctx, s.ID())
	wantErr(t, "Attach()", err, away)
	_, err = sessions.Resume(ctx, s.ID())
	wantErr(t, "Resume()", err, away)
	scanner, err := store.AsScanner(backend)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = scanner.Scan(ctx, "")
	wantErr(t, "Scan()", err, away)
	backend.Heal()
	if ids, _, err := scanner.Scan(ctx, ""); len(ids) > 1 || err != nil || backend.Calls(storetest.OpScan) != 2 {
		t.Errorf("Scan() = %d IDs, %v after %d calls, want at most the one session of the page, nil and 2", len(ids), err, backend.Calls(storetest.OpScan))
	}
	wantErr(t, "Destroy() again", s.Destroy(ctx), nil)
	if n := backend.Calls(storetest.OpDestroy); n != 2 {
		t.Errorf("Calls(destroy) = %d, want 2", n)
	}
}

// A FaultyBackend that was not told to fail keeps the contract.
func TestFaultyKeepsTheContract(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		Open:     func(testing.TB) store.Backend { return storetest.Faulty(memstore.New(nil)) },
		Synctest: true,
	})
}

func TestFaultyRenewals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		memory := memstore.New(nil)
		defer memory.Close()
		backend := storetest.Faulty(memory)
		sessions := sessionsOn(t, backend, &store.Options{Lease: 10 * time.Second})
		s, err := sessions.Create(ctx, store.NewID())
		if err != nil {
			t.Fatal(err)
		}
		backend.Fail(storetest.OpRenew, errors.New("server away"))
		time.Sleep(time.Minute)
		wantErr(t, "Set() six leases later", userID.Set(ctx, s, "u-42"), store.ErrDestroyed)
		if err := sessions.Close(ctx); err != nil {
			t.Errorf("Close() = %v, want nil", err)
		}
	})
}

func TestKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		memory := memstore.New(nil)
		defer memory.Close()
		dying := sessionsOn(t, memory, &store.Options{Lease: 10 * time.Second, Grace: time.Hour})
		other := sessionsOn(t, memory, nil)
		defer other.Close(ctx)
		open := func(ss *store.Sessions) *store.Session {
			s, err := ss.Create(ctx, store.NewID(), userID.To("u-42"))
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		resumed, left, foreign := open(dying), open(dying), open(other)
		attached, err := dying.Attach(ctx, foreign.ID())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // it was alive until then

		storetest.Kill(dying)
		wantErr(t, "Set() through a dead process", userID.Set(ctx, left, "late"), store.ErrClosed)
		wantErr(t, "Set() through its handle of another's session", userID.Set(ctx, attached, "late"), store.ErrClosed)
		_, err = dying.Create(ctx, store.NewID())
		wantErr(t, "Create() in a dead process", err, store.ErrClosed)
		_ = left.Release(ctx)
		_ = resumed.Destroy(ctx)
		select {
		case <-left.Done():
		default:
			t.Error("Done() after Kill is open, want it closed")
		}
		if err := dying.Close(ctx); err != nil {
			t.Errorf("Close() after Kill = %v, want nil", err)
		}
		storetest.Kill(dying)

		s, err := other.Resume(ctx, resumed.ID())
		if err != nil {
			t.Fatalf("Resume() of a session whose process has died = %v, want nil", err)
		}
		if got, err := userID.Get(ctx, s); got != "u-42" || err != nil {
			t.Errorf("Get() = %q, %v, want u-42", got, err)
		}
		time.Sleep(11 * time.Second)
		_, err = other.Attach(ctx, left.ID())
		wantErr(t, "Attach() a lease after the crash", err, store.ErrNoSession)
		if err := userID.Set(ctx, foreign, "u-43"); err != nil {
			t.Errorf("Set() of another process = %v, want nil", err)
		}
	})
}

// greet is what a test tests.
func greet(ctx context.Context, s *store.Session) (string, error) {
	id, err := userID.Get(ctx, s)
	if err != nil {
		return "", fmt.Errorf("who is it? %w", err)
	}
	return "hello " + id, nil
}

func ExampleNewSession() {
	// func TestGreet(t *testing.T) {
	test := func(t *testing.T) {
		s := storetest.NewSession(t, userID.To("u-42"))
		if got, err := greet(t.Context(), s); got != "hello u-42" || err != nil {
			t.Errorf("greet() = %q, %v", got, err)
		}
	}
	_ = test // go test calls it
	// Output:
}

func ExampleFaulty() {
	ctx := context.Background()
	memory := memstore.New(nil)
	defer memory.Close()
	backend := storetest.Faulty(memory)
	sessions, err := store.New(backend, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer sessions.Close(ctx)
	s, err := sessions.Create(ctx, store.NewID(), userID.To("u-42"))
	if err != nil {
		fmt.Println(err)
		return
	}
	backend.FailOnce(storetest.OpGet, errors.New("connection refused"))
	_, err = greet(ctx, s)
	fmt.Println(err)
	greeting, err := greet(ctx, s)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(greeting)
	// Output:
	// who is it? store: get "userId": connection refused
	// hello u-42
}

func ExampleKill() {
	ctx := context.Background()
	backend := memstore.New(nil)
	defer backend.Close()
	node1, err := store.New(backend, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	node2, err := store.New(backend, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer node2.Close(ctx)
	s, err := node1.Create(ctx, store.NewID(), userID.To("u-42"))
	if err != nil {
		fmt.Println(err)
		return
	}
	storetest.Kill(node1)
	s, err = node2.Resume(ctx, s.ID()) // within the lease of the dead node
	if err != nil {
		fmt.Println(err)
		return
	}
	greeting, err := greet(ctx, s)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(greeting)
	// Output: hello u-42
}
