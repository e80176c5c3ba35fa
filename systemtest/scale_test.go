//go:build unix

package systemtest

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sessionkv/store/internal/await"
	"github.com/sessionkv/store/internal/testserver"
)

// calls returns how often the server has executed the command.
func calls(t *testing.T, s *testserver.Server, command string) int {
	t.Helper()
	info, err := s.Do("INFO", "commandstats")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(info.(string), "cmdstat_"+command+":calls=")
	if !found {
		return 0
	}
	digits, _, _ := strings.Cut(rest, ",")
	n, err := strconv.Atoi(digits)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// keyspace returns how many keys the server holds.
func keyspace(t *testing.T, s *testserver.Server) int {
	t.Helper()
	n, err := s.Do("DBSIZE")
	if err != nil {
		t.Fatal(err)
	}
	return int(n.(int64))
}

// Very many sessions of one process live as long as it does, and it renews each of
// them twice per lease and not more.
func TestManyLeases(t *testing.T) {
	const (
		count = 20000
		lease = 3 * time.Second
		turns = 3 // leases that are watched
	)
	server := testserver.Redis(t, testserver.WithArgs("--save", ""))
	watchRedis(t, server)
	w := start(t, redisURL(server), lease, 0)
	w.must(task{Do: "CreateMany", Value: strconv.Itoa(count)})
	if n := keyspace(t, server); n != count {
		t.Fatalf("%d sessions live after their creation, want %d", n, count)
	}
	renewed, scripts := calls(t, server, "pexpire"), calls(t, server, "evalsha")
	begin := time.Now()
	for time.Since(begin) < turns*lease {
		if n := keyspace(t, server); n != count {
			t.Fatalf("%d sessions live %v after their creation, want %d", n, time.Since(begin), count)
		}
		time.Sleep(50 * time.Millisecond)
	}
	elapsed := time.Since(begin)
	renewed, scripts = calls(t, server, "pexpire")-renewed, calls(t, server, "evalsha")-scripts
	perLease := float64(renewed) / count / (elapsed.Seconds() / lease.Seconds())
	t.Logf("%d sessions, %d renewals by %d scripts in %v: %.0f a second, %.2f for each session and lease", count, renewed, scripts, elapsed.Round(time.Millisecond), float64(renewed)/elapsed.Seconds(), perLease)
	// Rounds that began before or end after add up to one of each session.
	if most := float64(2*turns+1) / turns; perLease > most {
		t.Errorf("%.2f renewals for each session and lease, want at most %.2f", perLease, most)
	}
	if most := renewed / 10; scripts > most {
		t.Errorf("%d scripts renewed %d sessions, want at most %d: they go in batches", scripts, renewed, most)
	}
	w.kill()
	if n := keyspace(t, server); n != count {
		t.Errorf("%d sessions live right after their owner died, want %d", n, count)
	}
	killed := time.Now()
	await.Until(t, "all sessions are gone", func() bool { return keyspace(t, server) == 0 })
	t.Logf("all gone %v after their owner died", time.Since(killed).Round(10*time.Millisecond))
}
