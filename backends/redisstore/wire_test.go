package redisstore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// A wire makes the connections of a client, and can spoil them.
type wire struct {
	mu    sync.Mutex
	mode  fault
	odd   string // what scripts and HMGET are answered, with oddReplies
	only  string // if not empty, the one command that is answered so
	kept  int    // how many bytes of a reply arrive, with tornReplies
	conns map[net.Conn]bool
}

// A fault is what a wire does to its connections.
type fault int

const (
	none        fault = iota
	refused           // new connections are refused
	mute              // the server gets what is sent, and nothing comes back
	deaf              // the server gets nothing
	oddReplies        // the server executes scripts and HMGET, but they are answered with odd
	tornReplies       // the server executes them, but the connection ends within the reply
)

// set changes the mode, also of the connections that are open.
func (w *wire) set(mode fault, odd string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mode, w.odd, w.only = mode, odd, ""
}

// answer has the command called name answered with odd.
func (w *wire) answer(name, odd string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mode, w.odd, w.only = oddReplies, odd, name
}

// tear has connections end after so many bytes of a reply.
func (w *wire) tear(kept int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mode, w.odd, w.only, w.kept = tornReplies, "", "", kept
}

// spoiled returns what arrives instead of reply, and whether the connection ends there.
func (w *wire) spoiled(reply []byte) (arrives []byte, ends bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mode == tornReplies {
		return reply[:min(w.kept, len(reply))], true
	}
	return []byte(w.odd), false
}

func (w *wire) state() (fault, string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mode, w.odd
}

// spoils reports whether the command called name is answered with odd.
func (w *wire) spoils(name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.mode != oddReplies && w.mode != tornReplies:
		return false
	case w.only != "":
		return name == w.only
	}
	return name == "eval" || name == "evalsha" || name == "hmget" || name == "hsetex"
}

// cut closes the connections that are open.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		c.Close()
	}
	clear(w.conns)
}

var errWireRefused = errors.New("the wire refuses connections") // as a dialer of the caller's own might

func (w *wire) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if mode, _ := w.state(); mode == refused {
		return nil, errWireRefused
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conns == nil {
		w.conns = make(map[net.Conn]bool)
	}
	w.conns[c] = true
	return &wireConn{Conn: c, w: w}, nil
}

// A wireConn is one connection. It can tell which reply belongs to which command.
type wireConn struct {
	net.Conn
	w *wire

	mu      sync.Mutex
	request []byte   // not yet complete
	names   []string // of the commands whose replies are due
	reply   []byte   // not yet complete
	ready   []byte   // for Read
	ended   bool     // once ready is read
}

func (c *wireConn) Write(b []byte) (int, error) {
	mode, _ := c.w.state()
	if mode == deaf {
		return len(b), nil
	}
	c.mu.Lock()
	c.request = append(c.request, b...)
	for {
		n, name := requestLen(c.request)
		if n == 0 {
			break
		}
		c.request = c.request[n:]
		c.names = append(c.names, name)
	}
	c.mu.Unlock()
	return c.Conn.Write(b)
}

// SyscallConn lets the client see that the server has closed the connection.
func (c *wireConn) SyscallConn() (syscall.RawConn, error) { return c.Conn.(*net.TCPConn).SyscallConn() }

func (c *wireConn) Read(b []byte) (int, error) {
	if len(c.ready) > 0 {
		n := copy(b, c.ready)
		c.ready = c.ready[n:]
		return n, nil
	}
	buf := make([]byte, 64<<10)
	for {
		if c.ended {
			c.Conn.Close()
			return 0, io.EOF
		}
		n, err := c.Conn.Read(buf)
		mode, _ := c.w.state()
		if mode == mute || mode == deaf {
			if err != nil {
				return 0, err
			}
			continue // until the deadline
		}
		c.mu.Lock()
		c.reply = append(c.reply, buf[:n]...)
		for !c.ended {
			n := replyLen(c.reply)
			if n == 0 {
				break
			}
			whole := c.reply[:n:n]
			c.reply = c.reply[n:]
			if whole[0] != '>' && len(c.names) > 0 { // a notice answers nothing
				if c.w.spoils(c.names[0]) {
					whole, c.ended = c.w.spoiled(whole)
				}
				c.names = c.names[1:]
			}
			c.ready = append(c.ready, whole...)
		}
		c.mu.Unlock()
		if len(c.ready) > 0 {
			n := copy(b, c.ready)
			c.ready = c.ready[n:]
			return n, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

// requestLen returns the length of the first command in b and its name; 0 if it is
// not complete.
func requestLen(b []byte) (int, string) {
	n := replyLen(b)
	if n == 0 {
		return 0, ""
	}
	fields := bytes.SplitN(b[:n], []byte("\r\n"), 4)
	return n, strings.ToLower(string(fields[2]))
}

// replyLen returns the length of the first value in b; 0 if it is not complete.
func replyLen(b []byte) int {
	end := bytes.Index(b, []byte("\r\n"))
	if end < 0 {
		return 0
	}
	at := end + 2
	count, _ := strconv.Atoi(string(b[1:end]))
	switch b[0] {
	case '$', '=', '!':
		if count < 0 {
			return at
		}
		if at+count+2 > len(b) {
			return 0
		}
		return at + count + 2
	case '%', '|':
		count *= 2
	case '*', '~', '>':
	default:
		return at
	}
	for range max(count, 0) {
		n := replyLen(b[at:])
		if n == 0 {
			return 0
		}
		at += n
	}
	return at
}

func TestReplyLen(t *testing.T) {
	for in, want := range map[string]int{
		"+OK\r\nx":                        5,
		":1\r\n":                          4,
		"$3\r\nabc\r\n":                   9,
		"$3\r\nab":                        0,
		"$-1\r\n":                         5,
		"*2\r\n:1\r\n$1\r\na\r\n+":        15,
		"*2\r\n:1\r\n":                    0,
		"%1\r\n+a\r\n*1\r\n:1\r\n":        16,
		">2\r\n+invalidate\r\n*-1\r\n:1x": 22,
	} {
		if got := replyLen([]byte(in)); got != want {
			t.Errorf("replyLen(%q) = %d, want %d", in, got, want)
		}
	}
	if _, err := (&wire{mode: refused}).dial(t.Context(), "tcp", "127.0.0.1:1"); !errors.Is(err, errWireRefused) || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("dial() = %v, want %v", err, errWireRefused)
	}
}
