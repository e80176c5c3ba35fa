package store

import (
	"context"
	"errors"
	"time"
)

// A Store holds the values of one life of one session as opaque bytes.
//
// It is the raw contract under the typed keys: a backend implements it, a
// [Session] wraps it. Package storetest checks an implementation against every
// sentence written here.
//
// # Lives
//
// A Store is bound to one life of its session. A life begins with [Backend.Create] or
// [Backend.Resume]. It ends with Destroy, with the next Resume, or when the lease runs out. When
// that life has ended, on whatever node, every method except Destroy fails with [ErrDestroyed] and
// changes nothing. It does so also when a session with the same ID lives again. The backend checks
// this in the same atomic step as the operation itself.
//
// # Keys
//
// Keys are those that [CheckKey] accepts. Any other key fails with
// [ErrInvalidKey].
//
// # Ownership
//
// No method retains or modifies a slice that it was given. A slice that a method returns never
// changes. Neither the caller nor the backend changes it, so both may go on using it without a
// copy.
//
// # Errors
//
// A method called with a context that has ended returns the context's error and changes nothing.
// When the outcome of a write cannot be found out, because the reply was lost, it fails with an
// error that satisfies errors.Is(err, [ErrUnknownOutcome]). It is never reported as refused or as
// done. The errors of a client library stay reachable through errors.As. No error text contains a
// session ID.
//
// # Concurrency
//
// Every method is safe for concurrent use, on one Store and on many Stores of
// the same session in many processes. Operations on one session are
// linearizable.
type Store interface {
	// Get returns the value under key, or [ErrNotFound]. An empty value is
	// returned as an empty slice that is not nil.
	Get(ctx context.Context, key string) ([]byte, error)

	// Set stores value under key. A nil value is stored as an empty one.
	// A new key beyond [Terms].MaxKeys fails with [ErrTooManyKeys].
	Set(ctx context.Context, key string, value []byte) error

	// Has reports whether key has a value, without loading it.
	Has(ctx context.Context, key string) (bool, error)

	// Delete removes key. Deleting an absent key succeeds.
	Delete(ctx context.Context, key string) error

	// Destroy ends this life of the session and removes its values, on every
	// node. It is idempotent: when this life has ended already it succeeds and
	// touches nothing, least of all a later life with the same ID.
	Destroy(ctx context.Context) error
}

// Terms bind the Store that a [Backend] hands out.
type Terms struct {
	// Lease is how long the session lives without a renewal. It must be
	// positive. A backend may round it up to its own granularity.
	// Attach does not use it.
	Lease time.Duration

	// MaxKeys is the number of keys that the session may hold when this Store
	// adds one. Zero or less means no limit.
	MaxKeys int
}

// A Backend is a source of sessions: one node's door to storage that it may
// share with other nodes.
//
// IDs are those that [CheckID] accepts; any other fails with [ErrInvalidID].
// Every method is safe for concurrent use. After Close, every method of the
// Backend and of its Stores fails with [ErrClosed].
type Backend interface {
	// Namespace returns the name that keeps this backend's sessions apart from
	// those of other applications on the same server.
	Namespace() string

	// Create begins a new life of the session id with the initial values, in
	// one atomic step. It fails with [ErrExists] while that session lives.
	Create(ctx context.Context, id string, initial []Entry, t Terms) (Store, error)

	// Attach returns another handle to the session's current life, from any
	// node. It fails with [ErrNoSession] when there is none. A suspended
	// session that has not expired can be attached to.
	Attach(ctx context.Context, id string, t Terms) (Store, error)

	// Resume begins a new life of a living session, suspended or not, with the values of the life
	// before, and leases it for t.Lease. Every Store of the earlier life is refused from then on.
	// So a node that lost its client without noticing cannot disturb the node that took it over. It
	// fails with [ErrNoSession] when there is no such session.
	Resume(ctx context.Context, id string, t Terms) (Store, error)

	// Renew makes each of the sessions live for at least lease from now; it never shortens a life.
	// With a lease of zero it only finds out which sessions live. It returns nil when all of them
	// do, and otherwise a slice as long as sessions with an error or nil for each. The error is
	// [ErrDestroyed] for a life that has ended, which Renew never brings back. For sessions that
	// this Backend did not hand out it is [ErrForeignStore], whether ctx has ended or not. Renew
	// takes as few round trips as the backend can make of it.
	Renew(ctx context.Context, sessions []Store, lease time.Duration) []error

	// Suspend makes the session live for exactly grace from now, shorter or longer than before. Its
	// values stay, and so does its life until somebody resumes it. It fails with [ErrDestroyed]
	// when that life has ended. For a session that this Backend did not hand out it fails with
	// [ErrForeignStore], whether ctx has ended or not.
	Suspend(ctx context.Context, session Store, grace time.Duration) error

	// Close releases what the Backend itself holds. Sessions on a server stay
	// there until their leases run out. Closing twice is harmless.
	Close() error
}

