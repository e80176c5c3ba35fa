package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// A SealingKey is one AES-256 key of a [KeyRing].
type SealingKey struct {
	// ID comes before every value sealed with the key, in clear text, so
	// that the key is found again. It is not secret.
	ID uint32

	// Secret is the key itself: 32 random bytes.
	Secret []byte
}

// A KeyRing is a [Sealer] that uses AES-256-GCM (NIST SP 800-38D) with random
// nonces. It is immutable and safe for concurrent use.
//
// A sealed value is 33 bytes longer than the value. It is the format byte 1, the key ID in four
// bytes, big endian, a nonce of 12 bytes, the ciphertext and a tag of 16 bytes.
//
// To rotate keys without downtime: first add the new key behind the old ones on
// every node, then put it first on every node. Values move to the new key as they
// are written; when all sessions with older values have ended, remove the old
// key. One key seals at most 2³² values; rotate before.
type KeyRing struct {
	primary uint32
	aeads   map[uint32]cipher.AEAD
	blind   [][]byte // keys for BlindIndex, derived from the secrets; the primary's first
}

const (
	sealFormat   = 1
	sealHeader   = 1 + 4
	sealOverhead = sealHeader + 12 + 16
)

// NewKeyRing returns a KeyRing that seals with the first key and opens with all
// of them. It fails when a secret has not 32 bytes or an ID appears twice.
func NewKeyRing(primary SealingKey, older ...SealingKey) (*KeyRing, error) {
	r := &KeyRing{primary: primary.ID, aeads: make(map[uint32]cipher.AEAD, 1+len(older))}
	for _, k := range append([]SealingKey{primary}, older...) {
		if len(k.Secret) != 32 {
			return nil, fmt.Errorf("store: sealing key %d has %d bytes; AES-256 takes 32", k.ID, len(k.Secret))
		}
		if _, twice := r.aeads[k.ID]; twice {
			return nil, fmt.Errorf("store: sealing key %d appears twice; give each key its own ID", k.ID)
		}
		block, err := aes.NewCipher(k.Secret)
		if err != nil {
			return nil, fmt.Errorf("store: sealing key %d: %w", k.ID, err)
		}
		if r.aeads[k.ID], err = cipher.NewGCMWithRandomNonce(block); err != nil {
			return nil, fmt.Errorf("store: sealing key %d: %w", k.ID, err)
		}
		r.blind = append(r.blind, hmacSHA256(k.Secret, []byte(blindLabel)))
	}
	return r, nil
}

// errNoRing is the error of a KeyRing that seals nothing.
var errNoRing = errors.New("the KeyRing is nil or was not made by NewKeyRing")

// made reports whether r was made by NewKeyRing.
func (r *KeyRing) made() bool { return r != nil && r.aeads != nil }

// blindLabel separates the keys of indexes from those that seal.
const blindLabel = "github.com/sessionkv/store: blind index"

func hmacSHA256(key, data []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(data)
	return h.Sum(nil)
}

// BlindIndex implements [BlindIndexer]: HMAC-SHA-256 (RFC 2104) under keys that are derived from the
// secrets in the same way.
func (r *KeyRing) BlindIndex(data []byte) [][]byte {
	if !r.made() {
		return nil
	}
	all := make([][]byte, len(r.blind))
	for i, key := range r.blind {
		all[i] = hmacSHA256(key, data)
	}
	return all
}

// Seal implements [Sealer].
func (r *KeyRing) Seal(dst, plaintext, additional []byte) ([]byte, error) {
	if !r.made() {
		return nil, errNoRing
	}
	dst = append(dst, sealFormat)
	dst = binary.BigEndian.AppendUint32(dst, r.primary)
	return r.aeads[r.primary].Seal(dst, nil, plaintext, additional), nil
}

// Open implements [Sealer].
func (r *KeyRing) Open(dst, sealed, additional []byte) ([]byte, error) {
	if !r.made() {
		return nil, fmt.Errorf("%w: %w", ErrSealed, errNoRing)
	}
	if len(sealed) < sealHeader || sealed[0] != sealFormat {
		return nil, fmt.Errorf("%w: it is not a sealed value; was it written without a Sealer?", ErrSealed)
	}
	id := binary.BigEndian.Uint32(sealed[1:])
	aead, ok := r.aeads[id]
	if !ok {
		return nil, fmt.Errorf("%w: its key %d is not in the key ring", ErrSealed, id)
	}
	plain, err := aead.Open(dst, nil, sealed[sealHeader:], additional)
	if err != nil {
		return nil, fmt.Errorf("%w: it was changed, or copied from another session or key", ErrSealed)
	}
	return plain, nil
}
