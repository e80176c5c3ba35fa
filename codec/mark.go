package codec

import (
	"encoding/binary"
	"errors"
)

// A mark comes before an encoding and says how to read it. It begins with a byte with which neither
// a msgpack value nor JSON text begins. Msgpack never uses it, and it does not occur in UTF-8.
// Every reader of plain msgpack or JSON fails on it.
//
//	C1 01 version encoding    a value of Versioned; version is a uvarint (LEB128), not 0
//	C1 02 n name encoding     a value of DuringChange or EndChange; name has n bytes, 1 to 255
const (
	markByte    = 0xc1
	markVersion = 1
	markName    = 2
)

var errMark = errors.New("the mark before the value is broken")

// marked reports whether data begins with a mark of the kind, and returns what
// follows those two bytes.
func marked(data []byte, kind byte) (rest []byte, ok bool) {
	if len(data) >= 2 && data[0] == markByte && data[1] == kind {
		return data[2:], true
	}
	return nil, false
}

func appendVersion(dst []byte, version int) []byte {
	return binary.AppendUvarint(append(dst, markByte, markVersion), uint64(version))
}

// cutVersion returns the version in front of an encoding; 0 for one without a mark.
func cutVersion(data []byte) (version int, encoding []byte, err error) {
	rest, ok := marked(data, markVersion)
	if !ok {
		return 0, data, nil
	}
	v, n := binary.Uvarint(rest)
	if n <= 0 || v == 0 || v > maxVersion || n > 1 && rest[n-1] == 0 { // the last: not the shortest form
		return 0, nil, errMark
	}
	return int(v), rest[n:], nil
}

func appendName(dst []byte, name string) []byte {
	return append(append(dst, markByte, markName, byte(len(name))), name...)
}

// cutName returns the codec's name in front of an encoding; empty for one without
// a mark.
func cutName(data []byte) (name, encoding []byte, err error) {
	rest, ok := marked(data, markName)
	if !ok {
		return nil, data, nil
	}
	if len(rest) == 0 || rest[0] == 0 || len(rest)-1 < int(rest[0]) {
		return nil, nil, errMark
	}
	n := 1 + int(rest[0])
	return rest[1:n], rest[n:], nil
}

// A misuseError says that the program uses a codec wrongly, whatever is stored. The store
// looks for the method, lest it takes the value for one that does not decode.
type misuseError struct{ err error }

func (e *misuseError) Error() string { return e.err.Error() }
func (e *misuseError) Unwrap() error { return e.err }
func (e *misuseError) Misuse() bool  { return true }
