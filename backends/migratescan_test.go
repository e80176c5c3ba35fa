package backends_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends"
	"github.com/sessionkv/store/backends/memstore"
	"github.com/sessionkv/store/internal/testserver"
	"github.com/sessionkv/store/storetest"
)

// scanned returns how often a whole scan of b names each session, and calls between behind each page.
func scanned(t *testing.T, b store.Backend, between func()) map[string]int {
	t.Helper()
	s, err := store.AsScanner(b)
	if err != nil {
		t.Fatalf("AsScanner() = %v", err)
	}
	named := make(map[string]int)
	for cursor, more := "", true; more; more = cursor != "" {
		var ids []string
		if ids, cursor, err = s.Scan(t.Context(), cursor); err != nil {
			t.Fatalf("Scan() = %v", err)
		}
		for _, id := range ids {
			named[id]++
		}
		between()
	}
	return named
}

// seeded begins n sessions and returns their IDs with 1 each.
func seeded(t *testing.T, b store.Backend, n int) map[string]int {
	t.Helper()
	ids := make(map[string]int)
	for range n {
		id, _ := seed(t, b, 1, time.Hour)
		ids[id] = 1
	}
	return ids
}

func joined(maps ...map[string]int) map[string]int {
	all := make(map[string]int)
	for _, m := range maps {
		for id, n := range m {
			all[id] += n
		}
	}
	return all
}

// A scan names the sessions of both backends, each once while none moves.
func TestMigrationScan(t *testing.T) {
	for _, stay := range []bool{false, true} {
		from, to := memstore.New(nil), memstore.New(nil)
		m := backends.MigrateAny(from, to, &backends.MigrateOptions{Stay: stay})
		if got := scanned(t, m, func() {}); len(got) > 0 {
			t.Errorf("Scan() of nothing = %d IDs", len(got))
		}
		old, moved := seeded(t, from, 900), seeded(t, to, 700)
		if diff := cmp.Diff(joined(old, moved), scanned(t, m, func() {})); diff != "" {
			t.Errorf("Scan() with Stay %t, how often each ID is named (-want +got):\n%s", stay, diff)
		}
		m.Close()
	}
}

// A session that moves between any two pages is named, and more than once only when it moved after it was.
func TestMigrationScanWhileSessionsMove(t *testing.T) {
	from, to := memstore.New(nil), memstore.New(nil)
	m := backends.MigrateAny(from, to, nil)
	defer m.Close()
	all := joined(seeded(t, from, 1500), seeded(t, to, 500))
	var waiting []string
	for id := range all {
		if _, err := from.Attach(t.Context(), id, store.Terms{}); err == nil {
			waiting = append(waiting, id)
		}
	}
	moved := make(map[string]bool)
	named := scanned(t, m, func() {
		for range min(150, len(waiting)) {
			id := waiting[0]
			waiting = waiting[1:]
			if _, err := m.Resume(t.Context(), id, store.Terms{Lease: time.Hour}); err != nil {
				t.Fatalf("Resume() = %v", err)
			}
			moved[id] = true
		}
	})
	for id := range all {
		if n := named[id]; n < 1 || n > 2 || n == 2 && !moved[id] {
			t.Errorf("a session that moved: %t, is named %d times, want once, or twice when it moved", moved[id], n)
		}
	}
	if len(named) != len(all) || len(moved) < 300 {
		t.Errorf("%d IDs are named, and %d sessions moved meanwhile, want %d and some hundreds", len(named), len(moved), len(all))
	}
}

