package store

import (
	"context"
	"time"

	"github.com/sessionkv/store/internal/peek"
)

func init() {
	peek.OfSession = func(session any) (peek.Session, bool) { return session.(*Session).peek() }
	peek.Renewal = func(session any) (time.Duration, bool) { return session.(*Session).renewal() }
	peek.OfSessions = func(sessions any) (peek.Process, bool) { return sessions.(*Sessions).peek() }
}

// peek returns what package inspect shows of s beside its values.
func (s *Session) peek() (peek.Session, bool) {
	if !s.valid() {
		return peek.Session{}, false
	}
	ss := s.sessions
	return peek.Session{
		Codec:  ss.codec.Name(),
		Sealed: ss.sealed,
		TimeLeft: func(ctx context.Context) (time.Duration, error) {
			x, err := AsIndexer(ss.backend)
			if err != nil {
				return 0, err
			}
			return x.TimeLeft(ctx, s.raw)
		},
	}, true
}

// renewal returns how long ago the last confirmed renewal of an owned session was sent, and whether
// the latest one failed.
func (s *Session) renewal() (age time.Duration, failing bool) {
	if !s.valid() {
		return 0, false
	}
	sh := s.sessions.registry.shard(s.id)
	sh.mu.Lock()
	stamp, failing := s.stamp, s.failing
	sh.mu.Unlock()
	return max(0, time.Duration(int32(s.sessions.renewals.now()-stamp))*time.Millisecond), failing // Extend may have put it ahead
}

// sealed reports whether value, as it is stored, is sealed. What a Sealer of somebody
// else makes has no form that could be told, so all is taken for sealed with one.
func (ss *Sessions) sealed(value []byte) bool {
	switch ss.sealer.(type) {
	case nil, *KeyRing, *partialSealer:
		return looksSealed(value)
	}
	return true
}

func (ss *Sessions) peek() (peek.Process, bool) {
	if !ss.valid() {
		return peek.Process{}, false
	}
	return peek.Process{Lease: ss.lease, Grace: ss.keeps()}, true
}
