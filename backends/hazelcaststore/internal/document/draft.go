package document

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
)

// A Draft is a document in the making: the one that it was made from, and what is
// different. It costs as much as the changes do, and Encode copies the rest as it
// lies there. It is not safe for concurrent use.
type Draft struct {
	base     View // its raw bytes are nil in the first document of a session
	token    Token
	deadline int64
	owner    uint64
	keys     int      // number of keys
	changes  []change // ascending
	changed  bool
	room     [4]change // of changes, as long as there are few
}

// A change is a value to be stored under key, or a key to be removed.
type change struct {
	key      string
	value    []byte // nil removes the key
	from, to int    // where the base has the key with its value; where it belongs when both are the same
}

// New returns an empty draft of a session's first document.
func New(token Token, deadline int64) *Draft {
	d := &Draft{token: token, deadline: deadline, changed: true}
	d.changes = d.room[:0]
	return d
}

// Draft returns a draft with the content of v.
func (v View) Draft() *Draft {
	if v.keys >= manyKeys {
		v = v.indexed()
	}
	d := &Draft{base: v, token: v.Token(), deadline: v.Deadline(), owner: v.Owner(), keys: v.keys}
	d.changes = d.room[:0]
	return d
}

// Changed reports whether the draft may differ from what it was made from.
func (d *Draft) Changed() bool { return d.changed }

// Len returns the number of keys.
func (d *Draft) Len() int { return d.keys }

// Deadline returns when the life ends, unless it has an owner.
func (d *Draft) Deadline() int64 { return d.deadline }

// SetDeadline moves the end of the life.
func (d *Draft) SetDeadline(deadline int64) {
	d.changed = d.changed || deadline != d.deadline
	d.deadline = deadline
}

// Owner returns the owner, or 0.
func (d *Draft) Owner() uint64 { return d.owner }

// SetOwner gives the life another owner, or with 0 none.
func (d *Draft) SetOwner(owner uint64) {
	d.changed = d.changed || owner != d.owner
	d.owner = owner
}

// SetToken begins another life with the same values.
func (d *Draft) SetToken(token Token) {
	d.changed = true
	d.token = token
}

// Get returns the value under key, or nil.
func (d *Draft) Get(key string) []byte {
	if i, ok := d.find(key); ok {
		return d.changes[i].value
	}
	if d.base.raw == nil {
		return nil
	}
	return d.base.Get(key)
}

// Kept is Get for a caller who keeps the value for longer than the draft lives. What was put into
// the draft belongs to the one who did.
func (d *Draft) Kept(key string) []byte {
	if i, ok := d.find(key); ok {
		return bytes.Clone(d.changes[i].value)
	}
	return d.Get(key)
}

func (d *Draft) find(key string) (int, bool) {
	return slices.BinarySearchFunc(d.changes, key, func(c change, key string) int { return strings.Compare(c.key, key) })
}

// Put stores value, which must not be nil, under key, and retains it until the
// draft is encoded.
func (d *Draft) Put(key string, value []byte) {
	d.changed = true
	i, had := d.touch(key, true)
	if !had {
		d.keys++
	}
	d.changes[i].value = value
}

// Delete removes key.
func (d *Draft) Delete(key string) {
	if i, had := d.touch(key, false); had {
		d.changed = true
		d.keys--
		d.changes[i].value = nil
	}
}

// touch returns the index of the change of key and whether the draft has the key
// now. Without a change yet it makes one, for an absent key only if add says so.
func (d *Draft) touch(key string, add bool) (i int, had bool) {
	i, ok := d.find(key)
	if ok {
		return i, d.changes[i].value != nil
	}
	var c change
	if d.base.raw != nil {
		_, c.from, c.to = d.base.find(key)
	}
	had = c.from < c.to
	if had || add {
		c.key = key
		d.changes = slices.Insert(d.changes, i, c)
	}
	return i, had
}

// Size returns an upper bound of the document's length.
func (d *Draft) Size() int {
	size := frozenSize + ownerSize + 1 + MaxWriters*writerSize + binary.MaxVarintLen32 + len(d.base.raw) - d.base.at
	for i := range d.changes {
		c := &d.changes[i]
		size += entrySize(c.key, c.value) - (c.to - c.from)
	}
	return size
}

