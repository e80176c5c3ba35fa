package testserver

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

// spy is a test that notes how it ended.
type spy struct {
	testing.TB
	skipped, failed string
}

func (s *spy) Helper() {}

func (s *spy) Skip(args ...any) { s.skipped = fmt.Sprint(args...); runtime.Goexit() }

func (s *spy) Skipf(format string, args ...any) { s.Skip(fmt.Sprintf(format, args...)) }

func (s *spy) Fatal(args ...any) { s.failed = fmt.Sprint(args...); runtime.Goexit() }

func (s *spy) Fatalf(format string, args ...any) { s.Fatal(fmt.Sprintf(format, args...)) }

func spyOn(t *testing.T, f func(testing.TB)) *spy {
	s := &spy{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(s)
	}()
	<-done
	return s
}

func TestMissingServer(t *testing.T) {
	t.Setenv("STORE_TEST_CACHE", t.TempDir())
	starts := map[string]func(testing.TB){
		"redis8":         func(t testing.TB) { Redis(t, WithFlavour(FlavourRedis8)) },
		"shared redis8":  func(t testing.TB) { SharedRedis(t, FlavourRedis8) },
		"cluster":        func(t testing.TB) { RedisCluster(t, WithFlavour(FlavourRedis8)) },
		"sentinel":       func(t testing.TB) { RedisSentinel(t, WithFlavour(FlavourRedis8)) },
		"TLS":            func(t testing.TB) { RedisTLS(t, nil, WithFlavour(FlavourRedis8)) },
		"hazelcast":      func(t testing.TB) { Hazelcast(t, 1, WithHeartbeat(defaultHeartbeat)) },
		"unheard-of one": func(t testing.TB) { Redis(t, WithFlavour("unheard-of")) },
	}
	for name, start := range starts {
		t.Run(name, func(t *testing.T) {
			t.Setenv("CI", "")
			if s := spyOn(t, start); !strings.Contains(s.skipped, "not found: ") || s.failed != "" {
				t.Errorf("on a laptop: skipped %q, failed %q; want it skipped", s.skipped, s.failed)
			}
			t.Setenv("CI", "true")
			if s := spyOn(t, start); !strings.Contains(s.failed, "not found: ") || s.skipped != "" {
				t.Errorf("under CI: skipped %q, failed %q; want it failed", s.skipped, s.failed)
			}
		})
	}
}

func TestExternalRedis(t *testing.T) {
	t.Setenv("STORE_TEST_VALKEY_URL", "")
	running := Redis(t, WithArgs("--requirepass", "secret"))
	t.Setenv("STORE_TEST_VALKEY_URL", "redis://:secret@"+running.Addr)
	for name, server := range map[string]func(testing.TB) *Server{
		"Redis":       func(t testing.TB) *Server { return Redis(t, WithFlavour(FlavourValkey)) },
		"SharedRedis": func(t testing.TB) *Server { return SharedRedis(t, FlavourValkey) },
	} {
		s := server(t)
		if s.Addr != running.Addr || !s.External || s.PID() != 0 {
			t.Errorf("%s = %s, external %v, process %d; want the running server", name, s.Addr, s.External, s.PID())
		}
		requireReply(t, s, "PONG", "PING")
		for doing, f := range map[string]func(*Server){
			"kill": (*Server).Kill, "restart": (*Server).Restart, "pause": (*Server).Pause,
			"resume": (*Server).Resume, "stop": (*Server).Stop,
		} {
			got := spyOn(t, func(t testing.TB) { f(server(t)) })
			if !strings.Contains(got.skipped, doing) || !strings.Contains(got.skipped, "STORE_TEST_VALKEY_URL") {
				t.Errorf("%s: skipped %q, failed %q; want a message on how to let the test %s it", name, got.skipped, got.failed, doing)
			}
		}
	}
	t.Setenv("STORE_TEST_VALKEY_URL", "redis://:wrong@"+running.Addr)
	if got := spyOn(t, func(t testing.TB) { SharedRedis(t, FlavourValkey) }); !strings.Contains(got.failed, "does not answer") {
		t.Errorf("wrong password: failed %q", got.failed)
	}
	t.Setenv("STORE_TEST_VALKEY_URL", "redis://:se cret@%zz")
	if got := spyOn(t, func(t testing.TB) { SharedRedis(t, FlavourValkey) }); got.failed == "" || strings.Contains(got.failed, "cret") {
		t.Errorf("malformed URL: failed %q; want a message without the password", got.failed)
	}
}

func TestExternalHazelcast(t *testing.T) {
	t.Setenv("STORE_TEST_HAZELCAST_ADDRS", "127.0.0.1:1, 127.0.0.1:2")
	t.Setenv("STORE_TEST_HAZELCAST_CLUSTER", "")
	c := SharedHazelcast(t)
	if got := strings.Join(c.Addrs, " "); got != "127.0.0.1:1 127.0.0.1:2" || c.ClusterName != "dev" || !c.External {
		t.Errorf("SharedHazelcast = %s of cluster %q, external %v", got, c.ClusterName, c.External)
	}
	if got := spyOn(t, func(t testing.TB) { Hazelcast(t, 2).Kill(0) }); !strings.Contains(got.skipped, "STORE_TEST_HAZELCAST_ADDRS") {
		t.Errorf("Kill: skipped %q, failed %q; want a message that names the variable", got.skipped, got.failed)
	}
}

