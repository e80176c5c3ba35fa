package store

import (
	"context"
	"errors"

	"github.com/sessionkv/store/codec"
)

// A CodecKey is a [Key] with a codec or a policy of its own; [Key.With] and
// [Key.IfUndecodable] make it. Its methods are those of Key.
type CodecKey[T any] struct {
	name   string
	codec  codec.Codec // nil: the codec of the session
	policy policy
}

// With is [Key.With].
func (k CodecKey[T]) With(c codec.Codec) CodecKey[T] {
	k.codec = c
	return k
}

// IfUndecodable is [Key.IfUndecodable].
func (k CodecKey[T]) IfUndecodable(do Undecodable) CodecKey[T] {
	k.policy = policyOf(do)
	return k
}

// read turns the bytes stored under the key into a value, and reports whether
// they count as one.
func (k CodecKey[T]) read(ctx context.Context, s *Session, raw []byte) (v T, ok bool, err error) {
	if v, err = decode[T](s, k.name, k.codec, raw); err == nil {
		return v, true, nil
	}
	var zero T
	return zero, false, s.settle(ctx, k.name, k.policy, raw, err)
}

// undecoded is the outcome of a Get that found raw, which does not decode because
// of err.
func (k CodecKey[T]) undecoded(ctx context.Context, s *Session, raw []byte, err error) error {
	if err = s.settle(ctx, k.name, k.policy, raw, err); err == nil {
		err = ErrNotFound
	}
	return wrap("get", k.name, err)
}

// Get is [Key.Get].
func (k CodecKey[T]) Get(ctx context.Context, s *Session) (T, error) {
	v, ok, err := k.Lookup(ctx, s)
	if err == nil && !ok {
		err = wrap("get", k.name, ErrNotFound)
	}
	return v, err
}

// Lookup is [Key.Lookup].
func (k CodecKey[T]) Lookup(ctx context.Context, s *Session) (value T, ok bool, err error) {
	raw, err := s.getRaw(ctx, k.name)
	switch {
	case err == nil:
		value, ok, err = k.read(ctx, s, raw)
	case errors.Is(err, ErrNotFound):
		return value, false, nil
	}
	if err != nil {
		return value, false, wrap("get", k.name, err)
	}
	return value, ok, nil
}

// GetOr is [Key.GetOr].
func (k CodecKey[T]) GetOr(ctx context.Context, s *Session, fallback T) (T, error) {
	v, ok, err := k.Lookup(ctx, s)
	if err == nil && !ok {
		return fallback, nil
	}
	return v, err
}

// Set is [Key.Set].
func (k CodecKey[T]) Set(ctx context.Context, s *Session, value T) error {
	if err := set(ctx, s, k.name, k.codec, value); err != nil {
		return wrap("set", k.name, err)
	}
	return nil
}

// Has is [Key.Has].
func (k CodecKey[T]) Has(ctx context.Context, s *Session) (bool, error) {
	if err := s.usableKey(k.name); err != nil {
		return false, wrap("has", k.name, err)
	}
	ok, err := s.raw.Has(ctx, k.name)
	if err != nil {
		return false, wrap("has", k.name, s.noticed(err))
	}
	return ok, nil
}

// Delete is [Key.Delete].
func (k CodecKey[T]) Delete(ctx context.Context, s *Session) error {
	if err := s.usableKey(k.name); err != nil {
		return wrap("delete", k.name, err)
	}
	if s.sessions.indexes.of(k.name) != nil {
		if _, err := s.commit(ctx, nil, []Entry{{Key: k.name}}); err != nil {
			return opError("delete", s.noticed(err))
		}
		return nil
	}
	if err := s.raw.Delete(ctx, k.name); err != nil {
		return wrap("delete", k.name, s.noticed(err))
	}
	s.forget(k.name)
	return nil
}

