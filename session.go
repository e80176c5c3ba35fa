package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"
)

// A Session is this process's handle to one life of one client's session. Typed
// keys read and write through it; see [Key], [Load], [Save] and
// [Session.Update].
//
// When the life ends, by [Session.Destroy] on whatever node, by an expired
// lease, or because another handle resumed the session, every operation fails
// with [ErrDestroyed]. A handle of an earlier life never touches a later one
// with the same ID.
//
// Every method is safe for concurrent use. A nil *Session is refused with
// [ErrNoSession] by the operations on it.
type Session struct {
	sessions *Sessions
	id       string
	raw      Store
	ended    atomic.Pointer[ending] // nil while the handle is live; changed by turn alone
	memo     atomic.Pointer[memo]
	decoded  atomic.Uint64 // what was decoded last, and how reluctant to remember; see again
	watch    *watch        // guarded by the registry shard of id; nil until somebody waits
	next     *Session      // guarded by the registry shard of id
	owned    bool          // this process renews the lease
	listed   bool          // guarded by the registry shard of id
	failing  bool          // guarded by the registry shard of id; the latest renewal failed
	stable   bool          // raw is a StableReader

	// stamp is guarded by the registry shard of id. Of an owned handle it is when the last renewal
	// that was confirmed was sent, as renewals.now tells the time. Of any other it is the seconds
	// that CreateFor or Extend asked for last. It shares a word with the flags above it, which
	// keeps a handle at 96 bytes.
	stamp   uint32
	indexed atomic.Pointer[indexed] // nil without indexes
}

// bind gives the handle its raw store.
func (s *Session) bind(raw Store) {
	s.raw = raw
	s.stable = StableReads(raw)
}

// ID returns the session's ID. It is a credential: keep it out of logs.
func (s *Session) ID() string {
	if s == nil {
		return ""
	}
	return s.id
}

// Owned reports whether this process owns the session. Then the handle is from Create, Resume or
// Open, and the lease is renewed as long as the handle has not ended.
func (s *Session) Owned() bool { return s != nil && s.owned && s.ended.Load() == nil }

// Store returns the raw store under the session: bytes as they are stored, that
// is encoded and, where a [Sealer] is set, sealed. It is meant for tools and
// tests. Of a nil *Session it is nil.
func (s *Session) Store() Store {
	if s == nil {
		return nil
	}
	return s.raw
}

// Keys returns the names of the keys that have a value, in ascending order.
func (s *Session) Keys(ctx context.Context) ([]string, error) {
	if err := s.usable(); err != nil {
		return nil, &Error{Op: "keys", Err: err}
	}
	keys, err := Keys(ctx, s.raw)
	if err != nil {
		return nil, &Error{Op: "keys", Err: s.noticed(err)}
	}
	if i := slices.Index(keys, markKey); i >= 0 { // it is not a value of the program; the backend may keep its list
		keys = slices.Delete(slices.Clone(keys), i, i+1)
	}
	return keys, nil
}

// Release is what a connection defers: it suspends the session for [Options].Grace, or destroys it
// when that is zero. When the handle has ended, whatever way, it does nothing and succeeds. It
// first waits for a Suspend or Destroy of the handle that is in progress. When that fails, Release
// tries it again. [Sessions.Close] waits for Release. A handle from [Sessions.Attach] is only let
// go of: its operations fail with [ErrReleased] afterwards, and the session lives on.
//
// Release usually runs when the client has gone and its context has ended. It
// therefore goes on for up to five seconds after the end of ctx. Whatever it returns,
// the handle is not usable afterwards, and a session that could not be reached ends
// with its lease.
func (s *Session) Release(ctx context.Context) error {
	if !s.valid() {
		return &Error{Op: "release", Err: ErrNoSession}
	}
	if !s.owned {
		s.end(endReleased)
		return nil
	}
	defer s.sessions.calls.leaving()()
	ctx, cancel := cleanup(ctx)
	defer cancel()
	if err := s.letGo(ctx); err != nil {
		return &Error{Op: "release", Err: err}
	}
	return nil
}

