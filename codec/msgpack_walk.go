package codec

import (
	"encoding/binary"
	"fmt"
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

// walk checks that data[start:end] is a sequence of complete msgpack values: that
// every string and container which it announces is there, and that
// none is nested deeper than maxDepth. After that, whoever makes room for the announced
// elements needs no more than in proportion to the data.
//
// It is a sequence, not one value, because a custom encoder of the library may write several; whether
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
		case c <= posFixHigh || c >= negFixLow:
		case c <= fixMapHigh:
			children, container = 2*int(c&0x0f), true
		case c <= fixArrayHigh:
			children, container = int(c&0x0f), true
		case c <= fixStrHigh:
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
					n = 1 << (c - codeFixExt1)
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
	case id == extIntern && end-start == 1:
		s.index = true
	case id == extIntern, id == extTime, id == extNodeJSTime, extDepth == maxExtDepth:
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
	codeNil - 0xc0:      {fixed, 0},
	codeUnused - 0xc0:   {invalid, 0},
	codeFalse - 0xc0:    {fixed, 0},
	codeTrue - 0xc0:     {fixed, 0},
	codeBin8 - 0xc0:     {body, 1},
	codeBin16 - 0xc0:    {body, 2},
	codeBin32 - 0xc0:    {body, 4},
	codeExt8 - 0xc0:     {extension, 1},
	codeExt16 - 0xc0:    {extension, 2},
	codeExt32 - 0xc0:    {extension, 4},
	codeFloat32 - 0xc0:  {fixed, 4},
	codeFloat64 - 0xc0:  {fixed, 8},
	codeUint8 - 0xc0:    {fixed, 1},
	codeUint16 - 0xc0:   {fixed, 2},
	codeUint32 - 0xc0:   {fixed, 4},
	codeUint64 - 0xc0:   {fixed, 8},
	codeInt8 - 0xc0:     {fixed, 1},
	codeInt16 - 0xc0:    {fixed, 2},
	codeInt32 - 0xc0:    {fixed, 4},
	codeInt64 - 0xc0:    {fixed, 8},
	codeFixExt1 - 0xc0:  {fixedExtension, 0},
	codeFixExt2 - 0xc0:  {fixedExtension, 0},
	codeFixExt4 - 0xc0:  {fixedExtension, 0},
	codeFixExt8 - 0xc0:  {fixedExtension, 0},
	codeFixExt16 - 0xc0: {fixedExtension, 0},
	codeStr8 - 0xc0:     {body, 1},
	codeStr16 - 0xc0:    {body, 2},
	codeStr32 - 0xc0:    {body, 4},
	codeArray16 - 0xc0:  {array, 2},
	codeArray32 - 0xc0:  {array, 4},
	codeMap16 - 0xc0:    {mapping, 2},
	codeMap32 - 0xc0:    {mapping, 4},
}

// describeMsgpack says what kind of value data begins with.
func describeMsgpack(data []byte) string {
	if len(data) == 0 {
		return "nothing"
	}
	switch c := data[0]; {
	case c <= posFixHigh, c >= negFixLow, c >= codeUint8 && c <= codeInt64:
		return "an integer"
	case c >= fixMapLow && c <= fixMapHigh, c == codeMap16, c == codeMap32:
		return "a map"
	case c >= fixArrayLow && c <= fixArrayHigh, c == codeArray16, c == codeArray32:
		return "an array"
	case c >= fixStrLow && c <= fixStrHigh, c >= codeStr8 && c <= codeStr32:
		return "a string"
	case c >= codeBin8 && c <= codeBin32:
		return "binary data"
	case c >= codeExt8 && c <= codeExt32, c >= codeFixExt1 && c <= codeFixExt16:
		return "an extension"
	case c == codeNil:
		return "nil"
	case c == codeTrue, c == codeFalse:
		return "a bool"
	case c == codeFloat32, c == codeFloat64:
		return "a float"
	}
	return "bytes that are not msgpack"
}
