package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
	"github.com/sessionkv/store/internal/crash"
)

const indexedUser = store.Key[string]("indexedUser")

// trackedLists is a backend in memory that notes the names of the lists that it was given.
type trackedLists struct {
	*memstore.Backend
	mu    sync.Mutex
	lists map[string]bool // guarded by mu
}

func newTrackedLists(t testing.TB) *trackedLists {
	b := &trackedLists{Backend: memstore.New(nil), lists: make(map[string]bool)}
	t.Cleanup(func() { b.Close() })
	return b
}

func (b *trackedLists) PutEntries(ctx context.Context, entries []store.IndexEntry, ttl time.Duration) []error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range entries {
		b.lists[e.Index] = true
	}
	return b.Backend.PutEntries(ctx, entries, ttl)
}

// indexedSessions are closed when t ends.
func indexedSessions(t testing.TB, backend store.Backend, opts *store.Options) *store.Sessions {
	t.Helper()
	sessions := newSessions(t, backend, opts)
	t.Cleanup(func() {
		if err := sessions.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("Sessions.Close() = %v, want no error", err)
		}
	})
	return sessions
}

// shared returns a new session of owner under the value "before", and a handle to it from writer.
func shared(t testing.TB, owner, writer *store.Sessions) (owned, attached *store.Session) {
	t.Helper()
	owned = create(t, owner, indexedUser.To("before"))
	attached, err := writer.Attach(context.WithoutCancel(t.Context()), owned.ID())
	must(t, err)
	return owned, attached
}

// left returns how many members all lists have.
func (b *trackedLists) left(t testing.TB) (n int) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for list := range b.lists {
		for cursor, more := "", true; more; more = cursor != "" {
			members, next, err := b.Entries(context.WithoutCancel(t.Context()), list, cursor)
			if err != nil {
				t.Fatalf("Entries() = %v, want no error", err)
			}
			n, cursor = n+len(members), next
		}
	}
	return n
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func withIndex(o store.Options) *store.Options {
	o.Indexes = append(o.Indexes, indexedUser.Index())
	return &o
}

// findIDs returns the IDs of the sessions that Find finds, in order.
func findIDs[T any](t testing.TB, key store.Key[T], sessions *store.Sessions, v T) []string {
	t.Helper()
	var ids []string
	for s, err := range key.Find(context.WithoutCancel(t.Context()), sessions, v) {
		if err != nil {
			t.Fatalf("Find() yields %v, want no error", err)
		}
		ids = append(ids, s.ID())
	}
	slices.Sort(ids)
	return ids
}

// finds checks that Find finds exactly these sessions.
func finds(t testing.TB, sessions *store.Sessions, user string, want ...string) {
	t.Helper()
	slices.Sort(want)
	if got := findIDs(t, indexedUser, sessions, user); !slices.Equal(got, want) {
		t.Fatalf("Find(%.20q) = %d sessions %q, want %d: %q", user, len(got), got, len(want), want)
	}
}

