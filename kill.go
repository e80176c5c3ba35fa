package store

import (
	"context"

	"github.com/sessionkv/store/internal/crash"
)

func init() {
	crash.Sessions = func(sessions any) { sessions.(*Sessions).crash() }
}

// endCrashed is the ending of handles of a process that is dead: unlike endClosed
// it lets no Destroy reach the backend.
var endCrashed = &ending{err: ErrClosed, phase: over, tally: tallyLost}

// crash stops ss as the end of its process would: without a word to the backend.
// Package storetest calls it. Handles end with ErrClosed, so that nothing that is
// still done with them, a deferred Release for example, reaches the backend either.
func (ss *Sessions) crash() {
	if !ss.valid() || !ss.calls.closed.CompareAndSwap(false, true) {
		return
	}
	defer close(ss.closing.through)
	for _, s := range ss.registry.close() {
		for e := s.ended.Load(); (e == nil || e.phase != over) && !s.turn(e, endCrashed); {
			e = s.ended.Load()
		}
	}
	// A renewal that is on its way is waited for: none comes later.
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTime)
	defer cancel()
	ss.renewals.stop(ctx)
	ss.over.Store(true)
	ss.keyLength.Store(-1)
}
