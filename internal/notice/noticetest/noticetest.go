// Package noticetest has what the tests of backends with notices have in common.
package noticetest

import (
	"bytes"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/median"
)

// Patience is how long a test waits for what comes soon.
const Patience = time.Minute

// A Backend has notices.
type Backend interface {
	store.Backend
	store.Watcher
}

// A Watched is a session that is watched.
type Watched struct {
	store.Store
	ID    string
	Hints chan struct{} // holds a value after a hint

	t testing.TB
	b Backend
}

// Watch watches the session with id, which b handed out as s.
func Watch(t testing.TB, b Backend, id string, s store.Store) *Watched {
	t.Helper()
	w := &Watched{s, id, make(chan struct{}, 1), t, b}
	stop, err := b.Watch(s, func() {
		select {
		case w.Hints <- struct{}{}:
		default:
		}
	})
	if err != nil {
		t.Fatalf("Watch() = %v", err)
	}
	t.Cleanup(stop)
	return w
}

// WatchNew creates a session on b and watches it.
func WatchNew(t testing.TB, b Backend) *Watched {
	t.Helper()
	id := store.NewID()
	s, err := b.Create(t.Context(), id, nil, store.Terms{Lease: time.Minute})
	if err != nil {
		t.Fatalf("Create() = %v", err)
	}
	return Watch(t, b, id, s)
}

// Comes waits for a hint.
func (w *Watched) Comes(after string) {
	w.t.Helper()
	select {
	case <-w.Hints:
	case <-time.After(Patience):
		w.t.Fatalf("no hint after %s, want one soon", after)
	}
}

// Ends waits for hints and asks at each, until the life has ended.
func (w *Watched) Ends(after string) {
	w.t.Helper()
	for {
		w.Comes(after)
		if errs := w.b.Renew(w.t.Context(), []store.Store{w.Store}, 0); errors.Is(errors.Join(errs...), store.ErrDestroyed) {
			return
		}
	}
}

// Destroy ends the session with id through b.
func Destroy(t testing.TB, b store.Backend, id string) {
	t.Helper()
	s, err := b.Attach(t.Context(), id, store.Terms{})
	if err != nil {
		t.Errorf("Attach() = %v", err)
		return
	}
	if err := s.Destroy(t.Context()); err != nil {
		t.Errorf("Destroy() = %v", err)
	}
}

// ManyEnd has many handles watched on mine and ended through other, and waits until each
// has ended. It calls watched, if not nil, while all are watched.
func ManyEnd(t *testing.T, mine, other store.Backend, watched func()) {
	t.Helper()
	const many = 10_000
	sessions, err := store.New(mine, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer sessions.Close(t.Context())
	handles := make([]*store.Session, many)
	Each(64, many, func(i int) {
		var err error
		if handles[i], err = sessions.Create(t.Context(), store.NewID()); err != nil {
			t.Errorf("Create() = %v", err)
			return
		}
		handles[i].Done()
	})
	if t.Failed() {
		return
	}
	if watched != nil {
		watched()
	}
	Each(64, many, func(i int) { Destroy(t, other, handles[i].ID()) })
	over := time.After(Patience)
	for i, s := range handles {
		select {
		case <-s.Done():
		case <-over:
			t.Fatalf("handle %d of %d has not ended", i, many)
		}
	}
}

// Each calls f for each of n, in so many goroutines.
func Each(workers, n int, f func(i int)) {
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n; i += workers {
				f(i)
			}
		})
	}
	wg.Wait()
}

// CompareDestroy ends n sessions on each backend in turn, with so many callers at a time. It
// reports the median rate of with by that of without, "ratio".
func CompareDestroy(b *testing.B, with, without store.Backend, n, callers int) {
	round := func(backend store.Backend) time.Duration {
		all := make([]store.Store, n)
		Each(64, n, func(i int) {
			var err error
			if all[i], err = backend.Create(b.Context(), store.NewID(), nil, store.Terms{Lease: time.Minute}); err != nil {
				b.Error(err)
			}
		})
		if b.Failed() {
			b.FailNow()
		}
		begin := time.Now()
		Each(callers, n, func(i int) {
			if err := all[i].Destroy(b.Context()); err != nil {
				b.Error(err)
			}
		})
		return time.Since(begin)
	}
	var ratios []float64
	for b.Loop() {
		first, second := round(with), round(without)
		third, fourth := round(without), round(with)
		ratios = append(ratios, float64(second)/float64(first), float64(third)/float64(fourth))
	}
	b.ReportMetric(median.Of(ratios), "ratio")
}

// NoneLeft waits until no goroutine is left that has one of the words in its stack.
func NoneLeft(t testing.TB, words ...string) {
	t.Helper()
	stacks := make([]byte, 4<<20)
	for over := time.Now().Add(Patience); ; time.Sleep(5 * time.Millisecond) {
		left := ""
		for g := range strings.SplitSeq(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
			for _, word := range words {
				if strings.Contains(g, word) {
					left = g
				}
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

// A Log holds the lines that were logged.
type Log struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

// Logger returns a logger that writes to l.
func (l *Log) Logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// Write implements [io.Writer].
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String returns the lines so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Wants requires n lines, and each text in them.
func (l *Log) Wants(t testing.TB, n int, texts ...string) {
	t.Helper()
	log := l.String()
	if got := strings.Count(log, "\n"); got != n {
		t.Errorf("the log has %d lines, want %d:\n%s", got, n, log)
	}
	for _, text := range texts {
		if !strings.Contains(log, text) {
			t.Errorf("the log is %q, want %q in it", log, text)
		}
	}
}