func TestFind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		backend := newTrackedLists(t)
		mine := indexedSessions(t, backend, withIndex(store.Options{}))
		theirs := indexedSessions(t, backend, withIndex(store.Options{}))
		finds(t, mine, "u")

		s := create(t, mine)
		finds(t, theirs, "u")
		must(t, indexedUser.Set(ctx, s, "u"))
		finds(t, mine, "u", s.ID())
		finds(t, theirs, "u", s.ID())
		finds(t, theirs, "v")

		other := create(t, theirs, indexedUser.To("u"))
		finds(t, mine, "u", s.ID(), other.ID())

		// A handle from Attach writes; the owner's renewals keep what it wrote.
		attached, err := theirs.Attach(ctx, s.ID())
		must(t, err)
		must(t, indexedUser.Set(ctx, attached, "v"))
		finds(t, mine, "v", s.ID())
		finds(t, mine, "u", other.ID())
		time.Sleep(10 * store.DefaultLease)
		finds(t, mine, "v", s.ID())
		finds(t, theirs, "u", other.ID())

		if keys, err := s.Keys(ctx); err != nil || !slices.Equal(keys, []string{string(indexedUser)}) {
			t.Errorf("Keys() = %q, %v, want the key of the program alone", keys, err)
		}

		// A session that is suspended for longer than its lease is found until its grace ends.
		must(t, s.Suspend(ctx, 5*store.DefaultLease))
		time.Sleep(5*store.DefaultLease - time.Second)
		finds(t, theirs, "v", s.ID())
		resumed, err := theirs.Resume(ctx, s.ID())
		must(t, err)
		time.Sleep(5 * store.DefaultLease)
		finds(t, mine, "v", s.ID())

		rotated, err := theirs.Rotate(ctx, resumed, store.NewID())
		must(t, err)
		finds(t, mine, "v", rotated.ID())
		time.Sleep(5 * store.DefaultLease)
		finds(t, mine, "v", rotated.ID())

		must(t, indexedUser.Delete(ctx, rotated))
		finds(t, mine, "v")
		must(t, store.Save(ctx, rotated, indexedUser.To("w")))
		finds(t, mine, "w", rotated.ID())
		if _, err := indexedUser.Take(ctx, rotated); err != nil {
			t.Fatal(err)
		}
		finds(t, mine, "w")
		if ok, err := indexedUser.SetIfAbsent(ctx, rotated, "x"); !ok || err != nil {
			t.Fatalf("SetIfAbsent() = %v, %v, want true", ok, err)
		}
		finds(t, mine, "x", rotated.ID())
		if _, err := indexedUser.Update(ctx, rotated, func(old string, _ bool) (string, error) { return old + "y", nil }); err != nil {
			t.Fatal(err)
		}
		finds(t, mine, "xy", rotated.ID())
		must(t, rotated.Update(ctx, func(tx *store.Tx) error { return indexedUser.In(tx).Set("u") }))
		finds(t, mine, "u", rotated.ID(), other.ID())

		if n, err := indexedUser.Count(ctx, mine, "u"); n != 2 || err != nil {
			t.Errorf("Count() = %d, %v, want 2", n, err)
		}
		done := other.Done()
		if n, err := indexedUser.DestroyAll(ctx, mine, "u"); n != 2 || err != nil {
			t.Errorf("DestroyAll() = %d, %v, want 2", n, err)
		}
		finds(t, mine, "u")
		<-done
		if _, err := mine.Attach(ctx, rotated.ID()); !errors.Is(err, store.ErrNoSession) {
			t.Errorf("Attach() after DestroyAll = %v, want ErrNoSession", err)
		}
		synctest.Wait()
		if n := backend.left(t); n != 0 {
			t.Errorf("%d entries are left, want 0", n)
		}
	})
}

// A session that nobody owns is found for as long as it lives, and its entries end with it.
func TestFindUnowned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		backend := newTrackedLists(t)
		sessions := indexedSessions(t, backend, withIndex(store.Options{}))
		s, err := sessions.CreateFor(ctx, store.NewID(), 24*time.Hour)
		must(t, err)
		attached, err := sessions.Attach(ctx, s.ID())
		must(t, err)
		must(t, indexedUser.Set(ctx, attached, "u"))
		time.Sleep(23 * time.Hour)
		finds(t, sessions, "u", s.ID())
		must(t, s.Extend(ctx, 48*time.Hour))
		time.Sleep(47 * time.Hour)
		finds(t, sessions, "u", s.ID())
		again, err := sessions.Attach(ctx, s.ID())
		must(t, err)
		must(t, again.Extend(ctx, 48*time.Hour))
		time.Sleep(48*time.Hour - time.Second)
		finds(t, sessions, "u", s.ID())
		time.Sleep(time.Second + store.DefaultLease + store.DefaultLease/8)
		finds(t, sessions, "u")
		if n := backend.left(t); n != 0 {
			t.Errorf("%d entries are left a lease after the session, want 0", n)
		}
		// One that is destroyed leaves nothing.
		s, err = sessions.CreateFor(ctx, store.NewID(), 24*time.Hour, indexedUser.To("u"))
		must(t, err)
		attached, err = sessions.Attach(ctx, s.ID())
		must(t, err)
		must(t, attached.Destroy(ctx))
		synctest.Wait()
		if n := backend.left(t); n != 0 {
			t.Errorf("%d entries are left after Destroy, want 0", n)
		}
	})
}

// Sessions from before there was an index are found after the next renewal, and values that a process without it writes after
// the next that looks.
func TestIndexIsSwitchedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		backend := newTrackedLists(t)
		without := indexedSessions(t, backend, nil)
		with := indexedSessions(t, backend, withIndex(store.Options{}))
		s := create(t, without, indexedUser.To("u"))
		finds(t, with, "u")
		if _, err := with.Resume(ctx, s.ID()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		finds(t, with, "u", s.ID())
		attached, err := without.Attach(ctx, s.ID())
		must(t, err)
		must(t, indexedUser.Set(ctx, attached, "v"))
		time.Sleep(store.DefaultLease * 3 / 2)
		finds(t, with, "v", s.ID())
		finds(t, with, "u")
	})
}

