// Package document is the form in which a session lies in the Hazelcast map: one
// byte array that holds the life's token, its deadline, and all keys and values.
//
// All integers of fixed size are big-endian; uvarint is the variable-length
// encoding of encoding/binary and Protocol Buffers, in its shortest form.
//
//	offset  size  field
//	0       3     magic: the ASCII letters "SKV"
//	3       1     format: 1
//	4       16    token of the life, random
//	20      8     deadline: milliseconds since 1970 on the clock of the cluster
//	28      8     revision: 1 in the first document of a session, one more in each that replaces it
//	36      1     number of writers, at most 8
//	then, for each writer, the latest first:
//	        8     writer, random
//	        8     the revision that it wrote last
//	then    uvarint  number of keys
//	then, for each key, in strictly ascending byte order:
//	        uvarint  length of the key in bytes, at least 1
//	        …        key, UTF-8
//	        uvarint  length of the value in bytes
//	        …        value
//
// Nothing follows. The encoding is canonical: equal content has equal bytes.
// Since the revision grows and tokens are random, no bytes ever recur under one
// key of the map, which is what makes it safe to repeat a compare-and-swap whose
// reply was lost.
package document

import (
	"encoding/binary"
	"errors"
	"strings"
)

const (
	magic = "SKV\x01"

	tokenAt    = len(magic)
	deadlineAt = tokenAt + len(Token{})
	revisionAt = deadlineAt + 8
	writersAt  = revisionAt + 8
	headerSize = writersAt + 1
	writerSize = 16

	// MaxWriters is how many writers a document remembers.
	MaxWriters = 8

	maxKey = 1 << 16 // far above what any version of the library allows
)

// ErrMalformed says that bytes are no document of this format.
var ErrMalformed = errors.New("the map entry is not a session document of a known format; keep other data out of this map")

// A Token tells one life of a session from all others.
type Token [16]byte

// A Writer is one process's access to one life, with the last revision that came
// from it.
type Writer struct {
	ID       uint64
	Revision uint64
}

// A View reads a document in place. Its zero value is not usable.
type View struct {
	raw  []byte
	keys int // number of keys
	at   int // offset of the first key
}

// Open checks b from its first byte to its last and returns a View of it. Neither
// b nor what the View returns may be changed from then on. Whatever b holds, Open
// returns [ErrMalformed] at worst, and allocates nothing.
func Open(b []byte) (View, error) {
	if len(b) < headerSize || string(b[:len(magic)]) != magic {
		return View{}, ErrMalformed
	}
	at, ok := checkWriters(b)
	if !ok {
		return View{}, ErrMalformed
	}
	keys, at, ok := uvarint(b, at)
	// Each key takes at least three bytes: two lengths and a letter.
	if !ok || keys > uint64(len(b)-at)/3 {
		return View{}, ErrMalformed
	}
	v := View{raw: b, keys: int(keys), at: at}
	var before []byte
	for range v.keys {
		var key []byte
		if key, at, ok = chunk(b, at); !ok || len(key) == 0 || len(key) > maxKey || string(key) <= string(before) {
			return View{}, ErrMalformed
		}
		if _, at, ok = chunk(b, at); !ok {
			return View{}, ErrMalformed
		}
		before = key
	}
	if at != len(b) {
		return View{}, ErrMalformed
	}
	return v, nil
}

// checkWriters returns the offset behind the writers.
func checkWriters(b []byte) (at int, ok bool) {
	n := int(b[writersAt])
	at = headerSize + n*writerSize
	if n > MaxWriters || at > len(b) {
		return 0, false
	}
	limit := binary.BigEndian.Uint64(b[revisionAt:])
	for p := headerSize; p < at; p += writerSize {
		r := binary.BigEndian.Uint64(b[p+8:])
		if r > limit || r == 0 {
			return 0, false
		}
		limit = r - 1 // two writers never wrote one revision
	}
	return at, true
}

// uvarint reads a shortest-form uvarint at offset at.
func uvarint(b []byte, at int) (v uint64, next int, ok bool) {
	v, n := binary.Uvarint(b[at:])
	if n <= 0 || n > 1 && b[at+n-1] == 0 {
		return 0, 0, false
	}
	return v, at + n, true
}

// chunk reads a length and as many bytes.
func chunk(b []byte, at int) (c []byte, next int, ok bool) {
	n, at, ok := uvarint(b, at)
	if !ok || n > uint64(len(b)-at) {
		return nil, 0, false
	}
	next = at + int(n)
	return b[at:next:next], next, true
}

// Token returns the token of the life.
func (v View) Token() Token { return Token(v.raw[tokenAt:]) }

// Deadline returns when the life ends, in milliseconds since 1970 on the clock of
// the cluster.
func (v View) Deadline() int64 { return int64(binary.BigEndian.Uint64(v.raw[deadlineAt:])) }

// Revision returns the number of the document within its session.
func (v View) Revision() uint64 { return binary.BigEndian.Uint64(v.raw[revisionAt:]) }

// Bytes returns the document itself.
func (v View) Bytes() []byte { return v.raw }

// Len returns the number of keys.
func (v View) Len() int { return v.keys }

// Wrote returns the last revision that writer wrote, or false when the document
// does not remember it.
func (v View) Wrote(writer uint64) (revision uint64, ok bool) {
	for p := headerSize; p < headerSize+int(v.raw[writersAt])*writerSize; p += writerSize {
		if binary.BigEndian.Uint64(v.raw[p:]) == writer {
			return binary.BigEndian.Uint64(v.raw[p+8:]), true
		}
	}
	return 0, false
}

// Get returns the value under key, a part of the document, or nil.
func (v View) Get(key string) []byte {
	at := v.at
	for range v.keys {
		k, next, _ := chunk(v.raw, at)
		value, next, _ := chunk(v.raw, next)
		if c := strings.Compare(string(k), key); c == 0 {
			return value
		} else if c > 0 {
			break
		}
		at = next
	}
	return nil
}

// Keys returns the keys in ascending order.
func (v View) Keys() []string {
	keys := make([]string, 0, v.keys)
	for at := v.at; at < len(v.raw); {
		k, next, _ := chunk(v.raw, at)
		_, at, _ = chunk(v.raw, next)
		keys = append(keys, string(k))
	}
	return keys
}
