package testserver

import (
	"os"
	"syscall"
	"testing"
)

// requireGone fails the test if the process still exists.
func requireGone(t *testing.T, pid int) {
	t.Helper()
	p, err := os.FindProcess(pid)
	if err != nil {
		return
	}
	if err := p.Signal(syscall.Signal(0)); err == nil {
		t.Errorf("process %d still exists", pid)
	}
}

func requireReply(t *testing.T, s *Server, want any, args ...string) {
	t.Helper()
	got, err := s.Do(args...)
	if err != nil || got != want {
		t.Fatalf("Do(%q) = %v, %v; want %v", args, got, err, want)
	}
}

func TestRedis(t *testing.T) {
	for _, f := range Flavours {
		t.Run(string(f), func(t *testing.T) {
			var pids []int
			t.Run("life", func(t *testing.T) {
				s := Redis(t, WithFlavour(f))
				requireReply(t, s, "OK", "SET", "k", "v")
				requireReply(t, s, "v", "GET", "k")
				pids = append(pids, s.PID())
				s.Kill()
				requireGone(t, pids[0])
				if _, err := s.Do("PING"); err == nil {
					t.Error("a killed server answers")
				}
				s.Restart()
				requireReply(t, s, nil, "GET", "k")
				s.Pause()
				s.Resume()
				requireReply(t, s, "PONG", "PING")
				pids = append(pids, s.PID())
				s.Stop()
				s.Restart()
				pids = append(pids, s.PID())
			})
			for _, pid := range pids {
				requireGone(t, pid)
			}
		})
	}
}

func TestSharedRedis(t *testing.T) {
	a, b := SharedRedis(t), SharedRedis(t)
	if a.Addr != b.Addr {
		t.Errorf("SharedRedis: two servers, at %s and %s", a.Addr, b.Addr)
	}
	requireReply(t, b, "PONG", "PING")
}
