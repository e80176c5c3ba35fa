package hazelcaststore

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hazelcast/hazelcast-go-client"
	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/testserver"
)

// hintPatience is how long a test waits for what comes soon.
const hintPatience = 60 * time.Second

// A hinted is a session that is watched.
type hinted struct {
	t  testing.TB
	b  *Backend
	id string
	s  store.Store
	c  chan struct{}
}

// watchNew creates a session on b and watches it.
func watchNew(t testing.TB, b *Backend) *hinted {
	t.Helper()
	h := &hinted{t: t, b: b, id: store.NewID(), c: make(chan struct{}, 1)}
	var err error
	if h.s, err = b.Create(t.Context(), h.id, nil, store.Terms{Lease: time.Minute}); err != nil {
		t.Fatalf("Create() = %v", err)
	}
	stop, err := b.Watch(h.s, func() {
		select {
		case h.c <- struct{}{}:
		default:
		}
	})
	if err != nil {
		t.Fatalf("Watch() = %v", err)
	}
	t.Cleanup(stop)
	return h
}

// ends waits for hints and asks at each, until the life has ended.
func (h *hinted) ends(after string) {
	h.t.Helper()
	for {
		select {
		case <-h.c:
		case <-time.After(hintPatience):
			h.t.Fatalf("no hint after %s, want one soon", after)
		}
		if errs := h.b.Renew(h.t.Context(), []store.Store{h.s}, 0); errors.Is(errors.Join(errs...), store.ErrDestroyed) {
			return
		}
	}
}

// end ends the session with id through b.
func end(t testing.TB, b *Backend, id string) {
	t.Helper()
	s, err := b.Attach(t.Context(), id, store.Terms{})
	if err != nil {
		t.Fatalf("Attach() = %v", err)
	}
	if err := s.Destroy(t.Context()); err != nil {
		t.Fatalf("Destroy() = %v", err)
	}
}

// listens waits until b hears what it publishes.
func listens(t testing.TB, b *Backend) {
	t.Helper()
	h := watchNew(t, b)
	select {
	case <-h.c:
	case <-time.After(hintPatience):
		t.Fatal("the backend does not listen")
	}
}

// A lines is a log.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) wants(t testing.TB, n int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if got := strings.Count(l.text.String(), "\n"); got != n {
		t.Errorf("the log has %d lines, want %d:\n%s", got, n, l.text.String())
	}
}

func logTo(opts *Options) *lines {
	l := new(lines)
	opts.Logger = slog.New(slog.NewTextHandler(l, nil))
	return l
}

// What others publish on the topic hints at nobody, and the next hint comes as before.
func TestForeignMessages(t *testing.T) {
	c := testserver.SharedHazelcast(t)
	opts := namespace()
	log := logTo(opts)
	client := dial(t, c)
	b, other := open(t, client, opts), open(t, dial(t, c), opts)
	h := watchNew(t, b)
	<-h.c // it listens
	of, err := dial(t, c).GetTopic(t.Context(), opts.Namespace+":/ends")
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		for _, message := range []any{"text", int64(7), []byte{}, []byte("x"), []byte(strings.Repeat("12345678", 5000)), bytes.Repeat([]byte{0xff}, 1<<20), []string{"a"}, map[string]any{"a": 1}, 3.5, []int64{1, 2}} {
			if err := of.Publish(t.Context(), message); err != nil {
				if _, isMap := message.(map[string]any); !isMap {
					t.Fatalf("Publish(%T) = %v", message, err)
				}
			}
		}
	}
	end(t, other, h.id)
	h.ends("Destroy elsewhere, after foreign messages")
	log.wants(t, 0)
}

