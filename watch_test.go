package store_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessionkv/store"
)

// logged returns what is logged through slog's default logger while t runs.
func logged(t *testing.T) func() string {
	var mu sync.Mutex
	var lines bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return lines.Write(p)
	}), nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		return lines.String()
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// TestAfterEndThatPanics: the others are called all the same, the program goes on, and
// the log says why.
func TestAfterEndThatPanics(t *testing.T) {
	log := logged(t)
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		sessions := open(t, nil)
		s := create(t, sessions)
		bound, cancel := s.Context(ctx)
		defer cancel()
		ended := make(chan error, 2)
		s.AfterEnd(func(err error) { ended <- err })
		s.AfterEnd(func(error) { panic("a callback with a mistake") })
		s.AfterEnd(func(err error) { ended <- err })
		wantErr(t, "Destroy()", s.Destroy(ctx), nil)
		for range 2 {
			wantErr(t, "AfterEnd's reason", <-ended, store.ErrDestroyed)
		}
		<-bound.Done()
		s.AfterEnd(func(error) { panic("another, after the end") })
		synctest.Wait()
		wantErr(t, "Create() after that", userID.Set(ctx, create(t, sessions), "u"), nil)
	})
	for _, want := range []string{"a callback with a mistake", "another, after the end", "AfterEnd"} {
		if !strings.Contains(log(), want) {
			t.Errorf("the log is %q, want a line with %q", log(), want)
		}
	}
}

// TestErrStaysWhileTheEndIsTriedAgain: a handle whose Suspend was not confirmed has
// ended, also while another Suspend, Destroy or Release tries again.
func TestErrStaysWhileTheEndIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		boom := errors.New("boom")
		release := make(chan struct{})
		attempt := 0
		backend := newStaged(t, func(_ context.Context, op string) error {
			if op != "suspend" {
				return nil
			}
			if attempt++; attempt == 1 {
				return boom
			}
			<-release
			return nil
		})
		sessions := newSessions(t, backend, nil)
		defer sessions.Close(ctx)
		s := create(t, sessions)
		wantErr(t, "Suspend()", s.Suspend(ctx, time.Minute), boom)
		wantErr(t, "Err() after it", s.Err(), store.ErrSuspended)
		if st := sessions.Stats(); st.Left != 1 || st.Owned != 0 {
			t.Errorf("Stats() = %+v, want one left", st)
		}
		again := make(chan error, 1)
		go func() { again <- s.Suspend(ctx, time.Minute) }()
		synctest.Wait()
		if !isDone(s) {
			t.Error("Done() is open while Suspend is tried again")
		}
		wantErr(t, "Err() while Suspend is tried again", s.Err(), store.ErrSuspended)
		ended := make(chan error, 1)
		s.AfterEnd(func(err error) { ended <- err })
		wantErr(t, "AfterEnd's reason meanwhile", <-ended, store.ErrSuspended)
		bound, cancel := s.Context(ctx)
		defer cancel()
		wantErr(t, "Cause(Context()) meanwhile", context.Cause(bound), store.ErrSuspended)
		close(release)
		wantErr(t, "Suspend() again", <-again, nil)
		if st := sessions.Stats(); st.Left != 0 || st.Suspended != 1 || st.Lost != 0 {
			t.Errorf("Stats() = %+v, want one suspended", st)
		}
	})
}
