package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sessionkv/store/codec"
)

// Defaults of [Options] and [Limits].
const (
	DefaultLease     = 60 * time.Second
	DefaultValueSize = 1 << 20
	DefaultKeys      = 1024
)

// cleanupTimeout bounds a Destroy or Suspend that was called with a context
// that had ended already.
const cleanupTimeout = 5 * time.Second

// Options configures [New]. The zero value is ready to use.
type Options struct {
	// Codec encodes values whose key names no codec of its own.
	// Nil means [codec.Msgpack].
	Codec codec.Codec

	// Lease is how long a session outlives a process that dies without saying
	// goodbye. The process renews its sessions twice per lease,
	// and again soon when that fails.
	// Zero means [DefaultLease]; the shortest is a second, the longest a week.
	Lease time.Duration

	// Grace is how long [Sessions.Close] keeps the sessions of this process for
	// a Resume elsewhere. Zero means that Close destroys them; the shortest is a
	// second, the longest a year.
	Grace time.Duration

	// AllowShortTimes permits a Lease and a Grace from a millisecond on. It is
	// meant for tests: so short a lease costs its process much work, and a pause
	// of the process or of the network ends the sessions.
	AllowShortTimes bool

	// Limits bound what a session may hold.
	Limits Limits

	// Sealer encrypts values before they reach the backend. Nil means that they
	// are stored as the codec encodes them. See [NewKeyRing].
	Sealer Sealer

	// OnRenewError is called, from a goroutine of the library, when a renewal of
	// leases failed for another reason than the end of a session. The renewal is
	// tried again on its own until the leases run out. Nil means that such
	// errors are dropped.
	OnRenewError func(error)
}

// Limits bound what a session may hold. For each, zero means the default and a
// negative number means no limit of ours.
type Limits struct {
	// ValueSize is the largest encoded value in bytes, before sealing;
	// by default [DefaultValueSize]. Larger ones fail with [ErrTooLarge].
	ValueSize int

	// Keys is the largest number of keys in one session; by default
	// [DefaultKeys]. One more fails with [ErrTooManyKeys].
	Keys int

	// KeyLength is the longest key in bytes; by default, and at most,
	// [MaxKeyLength]. Longer ones fail with [ErrInvalidKey].
	KeyLength int
}

// The bounds of Options.Lease and Options.Grace.
const (
	shortestTime  = time.Second
	shortTestTime = time.Millisecond // with Options.AllowShortTimes
	longestLease  = 7 * 24 * time.Hour
	longestGrace  = 366 * 24 * time.Hour
)

// check returns nil, or which of the options cannot be meant.
func (o *Options) check() error {
	shortest := shortestTime
	if o.AllowShortTimes {
		shortest = shortTestTime
	}
	for _, t := range []struct {
		name    string
		value   time.Duration
		longest time.Duration
	}{
		{"Lease", o.Lease, longestLease},
		{"Grace", o.Grace, longestGrace},
	} {
		switch {
		case t.value == 0:
		case t.value < 0:
			return fmt.Errorf("Options.%s is %v; it cannot be negative, and zero means the default", t.name, t.value)
		case t.value < shortest && !o.AllowShortTimes:
			return fmt.Errorf("Options.%s is %v; the shortest is %v (tests may set AllowShortTimes)", t.name, t.value, shortest)
		case t.value < shortest:
			return fmt.Errorf("Options.%s is %v; the shortest is %v", t.name, t.value, shortest)
		case t.value > t.longest:
			return fmt.Errorf("Options.%s is %v; the longest is %v", t.name, t.value, t.longest)
		}
	}
	if o.Sealer != nil && isNil(o.Sealer) {
		return fmt.Errorf("Options.Sealer holds a nil %T; values would not be sealed", o.Sealer)
	}
	if n := o.Limits.KeyLength; n > MaxKeyLength {
		return fmt.Errorf("Options.Limits.KeyLength is %d; no backend takes more than %d", n, MaxKeyLength)
	}
	return nil
}

