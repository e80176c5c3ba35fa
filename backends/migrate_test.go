package backends_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends"
	"github.com/sessionkv/store/backends/memstore"
	"github.com/sessionkv/store/internal/testserver"
	"github.com/sessionkv/store/storetest"
)

// inMemory returns a Migration over two backends in memory.
func inMemory(o *backends.MigrateOptions) *backends.Migration {
	return backends.MigrateAny(memstore.New(nil), memstore.New(nil), o)
}

// A Migration keeps the contract, wherever sessions are. They begin at the new backend, stay at the old one, or
// begin at the old one and move with their first Resume.
func TestMigrationKeepsTheContract(t *testing.T) {
	for name, open := range map[string]func() store.Backend{
		"new":   func() store.Backend { return inMemory(nil) },
		"stay":  func() store.Backend { return inMemory(&backends.MigrateOptions{Stay: true}) },
		"moved": func() store.Backend { return backends.Seeding{Migration: inMemory(nil)} },
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, storetest.Harness{Open: func(testing.TB) store.Backend { return open() }, Synctest: true})
		})
	}
}

// migrationURLs are pairs of servers.
func migrationURLs(t *testing.T) map[string][2]string {
	redis := testserver.SharedRedis(t).URL
	valkey := "valkey" + strings.TrimPrefix(testserver.SharedRedis(t, testserver.FlavourValkey).URL, "redis")
	c := testserver.SharedHazelcast(t)
	hazelcast := fmt.Sprintf("hazelcast://%s/%s", strings.Join(c.Addrs, ","), c.ClusterName)
	return map[string][2]string{
		"redis to valkey":    {redis, valkey},
		"redis to hazelcast": {redis, hazelcast},
		"hazelcast to redis": {hazelcast, redis},
	}
}

func openURL(t testing.TB, url, namespace string) store.Backend {
	t.Helper()
	b, err := backends.Open(t.Context(), url+"?namespace=ttl-"+namespace)
	if err != nil {
		t.Fatalf("Open() = %v", err)
	}
	return b
}

// The same between servers of different kinds, where one node stays and another moves.
func TestMigrationBetweenServersKeepsTheContract(t *testing.T) {
	for name, urls := range migrationURLs(t) {
		t.Run(name, func(t *testing.T) {
			opener := func(namespace string) func(testing.TB) store.Backend {
				namespace += strings.ToLower(store.NewID()[:12])
				nodes := 0
				return func(t testing.TB) store.Backend {
					nodes++
					stay := nodes == 1
					m, err := backends.Migrate(openURL(t, urls[0], namespace), openURL(t, urls[1], namespace), &backends.MigrateOptions{Stay: stay})
					if err != nil {
						t.Fatalf("Migrate() = %v", err)
					}
					if stay {
						return m
					}
					return backends.Seeding{Migration: m}
				}
			}
			storetest.Run(t, storetest.Harness{Open: opener("a"), Other: opener("b"), Lease: 500 * time.Millisecond})
		})
	}
}

func TestMigrateRefuses(t *testing.T) {
	from, to := memstore.New(nil), memstore.New(nil)
	defer from.Close()
	defer to.Close()
	opened, err := backends.Open(t.Context(), "memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	faulty := storetest.Faulty(from)
	for _, tt := range []struct {
		name     string
		from, to store.Backend
		want     string
	}{
		{"nil", nil, faulty, "needs two backends"},
		{"nil", faulty, nil, "needs two backends"},
		{"a nil pointer", (*memstore.Backend)(nil), faulty, "needs two backends"},
		{"the same", faulty, faulty, "same backend twice"},
		{"from memory", from, faulty, "no other process reaches it"},
		{"to memory", faulty, to, "no other process reaches it"},
		{"from a URL of memory", opened, faulty, "no other process reaches it"},
	} {
		if m, err := backends.Migrate(tt.from, tt.to, nil); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Migrate() with %s = %v, %v, want an error with %q", tt.name, m, err, tt.want)
		}
	}
}

// seed begins a session at b with n values k000, k001 …
func seed(t *testing.T, b store.Backend, n int, lease time.Duration) (id string, s store.Store) {
	t.Helper()
	var initial []store.Entry
	for i := range n {
		initial = append(initial, store.Entry{Key: fmt.Sprintf("k%03d", i), Value: fmt.Append(nil, i)})
	}
	id = store.NewID()
	s, err := b.Create(t.Context(), id, initial, store.Terms{Lease: lease})
	if err != nil {
		t.Fatalf("Create() = %v", err)
	}
	return id, s
}

