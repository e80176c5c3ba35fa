package codec

import (
	"reflect"
	"unsafe"
)

// ours reports whether c is of this package and therefore keeps to what Codec says
// of slices.
func ours(c Codec) bool {
	switch c.(type) {
	case msgpackCodec, jsonCodec, rawCodec, *versioned, *change:
		return true
	}
	return false
}

// appendWith appends the encoding of *v by c to dst. A codec of somebody else gets no buffer of
// ours to begin with. If it ignored dst, or returned a slice that it goes on using, it would lose
// or change what other values share the buffer.
func appendWith(c Codec, dst []byte, v any) ([]byte, error) {
	if ours(c) {
		out, err := c.Append(dst, v)
		if err != nil {
			return dst, err
		}
		return out, nil
	}
	own, err := c.Append(nil, v)
	if err != nil {
		return dst, err
	}
	return append(dst, own...), nil
}

// decodeWith decodes data into *v by c. A codec of somebody else gets a copy, which it
// may change and hand out without changing what is stored; its panics become errors.
func decodeWith(c Codec, data []byte, v any) error {
	if ours(c) {
		return c.Decode(data, v)
	}
	data = append(make([]byte, 0, len(data)), data...)
	err := guard(func() error { return c.Decode(data, v) })
	if p, ok := err.(*panicError); ok {
		return decodeError(c, reflect.TypeOf(v).Elem(), "bytes", p)
	}
	return err
}

// appendedTo returns dst with what a method appended to its free part, dst[len(dst):]. The
// method may have returned another slice, which then remains its own.
func appendedTo(dst, out []byte) []byte {
	if cap(out) > 0 && cap(dst) > len(dst) && len(out) <= cap(dst)-len(dst) &&
		unsafe.SliceData(out) == unsafe.SliceData(dst[len(dst):cap(dst)]) {
		return dst[:len(dst)+len(out)]
	}
	return append(dst, out...)
}
