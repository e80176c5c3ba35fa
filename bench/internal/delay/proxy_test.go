package delay

import (
	"io"
	"net"
	"testing"
	"time"
)

// Many requests at once take about as long as one: the proxy delays, and does not
// throttle.
func TestDelaysAndDoesNotThrottle(t *testing.T) {
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	go func() {
		for {
			c, err := echo.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(c, c); c.Close() }()
		}
	}()
	const lag = 50 * time.Millisecond
	p, err := New(echo.Addr().String(), lag)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const messages = 100
	start := time.Now()
	go func() {
		for i := range messages {
			c.Write([]byte{byte(i)})
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
		t.Error("the connection outlived the proxy")
	}
}

func TestPoolMakesOneProxyForEachServer(t *testing.T) {
	p := NewPool(time.Millisecond)
	defer p.Close()
	one, err := p.URL("redis://app:secret@127.0.0.1:1/3")
	if err != nil {
		t.Fatal(err)
	}
	again, _ := p.URL("redis://app:secret@127.0.0.1:1/3")
	if one != again || one == "redis://app:secret@127.0.0.1:1/3" {
		t.Errorf("URL() = %q, then %q", one, again)
	}
	if got, _ := p.URL("memory:"); got != "memory:" {
		t.Errorf("URL(memory:) = %q", got)
	}
}
