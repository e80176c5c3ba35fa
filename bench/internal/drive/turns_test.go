package drive

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/sessionkv/store/bench/internal/system"
	"github.com/sessionkv/store/bench/internal/workload"
)

func TestTurns(t *testing.T) {
	w, err := workload.ParseMix("get=50,set=50")
	if err != nil {
		t.Fatal(err)
	}
	var targets []*Target[string]
	for _, spec := range []system.Spec{{Name: "store", URL: "memory:", Codec: "msgpack"}, {Name: "syncmap"}} {
		target, err := Open(t.Context(), spec, 10, 3, workload.StringPool([]int{16}))
		if err != nil {
			t.Fatal(err)
		}
		defer target.Close(context.WithoutCancel(t.Context()))
		targets = append(targets, target)
	}
	took, err := Turns(t.Context(), targets, w, 5*time.Millisecond, 1)
	if err != nil || len(took) != len(targets) {
		t.Fatalf("Turns() = %d results, %v, want %d, nil", len(took), err, len(targets))
	}
	for i, d := range took {
		if len(d) == 0 || len(d) != len(took[0]) || !slices.IsSorted(d) || d[0] < 0 {
			t.Errorf("Turns() made %d calls of target %d, sorted: %t; want as many as of the first, %d, sorted", len(d), i, slices.IsSorted(d), len(took[0]))
		}
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Turns(ctx, targets, w, time.Hour, 1); err != context.Canceled {
		t.Errorf("Turns() after the context ended = %v, want %v", err, context.Canceled)
	}
}
