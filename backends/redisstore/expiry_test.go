package redisstore_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/internal/testserver"
)

// No key is without an expiry, not even between two commands. Every operation is one command, as
// the server's MONITOR shows, which the server executes as a whole. After each the hash has an
// expiry. Also where Sets are native.
func TestEveryOperationIsOneCommandAndKeepsTheExpiry(t *testing.T) {
	for _, flavour := range layouts {
		t.Run(string(flavour), func(t *testing.T) { t.Parallel(); oneCommandEach(t, flavour) })
	}
}

// layouts are servers with and without native writes, and with it the fields of the fence.
var layouts = []testserver.Flavour{testserver.FlavourRedis, testserver.FlavourRedis8, testserver.FlavourValkey9, testserver.FlavourDragonfly}

// aloneOn returns a server for a test of its own, but the Dragonfly that the environment names.
func aloneOn(t *testing.T, flavour testserver.Flavour) *testserver.Server {
	if flavour == testserver.FlavourDragonfly {
		return testserver.SharedRedis(t, flavour)
	}
	return testserver.Redis(t, testserver.WithFlavour(flavour), testserver.WithArgs("--loglevel", "warning"))
}

func oneCommandEach(t *testing.T, flavour testserver.Flavour) {
	both(t, func(t *testing.T, o redisstore.Options) {
		server := aloneOn(t, flavour)
		b := open(t, dial(t, server.URL), o)
		native := redisstore.WritesNatively(t.Context(), b)
		if native != slices.Contains(natives, flavour) {
			t.Fatalf("%s takes native writes: %t", flavour, native)
		}
		id, s := create(t, b, store.Entry{Key: "k", Value: []byte("v")})
		name := b.Namespace() + ":" + id
		monitor := newMonitor(t, server.Addr)
		for _, op := range operations {
			err := op.run(t.Context(), b, id, s)
			if err != nil {
				t.Fatalf("%s = %v", op.name, err)
			}
			ttl, err := server.Do("PTTL", name)
			if err != nil {
				t.Fatal(err)
			}
			if ms := ttl.(int64); ms == -1 || ms <= 0 && op.name != "Destroy" {
				t.Errorf("after %s: PTTL = %d, want an expiry", op.name, ms)
			}
			var sent []string
			for _, line := range monitor.until(t, "PTTL", name) {
				if fields := strings.SplitN(line, "\"", 3); strings.Contains(line, name) && !strings.Contains(line, " lua]") {
					sent = append(sent, fields[1])
				}
			}
			want := 1
			if op.attaches {
				want = 2
			}
			if len(sent) > 0 && sent[len(sent)-1] == "eval" { // the server did not have the script yet
				want++
			}
			if slices.Contains(sent, "hsetex") && sent[len(sent)-1] != "hsetex" { // it found nothing to write, and a script follows
				want++
			}
			if len(sent) != want {
				t.Errorf("%s sent %q, want %d commands", op.name, sent, want)
			}
			for _, command := range sent {
				if command != "evalsha" && command != "eval" && command != "hmget" && (command != "hsetex" || !native || !strings.HasPrefix(op.name, "Set")) {
					t.Errorf("%s sent %q, want nothing but EVALSHA, EVAL and HMGET, and HSETEX for a native Set", op.name, command)
				}
			}
		}
	})
}

// While sessions come and go, somebody who looks all the time sees none without
// an expiry.
func TestNobodySeesAKeyWithoutExpiry(t *testing.T) {
	for _, flavour := range layouts {
		t.Run(string(flavour), func(t *testing.T) { t.Parallel(); lookForImmortals(t, flavour) })
	}
}

func lookForImmortals(t *testing.T, flavour testserver.Flavour) {
	server := aloneOn(t, flavour)
	client := dial(t, server.URL)
	b := open(t, dial(t, server.URL), redisstore.Options{})
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for ctx.Err() == nil {
				id := store.NewID()
				s, err := b.Create(ctx, id, []store.Entry{{Key: "k", Value: []byte("v")}}, store.Terms{Lease: lease})
				if err != nil {
					continue
				}
				for _, op := range operations {
					_ = op.run(ctx, b, id, s) // some find a session that the one before has ended
				}
			}
		})
	}
	seen := 0
	for range 500 {
		names, err := client.Keys(t.Context(), b.Namespace()+":*").Result()
		if err != nil {
			t.Error(err)
			break
		}
		left, err := client.Pipelined(t.Context(), func(p redis.Pipeliner) error {
			for _, name := range names {
				p.PTTL(t.Context(), name)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
			break
		}
		immortal := func(cmd redis.Cmder) bool { return cmd.(*redis.DurationCmd).Val() == -1 }
		if slices.ContainsFunc(left, immortal) {
			t.Error("a key has no expiry")
			break
		}
		seen += len(names)
	}
	if seen == 0 {
		t.Error("no key was seen")
	}
	stop()
	wg.Wait()
}

// A monitor reads what a server executes.
type monitor struct{ lines *bufio.Scanner }

func newMonitor(t *testing.T, addr string) *monitor {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, "MONITOR\r\n")
	m := &monitor{lines: bufio.NewScanner(conn)}
	if !m.lines.Scan() || m.lines.Text() != "+OK" {
		t.Fatalf("MONITOR answered %q", m.lines.Text())
	}
	return m
}

// until returns the lines before the command with the given arguments.
func (m *monitor) until(t *testing.T, args ...string) []string {
	t.Helper()
	last := fmt.Sprintf("%q %q", args[0], args[1])
	var lines []string
	for m.lines.Scan() {
		if strings.Contains(m.lines.Text(), last) && !strings.Contains(m.lines.Text(), " lua]") {
			return lines
		}
		lines = append(lines, m.lines.Text())
	}
	t.Fatalf("MONITOR ended: %v", m.lines.Err())
	return nil
}

// Whatever lease or grace is asked for, the server gets one that Dragonfly does not
// cut and Redis does not refuse.
func TestLongestExpiry(t *testing.T) {
	server := testserver.SharedRedis(t)
	b := open(t, dial(t, server.URL), redisstore.Options{})
	const longest = 8 * 365 * 24 * time.Hour
	for _, d := range []time.Duration{longest - time.Hour, longest, 9 * 365 * 24 * time.Hour, math.MaxInt64} {
		want := min(d, longest)
		id := store.NewID()
		var s store.Store
		for _, step := range []struct {
			name string
			do   func() error
		}{
			{"Create()", func() (err error) {
				s, err = b.Create(t.Context(), id, nil, store.Terms{Lease: d})
				return err
			}},
			{"Suspend()", func() error { return b.Suspend(t.Context(), s, d) }},
			{"Resume()", func() (err error) {
				s, err = b.Resume(t.Context(), id, store.Terms{Lease: d})
				return err
			}},
			{"Renew()", func() error { return errors.Join(b.Renew(t.Context(), []store.Store{s}, d)...) }},
		} {
			if err := step.do(); err != nil {
				t.Fatalf("%s with %v = %v", step.name, d, err)
			}
			answer, err := server.Do("PTTL", b.Namespace()+":"+id)
			if err != nil {
				t.Fatal(err)
			}
			ms := answer.(int64)
			left := time.Duration(ms) * time.Millisecond
			if left > want || left < want-time.Hour/2 {
				t.Errorf("%s with %v leaves the session %v, want %v", step.name, d, left, want)
			}
		}
		if err := s.Destroy(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