// Growth returns by how much the document grows when value is stored under key.
func (d *Draft) Growth(key string, value []byte) int {
	if i, ok := d.find(key); ok {
		return entrySize(key, value) - entrySize(key, d.changes[i].value)
	}
	had := 0
	if d.base.raw != nil {
		_, from, to := d.base.find(key)
		had = to - from
	}
	return entrySize(key, value) - had
}

// entrySize returns how many bytes a key takes with its value, none when that is nil.
func entrySize(key string, value []byte) int {
	if value == nil {
		return 0
	}
	return lengthSize(len(key)) + len(key) + lengthSize(len(value)) + len(value)
}

func lengthSize(n int) int {
	size := 1
	for ; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}

// Encode returns the document, one revision on, written by writer.
func (d *Draft) Encode(writer uint64) View {
	revision := uint64(1)
	if d.base.raw != nil {
		revision = d.base.Revision() + 1
	}
	var others [MaxWriters - 1][2]uint64
	n := 0
	if d.base.raw != nil {
		d.base.eachWriter(func(id, r uint64) bool {
			if id != writer {
				others[n] = [2]uint64{id, r}
				n++
			}
			return n < len(others)
		})
	}
	size := frozenSize + ownerSize + 1 + (n+1)*writerSize + binary.MaxVarintLen64 + max(0, len(d.base.raw)-d.base.at)
	for i := range d.changes {
		if c := &d.changes[i]; c.value != nil {
			size += 2*binary.MaxVarintLen32 + len(c.key) + len(c.value)
		}
	}
	b := make([]byte, 0, size)
	b = append(b, magic...)
	if d.owner == 0 {
		b = append(b, plain)
	} else {
		b = append(b, owned)
	}
	b = append(b, d.token[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(d.deadline))
	b = binary.BigEndian.AppendUint64(b, revision)
	if d.owner != 0 {
		b = binary.BigEndian.AppendUint64(b, d.owner)
	}
	v := View{writers: len(b), keys: d.keys}
	b = append(b, byte(n+1))
	b = binary.BigEndian.AppendUint64(b, writer)
	b = binary.BigEndian.AppendUint64(b, revision)
	for _, w := range others[:n] {
		b = binary.BigEndian.AppendUint64(b, w[0])
		b = binary.BigEndian.AppendUint64(b, w[1])
	}
	b = binary.AppendUvarint(b, uint64(d.keys))
	v.at = len(b)
	indexed := d.base.index != nil
	if indexed && v.at == d.base.at && d.sameSizes() {
		v.index, indexed = d.base.index, false // every key stays where it is
	}
	if indexed {
		v.index = make([]uint32, 0, d.keys)
	}
	at, next := d.base.at, 0 // in the base: the offset and the key that come next
	for i := range d.changes {
		c := &d.changes[i]
		if indexed {
			next = v.keep(d.base, next, c.from, len(b)-at)
		}
		b = append(b, d.base.raw[at:c.from]...)
		at = c.to
		if c.from < c.to {
			next++ // replaced or removed
		}
		if c.value == nil {
			continue
		}
		if indexed {
			v.index = append(v.index, uint32(len(b)))
		}
		b = binary.AppendUvarint(b, uint64(len(c.key)))
		b = append(b, c.key...)
		b = binary.AppendUvarint(b, uint64(len(c.value)))
		b = append(b, c.value...)
	}
	if d.base.raw != nil {
		if indexed {
			v.keep(d.base, next, len(d.base.raw), len(b)-at)
		}
		b = append(b, d.base.raw[at:]...)
	}
	v.raw = b
	return v
}

// sameSizes reports whether every change replaces a value by one that takes as many bytes.
func (d *Draft) sameSizes() bool {
	for i := range d.changes {
		if c := &d.changes[i]; c.value == nil || entrySize(c.key, c.value) != c.to-c.from {
			return false
		}
	}
	return true
}

// keep adds to the index the keys of base from number next on that lie before offset to, moved by
// shift. It returns the number of the first that does not.
func (v *View) keep(base View, next, to, shift int) int {
	for next < len(base.index) && int(base.index[next]) < to {
		v.index = append(v.index, uint32(int(base.index[next])+shift))
		next++
	}
	return next
}
