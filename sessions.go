package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/sessionkv/store/codec"
	"github.com/sessionkv/store/internal/scalar"
)

// Defaults of [Options] and [Limits].
const (
	DefaultLease     = 60 * time.Second
	DefaultValueSize = 1 << 20
	DefaultKeys      = 1024
)

// Options configures [New]. The zero value is ready to use.
type Options struct {
	// Codec encodes values whose key names no codec of its own.
	// Nil means [codec.Msgpack].
	//
	// Stored bytes do not say which codec wrote them. Those of another one may decode to a wrong
	// value without an error (57 in msgpack reads as 9 in JSON). To change the codec while sessions
	// live, follow the steps of [codec.BeforeChange].
	Codec codec.Codec

	// Lease is how long a session outlives a process that dies without saying
	// goodbye. The process renews its sessions twice per lease,
	// and again soon when that fails.
	// Zero means [DefaultLease]; the shortest is a second, the longest a week.
	Lease time.Duration

	// Grace is how long [Sessions.Close] keeps the sessions of this process for
	// a Resume elsewhere. Zero means that Close destroys them; the shortest is a
	// second, the longest a year. On a server, a renewal that was held up on the
	// network and arrives after the suspension lengthens the grace to one Lease
	// from then.
	Grace time.Duration

	// AllowShortTimes permits a Lease and a Grace from a millisecond on. It is meant for tests. So
	// short a lease costs its process much work, and a pause of the process or of the network ends
	// the sessions.
	AllowShortTimes bool

	// Limits bound what a session may hold.
	Limits Limits

	// Sealer encrypts values before they reach the backend. Nil means that they
	// are stored as the codec encodes them. See [NewKeyRing].
	Sealer Sealer

	// Indexes are the keys by whose values sessions can be found, on every node; see [Key.Find]. The
	// backend must be an [Indexer], as those of this module are. A Sealer must be a [BlindIndexer], as a
	// KeyRing is.
	//
	// Every process that writes these keys, renews, suspends or extends sessions needs the same Indexes. What another one
	// has written is found after the next renewal by one that has them. So are sessions that live already when an index
	// is switched on.
	Indexes []Index

	// Undecodable says what becomes of stored values that do not decode: Fail, by
	// default, Absent or Drop. [Key.IfUndecodable] decides for one key.
	Undecodable Undecodable

	// OnUndecodable is called for each value that does not decode, whenever an
	// operation meets it, before that operation returns and on its goroutine. It must
	// be safe for concurrent use, and should not use the key that it is told of.
	OnUndecodable func(UndecodableValue)

	// OnRenewError is called when renewals of leases failed for another reason than the end of a
	// session. It is called once for each round in which some failed, never concurrently. The error
	// is around a [*RenewError], which says how many sessions it is about. Failed renewals are
	// tried again until the leases have run out. It runs in a goroutine of its own and may call
	// anything, Close too; while it blocks, failures add up for the next call. A panic in it is
	// logged and does not stop the renewals. Nil means that such errors are dropped;
	// [Sessions.Stats] counts them all the same.
	OnRenewError func(error)

	// Logger gets a line for each round in which renewals failed, with how many. It gets one for
	// each panic of OnRenewError and of functions given to AfterEnd. Nil means that failed renewals
	// are not logged, and panics by slog.Default. No line has an ID or a value in it;
	// docs/logging.md lists all.
	Logger *slog.Logger
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

// shortest returns the shortest lease and grace that are allowed.
func (o *Options) shortest() time.Duration {
	if o.AllowShortTimes {
		return shortTestTime
	}
	return shortestTime
}

// check returns nil, or which of the options cannot be meant.
func (o *Options) check() error {
	shortest := o.shortest()
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
			return fmt.Errorf("option %s is %v; it cannot be negative, and zero means the default", t.name, t.value)
		case t.value < shortest && !o.AllowShortTimes:
			return fmt.Errorf("option %s is %v; the shortest is %v (tests may set AllowShortTimes)", t.name, t.value, shortest)
		case t.value < shortest:
			return fmt.Errorf("option %s is %v; the shortest is %v", t.name, t.value, shortest)
		case t.value > t.longest:
			return fmt.Errorf("option %s is %v; the longest is %v", t.name, t.value, t.longest)
		}
	}
	if o.Sealer != nil && isNil(o.Sealer) {
		return fmt.Errorf("option Sealer holds a nil %T; values would not be sealed", o.Sealer)
	}
	if o.Undecodable > Drop {
		return fmt.Errorf("Options.Undecodable is %v; use Fail, Absent or Drop", o.Undecodable)
	}
	if n := o.Limits.KeyLength; n > MaxKeyLength {
		return fmt.Errorf("option Limits.KeyLength is %d; no backend takes more than %d", n, MaxKeyLength)
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

// Sessions creates and finds the sessions of one application on one backend. It renews the leases
// of those that this process owns, and ends them on Close.
//
// A process that calls [Sessions.Open], [Sessions.Create] or [Sessions.Resume]
// owns the session: it keeps it alive until Release, Destroy, Suspend or Close.
// A handle from [Sessions.Attach] or [Sessions.CreateFor] reads and writes but
// keeps nothing alive.
//
// Every method is safe for concurrent use. A nil *Sessions, or one that New did
// not make, is refused with an error.
type Sessions struct {
	backend       Backend
	codec         codec.Codec
	scalars       scalar.Format // of codec, where the stored bytes are its own; Other with a sealer
	over          atomic.Bool   // Close has let go of everything
	keyLength     atomic.Int64  // limits.KeyLength, until nothing is ready any more
	lease         time.Duration
	grace         atomic.Int64  // Options.Grace, or what closeKeeping made of zero
	shortest      time.Duration // that CreateFor and Extend take
	limits        Limits
	sealer        Sealer
	indexes       *indexes // nil without
	undecodable   Undecodable
	onUndecodable func(UndecodableValue)
	registry      registry
	logger        *slog.Logger // nil: none
	renewals      renewals
	calls         calls
	closing       closing
	knownType     atomic.Pointer[reflect.Type] // of Stores that the backend can renew
	conflicts     atomic.Uint64
	undecoded     atomic.Uint64
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
		backend:       backend,
		codec:         o.Codec,
		lease:         o.Lease,
		shortest:      o.shortest(),
		limits:        o.Limits.withDefaults(),
		sealer:        o.Sealer,
		renewals:      renewals{backend: backend, lease: o.Lease, onError: o.OnRenewError},
		logger:        o.Logger,
		undecodable:   o.Undecodable,
		onUndecodable: o.OnUndecodable,
	}
	if o.Sealer == nil {
		ss.scalars = scalar.FormatOf(o.Codec)
	}
	var err error
	if ss.indexes, err = newIndexes(backend, o.Indexes, o.Sealer); err != nil {
		return nil, &Error{Op: "new", Err: err}
	}
	ss.grace.Store(int64(o.Grace))
	ss.keyLength.Store(int64(ss.limits.KeyLength))
	ss.registry.init(Places(backend))
	ss.renewals.registry = &ss.registry
	ss.renewals.sessions = ss
	ss.renewals.init()
	ss.calls.init()
	ss.closing.init()
	return ss, nil
}

