// Package document is the form in which a session lies in the Hazelcast map. It is one byte array
// that holds the life's token, its deadline, and all keys and values.
//
// All integers of fixed size are big-endian; uvarint is the variable-length
// encoding of encoding/binary and Protocol Buffers, in its shortest form.
//
//	offset  size  field
//	0       3     magic: the ASCII letters "SKV"
//	3       1     format: 1 or 2
//	4       16    token of the life, random
//	20      8     deadline: milliseconds since 1970 on the clock of the cluster
//	28      8     revision: 1 in the first document of a session, one more in each that replaces it
//	then, in format 2 only:
//	        8     owner, random, not zero: the session lives on after its deadline for as long as that owner's record says
//	then    1     number of writers, at most 8
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
// Nothing follows. The encoding is canonical: equal content has equal bytes, and a session without
// an owner is written in format 1. Since the revision grows and tokens are random, no bytes ever
// recur under one key of the map. That makes it safe to repeat a compare-and-swap whose reply was
// lost.
//
// # Formats of the future
//
// The first 36 bytes, from the magic to the revision, stay as they are in every format. So do the 8
// bytes of the owner from format 2 on. A reader that meets a later format can so tell one life from
// another, judge whether it has ended, and destroy it. Everything else fails with [ErrNewer]. To
// bring in a format:
//
//  1. Release a version that reads it and still writes the one before.
//  2. When every process runs that version, release one that writes it.
//
// Otherwise processes of the earlier version refuse the sessions of the later one
// for as long as both run.
package document

import (
	"encoding/binary"
	"errors"
	"slices"
)

const (
	magic = "SKV"

	plain  = 1 // the format without an owner
	owned  = 2 // the format with one
	newest = owned

	formatAt   = len(magic)
	tokenAt    = formatAt + 1
	deadlineAt = tokenAt + len(Token{})
	revisionAt = deadlineAt + 8
	frozenSize = revisionAt + 8 // the same in all formats
	ownerAt    = frozenSize     // from format 2 on
	ownerSize  = 8
	writerSize = 16

	// MaxWriters is how many writers a document remembers.
	MaxWriters = 8

	maxKey = 1 << 16 // far above what any version of the library allows
)

// ErrMalformed says that bytes are not a document of this format.
var ErrMalformed = errors.New("the map entry is not a session document of a known format; keep other data out of this map")

// ErrNewer says that a session was written in a format that a later version of this
// library has brought in.
var ErrNewer = errors.New("this session was written by a later version of the library, in a newer format; bring this process up to date")

// A Token tells one life of a session from all others.
type Token [16]byte

// A View reads a document in place. Its zero value is not usable.
type View struct {
	raw     []byte
	writers int // offset of the number of writers, 0 in a format of the future
	keys    int // number of keys
	at      int // offset of the first key

	index []uint32 // the offset of each key; nil until somebody needs it
}

// manyKeys is the number of keys from which on a document gets an index as soon as it
// is changed. It is handed on to the next document, with a shift.
const manyKeys = 64

// indexed returns v with an index.
func (v View) indexed() View {
	if v.index != nil || v.raw == nil {
		return v
	}
	v.index = make([]uint32, 0, v.keys)
	for at := v.at; len(v.index) < v.keys; {
		v.index = append(v.index, uint32(at))
		_, next, _ := chunk(v.raw, at)
		_, at, _ = chunk(v.raw, next)
	}
	return v
}

// search returns the number of key, or the one that it would have.
func (v View) search(key string) (n int, found bool) {
	return slices.BinarySearchFunc(v.index, key, func(at uint32, key string) int {
		k, _, _ := chunk(v.raw, int(at))
		switch { // the compiler compares without making strings of the bytes
		case string(k) < key:
			return -1
		case len(k) == len(key) && string(k) == key:
			return 0
		}
		return 1
	})
}

// value returns the value of key number n and the offset behind it.
func (v View) value(n int) (value []byte, to int) {
	_, next, _ := chunk(v.raw, int(v.index[n]))
	value, to, _ = chunk(v.raw, next)
	return value, to
}

