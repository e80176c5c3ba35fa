// Package testserver starts real Redis, Valkey and Hazelcast servers for tests and stops them again.
//
// Every server listens on a free port of 127.0.0.1, keeps its files in the test's temporary directory, and is
// killed when the test ends. Should the test process itself die first, by a panic, a time-out or kill -9, its
// servers die with it. Servers are only ever signalled through the process handle that started them, never by name.
//
// The package is meant for tests: its functions take a [testing.TB] and report what goes wrong through it. Where a
// server is not installed, the test skips with one line that says what to do. Where the environment variable CI is
// set, it fails, because a skipped test proves nothing.
//
// # Servers that are already running
//
// These variables point the tests at running servers instead. Nothing is started then, and a test that would have
// to kill or pause a server skips:
//
//	STORE_TEST_REDIS_URL          redis://127.0.0.1:6379
//	STORE_TEST_VALKEY_URL         redis://127.0.0.1:6380
//	STORE_TEST_DRAGONFLY_URL      redis://127.0.0.1:6381, the only way to test Dragonfly
//	STORE_TEST_HAZELCAST_ADDRS    127.0.0.1:5701,127.0.0.1:5702
//	STORE_TEST_HAZELCAST_CLUSTER  the name of that cluster, "dev" unless set
//
// STORE_TEST_REDIS_SERVER names the program that tests start as their own Redis server, a path or a name on PATH, in
// place of redis-server. It may be another version, or take the same arguments, as Valkey's or KeyDB's do.
//
// STORE_TEST_CACHE overrides the folder, outside the repository, in which scripts/install-servers.sh keeps the
// servers that it fetched.
package testserver

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// HazelcastJar is the file name of the Hazelcast member in the cache folder, pinned by scripts/install-servers.sh.
const HazelcastJar = "hazelcast-5.5.0.jar"

// logTail is how much of a server's log a failing test prints, in bytes.
const logTail = 8 << 10

// CacheDir returns the folder in which scripts/install-servers.sh keeps the servers it fetched: STORE_TEST_CACHE,
// or sessionkv-store/servers in the user's cache folder.
func CacheDir() (string, error) {
	if dir := os.Getenv("STORE_TEST_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache folder, set STORE_TEST_CACHE: %w", err)
	}
	return filepath.Join(dir, "sessionkv-store", "servers"), nil
}

// missingError says that a server is not installed, and what to do about it.
type missingError struct{ what, remedy string }

func (e *missingError) Error() string { return e.what + " not found: " + e.remedy }

// giveUp ends the test because of err: by skipping it when a server is merely not installed and CI is unset.
func giveUp(t testing.TB, err error) {
	t.Helper()
	if _, missing := err.(*missingError); missing && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	t.Fatal(err)
}

// skipExternal ends a test that cannot be done with a server that somebody else started.
func skipExternal(t testing.TB, doing, variable string) {
	t.Helper()
	t.Skipf("cannot %s the server that %s names: unset it to let the test start its own", doing, variable)
}

// logOnFailure prints the end of the log of every process, if the test failed.
func logOnFailure(t testing.TB, processes ...*process) {
	t.Helper()
	if !t.Failed() {
		return
	}
	for _, p := range processes {
		t.Logf("log of %s:\n%s", p.name, tail(p.log(), logTail))
	}
}

func tail(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return "…" + strings.ToValidUTF8(s[len(s)-n:], "")
}

func clusterNameFromEnv() string { return cmp.Or(os.Getenv("STORE_TEST_HAZELCAST_CLUSTER"), "dev") }
