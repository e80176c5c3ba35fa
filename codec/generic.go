package codec

import (
	"reflect"
	"unsafe"

	"github.com/sessionkv/store/internal/scalar"
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
	t := reflect.TypeFor[T]()
	if m, ok := c.(msgpackCodec); ok && isComposite(t) {
		if p := planOf(t); p.generated == nowhere {
			if prog := p.program(m.jsonTags()); prog.direct {
				return m.append(dst, prog, hide(unsafe.Pointer(v)))
			}
		}
		return appendEscaping(c, dst, *v)
	}
	switch c.(type) {
	case msgpackCodec:
		if s, ok := any(v).(*string); ok && len(*s) <= scalar.MaxFixStr { // the commonest, without a call
			return append(append(dst, scalar.FixStrLow|byte(len(*s))), *s...), nil
		}
		if out, ok := scalar.AppendMsgpack(dst, v); ok {
			return out, nil
		}
	case jsonCodec:
		if out, ok := scalar.AppendJSON(dst, v); ok {
			return out, nil
		}
	}
	if isBasic(t) {
		if out, ok := appendDefined(c, dst, t, unsafe.Pointer(v)); ok {
			return out, nil
		}
	}
	return appendEscaping(c, dst, *v)
}

// Decode returns the value that data encodes by c. It does the same as c.Decode into a new T,
// but scalars of the built-in codecs do not allocate (a []byte is copied). A string may share
// memory with data, which must never change. On failure the value is T's zero value.
func Decode[T any](c Codec, data []byte) (T, error) {
	var v T
	t := reflect.TypeFor[T]()
	if m, ok := c.(msgpackCodec); ok && isComposite(t) {
		if p := planOf(t); p.generated == nowhere {
			if prog := p.program(m.jsonTags()); prog.direct {
				if err := m.decode(data, prog, hide(unsafe.Pointer(&v))); err != nil {
					var zero T
					return zero, err
				}
				return v, nil
			}
		}
		return decodeEscaping[T](c, data)
	}
	if j, ok := c.(jsonCodec); ok && isComposite(t) {
		if prog := planOf(t).jsonProgram(); prog.fast && prog.direct {
			if err := j.decode(data, prog, hide(unsafe.Pointer(&v))); err == nil {
				return v, nil
			}
		}
		return decodeEscaping[T](c, data) // which also says what was wrong
	}
	switch c.(type) {
	case msgpackCodec:
		if p, ok := any(&v).(*string); ok { // the commonest, without a call
			if s, ok := shortString(data); ok {
				*p = s
				return v, nil
			}
		}
		if scalar.DecodeMsgpack(data, &v) {
			return v, nil
		}
	case jsonCodec:
		if scalar.DecodeJSON(data, &v) {
			return v, nil
		}
	}
	if isBasic(t) && decodeDefined(c, data, t, unsafe.Pointer(&v)) {
		return v, nil
	}
	return decodeEscaping[T](c, data)
}

// shortString calls scalar.ShortString from a function without type parameters. So the compiler exports that with this
// package, and inlines it where programs instantiate Decode.
func shortString(data []byte) (string, bool) { return scalar.ShortString(data) }

// appendEscaping encodes a copy of the value, which may escape.
//
//go:noinline
func appendEscaping[T any](c Codec, dst []byte, v T) ([]byte, error) {
	if c == nil {
		return dst, errNoCodec
	}
	return appendWith(c, dst, &v)
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
	if err := decodeWith(c, data, v); err != nil {
		return zero, err
	}
	return *v, nil
}

// appendDefined appends the t at p as its kind if c treats it as such.
//
//go:noinline
func appendDefined(c Codec, dst []byte, t reflect.Type, p unsafe.Pointer) ([]byte, bool) {
	switch c.(type) {
	case msgpackCodec:
		if planOf(t).msgpackBasic {
			return scalar.AppendMsgpack(dst, basic(t.Kind(), p))
		}
	case jsonCodec:
		if planOf(t).jsonBasic {
			return scalar.AppendJSON(dst, basic(t.Kind(), p))
		}
	case rawCodec:
		return appendRaw(dst, basic(t.Kind(), p))
	}
	return dst, false
}

// decodeDefined decodes data into the t at p as its kind if c treats it as such.
//
//go:noinline
func decodeDefined(c Codec, data []byte, t reflect.Type, p unsafe.Pointer) bool {
	switch c.(type) {
	case msgpackCodec:
		return planOf(t).msgpackBasic && scalar.DecodeMsgpack(data, basic(t.Kind(), p))
	case jsonCodec:
		return planOf(t).jsonBasic && scalar.DecodeJSON(data, basic(t.Kind(), p))
	case rawCodec:
		return decodeRaw(data, basic(t.Kind(), p))
	}
	return false
}