// An owner that dies leaves nothing behind a lease after its sessions.
func TestEntriesOfTheDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		backend := newTrackedLists(t)
		sessions := indexedSessions(t, backend, withIndex(store.Options{}))
		var last *store.Session
		for i := range 100 {
			last = create(t, sessions, indexedUser.To(fmt.Sprint(i)))
		}
		time.Sleep(100*time.Minute + 17*time.Second)
		must(t, indexedUser.Set(ctx, last, "new"))
		crash.Sessions(sessions)
		other := indexedSessions(t, backend, withIndex(store.Options{}))
		finds(t, other, "17", findIDs(t, indexedUser, other, "17")...)
		time.Sleep(2*store.DefaultLease + store.DefaultLease/8)
		if n := backend.left(t); n != 0 {
			t.Errorf("%d entries are left a lease after the last session, want 0", n)
		}
	})
}

func TestFindHostileValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		backend := newTrackedLists(t)
		ring, err := store.NewKeyRing(store.SealingKey{ID: 1, Secret: make([]byte, 32)})
		must(t, err)
		for _, sealer := range []store.Sealer{nil, ring} {
			sessions := indexedSessions(t, backend, withIndex(store.Options{Sealer: sealer}))
			values := []string{"", "\x00", "a\x00", "a", "\xff\xfe", "\ufffd", strings.Repeat("x", 500_000), strings.Repeat("x", 500_001), "{}", "a:b", "\ufdd0index"}
			ids := make([]string, len(values))
			for i, v := range values {
				s := create(t, sessions)
				must(t, indexedUser.Set(ctx, s, v))
				ids[i] = s.ID()
			}
			for i, v := range values {
				finds(t, sessions, v, ids[i])
			}
			must(t, sessions.Close(ctx))
		}
	})
}

// Keys of every type that can be indexed are found; the values of a key with another codec too.
func TestFindTypes(t *testing.T) {
	type name string
	const (
		number = store.Key[int64]("number")
		flag   = store.Key[bool]("flag")
		bytes  = store.Key[[]byte]("bytes")
		array  = store.Key[[4]byte]("array")
		named  = store.Key[name]("named")
		small  = store.Key[uint8]("small")
	)
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		backend := newTrackedLists(t)
		sessions := indexedSessions(t, backend, &store.Options{Indexes: []store.Index{
			number.Index(), flag.Index(), bytes.Index(), array.Index(), named.Index(), small.Index(),
		}})
		s := create(t, sessions, number.To(-5), flag.To(true), bytes.To([]byte("b")), array.To([4]byte{1}), named.To("n"), small.To(7))
		want := []string{s.ID()}
		for name, got := range map[string][]string{
			"int64":  findIDs(t, number, sessions, -5),
			"bool":   findIDs(t, flag, sessions, true),
			"[]byte": findIDs(t, bytes, sessions, []byte("b")),
			"array":  findIDs(t, array, sessions, [4]byte{1}),
			"named":  findIDs(t, named, sessions, "n"),
			"uint8":  findIDs(t, small, sessions, 7),
		} {
			if !slices.Equal(got, want) {
				t.Errorf("Find of a value of type %s = %q, want %q", name, got, want)
			}
		}
		// One of several that changes leaves the others.
		must(t, number.Set(ctx, s, 6))
		time.Sleep(3 * store.DefaultLease)
		if got := findIDs(t, named, sessions, "n"); !slices.Equal(got, want) {
			t.Errorf("Find by a key that did not change = %q, want %q", got, want)
		}
		if got := findIDs(t, number, sessions, -5); got != nil {
			t.Errorf("Find by the value before = %q, want none", got)
		}
	})
}

