package inspect

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// What decoding keeps of the values of one session.
const (
	maxDepth  = 32      // containers within each other
	maxNodes  = 10_000  // elements of all its values
	maxString = 4 << 10 // bytes of a string or of binary data
	maxBytes  = 1 << 20 // bytes of all strings and binary data
)

// A Value is one value of a session, as far as its bytes tell without the Go type.
type Value struct {
	// Key is the name under which the value is stored.
	Key string

	// Size is the number of bytes that are stored, with marks and sealing.
	Size int

	// Encoding is "msgpack", "json", "raw" or "sealed"; it is "unread" for a value that is
	// left out because the session is too large.
	Encoding string

	// Version is that of a value by codec.Versioned, and 0 for any other.
	Version int

	// Data is the value: nil, a bool, int64, uint64, float64, json.Number, string,
	// []byte, time.Time, []any, [Object], [Extension] or [Omitted].
	Data any
}

// An Object is a map or a struct, in the order in which it is stored. Names may occur twice.
type Object []Field

// A Field is an entry of an [Object]. In msgpack a name may be any value.
type Field struct {
	Name, Value any
}

// An Extension is an extension of msgpack that is not a time.
type Extension struct {
	Type int8
	Data []byte
}

// Omitted takes the place of what is not shown, and says why.
type Omitted string

const (
	omittedDepth = Omitted("nested deeper than 32")
	omittedNodes = Omitted("more than 10000 elements in this session")
	omittedID    = Omitted("the session's ID")
	omittedRead  = Omitted("not read: the session is too large")
)

// A decoder turns stored bytes into Values. It keeps nothing of the bytes.
type decoder struct {
	id    string // of the session; no value that has it is shown
	nodes int    // that may still be made
	bytes int    // of strings that may still be kept

	hidden int // strings and numbers that were left out because of the ID
}

// node reports whether one more element may be made.
func (d *decoder) node() bool {
	d.nodes--
	return d.nodes >= 0
}

// text returns a string that is to be shown for b.
func (d *decoder) text(b []byte) any {
	switch {
	case d.isID(b):
		return omittedID
	case len(b) <= d.room():
		d.bytes -= len(b)
		return string(b)
	}
	cut := d.room()
	for least := max(0, cut-utf8.UTFMax); cut > least && !utf8.RuneStart(b[cut]); {
		cut--
	}
	d.bytes -= cut
	return []any{string(b[:cut]), omittedBytes(len(b) - cut)}
}

// room returns how many bytes of a string may be kept.
func (d *decoder) room() int { return min(maxString, d.bytes) }

// binary returns what is to be shown for b.
func (d *decoder) binary(b []byte) any {
	switch {
	case d.isID(b):
		return omittedID
	case len(b) <= d.room():
		d.bytes -= len(b)
		return append(make([]byte, 0, len(b)), b...)
	}
	cut := d.room()
	d.bytes -= cut
	return []any{bytes.Clone(b[:cut]), omittedBytes(len(b) - cut)}
}

// number returns what is to be shown for an integer or a json.Number.
func (d *decoder) number(n any) any {
	if len(d.id) <= maxNumber && fmt.Sprint(n) == d.id {
		d.hidden++
		return omittedID
	}
	return n
}

const maxNumber = 20 // digits of a uint64, or of an int64 with its sign

// isID reports whether b shows the session's ID. A short ID occurs in other text by chance.
func (d *decoder) isID(b []byte) bool {
	if shows(b, d.id) {
		d.hidden++
		return true
	}
	return false
}

const shortID = 8

func shows[T string | []byte](text T, id string) bool {
	if id == "" || len(text) < len(id) {
		return false
	}
	if len(id) < shortID {
		return string(text) == id
	}
	return strings.Contains(string(text), id)
}
