package backends_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends"
	"github.com/sessionkv/store/internal/testserver"
)

// A babbler leads to a server, or answers what comes first on a connection with what
// makes the client panic.
type babbler struct {
	addr string

	mu      sync.Mutex
	babbles bool
	conns   []net.Conn
}

// impossible is an answer to HELLO with a string so long that the client panics when it
// makes room for it.
const impossible = "%1\r\n+server\r\n$9223372036854775807\r\n"

func newBabbler(t *testing.T, server string) *babbler {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &babbler{addr: l.Addr().String()}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			b.mu.Lock()
			babbles := b.babbles
			b.conns = append(b.conns, client)
			b.mu.Unlock()
			wg.Go(func() {
				defer client.Close()
				if babbles {
					if _, err := bufio.NewReader(client).ReadString('\n'); err == nil {
						_, _ = io.WriteString(client, impossible)
					}
					return
				}
				upstream, err := net.Dial("tcp", server)
				if err != nil {
					return
				}
				defer upstream.Close()
				wg.Go(func() { _, _ = io.Copy(client, upstream); client.Close() })
				_, _ = io.Copy(upstream, client)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		b.set(false)
		wg.Wait()
	})
	return b
}

// set changes what becomes of new connections, and ends the others.
func (b *babbler) set(babbles bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.babbles = babbles
	for _, c := range b.conns {
		c.Close()
	}
	b.conns = nil
}

// Connections whose making made the client panic leave their places in its pool to
// others.
func TestPanicsOfConnecting(t *testing.T) {
	server := testserver.SharedRedis(t)
	for _, batching := range []string{"on", "off"} {
		t.Run("batching="+batching, func(t *testing.T) {
			p := newBabbler(t, server.Addr)
			b, err := backends.Open(t.Context(), "redis://"+p.addr+"?pool_size=2&read_timeout=1s&batching="+batching)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			s, err := b.Create(t.Context(), store.NewID(), nil, store.Terms{Lease: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			p.set(true)
			for range 4 {
				if _, err := s.Get(t.Context(), "k"); err == nil || errors.Is(err, store.ErrNotFound) {
					t.Errorf("Get() over a connection that cannot be made = %v, want an error of the connection", err)
				}
			}
			p.set(false)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			for err = s.Set(ctx, "k", nil); err != nil && ctx.Err() == nil; {
				err = s.Set(ctx, "k", nil)
			}
			if err != nil {
				t.Errorf("Set() after that = %v", err)
			}
		})
	}
}
