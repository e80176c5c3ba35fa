package testserver

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
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

// requireSilent sends a request to a paused server, which must not answer until resume is called.
func requireSilent(t *testing.T, addr, request, answer string, resume func()) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(request)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(answer))
	conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := conn.Read(got); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("a paused server answered %q, %v", got[:n], err)
	}
	resume()
	conn.SetReadDeadline(time.Now().Add(startTimeout))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != answer {
		t.Fatalf("a resumed server answered %q, %v; want %q", got, err, answer)
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
				requireSilent(t, s.Addr, "PING\r\n", "+PONG\r\n", s.Resume)
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
