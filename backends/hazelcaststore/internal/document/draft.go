package document

import (
	"encoding/binary"
	"slices"
	"strings"
)

// A Draft is a document in the making. Its zero value has no keys. It is not safe
// for concurrent use.
type Draft struct {
	token    Token
	deadline int64
	revision uint64 // of the document that this one replaces
	writers  []Writer
	entries  []entry // ascending
	changed  bool
}

type entry struct {
	key   string
	value []byte
}

// New returns an empty draft of a session's first document.
func New(token Token, deadline int64) *Draft {
	return &Draft{token: token, deadline: deadline, changed: true}
}

// Draft returns a draft with the content of v. It shares the values of v.
func (v View) Draft() *Draft {
	d := &Draft{
		token:    v.Token(),
		deadline: v.Deadline(),
		revision: v.Revision(),
		writers:  make([]Writer, 0, MaxWriters),
		entries:  make([]entry, 0, v.keys+1),
	}
	for p := headerSize; p < headerSize+int(v.raw[writersAt])*writerSize; p += writerSize {
		d.writers = append(d.writers, Writer{binary.BigEndian.Uint64(v.raw[p:]), binary.BigEndian.Uint64(v.raw[p+8:])})
	}
	for at := v.at; at < len(v.raw); {
		k, next, _ := chunk(v.raw, at)
		var value []byte
		value, at, _ = chunk(v.raw, next)
		d.entries = append(d.entries, entry{string(k), value})
	}
	return d
}

// Changed reports whether the draft differs from what it was made from.
func (d *Draft) Changed() bool { return d.changed }

// Len returns the number of keys.
func (d *Draft) Len() int { return len(d.entries) }

// Deadline returns when the life ends.
func (d *Draft) Deadline() int64 { return d.deadline }

// SetDeadline moves the end of the life.
func (d *Draft) SetDeadline(deadline int64) {
	d.changed = d.changed || deadline != d.deadline
	d.deadline = deadline
}

// SetToken begins another life with the same values.
func (d *Draft) SetToken(token Token) {
	d.changed = true
	d.token = token
}

func (d *Draft) find(key string) (int, bool) {
	return slices.BinarySearchFunc(d.entries, key, func(e entry, key string) int { return strings.Compare(e.key, key) })
}

// Get returns the value under key, or nil.
func (d *Draft) Get(key string) []byte {
	if i, ok := d.find(key); ok {
		return d.entries[i].value
	}
	return nil
}

// Put stores value, which must not be nil, under key, and retains it until the
// draft is encoded.
func (d *Draft) Put(key string, value []byte) {
	d.changed = true
	i, ok := d.find(key)
	if ok {
		d.entries[i].value = value
		return
	}
	d.entries = slices.Insert(d.entries, i, entry{key, value})
}

// Delete removes key.
func (d *Draft) Delete(key string) {
	if i, ok := d.find(key); ok {
		d.changed = true
		d.entries = slices.Delete(d.entries, i, i+1)
	}
}

// Encode returns the document, one revision on, written by writer.
func (d *Draft) Encode(writer uint64) []byte {
	revision := d.revision + 1
	writers := append(make([]Writer, 0, MaxWriters+1), Writer{writer, revision})
	for _, w := range d.writers {
		if w.ID != writer && len(writers) < MaxWriters {
			writers = append(writers, w)
		}
	}
	size := headerSize + len(writers)*writerSize + binary.MaxVarintLen64
	for i := range d.entries {
		size += 2*binary.MaxVarintLen32 + len(d.entries[i].key) + len(d.entries[i].value)
	}
	b := make([]byte, 0, size)
	b = append(b, magic...)
	b = append(b, d.token[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(d.deadline))
	b = binary.BigEndian.AppendUint64(b, revision)
	b = append(b, byte(len(writers)))
	for _, w := range writers {
		b = binary.BigEndian.AppendUint64(b, w.ID)
		b = binary.BigEndian.AppendUint64(b, w.Revision)
	}
	b = binary.AppendUvarint(b, uint64(len(d.entries)))
	for i := range d.entries {
		e := &d.entries[i]
		b = binary.AppendUvarint(b, uint64(len(e.key)))
		b = append(b, e.key...)
		b = binary.AppendUvarint(b, uint64(len(e.value)))
		b = append(b, e.value...)
	}
	return b
}
