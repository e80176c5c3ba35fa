package store

import (
	"context"
	"errors"

	"github.com/sessionkv/store/codec"
)

// A CodecKey is a [Key] with a codec of its own; [Key.With] makes it. Its
// methods are those of Key.
type CodecKey[T any] struct {
	name  string
	codec codec.Codec // nil: the codec of the session
}

// Get is [Key.Get].
func (k CodecKey[T]) Get(ctx context.Context, s *Session) (T, error) {
	v, err := get[T](ctx, s, k.name, k.codec)
	if err != nil {
		return v, wrap("get", k.name, err)
	}
	return v, nil
}

// Lookup is [Key.Lookup].
func (k CodecKey[T]) Lookup(ctx context.Context, s *Session) (value T, ok bool, err error) {
	v, err := get[T](ctx, s, k.name, k.codec)
	switch {
	case err == nil:
		return v, true, nil
	case errors.Is(err, ErrNotFound):
		return v, false, nil
	}
	return v, false, wrap("get", k.name, err)
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
	_, err = Commit(ctx, s.raw, []Entry{{Key: k.name}}, []Entry{{Key: k.name, Value: data}})
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, ErrConflict):
		return false, nil
	}
	return false, wrap("set if absent", k.name, s.noticed(err))
}

// Take is [Key.Take].
func (k CodecKey[T]) Take(ctx context.Context, s *Session) (T, error) {
	var zero T
	if err := s.usableKey(k.name); err != nil {
		return zero, wrap("take", k.name, err)
	}
	raw, err := s.raw.Get(ctx, k.name)
	var retry backoff
	for {
		if err != nil {
			return zero, wrap("take", k.name, s.noticed(err))
		}
		// Decoding first: what cannot be read must not be lost.
		v, err := decode[T](s, k.name, k.codec, raw)
		if err != nil {
			return zero, wrap("take", k.name, err)
		}
		current, err := Commit(ctx, s.raw, []Entry{{k.name, raw}}, []Entry{{Key: k.name}})
		if err == nil {
			s.forget(k.name)
			return v, nil
		}
		if !errors.Is(err, ErrConflict) {
			return zero, wrap("take", k.name, s.noticed(err))
		}
		if current[0] == nil {
			return zero, wrap("take", k.name, ErrNotFound)
		}
		raw = current[0]
		if err := retry.wait(ctx); err != nil {
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
	raw, err := s.raw.Get(ctx, k.name)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return zero, s.noticed(err)
	}
	buf := getBuffer()
	defer buf.release()
	var retry backoff
	for {
		var old T
		if raw != nil {
			if old, err = decode[T](s, k.name, k.codec, raw); err != nil {
				return zero, err
			}
		}
		v, err := change(old, raw != nil)
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
		current, err := Commit(ctx, s.raw, []Entry{{k.name, raw}}, []Entry{{k.name, data}})
		if err == nil {
			return v, nil
		}
		if !errors.Is(err, ErrConflict) {
			return zero, s.noticed(err)
		}
		raw = current[0]
		if err := retry.wait(ctx); err != nil {
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
