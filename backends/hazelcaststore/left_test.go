package hazelcaststore

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/testserver"
)

// held is a grid whose next Get waits.
type held struct {
	grid
	entered, proceed chan struct{}
}

func (h *held) Get(ctx context.Context, key any) (any, error) {
	value, err := h.grid.Get(ctx, key)
	close(h.entered)
	<-h.proceed
	return value, err
}

// A Resume whose caller has left before it wrote, and was told so, does not write
// afterwards: the life that it found goes on.
func TestResumeThatIsLeftDoesNotWrite(t *testing.T) {
	r := newRig(t, testserver.SharedHazelcast(t), namespace())
	id, _ := r.session(t)
	before := r.attach(t, id)
	writes := r.faults.writes.Load()

	h := &held{r.b.grid, make(chan struct{}), make(chan struct{})}
	r.b.grid = h
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() {
		_, err := r.b.Resume(ctx, id, store.Terms{Lease: time.Minute})
		result <- err
	}()
	<-h.entered
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) || errors.Is(err, store.ErrUnknownOutcome) {
		t.Errorf("Resume that was left before its write = %v, want context.Canceled and no unknown outcome", err)
	}
	close(h.proceed)
	if err := r.b.Close(); err != nil { // waits for what is left of the call
		t.Fatalf("Close = %v", err)
	}
	if got := r.faults.writes.Load() - writes; got != 0 {
		t.Errorf("the Resume sent %d writes after it had said that it sent none", got)
	}
	if _, err := before.Get(t.Context(), "k"); err != nil {
		t.Errorf("Get through an earlier handle = %v, want no error", err)
	}
}
