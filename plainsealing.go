package store

import "fmt"

// BeforeSealing and DuringSealing return the Sealers of a change from plain to
// sealed values while programs run and sessions live, in this order:
//
//  1. Deploy BeforeSealing. It writes plain values and reads both.
//  2. When every process has it, deploy DuringSealing. It seals, and reads both.
//  3. When every process has it, and all sessions with plain values have ended or their
//     values were written anew, deploy the KeyRing itself, which accepts sealed
//     values only.
//
// To stop sealing, go the same way back. As long as plain values are accepted, whoever can write to
// the server can put a plain value in the place of a sealed one. Sealing then keeps secrets, but
// proves nothing.
//
// A value counts as sealed when it begins with the format byte of a KeyRing and is long enough. No
// value by codec.Msgpack or codec.JSON is like that, with or without a mark, but one by codec.Raw
// may be. BeforeSealing refuses to write it. One that was written without a Sealer fails with
// [ErrSealed].
func (r *KeyRing) BeforeSealing() Sealer { return &partialSealer{ring: r} }

// DuringSealing is the second step; see [KeyRing.BeforeSealing].
func (r *KeyRing) DuringSealing() Sealer { return &partialSealer{ring: r, seals: true} }

// partialSealer opens sealed and plain values.
type partialSealer struct {
	ring  *KeyRing
	seals bool // writes sealed values
}

// Seal implements [Sealer].
func (p *partialSealer) Seal(dst, plaintext, additional []byte) ([]byte, error) {
	switch {
	case p.seals:
		return p.ring.Seal(dst, plaintext, additional)
	case looksSealed(plaintext):
		return nil, fmt.Errorf("%w: it looks like a sealed value; use codec.Msgpack or codec.JSON for its key", ErrEncode)
	}
	return append(dst, plaintext...), nil
}

// Open implements [Sealer].
func (p *partialSealer) Open(dst, sealed, additional []byte) ([]byte, error) {
	if looksSealed(sealed) {
		return p.ring.Open(dst, sealed, additional)
	}
	return append(dst, sealed...), nil
}

// looksSealed reports whether b can be what a KeyRing made. A msgpack value that begins
// with its format byte is a number of one byte, and no JSON text begins so.
func looksSealed(b []byte) bool { return len(b) >= sealOverhead && b[0] == sealFormat }
