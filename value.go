package store

import (
	"context"
	"fmt"
	"reflect"

	"github.com/sessionkv/store/codec"
)

// get reads the value under key into *v. Scalars take a short way on which v
// does not escape. Its errors are not wrapped yet.
func get[T any](ctx context.Context, s *Session, key string, c codec.Codec) (T, error) {
	var v T
	raw, done, err := s.getScalar(ctx, key, c, &v)
	if done || err != nil {
		return v, err
	}
	return decode[T](s, key, c, raw)
}

// getScalar reads the bytes under key. If they are a scalar of the type that v
// points to, it stores that in *v and is done.
func (s *Session) getScalar(ctx context.Context, key string, c codec.Codec, v any) (raw []byte, done bool, err error) {
	if err := s.usableKey(key); err != nil {
		return nil, false, err
	}
	if raw, err = s.raw.Get(ctx, key); err != nil {
		return nil, false, s.noticed(err)
	}
	if c == nil {
		c = s.sessions.codec
	}
	return raw, s.sessions.sealer == nil && codec.DecodeScalar(c, raw, v), nil
}

// decode turns the bytes stored under key into a value.
func decode[T any](s *Session, key string, c codec.Codec, raw []byte) (T, error) {
	if c == nil {
		c = s.sessions.codec
	}
	if v := remembered[T](s, key, c, raw); v != nil {
		return *v, nil
	}
	return decodeAnew[T](s, key, c, raw)
}

func decodeAnew[T any](s *Session, key string, c codec.Codec, raw []byte) (T, error) {
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
		err = s.raw.Set(ctx, key, data)
	}
	buf.release()
	if err != nil {
		return s.noticed(err)
	}
	return nil
}

// encode appends what is to be stored for value to buf and returns that part.
func encode[T any](s *Session, buf *buffer, key string, c codec.Codec, value T) ([]byte, error) {
	if c == nil {
		c = s.sessions.codec
	}
	start := len(buf.b)
	data, ok := codec.AppendScalar(c, buf.b, &value)
	if !ok {
		var err error
		if data, err = appendAny(c, buf.b, value); err != nil {
			return nil, err
		}
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

// appendAny appends the encoding of what is no scalar.
func appendAny[T any](c codec.Codec, dst []byte, value T) ([]byte, error) {
	t := reflect.TypeFor[T]()
	if k := t.Kind(); (k == reflect.Pointer || k == reflect.Interface) && reflect.ValueOf(&value).Elem().IsNil() {
		return nil, ErrNilValue
	}
	data, err := codec.Append(c, dst, &value)
	if err != nil {
		return nil, fmt.Errorf("%w: type %v: %w", ErrEncode, t, err)
	}
	return data, nil
}

// wrap names the operation and the key of err.
func wrap(op, key string, err error) error {
	return &Error{Op: op, Key: key, Err: err}
}