// A session moves with as many keys as it has, and takes on the limit of the call. The mark does not count.
func TestMigrationKeepsLimits(t *testing.T) {
	from, to := memstore.New(nil), memstore.New(nil)
	m := backends.MigrateAny(from, to, nil)
	defer m.Close()
	for _, n := range []int{0, 1, 9, 10, 11, 50} {
		id, _ := seed(t, from, n, time.Hour)
		s, err := m.Resume(t.Context(), id, store.Terms{Lease: time.Hour, MaxKeys: 10})
		if err != nil {
			t.Errorf("Resume() of %d keys = %v", n, err)
			continue
		}
		keys, err := store.Keys(t.Context(), s)
		if len(keys) != n || err != nil {
			t.Errorf("Keys() = %q, %v, want %d", keys, err, n)
		}
		err = s.Set(t.Context(), "one more", nil)
		if n < 10 && err != nil || n >= 10 && !errors.Is(err, store.ErrTooManyKeys) {
			t.Errorf("Set() of one more than %d keys = %v, and the limit is 10", n, err)
		}
	}
	if got := m.Stats(); got.Moved != 6 || got.Old != 6 || got.Failed+got.Kept != 0 || got.LastOld.IsZero() {
		t.Errorf("Stats() = %+v, want 6 moved", got)
	}
}

// What the new backend refuses stays at the old one, and is usable there.
func TestMigrationKeepsWhatIsRefused(t *testing.T) {
	for _, why := range []error{store.ErrTooLarge, store.ErrTooManyKeys, errors.ErrUnsupported} {
		for _, op := range []storetest.Op{storetest.OpCreate, storetest.OpCommit} {
			from, to := memstore.New(nil), memstore.New(nil)
			refusing := storetest.Faulty(to)
			refusing.Fail(op, why)
			var log bytes.Buffer
			m := backends.MigrateAny(from, refusing, &backends.MigrateOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			for range 2 {
				id, early := seed(t, from, 3, time.Hour)
				s, err := m.Resume(t.Context(), id, store.Terms{Lease: time.Hour})
				if err != nil {
					t.Fatalf("Resume() with %s that says %v = %v", op, why, err)
				}
				if err := s.Set(t.Context(), "k", []byte("v")); err != nil {
					t.Errorf("Set() = %v", err)
				}
				if err := early.Set(t.Context(), "k", nil); !errors.Is(err, store.ErrDestroyed) {
					t.Errorf("Set() by the owner of before = %v, want ErrDestroyed", err)
				}
				if errs := m.Renew(t.Context(), []store.Store{s}, time.Hour); errs != nil {
					t.Errorf("Renew() = %v", errs)
				}
				if _, err := to.Attach(t.Context(), id, store.Terms{}); !errors.Is(err, store.ErrNoSession) {
					t.Errorf("Attach() at the new backend = %v, want ErrNoSession", err)
				}
				if strings.Contains(log.String(), id) {
					t.Error("the log has a session ID")
				}
			}
			if got := strings.Count(log.String(), "\n"); got != 1 {
				t.Errorf("the log has %d lines, want 1: %s", got, log.String())
			}
			if got := m.Stats(); got.Kept != 2 || got.Moved+got.Failed != 0 {
				t.Errorf("Stats() = %+v, want 2 that were kept", got)
			}
			m.Close()
		}
	}
}

// Attach leaves a session to its owner. With MoveOnAttach it moves it with the time that it has left.
func TestMigrationOnAttach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to := memstore.New(nil), memstore.New(nil)
		faulty := storetest.Faulty(to)
		m := backends.MigrateAny(from, faulty, nil)
		defer m.Close()
		moving := backends.MigrateAny(from, faulty, &backends.MigrateOptions{MoveOnAttach: true})
		id, owner := seed(t, from, 3, time.Hour)
		s, err := m.Attach(t.Context(), id, store.Terms{})
		if err != nil {
			t.Fatalf("Attach() = %v", err)
		}
		if err := s.Set(t.Context(), "k000", []byte("w")); err != nil {
			t.Errorf("Set() = %v", err)
		}
		if v, err := owner.Get(t.Context(), "k000"); string(v) != "w" || err != nil {
			t.Errorf("the owner's Get() = %q, %v, want w", v, err)
		}
		time.Sleep(10 * time.Minute)

		faulty.Fail(storetest.OpCommit, nil)
		if _, err := moving.Attach(t.Context(), id, store.Terms{}); err != nil {
			t.Errorf("Attach() that cannot move = %v, want a handle at the old backend", err)
		}
		faulty.Heal()
		if v, err := owner.Get(t.Context(), "k000"); string(v) != "w" || err != nil {
			t.Errorf("the owner's Get() = %q, %v, want w", v, err)
		}

		s, err = moving.Attach(t.Context(), id, store.Terms{MaxKeys: 3})
		if err != nil {
			t.Fatalf("Attach() = %v", err)
		}
		if err := s.Set(t.Context(), "more", nil); !errors.Is(err, store.ErrTooManyKeys) {
			t.Errorf("Set() = %v, want ErrTooManyKeys", err)
		}
		if _, err := from.Attach(t.Context(), id, store.Terms{}); !errors.Is(err, store.ErrNoSession) {
			t.Errorf("Attach() at the old backend = %v, want ErrNoSession", err)
		}
		x, err := store.AsIndexer(moving)
		if err != nil {
			t.Fatal(err)
		}
		if left, err := x.TimeLeft(t.Context(), s); err != nil || left < 49*time.Minute || left > 51*time.Minute {
			t.Errorf("TimeLeft() = %v, %v, want 50 minutes", left, err)
		}
		if got := moving.Stats(); got.Moved != 1 || got.Failed != 1 || got.Old != 3 {
			t.Errorf("Stats() = %+v, want 1 moved, 1 failed", got)
		}
	})
}

