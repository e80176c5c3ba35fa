package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/sessionkv/store/codec"
)

// ErrNewer says that the stored value is of a newer version than this program has; see
// [codec.Versioned]. What Get and its like return then satisfies errors.Is(err, [ErrDecode]), too.
var ErrNewer = codec.ErrNewer

// Undecodable says what becomes of a stored value that an operation needs and that does not decode
// or open. Its error is [ErrDecode], which includes [ErrNewer], or [ErrSealed].
// [Options].Undecodable decides for all keys, [Key.IfUndecodable] for one.
//
// Get, Lookup, GetOr, Into, IntoOr, Take, Update, SetIfAbsent and transactions
// follow it. [Key.Has] and [Session.Keys] do not load values and report every one.
type Undecodable uint8

const (
	// Fail returns the error, and changes nothing. SetIfAbsent needs no value and
	// reports that there is one.
	Fail Undecodable = iota

	// Absent treats the value as an absent one: Get fails with ErrNotFound, GetOr
	// returns the fallback, Update starts from nothing. What is written takes the
	// place of these very bytes only: another write in between is not lost.
	Absent

	// Drop is Absent, and removes the value, provided that it is still these very bytes. Reading
	// then costs one more round trip, once. In a transaction the removal is part of the
	// transaction. A value of a newer version is left, so that a program of an older version does
	// not remove what newer ones wrote. So is every value when the backend has no conditional
	// writes.
	Drop
)

// String returns the name of the constant.
func (u Undecodable) String() string {
	switch u {
	case Fail:
		return "Fail"
	case Absent:
		return "Absent"
	case Drop:
		return "Drop"
	}
	return fmt.Sprintf("Undecodable(%d)", uint8(u))
}

// UndecodableValue is what [Options].OnUndecodable is told.
type UndecodableValue struct {
	Session *Session
	Key     string
	Err     error       // why; it holds no value
	Done    Undecodable // what is done about it
}

// policy is an Undecodable of a key: 0 for that of the Sessions, or 1 more.
type policy uint8

func policyOf(u Undecodable) policy { return policy(u) + 1 }

func (p policy) in(ss *Sessions) Undecodable {
	if p == 0 {
		return ss.undecodable
	}
	return Undecodable(p - 1)
}

// judge reports that the value under key does not decode because of err, and
// returns what to do about it; Fail comes with err.
func (s *Session) judge(key string, p policy, err error) (Undecodable, error) {
	if !errors.Is(err, ErrDecode) && !errors.Is(err, ErrSealed) {
		return Fail, err
	}
	s.sessions.undecoded.Add(1)
	do := p.in(s.sessions)
	if _, ok := errors.AsType[interface {
		error
		Misuse() bool
	}](err); ok {
		do = Fail // the program is wrong, not the value
	}
	if hook := s.sessions.onUndecodable; hook != nil {
		hook(UndecodableValue{Session: s, Key: key, Err: err, Done: do})
	}
	switch do {
	case Absent:
		return Absent, nil
	case Drop:
		if errors.Is(err, ErrNewer) {
			return Absent, nil
		}
		return Drop, nil
	}
	return Fail, err
}

// settle does what the policy says about the bytes raw under key, which do not
// decode because of err. It returns nil when they count as absent.
func (s *Session) settle(ctx context.Context, key string, p policy, raw []byte, err error) error {
	do, err := s.judge(key, p, err)
	if do != Drop {
		return err
	}
	_, err = s.commit(ctx, []Entry{{key, raw}}, []Entry{{Key: key}})
	if err == nil || errors.Is(err, ErrConflict) || errors.Is(err, errors.ErrUnsupported) {
		return nil // when it was read it was absent, whatever there is now
	}
	return s.noticed(err)
}
