package hazelcaststore

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hazelcast/hazelcast-go-client"
	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/notice/noticetest"
	"github.com/sessionkv/store/internal/testserver"
)

// listens waits until b hears what it publishes.
func listens(t testing.TB, b *Backend) {
	t.Helper()
	noticetest.WatchNew(t, b).Comes("listening")
}

func logTo(opts *Options) *noticetest.Log {
	l := new(noticetest.Log)
	opts.Logger = l.Logger()
	return l
}

// What others publish on the topic hints at nobody, and the next hint comes as before.
func TestForeignMessages(t *testing.T) {
	c := testserver.SharedHazelcast(t)
	opts := namespace()
	log := logTo(opts)
	client := dial(t, c)
	b, other := open(t, client, opts), open(t, dial(t, c), opts)
	h := noticetest.WatchNew(t, b)
	<-h.Hints // it listens
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
	noticetest.Destroy(t, other, h.ID)
	h.Ends("Destroy elsewhere, after foreign messages")
	log.Wants(t, 0)
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
	watch := func(what string) *noticetest.Watched {
		id, s := "", store.Store(nil)
		tryFor(t, what, func() (err error) {
			id = store.NewID()
			s, err = b.Create(t.Context(), id, nil, store.Terms{Lease: time.Minute})
			return err
		})
		return noticetest.Watch(t, b, id, s)
	}
	listens(t, b)
	for i := range 3 {
		c.Kill(i)
		h := watch("Create with a member gone")
		tryFor(t, "Destroy with a member gone", func() error {
			s, err := other.Attach(t.Context(), h.ID, store.Terms{})
			if errors.Is(err, store.ErrNoSession) {
				return nil
			}
			if err == nil {
				err = s.Destroy(t.Context())
			}
			return err
		})
		h.Ends("Destroy elsewhere, with a member gone")
		c.Restart(i)
		c.AwaitSafe()
	}
	log.Wants(t, 0)
	for i := range 3 {
		c.Kill(i)
	}
	for over := time.Now().Add(noticetest.Patience); !b.notices.broken.Load(); time.Sleep(time.Millisecond) {
		if time.Now().After(over) {
			t.Fatal("nobody notices that all members are gone")
		}
	}
	for i := range 3 {
		c.Restart(i)
	}
	h := watch("Create with all members back")
	tryFor(t, "Destroy with all members back", func() error {
		s, err := other.Attach(t.Context(), h.ID, store.Terms{})
		if err == nil {
			err = s.Destroy(t.Context())
		}
		return err
	})
	h.Ends("Destroy elsewhere, with all members back")
	log.Wants(t, 1)
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
	h := noticetest.WatchNew(t, b)
	noticetest.Destroy(t, other, h.ID)
	h.Ends("Destroy elsewhere, after the client was replaced")
	h = noticetest.WatchNew(t, b)
	for len(h.Hints) > 0 {
		<-h.Hints
	}
	noticetest.Destroy(t, other, h.ID)
	h.Ends("another Destroy elsewhere")
	log.Wants(t, 0)
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
		noticetest.WatchNew(t, b)
		time.Sleep(time.Duration(i*i) * 200 * time.Microsecond) // every moment of listening
		begin := time.Now()
		if err := b.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
		if took := time.Since(begin); took > noticetest.Patience/2 {
			t.Errorf("Close() took %v", took)
		}
	}
	noticetest.NoneLeft(t, "(*notices)", "internal/notice.")
}

// Many handles share the listener, and all of them hear of their ends.
func TestManyWatch(t *testing.T) {
	c := testserver.SharedHazelcast(t)
	opts := namespace()
	noticetest.ManyEnd(t, open(t, dial(t, c), opts), open(t, dial(t, c), opts), nil)
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
		noticetest.Destroy(b, other, s.ID())
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
	noticetest.CompareDestroy(b, with, without, 2000, 16)
}
