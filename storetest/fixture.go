package storetest

import (
	"context"
	"testing"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
	"github.com/sessionkv/store/internal/crash"
)

// NewSession returns a session with the given values, for tests of code that takes
// one. It is kept in memory, lives as long as the test and is closed by it.
func NewSession(t testing.TB, initial ...store.Change) *store.Session {
	t.Helper()
	backend := memstore.New(nil)
	t.Cleanup(func() { backend.Close() })
	sessions, err := store.New(backend, nil)
	if err != nil {
		t.Fatalf("storetest.NewSession: %v", err)
	}
	t.Cleanup(func() {
		if err := sessions.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("storetest.NewSession: closing the session: %v", err)
		}
	})
	s, err := sessions.Create(t.Context(), store.NewID(), initial...)
	if err != nil {
		t.Fatalf("storetest.NewSession: %v", err)
	}
	return s
}

// Kill stops sessions as a crash of the process would. No lease is renewed any more, and nothing is
// suspended, destroyed or said to the backend. What the process owned lives on until its lease runs
// out, or until somebody resumes it. The handles end with [store.ErrClosed], so that what the test
// still does with them, a deferred Release for example, changes nothing. The backend stays open;
// calls in progress end as they would.
func Kill(sessions *store.Sessions) { crash.Sessions(sessions) }
