package notice

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// longestPause bounds the pause between attempts to listen. One that is longer from the
// first on stays as it is.
const longestPause = 15 * time.Second

// A listening keeps a Hub listening, from its first Watcher on until Close.
type listening struct {
	attempt func(ctx context.Context, failures int) (worked bool, pause time.Duration)

	ctx     context.Context
	cancel  func()
	running sync.WaitGroup
	retry   chan struct{} // holds a value after Retry
}

// run makes one attempt after the other.
func (l *listening) run() {
	for failures := 0; l.ctx.Err() == nil; {
		worked, pause := l.attempt(l.ctx, failures)
		if worked {
			failures = 0
			select {
			case <-l.retry: // it came while that worked
			default:
			}
		}
		if pause == 0 {
			continue
		}
		pause = min(pause<<min(failures, 16), max(pause, longestPause))
		failures++
		select {
		case <-time.After(pause/2 + rand.N(pause/2+1)):
		case <-l.retry:
		case <-l.ctx.Done():
		}
	}
}

// Retry ends the pause before the next attempt to listen, also one that follows an attempt
// in progress that does not work: the next may.
func (h *Hub) Retry() {
	if h == nil {
		return
	}
	select {
	case h.in.retry <- struct{}{}:
	default:
	}
}