// An Entry is a key with its value. A nil Value means that the key is absent;
// an empty Value that is not nil is a value.
type Entry struct {
	Key   string
	Value []byte
}

// A ManyGetter is a [Store] that reads several keys at once.
type ManyGetter interface {
	// GetMany returns the values of keys, in their order, as they were at one
	// instant. An absent key has a nil value.
	GetMany(ctx context.Context, keys []string) ([][]byte, error)
}

// GetMany reads several keys of s at one instant, in one round trip.
// It fails with [errors.ErrUnsupported] when s does not implement [ManyGetter]: one Get
// after another would not be one instant.
func GetMany(ctx context.Context, s Store, keys []string) ([][]byte, error) {
	if m, ok := s.(ManyGetter); ok {
		return m.GetMany(ctx, keys)
	}
	return nil, unsupported("reading several keys at once (ManyGetter)")
}

// A Committer is a [Store] that writes conditionally: compare-and-swap,
// set-if-absent, take and a transaction over several keys in one primitive.
type Committer interface {
	// Commit checks, in one atomic step, that each key of expect has the value given there. If all
	// do, it stores each value of write; nil deletes.
	//
	// Otherwise it changes nothing and returns [ErrConflict] with the current values of the keys of
	// expect, in their order. So a retry needs no further read. An empty expect always holds. Bytes
	// are compared, never the identity of slices. In each of the two lists a key appears at most
	// once. Keys that would exceed [Terms].MaxKeys when all is written fail with [ErrTooManyKeys],
	// and nothing is written.
	Commit(ctx context.Context, expect, write []Entry) (current [][]byte, err error)
}

// Commit writes conditionally to s; see [Committer]. A key that appears twice in
// one of the lists fails with [ErrInvalidKey]. It fails with
// [errors.ErrUnsupported] when s does not implement [Committer].
func Commit(ctx context.Context, s Store, expect, write []Entry) (current [][]byte, err error) {
	c, ok := s.(Committer)
	if !ok {
		return nil, unsupported("conditional writes (Committer)")
	}
	if err := distinctEach(expect, write); err != nil {
		return nil, err
	}
	current, err = c.Commit(ctx, expect, write)
	return current, checkRefusal(expect, current, err)
}

// A TimedCommitter is a [Committer] that says how long the session lives. Writes of indexed keys save a round trip by that.
type TimedCommitter interface {
	Committer

	// CommitTimed is Commit. Where it took effect, left is for how long the session lives after it if nobody renews it. It is never
	// less than that, and zero where that takes another round trip.
	CommitTimed(ctx context.Context, expect, write []Entry) (current [][]byte, left time.Duration, err error)
}

