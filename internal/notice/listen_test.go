package notice_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessionkv/store/internal/notice"
)

// Listening that fails is tried again, ever later, at once where nothing has failed, and
// from the first pause on when it has worked. Retry ends a pause. Close ends all of it.
func TestListeningIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type end struct {
			worked bool
			pause  time.Duration
		}
		attempts, ends := make(chan int), make(chan end)
		h := notice.New(new(sender).send, func(ctx context.Context, failures int) (bool, time.Duration) {
			attempts <- failures
			select {
			case e := <-ends:
				return e.worked, e.pause
			case <-ctx.Done():
				return false, time.Second
			}
		})
		synctest.Wait()
		select {
		case <-attempts:
			t.Error("an attempt before the first Watcher, want none")
		default:
		}
		_, w := counted(h, "a")
		w.Stop()
		counted(h, "a")
		if got := <-attempts; got != 0 {
			t.Errorf("the first attempt is told of %d failures, want 0", got)
		}
		for i, c := range []struct {
			end      end
			failures int
			longest  time.Duration // the pause after it
		}{
			{end{false, time.Second}, 1, time.Second},
			{end{false, time.Second}, 2, 2 * time.Second},
			{end{false, time.Second}, 3, 4 * time.Second},
			{end{false, time.Second}, 4, 8 * time.Second},
			{end{false, time.Second}, 5, 15 * time.Second},
			{end{false, time.Minute}, 6, time.Minute},
			{end{false, time.Second}, 7, 15 * time.Second},
			{end{true, time.Second}, 1, time.Second},
			{end{true, time.Second}, 1, time.Second},
			{end{false, time.Second}, 2, 2 * time.Second},
			{end{true, 0}, 0, 0},
			{end{true, 0}, 0, 0},
			{end{false, time.Minute}, 1, time.Minute},
		} {
			begin := time.Now()
			ends <- c.end
			failures := <-attempts
			if took := time.Since(begin); failures != c.failures || took < c.longest/2 || took > c.longest {
				t.Errorf("attempt %d came after %v and %d failures, want half to all of %v and %d", i+1, took, failures, c.longest, c.failures)
			}
		}
		for _, when := range []string{"an attempt", "a pause"} {
			begin := time.Now()
			if when == "an attempt" {
				h.Retry()
			}
			ends <- end{false, time.Minute}
			synctest.Wait() // in the pause, or in the next attempt
			if when == "a pause" {
				h.Retry()
			}
			<-attempts
			if took := time.Since(begin); took != 0 {
				t.Errorf("the attempt after Retry during %s came after %v, want at once", when, took)
			}
		}
		h.Retry()
		ends <- end{true, time.Second}
		begin := time.Now()
		<-attempts
		if took := time.Since(begin); took < time.Second/2 {
			t.Errorf("the attempt after one that worked came after %v, in spite of Retry before, want a pause", took)
		}
		h.Close(t.Context())
		h.Retry()
		counted(h, "b")
		synctest.Wait()
		select {
		case <-attempts:
			t.Error("an attempt after Close, want none")
		case <-time.After(time.Hour):
		}
	})
}

// Close waits for listening to end, as long as its context lasts.
func TestCloseWaitsForListening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct{ ends, patience, want time.Duration }{
			{time.Second, time.Minute, time.Second},
			{time.Minute, time.Second, time.Second},
		} {
			h := notice.New(new(sender).send, func(ctx context.Context, failures int) (bool, time.Duration) {
				defer time.Sleep(c.ends)
				return silence(ctx, failures)
			})
			counted(h, "a")
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), c.patience)
			begin := time.Now()
			h.Close(ctx)
			if took := time.Since(begin); took != c.want {
				t.Errorf("Close() of what ends after %v took %v with a context of %v, want %v", c.ends, took, c.patience, c.want)
			}
			cancel()
			time.Sleep(time.Hour)
		}
	})
}

// A nil Hub neither sends nor hears.
func TestNilHub(*testing.T) {
	var h *notice.Hub
	h.Tell("a")
	h.Hear(message("a"))
	h.Lasts("a", time.Second)
	h.Retry()
	h.Close(context.Background())
}
