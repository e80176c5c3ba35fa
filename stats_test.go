package store_test

import (
	"context"
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