// CommitTimed is [Commit], and returns what [TimedCommitter] says. A Store that does not implement that returns zero for left.
func CommitTimed(ctx context.Context, s Store, expect, write []Entry) (current [][]byte, left time.Duration, err error) {
	c, ok := s.(TimedCommitter)
	if !ok {
		current, err = Commit(ctx, s, expect, write)
		return current, 0, err
	}
	if err := distinctEach(expect, write); err != nil {
		return nil, 0, err
	}
	current, left, err = c.CommitTimed(ctx, expect, write)
	return current, left, checkRefusal(expect, current, err)
}

// checkRefusal returns the error of a Commit, unless a refusal comes without the current values.
func checkRefusal(expect []Entry, current [][]byte, err error) error {
	if errors.Is(err, ErrConflict) && len(current) != len(expect) {
		return errCommitContract
	}
	return err
}

// errCommitContract keeps a mistake in a backend from becoming a panic above it.
var errCommitContract = errors.New("the backend breaks the contract of Commit: a refusal without all current values")

// A ConditionalDestroyer is a [Store] that ends its life on a condition. What has
// to leave one session for another whole, as [Sessions.Rotate] does, needs it.
type ConditionalDestroyer interface {
	// DestroyIf ends this life of the session as Destroy does, provided that it has exactly the
	// given values: no other bytes, no key more, no key less. It does both in one atomic step.
	// Otherwise it changes nothing and returns [ErrConflict]. Unlike Destroy it fails with
	// [ErrDestroyed] when the life has ended before: nil means that this call has ended it. Where
	// it cannot be told whether this call has, it fails with [ErrUnknownOutcome]. A key appears at
	// most once in values; one with a nil Value must be absent.
	DestroyIf(ctx context.Context, values []Entry) error
}

// DestroyIf ends the life of s if it has exactly the given values; see
// [ConditionalDestroyer]. A key that appears twice fails with [ErrInvalidKey]. It
// fails with [errors.ErrUnsupported] when s does not implement ConditionalDestroyer.
func DestroyIf(ctx context.Context, s Store, values []Entry) error {
	d, ok := s.(ConditionalDestroyer)
	if !ok {
		return unsupported("ending a session on a condition (ConditionalDestroyer)")
	}
	if err := distinct(values); err != nil {
		return err
	}
	return d.DestroyIf(ctx, values)
}

// A KeyLister is a [Store] that can name its keys.
type KeyLister interface {
	// Keys returns the keys that have a value, in ascending byte order.
	Keys(ctx context.Context) ([]string, error)
}

// Keys returns the keys of s that have a value, in ascending byte order.
// It fails with [errors.ErrUnsupported] when s does not implement [KeyLister].
func Keys(ctx context.Context, s Store) ([]string, error) {
	if l, ok := s.(KeyLister); ok {
		return l.Keys(ctx)
	}
	return nil, unsupported("listing keys (KeyLister)")
}

// A currentGetter is a [Store] whose Get may answer from a cache. GetCurrent is Get
// that asks the server.
type currentGetter interface {
	GetCurrent(ctx context.Context, key string) ([]byte, error)
}

// getCurrent reads what a write depends on. That a value is absent, or makes the
// write needless, is confirmed by no write, so it must not come from a cache.
func getCurrent(ctx context.Context, s Store, key string) ([]byte, error) {
	if c, ok := s.(currentGetter); ok {
		return c.GetCurrent(ctx, key)
	}
	return s.Get(ctx, key)
}

// A StableReader is a [Store] whose Get returns the very same slice (same
// address, same length) for as long as a value is unchanged. A [Session]
// remembers decoded values only over such a Store.
type StableReader interface {
	// StableReads reports whether Get behaves so.
	StableReads() bool
}

// StableReads reports whether s is a [StableReader] that says so.
func StableReads(s Store) bool {
	r, ok := s.(StableReader)
	return ok && r.StableReads()
}

func unsupported(what string) error {
	return &abilityError{what}
}

// abilityError says which ability a backend lacks.
type abilityError struct{ what string }

func (e *abilityError) Error() string {
	return "this backend does not support " + e.what + "; use another backend or single-key operations"
}

func (e *abilityError) Unwrap() error { return errors.ErrUnsupported }
