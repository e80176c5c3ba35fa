package backends_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessionkv/store/backends"
	"github.com/sessionkv/store/internal/testserver"
)

// silent returns the address of a server that accepts connections and never
// says a word.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var (
		wg    sync.WaitGroup
		conns []net.Conn
	)
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, c)
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
		for _, c := range conns {
			c.Close()
		}
	})
	return l.Addr().String()
}

// Where no timeout of the client can end the connecting, the context does, and
// so does the connect_timeout.
func TestOpenDoesNotOutlastItsBounds(t *testing.T) {
	const hour = "dial_timeout=1h&read_timeout=1h&write_timeout=1h"
	for _, at := range []string{
		"redis://%s?" + hour, "rediss://%s?" + hour, "redis+cluster://%s?" + hour, "redis+sentinel://%s/name?" + hour, "hazelcast://%s/dev?timeout=1h",
	} {
		addr := silent(t)
		for _, by := range []string{"deadline", "cancel", "connect_timeout"} {
			url := fmt.Sprintf(at, addr)
			t.Run(strings.Join([]string{url[:strings.Index(url, ":")], by}, " by "), func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				want := context.DeadlineExceeded
				switch by {
				case "deadline":
					ctx, cancel = context.WithTimeout(ctx, 100*time.Millisecond)
					defer cancel()
				case "cancel":
					want = context.Canceled
					time.AfterFunc(100*time.Millisecond, cancel)
					url += "&connect_timeout=1h"
				case "connect_timeout":
					url += "&connect_timeout=100ms"
				}
				returned := make(chan error, 1)
				go func() {
					b, err := backends.Open(ctx, url)
					if err == nil {
						b.Close()
					}
					returned <- err
				}()
				select {
				case err := <-returned:
					if !errors.Is(err, want) {
						t.Errorf("Open(%q) = %v, want %v", url, err, want)
					}
				case <-time.After(30 * time.Second):
					t.Errorf("Open(%q) does not return", url)
				}
			})
		}
	}
}

// refusing returns an address at which nobody listens.
func refusing(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

const silentChild = "STORE_TEST_OPENS_IN_SILENCE"

// go-redis writes to standard error of its own accord. After Open it does not.
func TestOpenKeepsTheClientSilent(t *testing.T) {
	if url := os.Getenv(silentChild); url != "" {
		if b, err := backends.Open(t.Context(), url); err == nil {
			b.Close()
			t.Errorf("Open() = nil, want an error")
		}
		return
	}
	addr := refusing(t)
	for _, url := range []string{"redis://" + addr, "redis+sentinel://" + addr + "/name", "redis+cluster://" + addr} {
		url += "?connect_timeout=2s"
		var stderr bytes.Buffer
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestOpenKeepsTheClientSilent$")
		child.Env = append(os.Environ(), silentChild+"="+url)
		child.Stderr = &stderr
		if err := child.Run(); err != nil {
			t.Errorf("a process that opens %q: %v", url, err)
		}
		if stderr.Len() > 0 {
			t.Errorf("a process that opens %q wrote to standard error: %s", url, stderr.Bytes())
		}
	}
}

// What go-redis logs goes to the logger that the options name, until the
// backend is closed.
func TestOpenRoutesTheClientsLog(t *testing.T) {
	var lines logLines
	logger := slog.New(slog.NewTextHandler(&lines, nil))
	if b, err := backends.OpenWith(t.Context(), "redis+sentinel://"+refusing(t)+"/name?connect_timeout=2s", &backends.Options{Logger: logger}); err == nil {
		b.Close()
		t.Fatal("OpenWith() of an address where nobody listens = nil, want an error")
	}
	for _, want := range []string{"level=WARN", "client=go-redis", "GetMasterAddrByName", "connection refused"} {
		if !strings.Contains(lines.String(), want) {
			t.Errorf("the log of a failed OpenWith() = %q, want %q in it", lines.String(), want)
		}
	}

	server := testserver.Redis(t, testserver.WithArgs("--loglevel", "warning"))
	b, err := backends.OpenWith(t.Context(), server.URL, &backends.Options{Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	before := lines.String()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := backends.Open(t.Context(), "redis://"+refusing(t)+"?connect_timeout=2s"); err == nil {
		t.Fatal("Open() of an address where nobody listens = nil, want an error")
	}
	if after := lines.String(); after != before {
		t.Errorf("the log after Close() has grown by %q", strings.TrimPrefix(after, before))
	}
}

// logLines is a buffer for many goroutines.
type logLines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
