package store

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"iter"
	"slices"
	"strings"
	"time"
)

// reserved is what the names of keys begin with that this package keeps for itself: a noncharacter,
// which CheckKey accepts and no text has.
const reserved = "\ufdd0"

// markKey is the key under which a session's record says under which entries it is listed.
const markKey = reserved + "index"

// A mark says under which entries a session is listed. It is stored in the session's record, and changes in the same
// step as the values do. It has the form
//
//	1 byte      2, the format
//	uvarint     lease, in milliseconds
//	then for each indexed key that has a value, in the order of the keys:
//	uvarint     length of the key
//	…           the key
//	16 bytes    hash of the value, the name of the list
//	8 bytes     nonce, random for each write
type mark struct {
	// lease is the owner's, zero where no process has owned the session yet. Entries that others put have to last for as
	// long as the owner goes without a look at the mark.
	lease time.Duration
	all   []marked
}

type marked struct {
	key   string
	hash  indexHash
	nonce indexNonce
}

type indexNonce [8]byte

func newNonce() (n indexNonce) {
	rand.Read(n[:]) // never fails
	return n
}

const markFormat = 2

func (m mark) encode() []byte {
	b := binary.AppendUvarint([]byte{markFormat}, uint64(m.lease.Milliseconds()))
	for _, e := range m.all {
		b = binary.AppendUvarint(b, uint64(len(e.key)))
		b = append(b, e.key...)
		b = append(b, e.hash[:]...)
		b = append(b, e.nonce[:]...)
	}
	return b
}

// parseMark reads a mark. One that is malformed marks nothing.
func parseMark(b []byte) mark {
	var m mark
	if lease, _, ok := markedLease(b); ok {
		m.lease = lease
	}
	for key, e := range entriesOf(b) {
		m.all = append(m.all, marked{string(key), indexHash(e), indexNonce(e[len(indexHash{}):])})
	}
	return m
}

// markedLease returns the lease in a mark, and what follows it.
func markedLease(b []byte) (lease time.Duration, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != markFormat {
		return 0, nil, false
	}
	ms, w := binary.Uvarint(b[1:])
	if w <= 0 || ms > uint64(longestLease.Milliseconds()) {
		return 0, nil, false
	}
	return time.Duration(ms) * time.Millisecond, b[1+w:], true
}

// entriesOf yields what a mark holds: keys, each with its hash and nonce, which lie in b. A mark that is malformed holds nothing.
func entriesOf(b []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, entry []byte) bool) {
		_, all, ok := markedLease(b)
		if !ok {
			return
		}
		for rest := all; len(rest) > 0; {
			if _, _, rest, ok = nextMarked(rest); !ok {
				return
			}
		}
		for rest := all; len(rest) > 0; {
			key, entry, next, _ := nextMarked(rest)
			if !yield(key, entry) {
				return
			}
			rest = next
		}
	}
}

func nextMarked(b []byte) (key, entry, rest []byte, ok bool) {
	const size = len(indexHash{}) + len(indexNonce{})
	n, w := binary.Uvarint(b)
	if w <= 0 || n > MaxKeyLength || len(b)-w < int(n)+size {
		return nil, nil, nil, false
	}
	b = b[w:]
	return b[:n], b[n:][:size], b[int(n)+size:], true
}

// find returns the place of key in m, or where it belongs.
func (m mark) find(key string) (int, bool) {
	return slices.BinarySearchFunc(m.all, key, func(e marked, key string) int { return strings.Compare(e.key, key) })
}

// with returns m with e in place of what it has under the key.
func (m mark) with(e marked) mark {
	i, ok := m.find(e.key)
	m.all = slices.Clone(m.all)
	if ok {
		m.all[i] = e
	} else {
		m.all = slices.Insert(m.all, i, e)
	}
	return m
}

// without returns m without the key.
func (m mark) without(key string) mark {
	i, ok := m.find(key)
	if ok {
		m.all = slices.Delete(slices.Clone(m.all), i, i+1)
	}
	return m
}

// entries returns the entries of the session id that m names.
func (m mark) entries(id string) []IndexEntry {
	if len(m.all) == 0 {
		return nil
	}
	all := make([]IndexEntry, len(m.all))
	for i := range m.all {
		all[i] = m.all[i].entry(id)
	}
	return all
}

// entry returns the entry of the session id. A member is the nonce and the ID: whoever looks sessions up must attach
// to them, so the ID appears there as it does in the name of the session's own record.
func (e *marked) entry(id string) IndexEntry {
	return IndexEntry{Index: e.hash.list(), Member: string(e.nonce[:]) + id}
}

// An entryWriter makes the entries of many sessions in few pieces of memory.
type entryWriter struct {
	text    strings.Builder
	entries []IndexEntry
}

// grow makes room for n entries of sessions whose IDs have about that length.
func (w *entryWriter) grow(n, id int) {
	w.entries = make([]IndexEntry, 0, n)
	w.text.Grow(n * (listLength + len(indexNonce{}) + id))
}

// write appends the entries of the session id that a mark names.
func (w *entryWriter) write(mark []byte, id string) {
	for _, e := range entriesOf(mark) {
		hash, nonce := e[:len(indexHash{})], e[len(indexHash{}):]
		var list [listLength]byte
		base64.RawURLEncoding.Encode(list[:], hash)
		from := w.text.Len()
		w.text.Write(list[:])
		w.text.Write(nonce)
		w.text.WriteString(id)
		text := w.text.String()[from:] // which stays as it is, whatever is written after it
		w.entries = append(w.entries, IndexEntry{Index: text[:len(list)], Member: text[len(list):]})
	}
}

// idOf returns the session ID in a member of a list.
func idOf(member string) (id string, ok bool) {
	if len(member) <= len(indexNonce{}) {
		return "", false
	}
	id = member[len(indexNonce{}):]
	return id, CheckID(id) == nil
}

// gone returns the entries of the session id that before names and after does not.
func gone(before, after mark, id string) []IndexEntry {
	var all []IndexEntry
	for i := range before.all {
		e := &before.all[i]
		if j, ok := after.find(e.key); !ok || after.all[j] != *e {
			all = append(all, e.entry(id))
		}
	}
	return all
}

// isMark reports whether a key is the mark's.
func isMark(key string) bool { return key == markKey }

// isReserved reports whether a key belongs to this package.
func isReserved(key string) bool {
	return len(key) >= len(reserved) && key[0] == reserved[0] && key[:len(reserved)] == reserved
}
