package batch

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store/internal/testserver"
)

// startRedis runs a redis-server for the length of the test, and returns its
// address.
func startRedis(t testing.TB, args ...string) string {
	t.Helper()
	return testserver.Redis(t, testserver.WithArgs(append([]string{"--save", ""}, args...)...)).Addr
}

func newClient(t testing.TB, opts redis.Options) *redis.Client {
	client := redis.NewClient(&opts)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// A link is a TCP proxy that can break.
type link struct {
	addr string

	mu   sync.Mutex
	cut  int // bytes of replies to let pass before the connection is cut; < 0: all
	hang chan struct{}
}

func newLink(t testing.TB, target string) *link {
	t.Helper()
	l := &link{cut: -1}
	l.addr = testserver.Between(t, target, l.carry)
	t.Cleanup(l.resume)
	return l
}

// cutAfter lets n more bytes of replies pass, and then cuts one connection.
func (l *link) cutAfter(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = n
}

// pause holds replies back until resume.
func (l *link) pause() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hang = make(chan struct{})
}

func (l *link) resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hang != nil {
		close(l.hang)
		l.hang = nil
	}
}

func (l *link) carry(c, s net.Conn) {
	defer c.Close()
	go func() { _, _ = io.Copy(s, c); _ = s.Close() }()
	buf := make([]byte, 64<<10)
	for {
		n, err := s.Read(buf)
		if errors.Is(err, net.ErrClosed) || n == 0 {
			return
		}
		l.mu.Lock()
		hang, cut := l.hang, false
		if l.cut >= 0 {
			if cut = n >= l.cut; cut {
				n, l.cut = l.cut, -1
			} else {
				l.cut -= n
			}
		}
		l.mu.Unlock()
		if hang != nil {
			<-hang
		}
		if _, err := c.Write(buf[:n]); err != nil || cut {
			return
		}
	}
}
