package store

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff spaces the attempts of optimistic writers. Some writer wins each
// round, so the first attempts follow at once; later ones spread out at random
// over a doubling span.
type backoff struct{ attempts int }

const (
	backoffFree = 3 // attempts without a pause
	backoffUnit = 100 * time.Microsecond
	backoffMax  = 50 * time.Millisecond
)

// wait pauses before the next attempt, or returns the error of ctx.
func (b *backoff) wait(ctx context.Context) error {
	b.attempts++
	if b.attempts <= backoffFree {
		return ctx.Err()
	}
	span := min(backoffUnit<<min(b.attempts-backoffFree, 20), backoffMax)
	timer := time.NewTimer(rand.N(span))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// conflicted is wait for a call of the program whose value another writer has changed.
func (b *backoff) conflicted(ctx context.Context, s *Session) error {
	s.sessions.conflicts.Add(1)
	return b.wait(ctx)
}
