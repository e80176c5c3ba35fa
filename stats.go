package store

import (
	"context"
	"errors"
)

// Stats are figures of one process since New; see [Sessions.Stats]. While no call is in progress,
// Created and Resumed together are Owned, Left, Suspended, Destroyed and Lost together. That holds
// as long as nobody uses [Sessions.CreateFor], and no handle of Attach destroys a session. Rotate
// changes nothing: a session with a new ID is the same session.
type Stats struct {
	Owned   int // sessions that this process owns now
	Left    int // sessions that were let go of without the backend's word for it; they end with their leases
	Overdue int // of those, the ones whose latest renewal failed; they end when their leases have run out

	Created   uint64 // sessions that Create or Open began, and CreateFor
	Resumed   uint64 // sessions that Resume or Open took over
	Attached  uint64 // handles that Attach returned
	Suspended uint64 // sessions that were suspended through their owner here
	Destroyed uint64 // sessions that were destroyed through a handle of this process
	Lost      uint64 // owned sessions that were resumed or destroyed through another handle, here or elsewhere, expired, or were left by Close
	TakenOver uint64 // of Lost, those that another handle resumed, here or elsewhere, as far as the backend says so
	Expired   uint64 // of Lost, those that expired, as far as the backend says so

	RenewFailures uint64 // renewals of a session that failed, for another reason than its end

	Conflicts   uint64 // how often Update, Take, SetIfAbsent or a transaction found that another writer had come first, and began anew
	Undecodable uint64 // how often a value that was read did not decode or open, whatever [Undecodable] made of it
}

// Stats returns figures for metrics. It costs no round trip, and as little with
// a million sessions as with one.
func (ss *Sessions) Stats() Stats {
	var st Stats
	if !ss.valid() {
		return st
	}
	for i := range ss.registry.shards {
		sh := &ss.registry.shards[i]
		sh.mu.Lock()
		st.Owned += sh.owned
		st.Left += sh.left
		st.Overdue += sh.failing
		st.Created += sh.began[beganCreate]
		st.Resumed += sh.began[beganResume]
		st.Attached += sh.began[beganAttach]
		st.Suspended += sh.ends[tallySuspended]
		st.Destroyed += sh.ends[tallyDestroyed]
		st.TakenOver += sh.ends[tallyResumed]
		st.Expired += sh.ends[tallyExpired]
		st.Lost += sh.ends[tallyLost] + sh.ends[tallyResumed] + sh.ends[tallyExpired]
		sh.mu.Unlock()
	}
	st.RenewFailures = ss.renewals.failed.Load()
	st.Conflicts, st.Undecodable = ss.conflicts.Load(), ss.undecoded.Load()
	return st
}

// Owned returns how many sessions this process owns now.
func (ss *Sessions) Owned() int { return ss.Stats().Owned }

// Ping asks the backend about a session that does not exist, in one round trip.
// It returns nil when the backend answers: the process is ready to serve.
func (ss *Sessions) Ping(ctx context.Context) error {
	if err := ss.enter(); err != nil {
		return &Error{Op: "ping", Err: err}
	}
	defer ss.calls.exit()
	_, err := ss.backend.Attach(ctx, NewID(), ss.terms(ss.lease))
	if errors.Is(err, ErrNoSession) {
		return nil
	}
	if err == nil {
		err = errPing
	}
	return &Error{Op: "ping", Err: err}
}

var errPing = errors.New("the backend claims to have a session that nobody can have created")
