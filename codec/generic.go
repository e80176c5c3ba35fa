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
	if out, ok := appendScalar(c, dst, v); ok {
		return out, nil
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
	if !isComposite(t) {
		if decodeScalar(c, data, &v) || isBasic(t) && decodeDefined(c, data, t, unsafe.Pointer(&v)) {
			return v, nil
		}
		return decodeEscaping[T](c, data)
	}
	if m, ok := c.(msgpackCodec); ok {
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
	if j, ok := c.(jsonCodec); ok {
		if prog := planOf(t).jsonProgram(); prog.fast && prog.direct {
			if err := j.decode(data, prog, hide(unsafe.Pointer(&v))); err == nil {
				return v, nil
			}
		}
		return decodeEscaping[T](c, data) // which also says what was wrong
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

// appendScalar appends *v as c does, if v is a pointer to a scalar that c encodes without its library. It does not let v
// escape.
func appendScalar(c Codec, dst []byte, v any) ([]byte, bool) {
	switch c.(type) {
	case msgpackCodec:
		return scalar.AppendMsgpack(dst, v)
	case jsonCodec:
		return scalar.AppendJSON(dst, v)
	}
	return dst, false
}

// decodeScalar decodes data into *v as c does, if v is a pointer to a scalar that c decodes without its library. It does not let v
// escape.
func decodeScalar(c Codec, data []byte, v any) bool {
	switch c.(type) {
	case msgpackCodec:
		return scalar.Decode(scalar.Msgpack, data, v)
	case jsonCodec:
		return scalar.Decode(scalar.JSON, data, v)
	}
	return false
}

// appendDefined appends the t at p as its kind if c treats it as such.
//
//go:noinline
func appendDefined(c Codec, dst []byte, t reflect.Type, p unsafe.Pointer) ([]byte, bool) {
	if _, ok := c.(rawCodec); ok {
		return appendRaw(dst, basic(t.Kind(), p))
	}
	if !treatsAsBasic(c, t) {
		return dst, false
	}
	return appendScalar(c, dst, basic(t.Kind(), p))
}

// decodeDefined decodes data into the t at p as its kind if c treats it as such.
//
//go:noinline
func decodeDefined(c Codec, data []byte, t reflect.Type, p unsafe.Pointer) bool {
	if _, ok := c.(rawCodec); ok {
		return decodeRaw(data, basic(t.Kind(), p))
	}
	return treatsAsBasic(c, t) && decodeScalar(c, data, basic(t.Kind(), p))
}

// treatsAsBasic reports whether c encodes a t as its kind.
func treatsAsBasic(c Codec, t reflect.Type) bool {
	switch c.(type) {
	case msgpackCodec:
		return planOf(t).msgpackBasic
	case jsonCodec:
		return planOf(t).jsonBasic
	}
	return false
}