// A failure of one backend is the scan's, says whose it is, and the same cursor goes on.
func TestMigrationScanFails(t *testing.T) {
	from, to := storetest.Faulty(memstore.New(nil)), storetest.Faulty(memstore.New(nil))
	m := backends.MigrateAny(from, to, nil)
	ids := joined(seeded(t, from, 3), seeded(t, to, 4))
	s, err := store.AsScanner(m)
	if err != nil {
		t.Fatalf("AsScanner() = %v", err)
	}
	named := make(map[string]int)
	cursor := ""
	for _, b := range []struct {
		*storetest.FaultyBackend
		name, next string
	}{{from, "the old backend", "n"}, {to, "the new backend", ""}} {
		b.Fail(storetest.OpScan, nil)
		page, next, err := s.Scan(t.Context(), cursor)
		if len(page) > 0 || next != "" || !errors.Is(err, storetest.ErrFault) || !strings.Contains(err.Error(), b.name) {
			t.Errorf("Scan() when %s fails = %d IDs, another cursor %t, %v", b.name, len(page), next != "", err)
		}
		b.Heal()
		if page, cursor, err = s.Scan(t.Context(), cursor); err != nil || cursor != b.next {
			t.Fatalf("Scan() of all that %s has = %q, %v, want the cursor %q", b.name, cursor, err, b.next)
		}
		for _, id := range page {
			named[id]++
		}
	}
	if diff := cmp.Diff(ids, named); diff != "" {
		t.Errorf("how often each ID is named (-want +got):\n%s", diff)
	}
	for _, cursor := range []string{"o", "x", "O1", "nn", "oo", "n-1", "o\x00", " ", "n99999999999999999999"} {
		if page, next, err := s.Scan(t.Context(), cursor); err == nil || len(page) > 0 || next != "" {
			t.Errorf("Scan(%q) = %d IDs, %q, %v, want an error and nothing else", cursor, len(page), next, err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := s.Scan(ended, "n"); !errors.Is(err, context.Canceled) {
		t.Errorf("Scan() whose context has ended = %v, want its error", err)
	}
	m.Close()
	if _, _, err := s.Scan(t.Context(), "n"); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Scan() after Close = %v, want ErrClosed", err)
	}
}

// scanless is a backend without a Scanner.
type scanless struct{ store.Backend }

func TestMigrationScanNeedsBoth(t *testing.T) {
	for name, both := range map[string][2]store.Backend{
		"the old backend": {scanless{memstore.New(nil)}, memstore.New(nil)},
		"the new backend": {memstore.New(nil), scanless{memstore.New(nil)}},
	} {
		m := backends.MigrateAny(both[0], both[1], nil)
		if s, err := store.AsScanner(m); s != nil || !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), name) {
			t.Errorf("AsScanner() where %s lacks it = %v, %v, want ErrUnsupported that names it", name, s, err)
		}
		m.Close()
	}
}

// The same over two servers, one of which goes away.
func TestMigrationScanOfServers(t *testing.T) {
	redis, valkey := testserver.Redis(t), testserver.Redis(t, testserver.WithFlavour(testserver.FlavourValkey))
	from, to := openURL(t, redis.URL, "scan"), openURL(t, "valkey"+strings.TrimPrefix(valkey.URL, "redis"), "scan")
	m, err := backends.Migrate(from, to, nil)
	if err != nil {
		t.Fatalf("Migrate() = %v", err)
	}
	defer m.Close()
	old, moved := seeded(t, from, 30), seeded(t, to, 30)
	if diff := cmp.Diff(joined(old, moved), scanned(t, m, func() {})); diff != "" {
		t.Errorf("how often each ID is named (-want +got):\n%s", diff)
	}
	for id := range old {
		if _, err := m.Resume(t.Context(), id, store.Terms{Lease: time.Hour}); err != nil {
			t.Fatalf("Resume() = %v", err)
		}
	}
	if diff := cmp.Diff(joined(old, moved), scanned(t, m, func() {})); diff != "" {
		t.Errorf("after the move, how often each ID is named (-want +got):\n%s", diff)
	}
	s, err := store.AsScanner(m)
	if err != nil {
		t.Fatalf("AsScanner() = %v", err)
	}
	valkey.Stop()
	if ids, next, err := s.Scan(t.Context(), "n"); err == nil || len(ids) > 0 || next != "" || !strings.Contains(err.Error(), "the new backend") {
		t.Errorf("Scan() without the new server = %d IDs, another cursor %t, %v, want an error that names it", len(ids), next != "", err)
	}
}
