package document

import (
	"encoding/binary"
	"slices"
)

// A List is a part of a list of an index: members, each with its deadline. Integers are big-endian:
//
//	offset  size  field
//	0       3     magic: the ASCII letters "SKL"
//	3       1     format: 1
//	4       8     nonce, random: no bytes ever recur
//	12      2     number of parts of the list, in its first part; else 1
//	14      8     until when the other parts may have members, in the first part; else 0
//	22      …     for each member: 8 bytes deadline, uvarint length, the member
type List struct {
	Nonce   uint64
	Parts   int
	Until   int64
	Members []Member
}

// A Member of a List.
type Member struct {
	Deadline int64
	Name     string
}

const (
	listMagic  = "SKL\x01"
	listHeader = len(listMagic) + 8 + 2 + 8

	// MaxParts is the most parts of a list.
	MaxParts = 1 << 12
)

// Encode returns the list's bytes.
func (l *List) Encode() []byte {
	size := listHeader
	for i := range l.Members {
		size += 8 + binary.MaxVarintLen32 + len(l.Members[i].Name)
	}
	b := make([]byte, 0, size)
	b = append(b, listMagic...)
	b = binary.BigEndian.AppendUint64(b, l.Nonce)
	b = binary.BigEndian.AppendUint16(b, uint16(l.Parts))
	b = binary.BigEndian.AppendUint64(b, uint64(l.Until))
	for i := range l.Members {
		m := &l.Members[i]
		b = binary.BigEndian.AppendUint64(b, uint64(m.Deadline))
		b = binary.AppendUvarint(b, uint64(len(m.Name)))
		b = append(b, m.Name...)
	}
	return b
}

// OpenList reads a list. Whatever b holds, it returns [ErrMalformed] at worst.
func OpenList(b []byte) (*List, error) {
	if len(b) < listHeader || string(b[:len(listMagic)]) != listMagic {
		return nil, ErrMalformed
	}
	l := &List{
		Nonce: binary.BigEndian.Uint64(b[4:]),
		Parts: int(binary.BigEndian.Uint16(b[12:])),
		Until: int64(binary.BigEndian.Uint64(b[14:])),
	}
	if l.Parts < 1 || l.Parts > MaxParts {
		return nil, ErrMalformed
	}
	for b = b[listHeader:]; len(b) > 0; {
		if len(b) < 8 {
			return nil, ErrMalformed
		}
		deadline := int64(binary.BigEndian.Uint64(b))
		n, w := binary.Uvarint(b[8:])
		if w <= 0 || uint64(len(b)-8-w) < n {
			return nil, ErrMalformed
		}
		b = b[8+w:]
		l.Members = append(l.Members, Member{deadline, string(b[:n])})
		b = b[n:]
	}
	return l, nil
}

// Put makes name a member until deadline at least, and reports whether that changes the list.
func (l *List) Put(name string, deadline int64) bool {
	for i := range l.Members {
		if m := &l.Members[i]; m.Name == name {
			if m.Deadline >= deadline {
				return false
			}
			m.Deadline = deadline
			return true
		}
	}
	l.Members = append(l.Members, Member{deadline, name})
	return true
}

// Remove removes names, and reports whether that changes the list.
func (l *List) Remove(names ...string) bool {
	before := len(l.Members)
	l.Members = slices.DeleteFunc(l.Members, func(m Member) bool { return slices.Contains(names, m.Name) })
	return len(l.Members) < before
}

// Expire removes the members whose deadline has come.
func (l *List) Expire(now int64) {
	l.Members = slices.DeleteFunc(l.Members, func(m Member) bool { return m.Deadline <= now })
}

// Latest returns until when the list is needed.
func (l *List) Latest() int64 {
	latest := l.Until
	for i := range l.Members {
		latest = max(latest, l.Members[i].Deadline)
	}
	return latest
}
