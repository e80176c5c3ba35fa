package codec

import (
	"encoding/binary"
	"unsafe"
)

// AppendScalar appends to dst the encoding of *v by c, if c is a built-in codec and v a pointer to
// a scalar that it encodes without its library: string, bool, an integer or a float,
// []byte, time.Time. It reports whether it did, and neither allocates for itself
// nor lets v escape. [Append] does the same for every type.
func AppendScalar(c Codec, dst []byte, v any) ([]byte, bool) {
	switch c.(type) {
	case msgpackCodec:
		return appendMsgpackScalar(dst, v)
	case jsonCodec:
		return appendJSONScalar(dst, v)
	}
	return dst, false
}

// ShortString returns the string that data encodes by [Msgpack], if it is one of at
// most 31 bytes. It shares memory with data, which must not change. It is small
// enough to be inlined, which [DecodeScalar] is not.
func ShortString(data []byte) (string, bool) {
	n := len(data) - 1
	if n < 0 || n > maxFixStr || data[0] != fixStrLow+byte(n) {
		return "", false
	}
	return unsafe.String(unsafe.SliceData(data[1:]), n), true
}

// DecodeScalar stores in *v the value that data encodes by c, if c is a built-in codec, v a pointer to
// a scalar as for [AppendScalar], and data a plain encoding of one. It reports whether it did; if not, *v is
// unchanged. [Decode] decodes all types. v does not escape.
func DecodeScalar(c Codec, data []byte, v any) bool {
	switch c.(type) {
	case msgpackCodec:
		// The commonest values by far, ahead of the type switch over all scalars.
		switch p := v.(type) {
		case *string:
			if s, ok := ShortString(data); ok {
				*p = s
				return true
			}
		case *int64:
			if len(data) == 9 && data[0] == codeInt64 {
				*p = int64(binary.BigEndian.Uint64(data[1:]))
				return true
			}
		}
		return decodeMsgpackScalar(data, v)
	case jsonCodec:
		return decodeJSONScalar(data, v)
	}
	return false
}