// isNil reports whether v is nil or holds a nil pointer, which a caller that
// ignored an error passes easily.
func isNil(v any) bool {
	if v == nil {
		return true
	}
	r := reflect.ValueOf(v)
	return r.Kind() == reflect.Pointer && r.IsNil()
}

func (l Limits) withDefaults() Limits {
	if l.ValueSize == 0 {
		l.ValueSize = DefaultValueSize
	}
	if l.Keys == 0 {
		l.Keys = DefaultKeys
	}
	if l.KeyLength <= 0 {
		l.KeyLength = MaxKeyLength
	}
	return l
}

// Sessions creates and finds the sessions of one application on one backend,
// renews the leases of those that this process owns, and ends them on Close.
//
// A process that calls [Sessions.Create] or [Sessions.Resume] owns the session:
// it keeps it alive until Destroy, Suspend or Close. A handle from
// [Sessions.Attach] reads and writes but keeps nothing alive.
//
// Every method is safe for concurrent use.
type Sessions struct {
	backend      Backend
	codec        codec.Codec
	scalars      codec.Codec // codec, where the stored bytes are its own; nil with a sealer
	shortStrings bool        // scalars is codec.Msgpack
	lease        time.Duration
	grace        time.Duration
	limits       Limits
	sealer       Sealer
	onRenewError func(error)
	registry     registry
	renewals     renewals
	closed       atomic.Bool
}

// New returns the Sessions of backend, which the caller keeps and closes after
// [Sessions.Close]. A nil opts means defaults. It fails when backend is nil, or
// when an option has a value that cannot be meant.
func New(backend Backend, opts *Options) (*Sessions, error) {
	if isNil(backend) {
		return nil, &Error{Op: "new", Err: errors.New("the backend is nil; pass the one that backends.Open or a backend's New returned")}
	}
	var o Options
	if opts != nil {
		o = *opts
	}
	if err := o.check(); err != nil {
		return nil, &Error{Op: "new", Err: err}
	}
	if o.Codec == nil {
		o.Codec = codec.Msgpack
	}
	if o.Lease == 0 {
		o.Lease = DefaultLease
	}
	ss := &Sessions{
		backend:      backend,
		codec:        o.Codec,
		lease:        o.Lease,
		grace:        o.Grace,
		limits:       o.Limits.withDefaults(),
		sealer:       o.Sealer,
		onRenewError: o.OnRenewError,
	}
	if o.Sealer == nil {
		ss.scalars = o.Codec
		ss.shortStrings = o.Codec == codec.Msgpack
	}
	ss.registry.init()
	ss.renewals.init()
	return ss, nil
}

// Create begins a session and owns it. The initial values are written together
// with it in one step. It fails with [ErrExists] while a session with this ID
// lives; to take over that one, use [Sessions.Resume].
func (ss *Sessions) Create(ctx context.Context, id string, initial ...Change) (*Session, error) {
	if ss.closed.Load() {
		return nil, &Error{Op: "create", Err: ErrClosed}
	}
	s := ss.handle(id, true)
	buf := getBuffer()
	defer buf.release()
	entries, err := s.encodeChanges("create", buf, initial)
	if err != nil {
		return nil, err
	}
	present := entries[:0]
	for _, e := range entries {
		if e.Value != nil { // Unset of a key that cannot be there yet
			present = append(present, e)
		}
	}
	if err := distinct(present); err != nil {
		return nil, opError("create", err)
	}
	raw, err := ss.backend.Create(ctx, id, present, ss.terms())
	if err != nil {
		return nil, opError("create", ss.explained(err))
	}
	return ss.adopt(ctx, "create", s, raw)
}

