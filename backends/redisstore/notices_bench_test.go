package redisstore_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/internal/notice/noticetest"
	"github.com/sessionkv/store/internal/testserver"
)

// BenchmarkNotice measures how long after the return of a Destroy or Resume in another
// process Done closes in this one: "p50-ms" and "p99-ms".
func BenchmarkNotice(b *testing.B) {
	server := testserver.SharedRedis(b)
	for _, op := range []string{"destroy", "resume"} {
		b.Run("op="+op, func(b *testing.B) {
			ctx := b.Context()
			backend := open(b, dial(b, server.URL), redisstore.Options{})
			sessions, err := store.New(backend, nil)
			if err != nil {
				b.Fatal(err)
			}
			defer sessions.Close(ctx)
			ask := peer(b, server.URL, backend.Namespace())
			var took []time.Duration
			one := func() {
				s, err := sessions.Create(ctx, store.NewID())
				if err != nil {
					b.Fatal(err)
				}
				done := s.Done()
				returned := ask(op, s.ID())
				<-done
				took = append(took, max(time.Since(returned), 0))
			}
			one() // with which the subscription begins
			took = took[:0]
			for b.Loop() {
				one()
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
}

// peerVariable makes this program a peer of a benchmark: the server, the namespace and where the
// benchmark listens. The peer does not read a pipe. Go has its timers wait for up to 10 ms behind a
// read of the standard input, as no server does.
const peerVariable = "STORE_TEST_NOTICE_PEER"

// peer starts another process, which ends sessions. The function returns when that
// has happened, on the clock of this machine.
func peer(b *testing.B, url, namespace string) func(op, id string) time.Time {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	cmd := exec.CommandContext(b.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), peerVariable+"="+url+" "+namespace+" "+l.Addr().String())
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { cmd.Wait() })
	conn, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	answers := bufio.NewScanner(conn)
	return func(op, id string) time.Time {
		fmt.Fprintln(conn, op, id)
		if !answers.Scan() {
			b.Fatal("the other process has ended")
		}
		nanos, err := strconv.ParseInt(answers.Text(), 10, 64)
		if err != nil {
			b.Fatalf("the other process says %q", answers.Text())
		}
		return time.Unix(0, nanos)
	}
}

// bePeer does what lines from a benchmark say.
func bePeer(url, namespace, addr string) error {
	ctx := context.Background()
	o, err := redis.ParseURL(url)
	if err != nil {
		return err
	}
	backend, err := redisstore.New(redis.NewClient(o), &redisstore.Options{Namespace: namespace})
	if err != nil {
		return err
	}
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		op, id, _ := strings.Cut(lines.Text(), " ")
		if op == "resume" {
			_, err = backend.Resume(ctx, id, store.Terms{Lease: lease})
		} else {
			var s store.Store
			if s, err = backend.Attach(ctx, id, store.Terms{}); err == nil {
				err = s.Destroy(ctx)
			}
		}
		if err != nil {
			return err
		}
		fmt.Fprintln(conn, time.Now().UnixNano())
	}
	return nil
}

// BenchmarkDestroy ends sessions with and without notices in turn, on the same server,
// while another process listens. "ratio" is the median rate with by that without.
func BenchmarkDestroy(b *testing.B) {
	server := testserver.SharedRedis(b)
	for _, callers := range []int{1, 16, 256} {
		b.Run(fmt.Sprint("callers=", callers), func(b *testing.B) {
			ns := namespace(b)
			with := open(b, dial(b, server.URL), redisstore.Options{Namespace: ns})
			without := open(b, dial(b, server.URL), redisstore.Options{Namespace: ns})
			redisstore.WithoutNotices(without)
			listener := open(b, dial(b, server.URL), redisstore.Options{Namespace: ns})
			_, s := create(b, listener)
			stop, err := listener.Watch(s, func() {})
			if err != nil {
				b.Fatal(err)
			}
			defer stop()
			noticetest.CompareDestroy(b, with, without, max(callers*50, 1000), callers)
		})
	}
}
