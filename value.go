package store

import (
	"context"
	"fmt"
	"reflect"

	"github.com/sessionkv/store/codec"
)

// get reads and decodes the value under key. Its errors are not wrapped yet.
func get[T any](ctx context.Context, s *Session, key string, c codec.Codec) (T, error) {
	var zero T
	if err := s.usableKey(key); err != nil {
		return zero, err
	}
	raw, err := s.raw.Get(ctx, key)
	if err != nil {
		return zero, s.noticed(err)
	}
	return decode[T](s, key, c, raw)
}

// decode turns the bytes stored under key into a value.
func decode[T any](s *Session, key string, c codec.Codec, raw []byte) (T, error) {
	if c == nil {
		c = s.sessions.codec
	}
	if v, ok := remembered[T](s, key, c, raw); ok {
		return v, nil
	}
	data := raw
	if sealer := s.sessions.sealer; sealer != nil {
		var err error
		if data, err = open(sealer, s, key, raw); err != nil {
			var zero T
			return zero, err
		}
	}
	v, err := codec.Decode[T](c, data)
	if err != nil {
		return v, decodeError(reflect.TypeFor[T](), err)
	}
	// Scalars are cheaper to decode than to remember.
	if k := reflect.TypeFor[T]().Kind(); s.stable && (k == reflect.Struct || k == reflect.Array) {
		remember(s, key, c, raw, v)
	}
	return v, nil
}

func decodeError(t reflect.Type, err error) error {
	return fmt.Errorf("%w into %v: %w", ErrDecode, t, err)
}

// set encodes and stores value under key. Its errors are not wrapped yet.
func set[T any](ctx context.Context, s *Session, key string, c codec.Codec, value T) error {
	if err := s.usableKey(key); err != nil {
		return err
	}
	buf := getBuffer()
	data, err := encode(s, buf, key, c, value)
	if err == nil {
		if err = s.raw.Set(ctx, key, data); err != nil {
			err = s.noticed(err)
		}
	}
	buf.release()
	return err
}

// encode appends what is to be stored for value to buf and returns that part.
func encode[T any](s *Session, buf *buffer, key string, c codec.Codec, value T) ([]byte, error) {
	if c == nil {
		c = s.sessions.codec
	}
	if k := reflect.TypeFor[T]().Kind(); (k == reflect.Pointer || k == reflect.Interface) && isNil(value) {
		return nil, ErrNilValue
	}
	start := len(buf.b)
	data, err := codec.Append(c, buf.b, &value)
	if err != nil {
		return nil, fmt.Errorf("%w: type %v: %w", ErrEncode, reflect.TypeFor[T](), err)
	}
	buf.b = data
	data = data[start:len(data):len(data)]
	if limit := s.sessions.limits.ValueSize; limit >= 0 && len(data) > limit {
		return nil, fmt.Errorf("%w: %d bytes encoded, at most %d are allowed", ErrTooLarge, len(data), limit)
	}
	if sealer := s.sessions.sealer; sealer != nil {
		return seal(sealer, s, key, data)
	}
	return data, nil
}

// isNil reports whether value, of a pointer or interface type, is nil.
//
//go:noinline
func isNil[T any](value T) bool { return reflect.ValueOf(&value).Elem().IsNil() }

// wrap names the operation and the key of err.
func wrap(op, key string, err error) error {
	return &Error{Op: op, Key: key, Err: err}
}
