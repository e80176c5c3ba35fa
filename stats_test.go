package store_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sessionkv/store"
)

// TestStatsSayHowSessionsWereLost: taken over, destroyed through another handle, or left by Close; a handle that owns
// nothing loses nothing.
func TestStatsSayHowSessionsWereLost(t *testing.T) {
	ctx := t.Context()
	sessions := open(t, nil)
	taken, destroyed := create(t, sessions), create(t, sessions)
	attached, err := sessions.Attach(ctx, taken.ID())
	if err != nil {
		t.Fatal(err)
	}
	again, err := sessions.Resume(ctx, taken.ID())
	if err != nil {
		t.Fatal(err)
	}
	<-attached.Done()
	other, err := sessions.Attach(ctx, destroyed.ID())
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Destroy(ctx); err != nil {
		t.Fatal(err)
	}
	want := store.Stats{Owned: 1, Created: 2, Resumed: 1, Attached: 2, Destroyed: 1, Lost: 2, TakenOver: 1}
	if diff := cmp.Diff(want, sessions.Stats()); diff != "" {
		t.Errorf("Stats() (-want +got):\n%s", diff)
	}
	if err := again.Destroy(context.WithoutCancel(ctx)); err != nil {
		t.Fatal(err)
	}
}

// TestStatsCountConflicts: each way of writing on a condition, once beside another writer, and not once alone.
func TestStatsCountConflicts(t *testing.T) {
	ctx := t.Context()
	n := store.Key[int]("n")
	sessions := open(t, &store.Options{Undecodable: store.Absent})
	s := create(t, sessions)
	first := true
	between := func(what string, write func() error) {
		t.Helper()
		if first {
			first = false
			if err := write(); err != nil {
				t.Fatalf("%s: the other writer: %v", what, err)
			}
		}
	}
	next := 100
	set := func() error { next += 100; return n.Set(ctx, s, next) }
	for _, tt := range []struct {
		name string
		call func() error
		want uint64
	}{
		{"Set", set, 0},
		{"Update", func() error {
			_, err := n.Update(ctx, s, func(old int, _ bool) (int, error) {
				between("Update", set)
				return old + 1, nil
			})
			return err
		}, 1},
		{"a transaction", func() error {
			return s.Update(ctx, func(tx *store.Tx) error {
				old, err := n.In(tx).Get()
				between("a transaction", set)
				return errors.Join(err, n.In(tx).Set(old+1))
			})
		}, 1},
		{"Update alone", func() error {
			first = false
			_, err := n.Update(ctx, s, func(old int, _ bool) (int, error) { return old + 1, nil })
			return err
		}, 0},
		{"SetIfAbsent of what is there", func() error { _, err := n.SetIfAbsent(ctx, s, 1); return err }, 0},
		{"SetIfAbsent of what does not decode", func() error {
			err := store.Key[string]("n").Set(ctx, s, "text")
			stored, err2 := n.SetIfAbsent(ctx, s, 1)
			if !stored {
				t.Error("SetIfAbsent() = false, want true, as the value counts as absent")
			}
			return errors.Join(err, err2)
		}, 1},
	} {
		before := sessions.Stats().Conflicts
		first = true
		if err := tt.call(); err != nil {
			t.Errorf("%s = %v", tt.name, err)
		}
		if got := sessions.Stats().Conflicts - before; got != tt.want {
			t.Errorf("%s: Conflicts rises by %d, want %d", tt.name, got, tt.want)
		}
	}
}

// TestStatsCountUndecodable: as often as the hook is called, whatever is done about the value, by every way of reading.
func TestStatsCountUndecodable(t *testing.T) {
	ctx := t.Context()
	text, n := store.Key[string]("k"), store.Key[int]("k")
	told := uint64(0)
	sessions := open(t, &store.Options{OnUndecodable: func(store.UndecodableValue) { told++ }})
	s := create(t, sessions, text.To("text"))
	var into int
	for name, err := range map[string]error{
		"Get": second(n.Get(ctx, s)), "GetOr": second(n.GetOr(ctx, s, 1)), "Take": second(n.Take(ctx, s)), "Load": store.Load(ctx, s, n.Into(&into)),
		"Update":        second(n.Update(ctx, s, func(old int, _ bool) (int, error) { return old, nil })),
		"a transaction": s.Update(ctx, func(tx *store.Tx) error { return second(n.In(tx).Get()) }),
	} {
		if !errors.Is(err, store.ErrDecode) {
			t.Errorf("%s = %v, want ErrDecode", name, err)
		}
	}
	if _, err := n.IfUndecodable(store.Drop).Get(ctx, s); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get() that drops = %v, want ErrNotFound", err)
	}
	if _, err := n.Get(ctx, s); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get() after that = %v, want ErrNotFound", err)
	}
	if got := sessions.Stats().Undecodable; got != 7 || told != 7 {
		t.Errorf("Undecodable = %d, and the hook was called %d times, want 7 and 7", got, told)
	}
}