// Renewals go to where each session is, together for each place.
func TestMigrationSplitsBatches(t *testing.T) {
	from, to := storetest.Faulty(memstore.New(nil)), storetest.Faulty(memstore.New(nil))
	m := backends.MigrateAny(from, to, nil)
	defer m.Close()
	stranger := inMemory(nil)
	defer stranger.Close()
	ctx := t.Context()
	var all []store.Store
	for i := range 6 {
		id, _ := seed(t, from, 1, time.Hour)
		take := m.Resume
		if i%2 == 0 {
			take = m.Attach
		}
		s, err := take(ctx, id, store.Terms{Lease: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	foreign, err := stranger.Create(ctx, "x", nil, store.Terms{Lease: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	all = slices.Insert(all, 3, foreign)
	if err := all[5].Destroy(ctx); err != nil {
		t.Fatal(err)
	}
	before := from.Calls(storetest.OpRenew) + to.Calls(storetest.OpRenew)
	x, err := store.AsIndexer(m)
	if err != nil {
		t.Fatal(err)
	}
	expect := make([][]store.Entry, len(all))
	for i := range expect {
		expect[i] = []store.Entry{{Key: "k000", Value: []byte("0")}}
	}
	expect[6][0].Value = []byte("1")
	for what, tt := range map[string]struct {
		got  []error
		last error
	}{
		"Renew":   {m.Renew(ctx, all, time.Hour), nil},
		"RenewIf": {x.RenewIf(ctx, all, expect, time.Hour), store.ErrConflict},
	} {
		want := []error{nil, nil, nil, store.ErrForeignStore, nil, store.ErrDestroyed, tt.last}
		if len(tt.got) != len(want) {
			t.Fatalf("%s() = %v, want %v", what, tt.got, want)
		}
		for i := range want {
			if !errors.Is(tt.got[i], want[i]) {
				t.Errorf("%s() of number %d = %v, want %v", what, i, tt.got[i], want[i])
			}
		}
	}
	if calls := from.Calls(storetest.OpRenew) + to.Calls(storetest.OpRenew) - before; calls != 4 {
		t.Errorf("two renewals took %d calls, want 4", calls)
	}
}

// Sessions are found by their values wherever they are, and whoever has listed them. When they have moved,
// processes on the new backend alone find them.
func TestMigrationIndexes(t *testing.T) {
	ctx := t.Context()
	from, to := memstore.New(nil), memstore.New(nil)
	m := backends.MigrateAny(from, to, nil)
	defer m.Close()
	open := func(b store.Backend) *store.Sessions {
		ss, err := store.New(b, &store.Options{Indexes: []store.Index{userID.Index()}, Grace: time.Minute})
		if err != nil {
			t.Fatalf("New() = %v", err)
		}
		t.Cleanup(func() { ss.Close(context.Background()) })
		return ss
	}
	old, both, last := open(from), open(m), open(to)
	count := func(what string, ss *store.Sessions, want int) {
		t.Helper()
		if n, err := userID.Count(ctx, ss, "u-42"); n != want || err != nil {
			t.Errorf("%s: Count() = %d, %v, want %d", what, n, err, want)
		}
	}
	var ids []string
	for range 30 {
		s, err := old.Create(ctx, store.NewID(), userID.To("u-42"))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, s.ID())
	}
	count("before the move", both, 30)
	for _, id := range ids[:10] {
		if _, err := both.Resume(ctx, id); err != nil {
			t.Fatalf("Resume() = %v", err)
		}
	}
	for range 5 {
		if _, err := both.Create(ctx, store.NewID(), userID.To("u-42")); err != nil {
			t.Fatal(err)
		}
	}
	count("a third has moved", both, 35)
	count("the old fleet finds what is left to it", old, 20)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		n, err := userID.Count(ctx, last, "u-42")
		if n == 15 && err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("processes on the new backend find %d, %v, want 15 in the end", n, err)
		}
	}
	if n, err := userID.DestroyAll(ctx, both, "u-42"); n != 35 || err != nil {
		t.Errorf("DestroyAll() = %d, %v, want 35", n, err)
	}
	for _, ss := range []*store.Sessions{old, both, last} {
		count("after DestroyAll", ss, 0)
	}
}

// Many movers, and an owner who writes without a pause: one handle lives in the end, and has all that was acknowledged.
func TestMigrationUnderContention(t *testing.T) {
	ctx := t.Context()
	from, to := memstore.New(nil), memstore.New(nil)
	m := backends.MigrateAny(from, to, nil)
	defer m.Close()
	for range 50 {
		id, owner := seed(t, from, 2, time.Hour)
		var wg sync.WaitGroup
		written := 0
		wg.Go(func() {
			for n := 1; owner.Set(ctx, "n", fmt.Append(nil, n)) == nil; n++ {
				written = n
			}
		})
		handles := make([]store.Store, 6)
		for i := range handles {
			wg.Go(func() {
				var err error
				if handles[i], err = m.Resume(ctx, id, store.Terms{Lease: time.Hour, MaxKeys: 10}); err != nil {
					t.Errorf("Resume() = %v", err)
				}
			})
		}
		wg.Wait()
		living := 0
		for _, s := range handles {
			if s == nil {
				continue
			}
			v, err := s.Get(ctx, "n")
			if err == nil || errors.Is(err, store.ErrNotFound) {
				living++
				if written > 0 && string(v) != fmt.Sprint(written) {
					t.Errorf("the last write that was acknowledged is %d, and the session has %q", written, v)
				}
			}
		}
		if living != 1 {
			t.Errorf("%d of 6 handles live, want 1", living)
		}
		if _, err := from.Attach(ctx, id, store.Terms{}); !errors.Is(err, store.ErrNoSession) {
			t.Errorf("Attach() at the old backend = %v, want ErrNoSession", err)
		}
	}
}

// What a move in the other direction has left does not count as a session, and is not moved.
func TestMigrationInBothDirections(t *testing.T) {
	one, two := memstore.New(nil), memstore.New(nil)
	back := backends.MigrateAny(two, one, nil)
	defer back.Close()
	id, _ := seed(t, one, 1, time.Hour)
	from, to := storetest.Faulty(one), storetest.Faulty(two)
	from.Fail(storetest.OpDestroyIf, nil)
	to.Fail(storetest.OpDestroy, nil) // so that the copy stays
	dying := backends.MigrateAny(from, to, nil)
	if _, err := dying.Resume(t.Context(), id, store.Terms{Lease: time.Hour}); !errors.Is(err, storetest.ErrFault) {
		t.Fatalf("Resume() = %v, want a failure", err)
	}
	s, err := one.Attach(t.Context(), id, store.Terms{})
	if err != nil {
		t.Fatalf("Attach() = %v", err)
	}
	if err := s.Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := back.Resume(t.Context(), id, store.Terms{Lease: time.Hour}); err == nil || !strings.Contains(err.Error(), "both directions") {
		t.Errorf("Resume() of a copy in the other direction = %v, want an error that says so", err)
	}
}
