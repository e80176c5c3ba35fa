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

// Many requests at once take about as long as one, in a process of its own for each server.
func TestPool(t *testing.T) {
	const lag, messages = 50 * time.Millisecond, 100
	p := NewPool(lag)
	defer p.Close()
	url := "redis://app:secret@" + echo(t) + "/3"
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
	o, err := address.Redis(one)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", o.Addrs[0])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
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
	p.Close()
	if _, err := c.Read(got); err == nil {
		t.Error("a connection outlived its pool")
	}
}
