package store

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"github.com/sessionkv/store/codec"
)

// getRaw reads the bytes under key.
func (s *Session) getRaw(ctx context.Context, key string) ([]byte, error) {
	if err := s.usableKey(key); err != nil {
		return nil, err
	}
	raw, err := s.raw.Get(ctx, key)
	if err != nil {
		return nil, s.noticed(err)
	}
	return raw, nil
}

// decode turns the bytes stored under key into a value.
func decode[T any](s *Session, key string, c codec.Codec, raw []byte) (T, error) {
	if c == nil {
		c = s.sessions.codec
	}
	var v T
	if remembered(s, c, raw, &v) {
		return v, nil
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
	// Scalars are cheaper to decode than to remember. An empty slice has no address of its own.
	if s.stable && isComposite(reflect.TypeFor[T]()) && len(raw) > 0 && s.again(raw) {
		remember(s, key, c, raw, v)
	}
	return v, nil
}

var timeType = reflect.TypeFor[time.Time]()

// isComposite reports whether values of t are worth remembering.
func isComposite(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Struct, reflect.Array, reflect.Map, reflect.Pointer:
		return true
	case reflect.Slice:
		return t.Elem().Kind() != reflect.Uint8
	}
	return false
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
	switch {
	case err != nil:
	case s.sessions.indexes.of(key) != nil:
		_, err = s.commit(ctx, nil, []Entry{{key, data}})
	default:
		err = s.raw.Set(ctx, key, data)
	}
	buf.release()
	if err != nil {
		return s.noticed(err)
	}
	s.forgetLarge(key)
	return nil
}

// encode appends what is to be stored for value to buf and returns that part.
func encode[T any](s *Session, buf *buffer, key string, c codec.Codec, value T) ([]byte, error) {
	if c == nil {
		c = s.sessions.codec
	}
	t := reflect.TypeFor[T]()
	if k := t.Kind(); (k == reflect.Pointer || k == reflect.Interface) && isNilValue(value) {
		return nil, ErrNilValue
	}
	start := len(buf.b)
	data, err := codec.Append(c, buf.b, &value)
	if err != nil {
		return nil, fmt.Errorf("%w: type %v: %w", ErrEncode, t, err)
	}
	buf.b = data
	data = data[start:len(data):len(data)]
	if limit := s.sessions.limits.ValueSize; limit >= 0 && len(data) > limit {
		return nil, fmt.Errorf("%w: %d bytes encoded, at most %d are allowed", ErrTooLarge, len(data), limit)
	}
	if sealer := s.sessions.sealer; sealer != nil {
		return seal(sealer, s, buf, key, data)
	}
	return data, nil
}

// isNilValue reports whether value, a pointer or an interface, is nil. It has a copy of its
// own, so that the caller's does not escape.
//
//go:noinline
func isNilValue[T any](value T) bool { return reflect.ValueOf(&value).Elem().IsNil() }

// wrap names the operation and the key of err.
func wrap(op, key string, err error) error {
	return &Error{Op: op, Key: key, Err: err}
}