// The members go one after the other, and all at once, and the listener stays or comes
// back. The log has no line for a member, and one for all of them.
func TestNoticesWhileMembersGo(t *testing.T) {
	if os.Getenv("STORE_TEST_HAZELCAST_ADDRS") != "" {
		t.Skip("needs members that can be killed")
	}
	c := cluster(t, 3)
	opts := namespace()
	log := logTo(opts)
	open := func() *Backend {
		b, err := Open(t.Context(), settings(c), opts)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { b.Close() })
		return b
	}
	b, other := open(), open()
	listens(t, b)
	for i := range 3 {
		c.Kill(i)
		var h *hinted
		tryFor(t, "Create with a member gone", func() (err error) {
			h = &hinted{t: t, b: b, id: store.NewID(), c: make(chan struct{}, 1)}
			h.s, err = b.Create(t.Context(), h.id, nil, store.Terms{Lease: time.Minute})
			return err
		})
		stop, err := b.Watch(h.s, func() {
			select {
			case h.c <- struct{}{}:
			default:
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(stop)
		tryFor(t, "Destroy with a member gone", func() error {
			s, err := other.Attach(t.Context(), h.id, store.Terms{})
			if errors.Is(err, store.ErrNoSession) {
				return nil
			}
			if err == nil {
				err = s.Destroy(t.Context())
			}
			return err
		})
		h.ends("Destroy elsewhere, with a member gone")
		c.Restart(i)
		c.AwaitSafe()
	}
	log.wants(t, 0)
	for i := range 3 {
		c.Kill(i)
	}
	for over := time.Now().Add(hintPatience); !b.notices.broken.Load(); time.Sleep(time.Millisecond) {
		if time.Now().After(over) {
			t.Fatal("nobody notices that all members are gone")
		}
	}
	for i := range 3 {
		c.Restart(i)
	}
	var h *hinted
	tryFor(t, "Create with all members back", func() (err error) {
		h = &hinted{t: t, b: b, id: store.NewID(), c: make(chan struct{}, 1)}
		h.s, err = b.Create(t.Context(), h.id, nil, store.Terms{Lease: time.Minute})
		return err
	})
	stop, err := b.Watch(h.s, func() {
		select {
		case h.c <- struct{}{}:
		default:
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	tryFor(t, "Destroy with all members back", func() error {
		s, err := other.Attach(t.Context(), h.id, store.Terms{})
		if err == nil {
			err = s.Destroy(t.Context())
		}
		return err
	})
	h.ends("Destroy elsewhere, with all members back")
	log.wants(t, 1)
}

// tryFor repeats call until it succeeds.
func tryFor(t *testing.T, what string, call func() error) {
	t.Helper()
	for over := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		err := call()
		if err == nil || errors.Is(err, store.ErrUnknownOutcome) && strings.HasPrefix(what, "Destroy") {
			return
		}
		if time.Now().After(over) {
			t.Fatalf("%s = %v after two minutes", what, err)
		}
	}
}

// A client that was exchanged is listened to, and the one before is not.
func TestNoticesAfterTheClientIsReplaced(t *testing.T) {
	c := testserver.SharedHazelcast(t)
	opts := namespace()
	log := logTo(opts)
	b, err := Open(t.Context(), settings(c), opts)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	other := open(t, dial(t, c), opts)
	listens(t, b)
	before := b.client.Load()
	b.own.Load().since.Store(time.Now().Add(-replaceAfter).UnixNano())
	b.failed()
	for b.client.Load() == before {
		time.Sleep(time.Millisecond)
	}
	h := watchNew(t, b)
	end(t, other, h.id)
	h.ends("Destroy elsewhere, after the client was replaced")
	h = watchNew(t, b)
	for len(h.c) > 0 {
		<-h.c
	}
	end(t, other, h.id)
	h.ends("another Destroy elsewhere")
	log.wants(t, 0)
}

// Close ends listening whatever it is at, and leaves no goroutine of it behind.
func TestCloseWhileListening(t *testing.T) {
	c := testserver.SharedHazelcast(t)
	client := dial(t, c)
	opts := namespace()
	for i := range 12 {
		b, err := New(t.Context(), client, opts)
		if err != nil {
			t.Fatal(err)
		}
		watchNew(t, b)
		time.Sleep(time.Duration(i*i) * 200 * time.Microsecond) // every moment of listening
		begin := time.Now()
		if err := b.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
		if took := time.Since(begin); took > hintPatience/2 {
			t.Errorf("Close() took %v", took)
		}
	}
	stacks := make([]byte, 4<<20)
	for over := time.Now().Add(hintPatience); ; time.Sleep(5 * time.Millisecond) {
		left := ""
		for g := range strings.SplitSeq(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
			if strings.Contains(g, "(*notices)") || strings.Contains(g, "internal/notice") {
				left = g
			}
		}
		if left == "" {
			return
		}
		if time.Now().After(over) {
			t.Fatalf("a goroutine is left behind:\n%s", left)
		}
	}
}

// Many handles share the listener, and all of them learn of their ends.
func TestManyWatch(t *testing.T) {
	const many = 10_000
	c := testserver.SharedHazelcast(t)
	opts := namespace()
	mine, other := open(t, dial(t, c), opts), open(t, dial(t, c), opts)
	sessions, err := store.New(mine, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer sessions.Close(t.Context())
	handles := make([]*store.Session, many)
	each := func(f func(i int)) {
		var wg sync.WaitGroup
		const workers = 64
		for w := range workers {
			wg.Go(func() {
				for i := w; i < many && !t.Failed(); i += workers {
					f(i)
				}
			})
		}
		wg.Wait()
	}
	each(func(i int) {
		var err error
		if handles[i], err = sessions.Create(t.Context(), store.NewID()); err != nil {
			t.Errorf("Create() = %v", err)
			return
		}
		handles[i].Done()
	})
	each(func(i int) {
		s, err := other.Attach(t.Context(), handles[i].ID(), store.Terms{})
		if err == nil {
			err = s.Destroy(t.Context())
		}
		if err != nil {
			t.Errorf("Attach() and Destroy() = %v", err)
		}
	})
	over := time.After(hintPatience / 2)
	for i, s := range handles {
		select {
		case <-s.Done():
		case <-over:
			t.Fatalf("handle %d of %d has not ended", i, many)
		}
	}
}

// BenchmarkNotice measures how long after the return of Destroy on another client Done
// closes: "p50-ms" and "p99-ms".
func BenchmarkNotice(b *testing.B) {
	c := testserver.SharedHazelcast(b)
	opts := namespace()
	mine, other := open(b, dial(b, c), opts), open(b, dial(b, c), opts)
	sessions, err := store.New(mine, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer sessions.Close(b.Context())
	listens(b, mine)
	var took []time.Duration
	for b.Loop() {
		s, err := sessions.Create(b.Context(), store.NewID())
		if err != nil {
			b.Fatal(err)
		}
		done := s.Done()
		end(b, other, s.ID())
		begin := time.Now()
		<-done
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

// BenchmarkDestroy ends sessions with and without notices in turn, while another client
// listens. "ratio" is the median rate with by that without.
func BenchmarkDestroy(b *testing.B) {
	c := testserver.SharedHazelcast(b)
	opts := namespace()
	client := func() *hazelcast.Client { return dial(b, c) }
	with, without, listener := open(b, client(), opts), open(b, client(), opts), open(b, client(), opts)
	without.notices.hub = nil
	listens(b, listener)
	const many, callers = 2000, 16
	round := func(backend *Backend) time.Duration {
		all := make([]store.Store, many)
		for i := range all {
			var err error
			if all[i], err = backend.Create(b.Context(), store.NewID(), nil, store.Terms{Lease: time.Minute}); err != nil {
				b.Fatal(err)
			}
		}
		begin := time.Now()
		var wg sync.WaitGroup
		for w := range callers {
			wg.Go(func() {
				for i := w; i < many; i += callers {
					if err := all[i].Destroy(b.Context()); err != nil {
						b.Error(err)
					}
				}
			})
		}
		wg.Wait()
		return time.Since(begin)
	}
	var ratios []float64
	for b.Loop() {
		first, second := round(with), round(without)
		third, fourth := round(without), round(with)
		ratios = append(ratios, float64(second)/float64(first), float64(third)/float64(fourth))
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "ratio")
}
