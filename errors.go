package store

import (
	"errors"
	"fmt"
	"strings"
)

// Sentinel errors. Test for them with [errors.Is]; what the library returns
// wraps them, usually in an [*Error].
var (
	// ErrNotFound: the key has no value.
	ErrNotFound = errors.New("no value under this key")

	// ErrDestroyed: the life of the session that this handle belongs to has
	// ended. It was destroyed, it expired, or another handle resumed it. The last
	// two are told apart, as ErrExpired and ErrResumed, where the backend still
	// can; both satisfy errors.Is(err, ErrDestroyed).
	ErrDestroyed = errors.New("the session has ended")

	// ErrResumed: another handle resumed the session, which goes on there with
	// all its values. It satisfies errors.Is(err, ErrDestroyed).
	ErrResumed error = &endedError{"the session goes on elsewhere: another handle resumed it"}

	// ErrExpired: the lease or the grace of the session ran out. It satisfies
	// errors.Is(err, ErrDestroyed).
	ErrExpired error = &endedError{"the session has expired"}

	// ErrNotOwner: the operation is one for the owner of the session, and this
	// handle is from Attach.
	ErrNotOwner = errors.New("this handle does not own the session; resume the session to own it")

	// ErrSuspended: this handle let go of its session with Suspend.
	ErrSuspended = errors.New("the session was suspended through this handle; resume it to go on")

	// ErrReleased: this handle from Attach was let go of with Release.
	ErrReleased = errors.New("this handle was released; attach again to go on")

	// ErrExists: a session with this ID lives already.
	ErrExists = errors.New("a session with this ID lives already; resume it or create another ID")

	// ErrNoSession: no session with this ID lives.
	ErrNoSession = errors.New("no session with this ID lives")

	// ErrConflict: a conditional write found other values than it expected.
	ErrConflict = errors.New("the values changed in the meantime")

	// ErrUnknownOutcome: a write may or may not have taken effect, because its
	// reply was lost. It may also take effect later, even after other writes, so
	// reading the value does not settle it. Write again, or resume the session: the
	// late write belongs to the life before, and is refused.
	ErrUnknownOutcome = errors.New("outcome unknown: the write may or may not have taken effect")

	// ErrNilValue: a nil pointer or nil interface was to be stored.
	ErrNilValue = errors.New("nil cannot be stored; delete the key instead")

	// ErrDecode: the stored bytes are not an encoding of the key's type.
	ErrDecode = errors.New("the stored bytes do not decode")

	// ErrEncode: the codec cannot encode the value.
	ErrEncode = errors.New("the value cannot be encoded")

	// ErrSealed says that a stored value does not open. It was sealed with an unknown key, changed,
	// copied from another session or key, or not sealed at all.
	ErrSealed = errors.New("the sealed value does not open")

	// ErrTooLarge: the encoded value is larger than the limit.
	ErrTooLarge = errors.New("value too large")

	// ErrTooManyKeys: the session would hold more keys than the limit.
	ErrTooManyKeys = errors.New("too many keys in this session")

	// ErrInvalidKey: the key is not one that CheckKey accepts.
	ErrInvalidKey = errors.New("invalid key")

	// ErrInvalidID: the session ID is not one that CheckID accepts.
	ErrInvalidID = errors.New("invalid session ID")

	// ErrClosed: the Sessions or the Backend was closed.
	ErrClosed = errors.New("store is closed")
)

// Keep and Remove are what the change of [Key.Update] may return as its error
// instead of a new value. Update returns neither.
var (
	// Keep: nothing is to be written. Update returns the value as it is.
	Keep = errors.New("keep the value")

	// Remove: the value is to be removed. Update returns the zero value.
	Remove = errors.New("remove the value")
)

// Error records the operation and the key that failed, and why.
// It never carries the session ID, which is a credential, nor a value.
type Error struct {
	Op  string // "get", "set", "create", "decode", …
	Key string // the key's declared name; empty when the operation has none
	Err error  // the cause
}

// Error returns one line: operation, key, cause. A long key is cut, and the lines
// of joined causes are put into one.
func (e *Error) Error() string {
	if e == nil {
		return "store: no error"
	}
	cause := strings.ReplaceAll(fmt.Sprint(e.Err), "\n", "; ")
	if e.Key == "" {
		return fmt.Sprintf("store: %s: %s", e.Op, cause)
	}
	if n := len(e.Key); n > shownKey {
		return fmt.Sprintf("store: %s %q… (a key of %d bytes): %s", e.Op, strings.ToValidUTF8(e.Key[:shownKey], ""), n, cause)
	}
	return fmt.Sprintf("store: %s %q: %s", e.Op, e.Key, cause)
}

// shownKey is how many bytes of a key an error text shows.
const shownKey = 64

// Unwrap returns the cause.
func (e *Error) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.Err
}

// endedError is a way in which a life ends that ErrDestroyed covers.
type endedError struct{ text string }

func (e *endedError) Error() string { return e.text }
func (e *endedError) Unwrap() error { return ErrDestroyed }

// keyError says why a key is refused. The text leaves naming it to Error.
type keyError struct{ key, why string }

func (e *keyError) Error() string { return ErrInvalidKey.Error() + ": " + e.why }
func (e *keyError) Unwrap() error { return ErrInvalidKey }
