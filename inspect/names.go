package inspect

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"hash"
	"time"
)

// names gives sessions the names that the page shows, and makes the tokens of its forms. Both are
// HMAC-SHA-256 (RFC 2104) under random keys that nobody else has.
type names struct {
	ids, forms []byte
}

func newNames() names {
	n := names{ids: make([]byte, 32), forms: make([]byte, 32)}
	rand.Read(n.ids) // never fails
	rand.Read(n.forms)
	return n
}

// A name is the name of a session on the page.
type name [10]byte

var letters = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

func (n name) String() string { return letters.EncodeToString(n[:]) }

// parseName reads what String wrote.
func parseName(s string) (n name, ok bool) {
	b, ok := decode(s, len(n))
	if !ok {
		return name{}, false
	}
	return name(b), true
}

// decode returns the n bytes that s encodes, and false for anything that is not such an encoding.
func decode(s string, n int) ([]byte, bool) {
	if len(s) != letters.EncodedLen(n) {
		return nil, false
	}
	b, err := letters.DecodeString(s)
	return b, err == nil && len(b) == n && letters.EncodeToString(b) == s
}

// A namer names many sessions.
type namer struct {
	mac hash.Hash
	buf []byte
}

func (n names) namer() *namer { return &namer{mac: hmac.New(sha256.New, n.ids)} }

func (n *namer) name(id string) (sum name) {
	n.buf = append(n.buf[:0], id...)
	n.mac.Reset()
	n.mac.Write(n.buf)
	n.buf = n.mac.Sum(n.buf[:0])
	copy(sum[:], n.buf)
	return sum
}

// formTime is how long a form that asks may be sent.
const formTime = 15 * time.Minute

// token returns the token of a form that ends the session called of.
func (n names) token(of name, now time.Time) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(now.Unix()))
	return letters.EncodeToString(append(b, n.sign(of, b)...))
}

// valid reports whether token is one for the session called of, and not too old.
func (n names) valid(token string, of name, now time.Time) bool {
	b, ok := decode(token, 8+sha256.Size)
	if !ok || !hmac.Equal(b[8:], n.sign(of, b[:8])) {
		return false
	}
	age := now.Unix() - int64(binary.BigEndian.Uint64(b))
	return age >= 0 && age <= int64(formTime/time.Second)
}

func (n names) sign(of name, made []byte) []byte {
	mac := hmac.New(sha256.New, n.forms)
	mac.Write(of[:])
	mac.Write(made)
	return mac.Sum(nil)
}