// Resume takes over a living session, suspended or not, from whatever node, with
// all its values, and owns it. Every earlier handle is fenced off: from this
// moment its operations fail with [ErrDestroyed], and its late Destroy or
// Suspend does not touch the session. It fails with [ErrNoSession] when there is
// no such session, for instance because its grace has run out.
func (ss *Sessions) Resume(ctx context.Context, id string) (*Session, error) {
	if ss.closed.Load() {
		return nil, &Error{Op: "resume", Err: ErrClosed}
	}
	raw, err := ss.backend.Resume(ctx, id, ss.terms())
	if err != nil {
		return nil, &Error{Op: "resume", Err: err}
	}
	return ss.adopt(ctx, "resume", ss.handle(id, true), raw)
}

// Attach returns a handle to a living session, from any node, without owning
// it: the handle reads and writes, it may even destroy the session, but it does
// not keep it alive. It fails with [ErrNoSession] when there is none.
func (ss *Sessions) Attach(ctx context.Context, id string) (*Session, error) {
	if ss.closed.Load() {
		return nil, &Error{Op: "attach", Err: ErrClosed}
	}
	raw, err := ss.backend.Attach(ctx, id, ss.terms())
	if err != nil {
		return nil, &Error{Op: "attach", Err: err}
	}
	s := ss.handle(id, false)
	s.bind(raw)
	return s, nil
}

// Local returns the handle of the session id that this process owns, without
// asking the backend.
func (ss *Sessions) Local(id string) (*Session, bool) {
	return ss.registry.owned(id)
}

// All returns the sessions that this process owns, in no particular order.
// Sessions that begin or end meanwhile may or may not be among them.
func (ss *Sessions) All() iter.Seq[*Session] {
	return ss.registry.allOwned()
}

// Close ends what this process owns: it destroys the sessions, or suspends them
// when [Options].Grace is set, so that another node can resume them. It then
// stops the renewals. The backend stays open. Sessions that could not be
// reached, which the error tells, end when their leases run out. Closing twice
// is harmless.
func (ss *Sessions) Close(ctx context.Context) error {
	if ss.closed.Swap(true) {
		return nil
	}
	handles := ss.registry.close()

	// Many at once, so that a backend can merge them into few round trips.
	const workers = 256
	var (
		wg     sync.WaitGroup
		next   atomic.Int64
		failed atomic.Int64
		first  atomic.Pointer[error]
	)
	for range min(workers, len(handles)) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(handles) {
					return
				}
				if err := ss.letGo(ctx, handles[i]); err != nil {
					failed.Add(1)
					first.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	wg.Wait()
	ss.renewals.stop()
	if n := failed.Load(); n > 0 {
		return &Error{Op: "close", Err: fmt.Errorf("%d of %d sessions were left to their leases; the first error: %w", n, len(handles), *first.Load())}
	}
	return nil
}

func (ss *Sessions) letGo(ctx context.Context, s *Session) error {
	if !s.owned {
		s.end(endClosed)
		return nil
	}
	var err error
	if ss.grace > 0 {
		err = s.Suspend(ctx, ss.grace)
	} else {
		err = s.Destroy(ctx)
	}
	if errors.Is(err, ErrDestroyed) || errors.Is(err, ErrSuspended) {
		return nil // it ended by itself in the meantime
	}
	return err
}

func (ss *Sessions) terms() Terms {
	return Terms{Lease: ss.lease, MaxKeys: max(ss.limits.Keys, 0)}
}

func (ss *Sessions) handle(id string, owned bool) *Session {
	return &Session{sessions: ss, id: id, owned: owned}
}

// adopt makes this process the owner of s.
func (ss *Sessions) adopt(ctx context.Context, op string, s *Session, raw Store) (*Session, error) {
	s.bind(raw)
	if !ss.register(s) {
		// Close came in between and did not see this session.
		err := s.Destroy(ctx)
		return nil, &Error{Op: op, Err: errors.Join(ErrClosed, err)}
	}
	// Handles of earlier lives that this process still has end now, not at
	// their next renewal.
	ss.verify(ctx, ss.registry.others(s))
	return s, nil
}
