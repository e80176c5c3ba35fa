package testserver

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// No thread of a paused server runs, however many there are and however busy they were.
func TestPauseStopsEveryThread(t *testing.T) {
	s := Redis(t, WithArgs("--io-threads", "4", "--io-threads-do-reads", "yes"))
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	for range 8 {
		conn, err := net.Dial("tcp", s.Addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		wg.Go(func() {
			for request := []byte(strings.Repeat("PING\r\n", 500)); ; {
				if _, err := conn.Write(request); err != nil {
					return
				}
			}
		})
		wg.Go(func() {
			for buf := make([]byte, 64<<10); ; {
				if _, err := conn.Read(buf); err != nil {
					return
				}
			}
		})
	}
	for range 200 {
		s.Pause()
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", s.PID()))
		if err != nil || len(threads) < 2 {
			t.Fatalf("the server has the threads %q, %v, want several", threads, err)
		}
		for _, thread := range threads {
			status, err := os.ReadFile(thread)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(status), "\nState:\tT") {
				t.Errorf("after Pause a thread is:\n%s", status)
			}
		}
		s.Resume()
	}
}