// Destroy ends the session and removes its values, on every node. It is
// idempotent. Operations that are on their way elsewhere are refused.
//
// Destroy is what a server does when its client has gone, and then the client's context has often
// ended, too. As Release does, Destroy goes on for up to five seconds after the end of ctx.
// Whatever it returns, the handle is not usable afterwards and the lease is not renewed any more.
// So a session that could not be reached ends with its lease. Destroy may be called again. A
// Suspend of the handle that is on its way is waited for. After a successful [Session.Suspend]
// Destroy fails with [ErrSuspended] and leaves the suspended session alone.
func (s *Session) Destroy(ctx context.Context) error {
	if !s.valid() {
		return &Error{Op: "destroy", Err: ErrNoSession}
	}
	defer s.sessions.calls.leaving()()
	ctx, cancel := cleanup(ctx)
	defer cancel()
	_ = s.usable() // notices that the Sessions were closed
	others := s.sessions.registry.others(s)
	already, err := s.leave(ctx, 0)
	if already == endExpired || already == endClosed && s.owned {
		// The backend has not been asked whether it agrees.
		already, err = nil, s.raw.Destroy(ctx)
	}
	//nolint:errorlint // ErrExpired is ErrDestroyed too, and is returned
	if err == nil && already != nil && already.err != ErrDestroyed && already.err != ErrResumed {
		err = already.err
	}
	if err != nil {
		return &Error{Op: "destroy", Err: err}
	}
	s.sessions.renewals.verify(ctx, others)
	return nil
}

// Suspend lets go of the session and keeps its values for grace, so that the client can come back.
// [Sessions.Resume], on any node, takes it over. Otherwise it expires. The handle is not usable
// afterwards, whatever Suspend returns, and the lease is not renewed any more; after an error
// Suspend may be called again. As Release does, Suspend goes on for up to five seconds after the
// end of ctx. Suspending a session whose life has ended fails with [ErrDestroyed], and one that
// this process does not own with [ErrNotOwner].
func (s *Session) Suspend(ctx context.Context, grace time.Duration) error {
	if !s.valid() {
		return &Error{Op: "suspend", Err: ErrNoSession}
	}
	if grace <= 0 {
		return &Error{Op: "suspend", Err: fmt.Errorf("grace of %v: it must be positive; to end a session, destroy it", grace)}
	}
	if err := s.suspend(ctx, grace); err != nil {
		return &Error{Op: "suspend", Err: err}
	}
	return nil
}

func (s *Session) suspend(ctx context.Context, grace time.Duration) error {
	if !s.owned {
		return ErrNotOwner
	}
	defer s.sessions.calls.leaving()()
	ctx, cancel := cleanup(ctx)
	defer cancel()
	already, err := s.leave(ctx, grace)
	if already != nil {
		return already.err
	}
	return err
}

// Err says why the handle is not usable any more: [ErrDestroyed], or
// [ErrResumed] or [ErrExpired] where that is known; [ErrSuspended],
// [ErrReleased] or [ErrClosed]. It is nil as long as Done is open.
func (s *Session) Err() error {
	if !s.valid() {
		return ErrNoSession
	}
	if e := s.ended.Load(); e != nil && !e.closed() {
		return nil
	}
	return s.usable()
}

// String returns a fixed text: the ID is a credential and stays out of logs.
func (s *Session) String() string { return "store.Session(ID withheld)" }

// GoString returns the same as String.
func (s *Session) GoString() string { return s.String() }

// LogValue returns the same as String.
func (s *Session) LogValue() slog.Value { return slog.StringValue(s.String()) }

// valid reports whether s was made by a Sessions.
func (s *Session) valid() bool { return s != nil && s.sessions != nil }

// usable returns nil, or why the handle cannot be used.
func (s *Session) usable() error {
	if !s.valid() {
		return ErrNoSession
	}
	if s.ended.Load() == nil && s.sessions.over.Load() {
		s.end(endClosed)
	}
	if e := s.ended.Load(); e != nil {
		return e.err
	}
	return nil
}

// ready reports whether the handle and a key of n bytes can be used, in few
// enough words to be inlined; usableKey says why not.
func (s *Session) ready(n int) bool {
	return s != nil && s.ended.Load() == nil && s.sessions != nil && n <= int(s.sessions.keyLength.Load())
}

// usableKey returns nil, or why the handle or the key cannot be used. What
// CheckKey refuses is left to the backend, which has cheaper moments for it.
func (s *Session) usableKey(key string) error {
	if err := s.usable(); err != nil {
		return err
	}
	if limit := s.sessions.limits.KeyLength; len(key) > limit {
		return &keyError{key, fmt.Sprintf("it has %d bytes, at most %d are allowed", len(key), limit)}
	}
	if isReserved(key) {
		return &keyError{key, "names that begin with U+FDD0 are reserved"}
	}
	return nil
}

// opError wraps err in an Error for op, unless it is one that names a key
// already. Where err refuses one of several keys, the Error names that key.
func opError(op string, err error) error {
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	if refused, ok := errors.AsType[*keyError](err); ok {
		return wrap(op, refused.key, err)
	}
	return &Error{Op: op, Err: err}
}

// explained adds the limit to an error that says that it was exceeded.
func (ss *Sessions) explained(err error) error {
	if errors.Is(err, ErrTooManyKeys) {
		return fmt.Errorf("%w: at most %d are allowed; delete some or raise Limits.Keys", err, max(ss.limits.Keys, 0))
	}
	return err
}
