package codec

import (
	"reflect"
	"unsafe"
)

// Append appends to dst the encoding of *v by c and returns the extended slice. It retains
// neither dst nor v. It does the same as c.Append, but scalars of the built-in
// codecs neither allocate nor make v escape. On failure it returns dst with
// its length unchanged.
func Append[T any](c Codec, dst []byte, v *T) ([]byte, error) {
	if v == nil {
		return dst, errNilPointer(c, reflect.TypeFor[T]())
	}
	// Everything up to the slow path must keep v from escaping: one path on
	// which it escapes would move every caller's value to the heap.
	switch c.(type) {
	case msgpackCodec:
		if out, ok := appendMsgpackScalar(dst, v); ok {
			return out, nil
		}
		if k := msgpackKind(reflect.TypeFor[T]()); k != reflect.Invalid {
			if out, ok := appendMsgpackScalar(dst, basic(k, unsafe.Pointer(v))); ok {
				return out, nil
			}
		}
	case jsonCodec:
		if out, ok := appendJSONScalar(dst, v); ok {
			return out, nil
		}
		if k := jsonKind(reflect.TypeFor[T]()); k != reflect.Invalid {
			if out, ok := appendJSONScalar(dst, basic(k, unsafe.Pointer(v))); ok {
				return out, nil
			}
		}
	case rawCodec:
		if k := rawKind(reflect.TypeFor[T]()); k != reflect.Invalid {
			return appendRaw(dst, basic(k, unsafe.Pointer(v))), nil
		}
	}
	return appendEscaping(c, dst, *v)
}

// Decode returns the value that data encodes by c. It does the same as c.Decode into a new T,
// but scalars of the built-in codecs do not allocate (a []byte is copied). A string may share
// memory with data, which must never change. On failure the value is T's zero value.
func Decode[T any](c Codec, data []byte) (T, error) {
	var v T
	switch c.(type) {
	case msgpackCodec:
		if decodeMsgpackScalar(data, &v) {
			return v, nil
		}
		if k := msgpackKind(reflect.TypeFor[T]()); k != reflect.Invalid {
			if decodeMsgpackScalar(data, basic(k, unsafe.Pointer(&v))) {
				return v, nil
			}
		}
	case jsonCodec:
		if decodeJSONScalar(data, &v) {
			return v, nil
		}
		if k := jsonKind(reflect.TypeFor[T]()); k != reflect.Invalid {
			if decodeJSONScalar(data, basic(k, unsafe.Pointer(&v))) {
				return v, nil
			}
		}
	case rawCodec:
		if k := rawKind(reflect.TypeFor[T]()); k != reflect.Invalid {
			decodeRaw(data, basic(k, unsafe.Pointer(&v)))
			return v, nil
		}
	}
	return decodeEscaping[T](c, data)
}

// appendEscaping encodes a copy of the value, which may escape.
//
//go:noinline
func appendEscaping[T any](c Codec, dst []byte, v T) ([]byte, error) {
	if c == nil {
		return dst, errNoCodec
	}
	out, err := c.Append(dst, &v)
	if err != nil {
		return dst, err
	}
	return out, nil
}

// decodeEscaping decodes into a value that may escape.
//
//go:noinline
func decodeEscaping[T any](c Codec, data []byte) (T, error) {
	var zero T
	if c == nil {
		return zero, errNoCodec
	}
	v := new(T)
	if err := c.Decode(data, v); err != nil {
		return zero, err
	}
	return *v, nil
}
