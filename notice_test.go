package store_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
)

// A stormy backend is hinted at by the test, and counts how often it is asked.
type stormy struct {
	store.Backend
	hint  func()
	asked atomic.Int64
}

func (b *stormy) Watch(_ store.Store, hint func()) (func(), error) {
	b.hint = hint
	return func() {}, nil
}

func (b *stormy) Renew(ctx context.Context, sessions []store.Store, lease time.Duration) []error {
	if lease == 0 {
		b.asked.Add(1)
	}
	return b.Backend.Renew(ctx, sessions, lease)
}

// Hints for nothing, however many, cost the backend few questions, and do not hide the
// end that comes at last.
func TestStormOfHints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		memory := memstore.New(nil)
		defer memory.Close()
		backend := &stormy{Backend: memory}
		sessions := newSessions(t, backend, nil)
		defer sessions.Close(ctx)
		s := create(t, sessions)
		done := s.Done()
		backend.asked.Store(0) // of the beginning
		begin := time.Now()
		for time.Since(begin) < time.Second {
			for range 10 {
				backend.hint()
			}
			time.Sleep(time.Millisecond)
		}
		if n := backend.asked.Load(); n > 100 {
			t.Errorf("the backend was asked %d times within a second of hints, want at most 100", n)
		}
		other, err := memory.Attach(ctx, s.ID(), store.Terms{})
		if err != nil {
			t.Fatal(err)
		}
		if err := other.Destroy(ctx); err != nil {
			t.Fatal(err)
		}
		backend.hint()
		begin = time.Now()
		<-done
		if took := time.Since(begin); took > 20*time.Millisecond {
			t.Errorf("Done() was closed %v after the hint, want at most 20ms", took)
		}
	})
}
