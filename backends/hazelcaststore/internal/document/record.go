package document

import "encoding/binary"

// A Record is what a process that keeps sessions alive says about itself. It is one small entry, in
// the place of a renewal of each of its sessions. Integers are big-endian:
//
//	offset  size  field
//	0       3     magic: the ASCII letters "SKO"
//	3       1     format: 1
//	4       8     deadline: until when the owner's sessions live at least, as in a document
//	12      8     revision: 1 in the first record, one more in each that replaces it
//	20      8     nonce, random: no bytes ever recur
//	28      1     1 when there was no room for a token, else 0
//	29      2     number of tokens, at most 256
//	31      …     tokens of lives that others have ended since the owner looked, 16 bytes each
type Record struct {
	Deadline int64
	Revision uint64
	Nonce    uint64
	Full     bool
	Ended    []Token
}

const (
	recordMagic  = "SKO\x01"
	recordHeader = len(recordMagic) + 3*8 + 3

	// maxEnded is the most tokens in a record.
	maxEnded = 256
)

// Tell adds the token of a life that has ended.
func (r *Record) Tell(t Token) {
	if len(r.Ended) == maxEnded {
		r.Full = true
		return
	}
	r.Ended = append(r.Ended, t)
}

// Encode returns the record's bytes.
func (r *Record) Encode() []byte {
	b := make([]byte, 0, recordHeader+len(r.Ended)*len(Token{}))
	b = append(b, recordMagic...)
	b = binary.BigEndian.AppendUint64(b, uint64(r.Deadline))
	b = binary.BigEndian.AppendUint64(b, r.Revision)
	b = binary.BigEndian.AppendUint64(b, r.Nonce)
	full := byte(0)
	if r.Full {
		full = 1
	}
	b = append(b, full)
	b = binary.BigEndian.AppendUint16(b, uint16(len(r.Ended)))
	for _, t := range r.Ended {
		b = append(b, t[:]...)
	}
	return b
}

// OpenRecord reads a record. Whatever b holds, it returns [ErrMalformed] at worst.
func OpenRecord(b []byte) (*Record, error) {
	if len(b) < recordHeader || string(b[:len(recordMagic)]) != recordMagic {
		return nil, ErrMalformed
	}
	at := len(recordMagic)
	r := &Record{
		Deadline: int64(binary.BigEndian.Uint64(b[at:])),
		Revision: binary.BigEndian.Uint64(b[at+8:]),
		Nonce:    binary.BigEndian.Uint64(b[at+16:]),
		Full:     b[at+24] == 1,
	}
	n := int(binary.BigEndian.Uint16(b[at+25:]))
	if b[at+24] > 1 || n > maxEnded || len(b) != recordHeader+n*len(Token{}) {
		return nil, ErrMalformed
	}
	for i := range n {
		r.Ended = append(r.Ended, Token(b[recordHeader+i*len(Token{}):]))
	}
	return r, nil
}
