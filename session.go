package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	ended    atomic.Pointer[ending] // nil while the handle is usable
	memo     atomic.Pointer[memo]
	done     chan struct{} // guarded by the registry shard of id; nil until somebody asks
	next     *Session      // guarded by the registry shard of id
	owned    bool          // this process renews the lease
	listed   bool          // guarded by the registry shard of id
	stable   bool          // raw is a StableReader
}

// An ending says why a handle is not usable any more.
type ending struct{ err error }

var (
	endDestroyed = &ending{ErrDestroyed}
	endSuspended = &ending{ErrSuspended}
	endClosed    = &ending{ErrClosed}
)

// bind gives the handle its raw store.
func (s *Session) bind(raw Store) {
	s.raw = raw
	s.stable = StableReads(raw)
}

// ID returns the session's ID. It is a credential: keep it out of logs.
func (s *Session) ID() string { return s.id }

// Store returns the raw store under the session: bytes as they are stored, that
// is encoded and, where a [Sealer] is set, sealed. It is meant for tools and
// tests.
func (s *Session) Store() Store { return s.raw }

// Keys returns the names of the keys that have a value, in ascending order.
func (s *Session) Keys(ctx context.Context) ([]string, error) {
	if err := s.usable(); err != nil {
		return nil, &Error{Op: "keys", Err: err}
	}
	keys, err := Keys(ctx, s.raw)
	if err != nil {
		return nil, &Error{Op: "keys", Err: s.noticed(err)}
	}
	return keys, nil
}

// Destroy ends the session and removes its values, on every node. It is
// idempotent. Operations that are under way elsewhere are refused.
//
// Destroy is what a server does when its client has gone, and then the client's
// context has often ended too. A context that has ended already therefore does
// not stop it: it runs for at most five seconds then. Whatever it returns, the
// handle is not usable afterwards and the lease is not renewed any more, so that
// a session that could not be reached ends with its lease; Destroy may be called
// again. After a successful [Session.Suspend] it fails with [ErrSuspended] and
// leaves the suspended session alone.
func (s *Session) Destroy(ctx context.Context) error {
	if s == nil {
		return &Error{Op: "destroy", Err: ErrNoSession}
	}
	if s.ended.Load() == endSuspended {
		return &Error{Op: "destroy", Err: ErrSuspended}
	}
	ctx, cancel := cleanupContext(ctx)
	defer cancel()
	others := s.sessions.registry.others(s)
	s.end(endDestroyed)
	if err := s.raw.Destroy(ctx); err != nil {
		return &Error{Op: "destroy", Err: err}
	}
	s.ended.Store(endDestroyed)
	s.sessions.verify(ctx, others)
	return nil
}

// Suspend lets go of the session and keeps its values for grace, so that the
// client can come back: [Sessions.Resume], on any node, takes it over. Otherwise
// it expires. The handle is not usable afterwards, whatever Suspend returns, and
// the lease is not renewed any more; after an error Suspend may be called again.
// An ended context is treated as [Session.Destroy] does. Suspending a session
// whose life has ended fails with [ErrDestroyed].
func (s *Session) Suspend(ctx context.Context, grace time.Duration) error {
	if s == nil {
		return &Error{Op: "suspend", Err: ErrNoSession}
	}
	if grace <= 0 {
		return &Error{Op: "suspend", Err: fmt.Errorf("grace of %v: it must be positive; to end a session, destroy it", grace)}
	}
	if e := s.ended.Load(); e != nil && e != endSuspendFailed {
		return &Error{Op: "suspend", Err: e.err}
	}
	ctx, cancel := cleanupContext(ctx)
	defer cancel()
	s.end(endSuspendFailed) // until the backend has confirmed
	if err := s.sessions.backend.Suspend(ctx, s.raw, grace); err != nil {
		if errors.Is(err, ErrDestroyed) {
			s.ended.Store(endDestroyed)
		}
		return &Error{Op: "suspend", Err: err}
	}
	s.ended.Store(endSuspended)
	return nil
}

// endSuspendFailed marks a handle that let go of its session without knowing
// whether the backend heard of it: Suspend and Destroy may be tried again.
var endSuspendFailed = &ending{ErrSuspended}

// Done returns a channel that is closed once this process knows that the handle
// is not usable any more: at once when the session ended through this process,
// otherwise at an operation that was refused or at the next renewal of leases,
// which come twice per lease. Asking for Done makes a handle from
// [Sessions.Attach] part of those rounds, without renewing the lease.
func (s *Session) Done() <-chan struct{} {
	return s.sessions.watch(s)
}

// Err says why the handle is not usable any more: [ErrDestroyed],
// [ErrSuspended] or [ErrClosed]. It is nil as long as this process knows of no
// end.
func (s *Session) Err() error {
	if e := s.ended.Load(); e != nil {
		return e.err
	}
	return nil
}

// String returns a fixed text: the ID is a credential and stays out of logs.
func (s *Session) String() string { return "store.Session(ID withheld)" }

// GoString returns the same as String.
func (s *Session) GoString() string { return s.String() }

// LogValue returns the same as String.
func (s *Session) LogValue() slog.Value { return slog.StringValue(s.String()) }

// usable returns nil, or why the handle cannot be used.
func (s *Session) usable() error {
	if s == nil {
		return ErrNoSession
	}
	if e := s.ended.Load(); e != nil {
		return e.err
	}
	return nil
}

// usableKey returns nil, or why the handle or the key cannot be used. What
// CheckKey refuses is left to the backend, which knows cheaper moments for it.
func (s *Session) usableKey(key string) error {
	if err := s.usable(); err != nil {
		return err
	}
	if limit := s.sessions.limits.KeyLength; len(key) > limit {
		return &keyError{key, fmt.Sprintf("it has %d bytes, at most %d are allowed", len(key), limit)}
	}
	return nil
}

// noticed ends the handle when err says that the life has ended. It returns err,
// with what this package can add to it.
func (s *Session) noticed(err error) error {
	if err == ErrNotFound {
		return err
	}
	if errors.Is(err, ErrDestroyed) {
		s.end(endDestroyed)
	}
	return s.sessions.explained(err)
}

// end makes the handle unusable, for the first reason given.
func (s *Session) end(why *ending) { s.sessions.registry.end(s, why) }

// cleanupContext returns ctx, or where ctx has ended already one that lasts for
// cleanupTimeout.
func cleanupContext(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx.Err() == nil {
		return ctx, func() {}
	}
	return context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
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
		return fmt.Errorf("%w: at most %d are allowed; delete some or raise Limits.Keys", err, ss.terms().MaxKeys)
	}
	return err
}
