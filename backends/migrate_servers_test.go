package backends_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends"
	"github.com/sessionkv/store/internal/testserver"
)

// Clients come back in every way that the typed layer has. They do so over servers with a cache in the process,
// and over two namespaces of one server.
func TestMigrationOfTypedSessions(t *testing.T) {
	redis := testserver.SharedRedis(t).URL
	valkey := "valkey" + strings.TrimPrefix(testserver.SharedRedis(t, testserver.FlavourValkey).URL, "redis")
	for name, urls := range map[string][2]string{
		"cached":     {redis + "?cache=on&namespace=a", valkey + "?cache=on&namespace=a"},
		"namespaces": {redis + "?namespace=b", redis + "?namespace=c"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			open := func(url string) store.Backend {
				b, err := backends.Open(ctx, url)
				if err != nil {
					t.Fatalf("Open() = %v", err)
				}
				return b
			}
			sessions := func(b store.Backend) *store.Sessions {
				ss, err := store.New(b, &store.Options{Grace: time.Minute})
				if err != nil {
					t.Fatalf("New() = %v", err)
				}
				t.Cleanup(func() { ss.Close(context.WithoutCancel(ctx)); b.Close() })
				return ss
			}
			m, err := backends.Migrate(open(urls[0]), open(urls[1]), nil)
			if err != nil {
				t.Fatalf("Migrate() = %v", err)
			}
			old, next, last := sessions(open(urls[0])), sessions(m), sessions(open(urls[1]))
			begin := func() *store.Session {
				s, err := old.Create(ctx, store.NewID(), userID.To("u-42"), logins.To(1))
				if err != nil {
					t.Fatalf("Create() = %v", err)
				}
				return s
			}
			moved := func(what, id string) {
				t.Helper()
				s, err := last.Attach(ctx, id)
				if err != nil {
					t.Errorf("%s: Attach() at the new server = %v", what, err)
					return
				}
				if got, err := userID.Get(ctx, s); got != "u-42" || err != nil {
					t.Errorf("%s: Get() = %q, %v, want u-42", what, got, err)
				}
				if _, err := old.Attach(ctx, id); !errors.Is(err, store.ErrNoSession) {
					t.Errorf("%s: Attach() at the old server = %v, want ErrNoSession", what, err)
				}
			}

			owner := begin()
			done := owner.Done()
			s, resumed, err := next.Open(ctx, owner.ID(), func(ctx context.Context, s *store.Session) error {
				if got, err := userID.Get(ctx, s); got != "u-42" {
					return fmt.Errorf("user %q, %w", got, err)
				}
				return nil
			})
			if err != nil || !resumed {
				t.Fatalf("Open() = %v, %t, want the session", err, resumed)
			}
			moved("Open", s.ID())
			select {
			case <-done:
			case <-time.After(30 * time.Second):
				t.Error("the owner does not hear that its session has moved")
			}

			owner = begin()
			refuse := errors.New("another user")
			if _, _, err := next.Open(ctx, owner.ID(), func(context.Context, *store.Session) error { return refuse }); !errors.Is(err, refuse) {
				t.Errorf("Open() = %v, want a refusal", err)
			}
			if err := logins.Set(ctx, owner, 2); err != nil {
				t.Errorf("the owner is disturbed by an Open that was refused: %v", err)
			}

			h, err := next.Attach(ctx, owner.ID())
			if err != nil {
				t.Fatalf("Attach() = %v", err)
			}
			id := store.NewID()
			if _, err := next.Rotate(ctx, h, id, logins.To(3)); err != nil {
				t.Fatalf("Rotate() = %v", err)
			}
			moved("Rotate", id)
			if _, err := old.Attach(ctx, owner.ID()); !errors.Is(err, store.ErrNoSession) {
				t.Errorf("Attach() of the ID of before = %v, want ErrNoSession", err)
			}

			// An owner who writes without a pause, through a cache.
			owner = begin()
			written := make(chan int)
			go func() {
				n := 1
				for logins.Set(ctx, owner, n+1) == nil {
					n++
				}
				written <- n
			}()
			if s, err = next.Resume(ctx, owner.ID()); err != nil {
				t.Fatalf("Resume() = %v", err)
			}
			want := <-written
			if got, err := logins.Get(ctx, s); got != want || err != nil {
				t.Errorf("Get() = %d, %v, want the last write that was acknowledged, %d", got, err, want)
			}
			moved("Resume", s.ID())
			if err := s.Destroy(ctx); err != nil {
				t.Errorf("Destroy() = %v", err)
			}
		})
	}
}

// A session that is too large for the new server goes on at the old one.
func TestMigrationOfLargeSessions(t *testing.T) {
	urls := migrationURLs(t)["redis to hazelcast"]
	from := openURL(t, urls[0], "large")
	m, err := backends.Migrate(from, openURL(t, urls[1], "large&document_size=1024"), nil)
	if err != nil {
		t.Fatalf("Migrate() = %v", err)
	}
	defer m.Close()
	for size, want := range map[int]backends.MigrationStats{100: {Moved: 1}, 5000: {Kept: 1}} {
		before := m.Stats()
		id := store.NewID()
		if _, err := from.Create(t.Context(), id, []store.Entry{{Key: "k", Value: make([]byte, size)}}, store.Terms{Lease: time.Minute}); err != nil {
			t.Fatalf("Create() = %v", err)
		}
		s, err := m.Resume(t.Context(), id, store.Terms{Lease: time.Minute})
		if err != nil {
			t.Fatalf("Resume() of %d bytes = %v", size, err)
		}
		if v, err := s.Get(t.Context(), "k"); len(v) != size || err != nil {
			t.Errorf("Get() = %d bytes, %v, want %d", len(v), err, size)
		}
		after := m.Stats()
		if after.Moved-before.Moved != want.Moved || after.Kept-before.Kept != want.Kept {
			t.Errorf("Stats() before and after a session of %d bytes = %+v, %+v", size, before, after)
		}
		if err := s.Destroy(t.Context()); err != nil {
			t.Errorf("Destroy() = %v", err)
		}
	}
}