// faults returns the logger of what goes wrong in functions of the program.
func (ss *Sessions) faults() *slog.Logger {
	if ss.logger != nil {
		return ss.logger
	}
	return slog.Default()
}

// Create begins a session and owns it. The initial values are written together
// with it in one step. It fails with [ErrExists] while a session with this ID
// lives; to take over that one, use [Sessions.Resume].
//
// An ID is a credential: whoever has it can resume the session. Use [NewID]. Never use an ID that a
// client chose (session fixation). An attacker would prepare one, make a victim use it, and resume
// the session when the victim has logged in. Never use one that others can see, such as the ID of a
// socket in a chat.
func (ss *Sessions) Create(ctx context.Context, id string, initial ...Change) (*Session, error) {
	if err := ss.enter(); err != nil {
		return nil, &Error{Op: "create", Err: err}
	}
	defer ss.calls.exit()
	s := ss.handle(id, true)
	raw, err := ss.begin(ctx, s, initial, ss.lease)
	if err != nil {
		return nil, opError("create", err)
	}
	s.bind(raw)
	if err := ss.adopt(ctx, s, beganCreate); err != nil {
		return nil, &Error{Op: "create", Err: err}
	}
	return s, nil
}

// begin creates the session of s on the backend.
func (ss *Sessions) begin(ctx context.Context, s *Session, initial []Change, lease time.Duration) (Store, error) {
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
		return nil, err
	}
	if err := CheckID(s.id); err != nil {
		return nil, err
	}
	if present, err = s.begins(ctx, present, lease); err != nil {
		return nil, err
	}
	raw, err := ss.backend.Create(ctx, s.id, present, ss.terms(lease))
	s.begun(err)
	if err != nil {
		return nil, ss.explained(err)
	}
	return raw, nil
}

