package store

import (
	"context"

	"github.com/sessionkv/store/codec"
	"github.com/sessionkv/store/internal/scalar"
)

// A Key names a value of a session and its type. Declare each key once, as a
// constant, and use its methods:
//
//	const UserID = store.Key[string]("userId")
//
//	err := UserID.Set(ctx, sess, "u-42")
//	id, err := UserID.Get(ctx, sess)
//
// Values are encoded with the codec of [Options], or with the one that
// [Key.With] names. Names are those that [CheckKey] accepts. Two keys with one
// name are the same value; reading it as another type fails with [ErrDecode].
//
// Errors are of type [*Error]. Every method is safe for concurrent use.
type Key[T any] string

// With returns the same key with a codec of its own.
func (k Key[T]) With(c codec.Codec) CodecKey[T] { return CodecKey[T]{name: string(k), codec: c} }

// IfUndecodable returns the same key with a policy of its own for stored values that
// do not decode.
func (k Key[T]) IfUndecodable(do Undecodable) CodecKey[T] { return k.bound().IfUndecodable(do) }

func (k Key[T]) bound() CodecKey[T] { return CodecKey[T]{name: string(k)} }

// Get returns the value, or an error that satisfies errors.Is(err, [ErrNotFound]).
func (k Key[T]) Get(ctx context.Context, s *Session) (T, error) {
	// The hot path. A scalar is decoded by a type switch on &v, through functions that do not let v
	// escape. A struct that has not changed is in the memo.
	var v T
	if !s.ready(len(k)) {
		return v, wrap("get", string(k), s.usableKey(string(k)))
	}
	raw, err := s.raw.Get(ctx, string(k))
	if err != nil {
		return v, wrap("get", string(k), s.noticed(err))
	}
	if s.memo.Load() != nil {
		if remembered(s, s.sessions.codec, raw, &v) {
			return v, nil
		}
	}
	if p, ok := any(&v).(*string); ok && s.sessions.scalars == scalar.Msgpack { // the commonest, without a call
		if text, ok := shortString(raw); ok {
			*p = text
			return v, nil
		}
	}
	if scalar.Decode(s.sessions.scalars, raw, &v) {
		return v, nil
	}
	return k.decodeAnew(ctx, s, raw)
}

// shortString calls scalar.ShortString from a function without type parameters. So the compiler exports that with this
// package, and inlines it where programs instantiate Get. A call would take a tenth of a Get.
func shortString(raw []byte) (string, bool) { return scalar.ShortString(raw) }

//go:noinline
func (k Key[T]) decodeAnew(ctx context.Context, s *Session, raw []byte) (T, error) {
	v, err := decodeAnew[T](s, string(k), s.sessions.codec, raw)
	if err != nil {
		var zero T
		return zero, k.bound().undecoded(ctx, s, raw, err)
	}
	return v, nil
}

// Lookup returns the value and whether there is one. An absent value is not an
// error.
func (k Key[T]) Lookup(ctx context.Context, s *Session) (value T, ok bool, err error) {
	return k.bound().Lookup(ctx, s)
}

// GetOr returns the value, or fallback when there is none.
func (k Key[T]) GetOr(ctx context.Context, s *Session, fallback T) (T, error) {
	return k.bound().GetOr(ctx, s, fallback)
}

// Set stores value. A nil pointer or nil interface is refused with
// [ErrNilValue].
func (k Key[T]) Set(ctx context.Context, s *Session, value T) error {
	if err := set(ctx, s, string(k), nil, value); err != nil {
		return wrap("set", string(k), err)
	}
	return nil
}

// Has reports whether there is a value, without loading it where the backend
// can answer that alone.
func (k Key[T]) Has(ctx context.Context, s *Session) (bool, error) {
	return k.bound().Has(ctx, s)
}

// Delete removes the value. Deleting an absent value succeeds.
func (k Key[T]) Delete(ctx context.Context, s *Session) error {
	return k.bound().Delete(ctx, s)
}

// SetIfAbsent stores value unless there is one already, and reports whether it
// did. Of many concurrent callers on all nodes exactly one stores. A value that
// does not decode is one too, unless [Undecodable] says otherwise.
func (k Key[T]) SetIfAbsent(ctx context.Context, s *Session, value T) (stored bool, err error) {
	return k.bound().SetIfAbsent(ctx, s, value)
}

// Take removes the value and returns it, or fails with [ErrNotFound]. Of many
// concurrent callers on all nodes exactly one gets it.
func (k Key[T]) Take(ctx context.Context, s *Session) (T, error) {
	return k.bound().Take(ctx, s)
}

// Update replaces the value by what change makes of it, atomically against every other writer on
// every node, and returns the new value. When there is no value, old is the zero value and ok is
// false. When another writer came first, change is called again, so it must have no other effects.
// An error of change ends the update without a write and is returned. With [Keep] the update writes
// nothing and returns the old value, with [Remove] it removes the value.
//
// A writer that came first costs one more round trip and never the update:
// Update tries again until ctx ends.
func (k Key[T]) Update(ctx context.Context, s *Session, change func(old T, ok bool) (T, error)) (T, error) {
	return k.bound().Update(ctx, s, change)
}

// Into makes the value part of a [Load], which stores it in *dst and fails with
// [ErrNotFound] when there is none.
func (k Key[T]) Into(dst *T) Target { return k.bound().Into(dst) }

// IntoOr makes the value part of a [Load], which stores it, or fallback when
// there is none, in *dst.
func (k Key[T]) IntoOr(dst *T, fallback T) Target { return k.bound().IntoOr(dst, fallback) }

// To makes storing value part of a [Save] or a [Sessions.Create].
func (k Key[T]) To(value T) Change { return k.bound().To(value) }

// Unset makes removing the value part of a [Save].
func (k Key[T]) Unset() Change { return k.bound().Unset() }

// In returns the value as the transaction tx sees it.
func (k Key[T]) In(tx *Tx) TxValue[T] { return k.bound().In(tx) }
