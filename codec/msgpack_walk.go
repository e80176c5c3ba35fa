package codec

import (
	"encoding/binary"
	"fmt"

	"github.com/sessionkv/store/internal/scalar"
)

const (
	maxDepth    = 1000 // containers within each other
	maxExtDepth = 4    // extensions within each other whose bodies are looked into
)

// A span is the body of an extension, data[start:end].
type span struct {
	start, end int
	index      bool // the body is one byte, an index of an earlier string
}

// A walkError says where and why bytes are not msgpack.
type walkError struct {
	offset int
	why    string
}

func (e *walkError) Error() string { return fmt.Sprintf("%s at byte %d", e.why, e.offset) }

// walk checks that data[start:end] is a sequence of complete msgpack values. Every string and
// container which it announces must be there, and none may be nested deeper than maxDepth. After
// that, whoever makes room for the announced elements needs no more than in proportion to the data.
//
// It is a sequence, not one value, because a custom encoder of the library may write several. Whether
// all of them were used is known after decoding.
//
// The bodies of extensions that are not sequences of values are added to opaque.
func walk(data []byte, start, end, extDepth int, opaque []span) ([]span, error) {
	var (
		few    [16]int
		stack  = few[:0] // values missing in the containers around the innermost one
		open   = 0       // values missing in the innermost container
		nested = 0       // containers open
		i      = start
	)
	for i < end {
		at := i
		c := data[i]
		i++

		var skip, children int // bytes and values that belong to this one
		container := false
		switch {
		case c <= scalar.PosFixHigh || c >= scalar.NegFixLow:
		case c <= scalar.FixMapHigh:
			children, container = 2*int(c&0x0f), true
		case c <= scalar.FixArrayHigh:
			children, container = int(c&0x0f), true
		case c <= scalar.FixStrHigh:
			skip = int(c & 0x1f)
		default:
			s := shapes[c-0xc0]
			if s.what == invalid {
				return opaque, &walkError{at, fmt.Sprintf("invalid code 0x%x", c)}
			}
			if end-i < int(s.size) {
				return opaque, &walkError{at, "value cut short"}
			}
			n := 0
			if s.what != fixed {
				n = announced(data[i : i+int(s.size)])
			}
			i += int(s.size)
			if n < 0 || n > end-i { // below zero where an int has 32 bits
				return opaque, &walkError{at, "more announced than there is"}
			}
			switch s.what {
			case body:
				skip = n
			case array:
				children, container = n, true
			case mapping:
				children, container = 2*n, true
			case extension, fixedExtension:
				if s.what == fixedExtension {
					n = 1 << (c - scalar.FixExt1)
				}
				if end-i < 1+n {
					return opaque, &walkError{at, "extension cut short"}
				}
				opaque = walkExtension(data, i, i+1+n, extDepth, opaque)
				skip = 1 + n
			}
		}

		if skip > end-i {
			return opaque, &walkError{at, "value longer than the data"}
		}
		i += skip
		if open > 0 {
			open--
		}
		if container && children > 0 {
			if children > end-i {
				return opaque, &walkError{at, "more elements announced than there can be"}
			}
			if nested == maxDepth {
				return opaque, &walkError{at, fmt.Sprintf("nesting deeper than %d", maxDepth)}
			}
			nested++
			stack = append(stack, open)
			open = children
		}
		for open == 0 && nested > 0 {
			nested--
			open = stack[len(stack)-1]
			stack = stack[:len(stack)-1]
		}
	}
	if nested > 0 {
		return opaque, &walkError{i, "elements missing"}
	}
	return opaque, nil
}

// walkExtension looks at an extension's type and body, data[start:end], and notes the body
// if it must not be read as values.
func walkExtension(data []byte, start, end, extDepth int, opaque []span) []span {
	id := int8(data[start])
	start++
	s := span{start: start, end: end}
	switch {
	case id == scalar.ExtIntern && end-start == 1:
		s.index = true
	case id == scalar.ExtIntern, id == scalar.ExtTime, id == scalar.ExtNodeJSTime, extDepth == maxExtDepth:
	default:
		inner, err := walk(data, start, end, extDepth+1, opaque)
		if err == nil {
			return inner
		}
	}
	if start < end {
		opaque = append(opaque, s)
	}
	return opaque
}

