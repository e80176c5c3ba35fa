package store

import (
	"context"
	"fmt"
	"time"
)

// CreateFor begins a session that no process owns, for clients without a connection such as
// browsers. Nobody renews it: it ends ttl after it was created or after the last [Session.Extend].
// The handle is like one from [Sessions.Attach]. Close leaves the session alone. Otherwise
// CreateFor is [Sessions.Create]: the ID is a credential.
//
// After an error that satisfies errors.Is(err, [ErrUnknownOutcome]) the session may
// exist. Use another ID then; what exists ends after ttl.
func (ss *Sessions) CreateFor(ctx context.Context, id string, ttl time.Duration, initial ...Change) (*Session, error) {
	if err := ss.enter(); err != nil {
		return nil, &Error{Op: "create", Err: err}
	}
	defer ss.calls.exit()
	if err := ss.checkTTL(ttl); err != nil {
		return nil, &Error{Op: "create", Err: err}
	}
	s := ss.handle(id, false)
	s.stamp = seconds(ttl)
	raw, err := ss.begin(ctx, s, initial, ttl)
	if err != nil {
		return nil, opError("create", err)
	}
	s.bind(raw)
	ss.registry.count(s, beganCreate)
	return s, nil
}

// Extend makes the session live for at least ttl from now. It never shortens a
// life, and it works through every handle, also from [Sessions.Attach]. One round trip.
func (s *Session) Extend(ctx context.Context, ttl time.Duration) error {
	if err := s.usable(); err != nil {
		return &Error{Op: "extend", Err: err}
	}
	ss := s.sessions
	if err := ss.checkTTL(ttl); err != nil {
		return &Error{Op: "extend", Err: err}
	}
	sent := ss.renewals.now()
	if err := s.renewOne(ctx, ttl); err != nil {
		return &Error{Op: "extend", Err: s.noticed(err)}
	}
	sh := ss.registry.shard(s.id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if !s.owned {
		s.stamp = seconds(ttl)
	} else if until := sent + uint32(min(ttl-ss.lease, farAhead).Milliseconds()); int32(until-s.stamp) > 0 {
		s.stamp = until // as if the lease had been renewed so late
	}
	return nil
}

// farAhead is as far as Session.stamp of an owned handle may lie in the future.
const farAhead = 20 * 24 * time.Hour

// seconds returns ttl as Session.stamp keeps it for a handle that is not owned.
func seconds(ttl time.Duration) uint32 { return uint32(max(ttl, time.Second) / time.Second) }

// checkTTL returns nil, or why ttl cannot be meant.
func (ss *Sessions) checkTTL(ttl time.Duration) error {
	switch {
	case ttl < ss.shortest:
		return fmt.Errorf("ttl of %v: the shortest is %v", ttl, ss.shortest)
	case ttl > longestGrace:
		return fmt.Errorf("ttl of %v: the longest is %v", ttl, longestGrace)
	}
	return nil
}