func TestIndexIsRefused(t *testing.T) {
	backend := newTrackedLists(t)
	for _, test := range []struct {
		name    string
		backend store.Backend
		opts    store.Options
		want    string
	}{
		{"a struct", backend, store.Options{Indexes: []store.Index{store.Key[time.Time]("k").Index()}}, "cannot be indexed"},
		{"a float", backend, store.Options{Indexes: []store.Index{store.Key[float64]("k").Index()}}, "cannot be indexed"},
		{"a pointer", backend, store.Options{Indexes: []store.Index{store.Key[*string]("k").Index()}}, "cannot be indexed"},
		{"twice", backend, store.Options{Indexes: []store.Index{indexedUser.Index(), indexedUser.Index()}}, "twice"},
		{"an empty one", backend, store.Options{Indexes: make([]store.Index, 1)}, "Key.Index"},
		{"a bad key", backend, store.Options{Indexes: []store.Index{store.Key[string]("a\x00").Index()}}, "control character"},
		{"a reserved key", backend, store.Options{Indexes: []store.Index{store.Key[string]("\ufdd0index").Index()}}, "reserved"},
		{"a backend without the ability", struct{ store.Backend }{backend}, *withIndex(store.Options{}), "does not support indexes"},
		{"a sealer that cannot hash", backend, *withIndex(store.Options{Sealer: plainSealer{}}), "BlindIndexer"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := store.New(test.backend, &test.opts)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("New() = %v, want an error that says %q", err, test.want)
			}
		})
	}
	if _, err := store.New(struct{ store.Backend }{backend}, withIndex(store.Options{})); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("New() on a backend without the ability = %v, want ErrUnsupported", err)
	}
	sessions := indexedSessions(t, backend, withIndex(store.Options{}))
	if _, err := userID.Count(t.Context(), sessions, "u"); !errors.Is(err, store.ErrNotIndexed) {
		t.Errorf("Count() by a key without an index = %v, want ErrNotIndexed", err)
	}
	for _, err := range userID.Find(t.Context(), indexedSessions(t, backend, nil), "u") {
		if !errors.Is(err, store.ErrNotIndexed) {
			t.Errorf("Find() by a key without an index yields %v, want ErrNotIndexed", err)
		}
	}
	if _, err := store.Key[int]("indexedUser").DestroyAll(t.Context(), sessions, 1); err == nil || !strings.Contains(err.Error(), "type string") {
		t.Errorf("DestroyAll() by a value of another type = %v, want an error that names the type", err)
	}
	s := create(t, sessions)
	if err := store.Key[int]("indexedUser").Set(t.Context(), s, 1); !errors.Is(err, store.ErrDecode) {
		t.Errorf("Set() of a value that the index cannot read = %v, want ErrDecode", err)
	}
	if err := store.Key[int]("\ufdd0index").Set(t.Context(), s, 1); !errors.Is(err, store.ErrInvalidKey) {
		t.Errorf("Set() of a reserved key = %v, want ErrInvalidKey", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range indexedUser.Find(ended, sessions, "u") {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Find() with a context that has ended yields %v, want Canceled", err)
		}
	}
	if err := sessions.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := indexedUser.Count(t.Context(), sessions, "u"); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Count() after Close = %v, want ErrClosed", err)
	}
}

type plainSealer struct{}

func (plainSealer) Seal(dst, plain, _ []byte) ([]byte, error)  { return append(dst, plain...), nil }
func (plainSealer) Open(dst, sealed, _ []byte) ([]byte, error) { return append(dst, sealed...), nil }

// Keys are rotated in the order that KeyRing asks for, while sessions live: none is missed.
func TestFindWhileKeysRotate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		backend := newTrackedLists(t)
		ring := func(keys ...store.SealingKey) *store.Sessions {
			r, err := store.NewKeyRing(keys[0], keys[1:]...)
			must(t, err)
			return indexedSessions(t, backend, withIndex(store.Options{Sealer: r}))
		}
		older := store.SealingKey{ID: 1, Secret: []byte(strings.Repeat("1", 32))}
		newer := store.SealingKey{ID: 2, Secret: []byte(strings.Repeat("2", 32))}
		both, moved := ring(older, newer), ring(newer, older)
		a := create(t, both, indexedUser.To("u"))
		b := create(t, moved, indexedUser.To("u"))
		for _, sessions := range []*store.Sessions{both, moved} {
			finds(t, sessions, "u", a.ID(), b.ID())
		}
		taken, err := moved.Resume(ctx, a.ID())
		must(t, err)
		time.Sleep(4 * store.DefaultLease)
		finds(t, both, "u", a.ID(), b.ID())
		must(t, indexedUser.Set(ctx, taken, "u"))
		time.Sleep(4 * store.DefaultLease)
		finds(t, ring(newer), "u", a.ID(), b.ID())
	})
}

// A user with many sessions is found whole, page by page.
func TestFindManySessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := newTrackedLists(t)
		sessions := indexedSessions(t, backend, withIndex(store.Options{}))
		want := make([]string, 3000)
		for i := range want {
			want[i] = create(t, sessions, indexedUser.To("u")).ID()
		}
		finds(t, sessions, "u", want...)
		for s, err := range indexedUser.Find(t.Context(), sessions, "u") {
			if s == nil || err != nil {
				t.Fatalf("Find() yields %v, %v", s, err)
			}
			break
		}
		if n, err := indexedUser.DestroyAll(t.Context(), sessions, "u"); n != len(want) || err != nil {
			t.Errorf("DestroyAll() = %d, %v, want %d", n, err, len(want))
		}
	})
}