// announced returns a length field of one, two or four bytes.
func announced(b []byte) int {
	switch len(b) {
	case 1:
		return int(b[0])
	case 2:
		return int(binary.BigEndian.Uint16(b))
	case 4:
		return int(binary.BigEndian.Uint32(b))
	}
	return 0
}

// What follows a code.
const (
	fixed          = iota // a number of size bytes
	invalid               // the code means nothing
	body                  // size bytes of length, then as many bytes
	array                 // size bytes of count, then as many values
	mapping               // size bytes of count, then twice as many values
	extension             // size bytes of length, then type and body
	fixedExtension        // type and body
)

type shape struct{ what, size uint8 }

// shapes describes the codes 0xc0 to 0xdf.
var shapes = [32]shape{
	scalar.Nil - 0xc0:      {fixed, 0},
	scalar.Unused - 0xc0:   {invalid, 0},
	scalar.False - 0xc0:    {fixed, 0},
	scalar.True - 0xc0:     {fixed, 0},
	scalar.Bin8 - 0xc0:     {body, 1},
	scalar.Bin16 - 0xc0:    {body, 2},
	scalar.Bin32 - 0xc0:    {body, 4},
	scalar.Ext8 - 0xc0:     {extension, 1},
	scalar.Ext16 - 0xc0:    {extension, 2},
	scalar.Ext32 - 0xc0:    {extension, 4},
	scalar.Float32 - 0xc0:  {fixed, 4},
	scalar.Float64 - 0xc0:  {fixed, 8},
	scalar.Uint8 - 0xc0:    {fixed, 1},
	scalar.Uint16 - 0xc0:   {fixed, 2},
	scalar.Uint32 - 0xc0:   {fixed, 4},
	scalar.Uint64 - 0xc0:   {fixed, 8},
	scalar.Int8 - 0xc0:     {fixed, 1},
	scalar.Int16 - 0xc0:    {fixed, 2},
	scalar.Int32 - 0xc0:    {fixed, 4},
	scalar.Int64 - 0xc0:    {fixed, 8},
	scalar.FixExt1 - 0xc0:  {fixedExtension, 0},
	scalar.FixExt2 - 0xc0:  {fixedExtension, 0},
	scalar.FixExt4 - 0xc0:  {fixedExtension, 0},
	scalar.FixExt8 - 0xc0:  {fixedExtension, 0},
	scalar.FixExt16 - 0xc0: {fixedExtension, 0},
	scalar.Str8 - 0xc0:     {body, 1},
	scalar.Str16 - 0xc0:    {body, 2},
	scalar.Str32 - 0xc0:    {body, 4},
	scalar.Array16 - 0xc0:  {array, 2},
	scalar.Array32 - 0xc0:  {array, 4},
	scalar.Map16 - 0xc0:    {mapping, 2},
	scalar.Map32 - 0xc0:    {mapping, 4},
}

// describeMsgpack says what kind of value data begins with.
func describeMsgpack(data []byte) string {
	if len(data) == 0 {
		return "nothing"
	}
	switch c := data[0]; {
	case c <= scalar.PosFixHigh, c >= scalar.NegFixLow, c >= scalar.Uint8 && c <= scalar.Int64:
		return "an integer"
	case c >= scalar.FixMapLow && c <= scalar.FixMapHigh, c == scalar.Map16, c == scalar.Map32:
		return "a map"
	case c >= scalar.FixArrayLow && c <= scalar.FixArrayHigh, c == scalar.Array16, c == scalar.Array32:
		return "an array"
	case c >= scalar.FixStrLow && c <= scalar.FixStrHigh, c >= scalar.Str8 && c <= scalar.Str32:
		return "a string"
	case c >= scalar.Bin8 && c <= scalar.Bin32:
		return "binary data"
	case c >= scalar.Ext8 && c <= scalar.Ext32, c >= scalar.FixExt1 && c <= scalar.FixExt16:
		return "an extension"
	case c == scalar.Nil:
		return "nil"
	case c == scalar.True, c == scalar.False:
		return "a bool"
	case c == scalar.Float32, c == scalar.Float64:
		return "a float"
	}
	return "bytes that are not msgpack"
}