// SetIfAbsent is [Key.SetIfAbsent].
func (k CodecKey[T]) SetIfAbsent(ctx context.Context, s *Session, value T) (stored bool, err error) {
	if err := s.usableKey(k.name); err != nil {
		return false, wrap("set if absent", k.name, err)
	}
	buf := getBuffer()
	defer buf.release()
	data, err := encode(s, buf, k.name, k.codec, value)
	if err != nil {
		return false, wrap("set if absent", k.name, err)
	}
	var (
		there []byte // what counts as absent: nothing, or bytes that do not decode
		retry backoff
	)
	for {
		current, err := s.commit(ctx, []Entry{{k.name, there}}, []Entry{{k.name, data}})
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, ErrConflict) {
			return false, wrap("set if absent", k.name, s.noticed(err))
		}
		there = current[0]
		if there != nil {
			if k.policy.in(s.sessions) == Fail {
				return false, nil
			}
			if _, err := decode[T](s, k.name, k.codec, there); err == nil {
				return false, nil
			} else if _, err = s.judge(k.name, k.policy, err); err != nil {
				return false, wrap("set if absent", k.name, err)
			}
		}
		if err := retry.conflicted(ctx, s); err != nil {
			return false, wrap("set if absent", k.name, err)
		}
	}
}

// Take is [Key.Take].
func (k CodecKey[T]) Take(ctx context.Context, s *Session) (T, error) {
	var zero T
	if err := s.usableKey(k.name); err != nil {
		return zero, wrap("take", k.name, err)
	}
	raw, err := getCurrent(ctx, s.raw, k.name)
	var retry backoff
	for {
		if err != nil {
			return zero, wrap("take", k.name, s.noticed(err))
		}
		// Decoding first: what cannot be read must not be lost.
		v, ok, err := k.read(ctx, s, raw)
		if err == nil && !ok {
			err = ErrNotFound
		}
		if err != nil {
			return zero, wrap("take", k.name, err)
		}
		current, err := s.commit(ctx, []Entry{{k.name, raw}}, []Entry{{Key: k.name}})
		if err == nil {
			return v, nil
		}
		if !errors.Is(err, ErrConflict) {
			return zero, wrap("take", k.name, s.noticed(err))
		}
		if current[0] == nil {
			return zero, wrap("take", k.name, ErrNotFound)
		}
		raw = current[0]
		if err := retry.conflicted(ctx, s); err != nil {
			return zero, wrap("take", k.name, err)
		}
	}
}

// Update is [Key.Update].
func (k CodecKey[T]) Update(ctx context.Context, s *Session, change func(old T, ok bool) (T, error)) (T, error) {
	v, err := k.update(ctx, s, change)
	if err != nil {
		return v, wrap("update", k.name, err)
	}
	return v, nil
}

func (k CodecKey[T]) update(ctx context.Context, s *Session, change func(old T, ok bool) (T, error)) (T, error) {
	var zero T
	if err := s.usableKey(k.name); err != nil {
		return zero, err
	}
	if change == nil {
		return zero, errNoChange
	}
	raw, err := getCurrent(ctx, s.raw, k.name)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return zero, s.noticed(err)
	}
	buf := getBuffer()
	defer buf.release()
	var retry backoff
	for {
		old, ok := zero, false
		if raw != nil {
			if v, err := decode[T](s, k.name, k.codec, raw); err == nil {
				old, ok = v, true
			} else if _, err = s.judge(k.name, k.policy, err); err != nil {
				return zero, err
			} // what is written takes the place of raw
		}
		v, err := change(old, ok)
		var data []byte // nil removes
		switch {
		case err == nil:
			buf.reset()
			if data, err = encode(s, buf, k.name, k.codec, v); err != nil {
				return zero, err
			}
		case errors.Is(err, Keep):
			return old, nil
		case !errors.Is(err, Remove):
			return zero, err
		case raw == nil:
			return zero, nil
		default:
			v = zero
		}
		current, err := s.commit(ctx, []Entry{{k.name, raw}}, []Entry{{k.name, data}})
		if err == nil {
			return v, nil
		}
		if !errors.Is(err, ErrConflict) {
			return zero, s.noticed(err)
		}
		raw = current[0]
		if err := retry.conflicted(ctx, s); err != nil {
			return zero, err
		}
	}
}

// Into is [Key.Into].
func (k CodecKey[T]) Into(dst *T) Target {
	return &into[T]{key: k, dst: dst}
}

// IntoOr is [Key.IntoOr].
func (k CodecKey[T]) IntoOr(dst *T, fallback T) Target {
	return &into[T]{key: k, dst: dst, fallback: fallback, optional: true}
}

// To is [Key.To].
func (k CodecKey[T]) To(value T) Change { return &assignment[T]{key: k, value: value} }

// Unset is [Key.Unset].
func (k CodecKey[T]) Unset() Change { return removal(k.name) }

// In is [Key.In].
func (k CodecKey[T]) In(tx *Tx) TxValue[T] { return TxValue[T]{tx: tx, key: k} }
