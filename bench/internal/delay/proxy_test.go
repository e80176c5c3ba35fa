package delay

import (
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/sessionkv/store/bench/internal/address"
)

func TestMain(m *testing.M) {
	Main()
	os.Exit(m.Run())
}

// echo starts a server that answers with what it gets, and returns its address.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(c, c); c.Close() }()
		}
	}()
	return l.Addr().String()
}

// Many requests at once take about as long as one: the proxy delays, and does not
// throttle.
func TestDelaysAndDoesNotThrottle(t *testing.T) {
	server := echo(t)
	const lag = 50 * time.Millisecond
	p, err := listen(server, lag)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	c, err := net.Dial("tcp", p.addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const messages = 100
	start := time.Now()
	go func() {
		for i := range messages {
			if _, err := c.Write([]byte{byte(i)}); err != nil {
				t.Error(err)
			}
		}
	}()
	got := make([]byte, messages)
	if _, err := io.ReadFull(c, got); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took < lag || took > messages*lag/4 {
		t.Errorf("%d messages took %v, want at least %v and far less than %v", messages, took, lag, messages*lag)
	}
	for i, b := range got {
		if int(b) != i {
			t.Fatalf("byte %d is %d: the order was lost", i, b)
		}
	}
	p.close()
	if _, err := c.Read(got); err == nil {
		t.Error("the connection outlived the proxy")
	}
}

// A pool's proxies are processes of their own, one for each server.
func TestPool(t *testing.T) {
	server := echo(t)
	p := NewPool(time.Millisecond)
	defer p.Close()
	url := "redis://app:secret@" + server + "/3"
	one, err := p.URL(url)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := p.URL(url); err != nil || again != one || one == url {
		t.Errorf("URL(%q) = %q, then %q, %v", url, one, again, err)
	}
	if got, err := p.URL("memory:"); err != nil || got != "memory:" {
		t.Errorf("URL(memory:) = %q, %v", got, err)
	}
	c, err := net.Dial("tcp", address.Host(one))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 3 {
		start := time.Now()
		got := make([]byte, 1)
		if _, err := c.Write(got); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, got); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < time.Millisecond {
			t.Errorf("a round trip took %v, want at least %v", took, time.Millisecond)
		}
	}
	p.Close()
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("a connection outlived its pool")
	}
}