func TestSharedServersCannotBeKilled(t *testing.T) {
	t.Setenv("STORE_TEST_REDIS_URL", "")
	if got := spyOn(t, func(tb testing.TB) {
		s := SharedRedis(t)
		s.t = tb
		s.Kill()
	}); !strings.Contains(got.failed, "share") {
		t.Errorf("Kill of the shared server: failed %q, skipped %q", got.failed, got.skipped)
	}
}

// TestServersDieWithTheTest kills a test process that has servers running, one of them paused.
func TestServersDieWithTheTest(t *testing.T) {
	if os.Getenv("STORE_TEST_VICTIM") != "" {
		running, paused := Redis(t, WithArgs("--loglevel", "notice")), Redis(t, WithArgs("--loglevel", "notice"))
		paused.Pause()
		fmt.Printf("\npids %d %d\n", running.PID(), paused.PID())
		select {}
	}
	Redis(t) // skips without a server
	victim := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.timeout=5m")
	victim.Env = append(os.Environ(), "STORE_TEST_VICTIM=1", "TMPDIR="+t.TempDir())
	out, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	var pids [2]int
	for lines := bufio.NewScanner(out); pids[1] == 0 && lines.Scan(); {
		_, _ = fmt.Sscanf(lines.Text(), "pids %d %d", &pids[0], &pids[1]) // other lines do not match
	}
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = victim.Wait() // it was killed
	if pids[1] == 0 {
		t.Fatal("the test process started no servers")
	}
	for _, pid := range pids {
		err := poll(startTimeout, func() (error, bool) {
			if !exists(pid) {
				return nil, true
			}
			return fmt.Errorf("process %d has outlived the test process that started it", pid), false
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// exists reports whether a process exists and is not a zombie: where nobody reaps orphans, a killed one remains
// listed.
func exists(pid int) bool {
	p, err := os.FindProcess(pid)
	if err != nil || p.Signal(syscall.Signal(0)) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || !strings.Contains(string(stat), ") Z ")
}

func TestPorts(t *testing.T) {
	t.Run("no port twice", func(t *testing.T) {
		a, err := reserve(50)
		if err != nil {
			t.Fatal(err)
		}
		defer unreserve(a)
		b, err := reserve(50)
		if err != nil {
			t.Fatal(err)
		}
		defer unreserve(b)
		seen := make(map[int]bool)
		for _, port := range append(a, b...) {
			if seen[port] {
				t.Errorf("port %d reserved twice", port)
			}
			seen[port] = true
		}
	})
	t.Run("taken after all", func(t *testing.T) {
		var tried []int
		release, err := withPorts(1, func(ports []int) error {
			tried = append(tried, ports[0])
			if len(tried) < 3 {
				return fmt.Errorf("start: %w", errPortTaken)
			}
			return nil
		})
		if err != nil || len(tried) != 3 {
			t.Fatalf("withPorts tried %v and returned %v; want success at the third", tried, err)
		}
		release()
	})
	t.Run("bind failure is recognised", func(t *testing.T) {
		taken := Redis(t, WithArgs("--loglevel", "notice"))
		node, err := newNode(t.TempDir(), portOf(t, taken), settingsOf(nil))
		if err != nil {
			t.Fatal(err)
		}
		if err := node.start(); err == nil || !strings.Contains(err.Error(), errPortTaken.Error()) {
			t.Errorf("start on a taken port = %v, want %v", err, errPortTaken)
		}
	})
}

func portOf(t *testing.T, s *Server) (port int) {
	t.Helper()
	if _, err := fmt.Sscanf(s.Addr, "127.0.0.1:%d", &port); err != nil {
		t.Fatal(err)
	}
	return port
}

func TestReadReply(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"+OK\r\n", "OK <nil>"},
		{":-7\r\n", "-7 <nil>"},
		{"$3\r\na\r\n\r\n", "a\r\n <nil>"},
		{"$-1\r\n", "<nil> <nil>"},
		{"*-1\r\n", "<nil> <nil>"},
		{"*2\r\n:1\r\n*1\r\n$1\r\nx\r\n", "[1 [x]] <nil>"},
		{"-ERR no\r\n", "<nil> ERR no"},
		{"$5\r\nab", "<nil> unexpected EOF"},
		{"?\r\n", `<nil> malformed reply "?\r\n"`},
		{"\n", `<nil> malformed reply "\n"`},
		{"", "<nil> EOF"},
	} {
		got, err := readReply(bufio.NewReader(strings.NewReader(tc.in)))
		if s := fmt.Sprintf("%v %v", got, err); s != tc.want {
			t.Errorf("readReply(%q) = %q, want %q", tc.in, s, tc.want)
		}
	}
}
