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
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

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
	addr := refusing(t)
	// The client tries for a while before it says all of this.
	var missing []string
	for timeout := 2 * time.Second; timeout < 2*time.Minute; timeout *= 2 {
		u := fmt.Sprintf("redis+sentinel://%s/name?connect_timeout=%v", addr, timeout)
		if b, err := backends.OpenWith(t.Context(), u, &backends.Options{Logger: logger}); err == nil {
			b.Close()
			t.Fatal("OpenWith() of an address where nobody listens = nil, want an error")
		}
		missing = nil
		for _, want := range []string{"level=WARN", "client=go-redis", "GetMasterAddrByName", "connection refused"} {
			if !strings.Contains(lines.String(), want) {
				missing = append(missing, want)
			}
		}
		if len(missing) == 0 {
			break
		}
	}
	if len(missing) > 0 {
		t.Errorf("the log of a failed OpenWith() = %q, want %q in it", lines.String(), missing)
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

// The kind of store is named once in an error.
func TestOpenNamesTheStoreOnce(t *testing.T) {
	server := testserver.Redis(t, testserver.WithACL("user app on >right ~* +@all"))
	for _, scheme := range []string{"redis", "valkey", "dragonfly"} {
		_, err := backends.Open(t.Context(), scheme+"://app:wrong@"+server.Addr)
		if err == nil || !strings.HasPrefix(err.Error(), "backends: "+scheme+": the server does not accept") {
			t.Errorf("Open(%s://…) with a wrong password = %v, want an error that names %[1]s once", scheme, err)
		}
		if reply := redis.Error(nil); !errors.As(err, &reply) {
			t.Errorf("Open(%s://…) with a wrong password = %v, want the server's error in it", scheme, err)
		}
	}
}

// Where nobody listens, Open tells so, and not just that time has passed.
func TestOpenSaysWhatFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	for _, u := range []string{"redis://" + addr, "rediss://" + addr, "redis+sentinel://" + addr + "/primary", "redis+cluster://" + addr} {
		b, err := backends.Open(t.Context(), u+"?connect_timeout=300ms") // the clients try for longer
		if err == nil {
			b.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("Open(%q) = %v, want an error that says connection refused", u, err)
		}
	}
	u := "redis+unix://" + filepath.Join(t.TempDir(), "nobody.sock") + "?connect_timeout=500ms"
	if b, err := backends.Open(t.Context(), u); err == nil {
		b.Close()
		t.Errorf("Open(%q) = nil, want an error", u)
	} else if !strings.Contains(err.Error(), "no such file") {
		t.Errorf("Open(%q) = %v, want an error that says no such file", u, err)
	}
}

// Connections keep to the protocol of the URL.
func TestOpenKeepsToTheProtocol(t *testing.T) {
	for _, protocol := range []string{"2", "3"} {
		server := testserver.Redis(t, testserver.WithArgs("--loglevel", "warning"))
		b, err := backends.Open(t.Context(), server.URL+"?protocol="+protocol)
		if err != nil {
			t.Fatalf("Open() = %v", err)
		}
		defer b.Close()
		admin := redis.NewClient(&redis.Options{Addr: server.Addr, ClientName: "admin"})
		defer admin.Close()
		list, err := admin.ClientList(t.Context()).Result()
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for line := range strings.Lines(list) {
			if strings.Contains(line, "name=admin") {
				continue
			}
			seen++
			if !strings.Contains(line, " resp="+protocol) {
				t.Errorf("with protocol=%s there is a connection %q", protocol, strings.TrimSpace(line))
			}
		}
		if seen == 0 {
			t.Error("there is no connection")
		}
	}
}
