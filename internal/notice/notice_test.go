package notice_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessionkv/store/internal/notice"
)

// The hint of a name is part of the messages, which other versions read.
func TestOf(t *testing.T) {
	if got, want := notice.Of("chat:u%3A1"), notice.Hint(0x3334bf32772d8dbf); got != want {
		t.Errorf("Of(%q) = %#x, want %#x", "chat:u%3A1", got, want)
	}
}

// A sender collects messages.
type sender struct {
	mu       sync.Mutex
	messages [][]byte
	err      error
}

func (s *sender) send(_ context.Context, message []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = append(s.messages, message)
	return s.err
}

// counted watches name and counts the hints.
func counted(h *notice.Hub, name string) (n *atomic.Int64, w *notice.Watcher) {
	n = new(atomic.Int64)
	return n, h.Watch(name, func() { n.Add(1) })
}

// silence listens and hears nothing.
func silence(ctx context.Context, _ int) (bool, time.Duration) {
	<-ctx.Done()
	return true, 0
}

func message(names ...string) (m []byte) {
	for _, name := range names {
		m = binary.BigEndian.AppendUint64(m, uint64(notice.Of(name)))
	}
	return m
}

// What is told within a moment goes out together, and who watches here hears it first.
func TestTellIsCollected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(sender)
		listens := 0
		h := notice.New(s.send, func(ctx context.Context, _ int) (bool, time.Duration) {
			listens++
			return silence(ctx, 0)
		})
		first, _ := counted(h, "a")
		second, w := counted(h, "b")
		third, _ := counted(h, "b")
		w.Stop()
		w.Stop()
		for i := range 2500 {
			h.Tell(fmt.Sprint(i))
		}
		h.Tell("b")
		time.Sleep(time.Second)
		synctest.Wait()
		if len(s.messages) != 3 || len(s.messages[0]) != 8*1024 || len(s.messages[2]) != 8*453 {
			t.Errorf("%d messages went out, want 3 of 1024, 1024 and 453 hints", len(s.messages))
		}
		if first.Load() != 0 || second.Load() != 0 || third.Load() != 1 || listens != 1 {
			t.Errorf("hints: %d, %d, %d, listening began %d times, want 0, 0, 1, 1", first.Load(), second.Load(), third.Load(), listens)
		}
		h.Close(t.Context())
	})
}

// Messages that no Hub can have sent are passed over.
func TestHearIsNotFooled(t *testing.T) {
	h := notice.New(new(sender).send, silence)
	defer h.Close(t.Context())
	n, _ := counted(h, "a")
	for _, m := range [][]byte{nil, []byte("x"), message("a")[:7], append(message("a"), 0), []byte(strings.Repeat(string(message("a")), 1025)), message("b")} {
		h.Hear(m)
	}
	if n.Load() != 0 {
		t.Errorf("%d hints came, want none", n.Load())
	}
	h.Hear(message("b", "a", "a"))
	h.HearAll()
	if n.Load() != 3 {
		t.Errorf("%d hints came, want 3", n.Load())
	}
}

// Close sends what was told. A sender that hangs or fails does not hold it up, and
// nobody is hinted at afterwards.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(sender)
		h := notice.New(s.send, silence)
		n, w := counted(h, "a")
		h.Lasts("a", time.Minute)
		h.Tell("b")
		h.Close(t.Context())
		h.Tell("c")
		h.Hear(message("a"))
		w.Stop()
		time.Sleep(time.Hour)
		if len(s.messages) != 1 || n.Load() != 0 {
			t.Errorf("%d messages went out and %d hints came, want 1 and 0", len(s.messages), n.Load())
		}

		s.err = errors.New("the server is away")
		h = notice.New(s.send, silence)
		for i := range 5000 {
			h.Tell(fmt.Sprint(i))
		}
		h.Close(t.Context())
		if len(s.messages) != 2 {
			t.Errorf("Close sent %d messages to a server that is away, want 1", len(s.messages)-1)
		}

		h = notice.New(func(ctx context.Context, _ []byte) error { <-ctx.Done(); return ctx.Err() }, silence)
		for i := range 5000 {
			h.Tell(fmt.Sprint(i))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		begin := time.Now()
		h.Close(ctx)
		if took := time.Since(begin); took != 100*time.Millisecond {
			t.Errorf("Close() took %v, want as long as its context", took)
		}
	})
}

// A deadline hints when it has passed, and the last one counts.
func TestLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := notice.New(new(sender).send, silence)
		defer h.Close(t.Context())
		n, w := counted(h, "a")
		h.Lasts("a", time.Second)
		h.Lasts("a", time.Minute)
		h.Lasts("b", time.Second)
		time.Sleep(time.Minute)
		synctest.Wait()
		if n.Load() != 0 {
			t.Errorf("%d hints came before the deadline, want none", n.Load())
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n.Load() != 1 {
			t.Errorf("%d hints came after the deadline, want 1", n.Load())
		}
		h.Lasts("a", time.Second)
		w.Stop()
		time.Sleep(time.Hour)
		synctest.Wait()
		if n.Load() != 1 {
			t.Errorf("%d hints came after Stop, want 1", n.Load())
		}
	})
}