// Open checks b from its first byte to its last and returns a View of it. Neither
// b nor what the View returns may be changed from then on. Whatever b holds, Open
// returns an error at worst, and allocates nothing. With [ErrNewer] it returns a View
// with token, deadline, revision and owner and has no keys.
func Open(b []byte) (View, error) {
	if len(b) < frozenSize || string(b[:formatAt]) != magic || b[formatAt] == 0 {
		return View{}, ErrMalformed
	}
	v := View{raw: b, writers: frozenSize}
	if b[formatAt] >= owned {
		v.writers += ownerSize
		if len(b) < v.writers || v.Owner() == 0 && b[formatAt] == owned {
			return View{}, ErrMalformed
		}
	}
	if b[formatAt] > newest {
		return View{raw: b}, ErrNewer
	}
	at, ok := v.checkWriters()
	if !ok {
		return View{}, ErrMalformed
	}
	keys, at, ok := uvarint(b, at)
	// Each key takes at least three bytes: two lengths and a letter.
	if !ok || keys > uint64(len(b)-at)/3 {
		return View{}, ErrMalformed
	}
	v.keys, v.at = int(keys), at
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
func (v View) checkWriters() (at int, ok bool) {
	b := v.raw
	if v.writers >= len(b) {
		return 0, false
	}
	n := int(b[v.writers])
	first := v.writers + 1
	at = first + n*writerSize
	if n > MaxWriters || at > len(b) {
		return 0, false
	}
	limit := v.Revision()
	for p := first; p < at; p += writerSize {
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
	// Most lengths take one byte.
	if at < len(b) && b[at] < 0x80 && int(b[at]) < len(b)-at {
		next = at + 1 + int(b[at])
		return b[at+1 : next : next], next, true
	}
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

// Owner returns the owner whose record may keep the life going after its deadline,
// or 0 for none.
func (v View) Owner() uint64 {
	if v.raw[formatAt] < owned {
		return 0
	}
	return binary.BigEndian.Uint64(v.raw[ownerAt:])
}

// Bytes returns the document itself.
func (v View) Bytes() []byte { return v.raw }

// Len returns the number of keys.
func (v View) Len() int { return v.keys }

// eachWriter calls f for every writer, the latest first, until f returns false.
func (v View) eachWriter(f func(id, revision uint64) bool) {
	if v.writers == 0 {
		return
	}
	p := v.writers + 1
	for range int(v.raw[v.writers]) {
		if !f(binary.BigEndian.Uint64(v.raw[p:]), binary.BigEndian.Uint64(v.raw[p+8:])) {
			return
		}
		p += writerSize
	}
}

// Wrote returns the last revision that writer wrote, or false when the document
// does not remember it.
func (v View) Wrote(writer uint64) (revision uint64, ok bool) {
	v.eachWriter(func(id, r uint64) bool {
		if id == writer {
			revision, ok = r, true
		}
		return !ok
	})
	return revision, ok
}

// find returns the value under key and the offsets between which the key lies with
// its value. When it is absent, both are where it belongs.
func (v View) find(key string) (value []byte, from, to int) {
	if v.index != nil {
		n, found := v.search(key)
		switch {
		case found:
			value, to = v.value(n)
			return value, int(v.index[n]), to
		case n < len(v.index):
			return nil, int(v.index[n]), int(v.index[n])
		}
		return nil, len(v.raw), len(v.raw)
	}
	at := v.at
	for range v.keys {
		k, next, _ := chunk(v.raw, at)
		value, end, _ := chunk(v.raw, next)
		// The compiler compares without making strings of the bytes.
		if string(k) >= key {
			if len(k) == len(key) && string(k) == key {
				return value, at, end
			}
			break
		}
		at = end
	}
	return nil, at, at
}

// Get returns the value under key, a part of the document, or nil.
func (v View) Get(key string) []byte {
	value, _, _ := v.find(key)
	return value
}

// GetMany returns the value under each of keys, nil for those that are absent. Its time is linear
// in the document but for a logarithm.
func (v View) GetMany(keys []string) [][]byte {
	values := make([][]byte, len(keys))
	if len(keys) < 4 { // an index would cost more than it saves
		for i, key := range keys {
			values[i] = v.Get(key)
		}
		return values
	}
	v = v.indexed()
	for i, key := range keys {
		if n, found := v.search(key); found {
			values[i], _ = v.value(n)
		}
	}
	return values
}

// Keys returns the keys in ascending order.
func (v View) Keys() []string {
	keys := make([]string, 0, v.keys)
	for at := v.at; len(keys) < v.keys; {
		k, next, _ := chunk(v.raw, at)
		_, at, _ = chunk(v.raw, next)
		keys = append(keys, string(k))
	}
	return keys
}