// Resume takes over a living session, suspended or not, from whatever node, with
// all its values, and owns it. Every earlier handle is fenced off: from this
// moment its operations fail with [ErrDestroyed], and its late Destroy or
// Suspend does not touch the session. It fails with [ErrNoSession] when there is
// no such session, for instance because its grace has run out.
//
// Whoever has the ID gets the session. [Sessions.Open] looks at it first.
func (ss *Sessions) Resume(ctx context.Context, id string) (*Session, error) {
	if err := ss.enter(); err != nil {
		return nil, &Error{Op: "resume", Err: err}
	}
	defer ss.calls.exit()
	s, err := ss.resume(ctx, id)
	if err != nil {
		return nil, &Error{Op: "resume", Err: err}
	}
	return s, nil
}

func (ss *Sessions) resume(ctx context.Context, id string) (*Session, error) {
	s := ss.handle(id, true)
	raw, err := ss.backend.Resume(ctx, id, ss.terms(ss.lease))
	if err != nil {
		if ss.indexes != nil && errors.Is(err, ErrUnknownOutcome) {
			ss.renewals.attend(id)
		}
		return nil, err
	}
	s.bind(raw)
	if err := ss.adopt(ctx, s, beganResume); err != nil {
		return nil, err
	}
	return s, nil
}

// Attach returns a handle to a living session, from any node, without owning it. The handle reads
// and writes, it may even destroy the session, but it does not keep it alive. It fails with
// [ErrNoSession] when there is none.
func (ss *Sessions) Attach(ctx context.Context, id string) (*Session, error) {
	if err := ss.enter(); err != nil {
		return nil, &Error{Op: "attach", Err: err}
	}
	defer ss.calls.exit()
	s, err := ss.attach(ctx, id)
	if err != nil {
		return nil, &Error{Op: "attach", Err: err}
	}
	return s, nil
}

func (ss *Sessions) attach(ctx context.Context, id string) (*Session, error) {
	raw, err := ss.backend.Attach(ctx, id, ss.terms(ss.lease))
	if err != nil {
		return nil, err
	}
	s := ss.handle(id, false)
	s.bind(raw)
	ss.registry.count(s, beganAttach)
	return s, nil
}

// Local returns the handle of the session id that this process owns, without
// asking the backend.
func (ss *Sessions) Local(id string) (*Session, bool) {
	if !ss.valid() {
		return nil, false
	}
	return ss.registry.local(id)
}

// All returns the sessions that this process owns, in no particular order.
// Sessions that begin or end meanwhile may or may not be among them.
func (ss *Sessions) All() iter.Seq[*Session] {
	if !ss.valid() {
		return func(func(*Session) bool) {}
	}
	return ss.registry.allOwned()
}

func (ss *Sessions) valid() bool { return ss != nil && ss.backend != nil }

// keeps returns how long Release and Close keep a session; zero means not at all.
func (ss *Sessions) keeps() time.Duration { return time.Duration(ss.grace.Load()) }

func (ss *Sessions) terms(lease time.Duration) Terms {
	most := max(ss.limits.Keys, 0)
	if ss.indexes != nil && most > 0 {
		most++ // for the mark
	}
	return Terms{Lease: lease, MaxKeys: most}
}

// handle returns a handle whose life is about to begin.
func (ss *Sessions) handle(id string, owned bool) *Session {
	s := &Session{sessions: ss, id: id, owned: owned}
	if owned {
		s.stamp = ss.renewals.now()
	}
	return s
}

// adopt makes this process the owner of s.
func (ss *Sessions) adopt(ctx context.Context, s *Session, how begin) error {
	if err := ss.known(s.raw); err != nil {
		if how == beganCreate {
			if left := s.raw.Destroy(ctx); left != nil {
				err = fmt.Errorf("%w; what it began was left to its lease: %w", err, left)
			}
		}
		return err
	}
	if !ss.registry.add(s, how) {
		// Close came in between and did not see this session. What existed before
		// this call must live on although the call fails.
		ctx, cancel := cleanup(ctx)
		defer cancel()
		grace := ss.keeps()
		if grace == 0 && how == beganResume {
			grace = ss.lease
		}
		if _, err := s.leave(ctx, grace); err != nil {
			return fmt.Errorf("%w; the session was left to its lease: %w", ErrClosed, err)
		}
		return ErrClosed
	}
	ss.renewals.start()
	ss.renewals.index(s)
	// Handles of earlier lives that this process still has end now, not at
	// their next renewal.
	ss.renewals.verify(ctx, ss.registry.others(s))
	return nil
}
