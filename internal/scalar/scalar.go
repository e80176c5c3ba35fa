// Package scalar encodes and decodes scalars as msgpack and JSON do, without a library, an allocation or a value that
// escapes. Package codec encodes everything else around it, and package store decodes scalars by it directly.
//
// A scalar is a string, a bool, an integer, a float, a []byte, a time.Time or a time.Duration.
package scalar

import (
	"encoding/binary"
	"unsafe"
)

// A Format names how a codec encodes scalars.
type Format uint8

const (
	Other   Format = iota // in a way that this package does not implement
	Msgpack               // as msgpack
	JSON                  // as JSON
)

// A Codec is a codec that encodes scalars as its Format does.
type Codec interface{ Scalars() Format }

// FormatOf returns how c, which may be nil, encodes scalars.
func FormatOf(c any) Format {
	if s, ok := c.(Codec); ok {
		return s.Scalars()
	}
	return Other
}

// Decode stores in *v the scalar that data encodes in the format f. For that v must be a pointer to a scalar, and data
// one value of an obvious form. Otherwise *v is unchanged, Decode returns false, and what data means is up to the
// library. A string shares memory with data, which must not change; a []byte is a copy. v does not escape.
func Decode(f Format, data []byte, v any) bool {
	switch f {
	case Msgpack:
		// The commonest next to short strings, which callers have tried: ahead of the type switch over all scalars.
		if p, ok := v.(*int64); ok && len(data) == 9 && data[0] == Int64 {
			*p = int64(binary.BigEndian.Uint64(data[1:]))
			return true
		}
		return DecodeMsgpack(data, v)
	case JSON:
		return DecodeJSON(data, v)
	}
	return false
}

// ShortString returns the string that data encodes as msgpack, if it is one of at most 31 bytes. It shares memory with
// data, which must not change. It is small enough to be inlined, which [Decode] is not.
func ShortString(data []byte) (string, bool) {
	n := len(data) - 1
	if n < 0 || n > MaxFixStr || data[0] != FixStrLow+byte(n) {
		return "", false
	}
	return unsafe.String(unsafe.SliceData(data[1:]), n), true
}
