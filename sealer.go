package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// A Sealer encrypts values before they reach a backend and opens them again. It authenticates
// additional without storing it. That ties a sealed value to its namespace, session ID and key, so
// that a copy elsewhere does not open.
//
// It does not name the life of the session: a Resume begins a new life with all values as they are,
// without sealing them anew. So an earlier value of the same session ID and key, from this life or
// one before, opens if somebody puts it back on the server. Two things follow. Give each session an
// ID of its own ([NewID]), then no later life can be fed from an earlier one. And put into the
// value what must not come back, such as an expiry or a number that only grows, and check it there.
//
// Seal and Open append to dst and return the extended slice. They neither retain
// nor modify the other slices, and are safe for concurrent use. Open fails with
// an error that satisfies errors.Is(err, [ErrSealed]) for anything that was not
// sealed with these very arguments.
type Sealer interface {
	Seal(dst, plaintext, additional []byte) ([]byte, error)
	Open(dst, sealed, additional []byte) ([]byte, error)
}

// A BlindIndexer is a [Sealer] with which indexes can be kept: their entries carry a keyed hash of the
// value in place of the value. See [Options].Indexes.
type BlindIndexer interface {
	// BlindIndex returns keyed hashes of data, of 16 bytes or more. First is the one under the key
	// with which Seal seals, then those under each other key that Open takes. The same data always
	// has the same hash under a key, on every node. It returns nil when it cannot.
	BlindIndex(data []byte) [][]byte
}

// seal appends data, sealed, to buf and returns that part. A Sealer of somebody else works on
// slices of its own. If it ignored dst, kept what it was given or returned what it goes on using,
// it would change other values.
func seal(sealer Sealer, s *Session, buf *buffer, key string, data []byte) ([]byte, error) {
	start := len(buf.b)
	if ring, ok := sealer.(*KeyRing); ok {
		sealed, err := ring.Seal(buf.b, data, additional(s, key))
		if err != nil {
			return nil, sealError(err)
		}
		buf.b = sealed
	} else {
		own, err := sealer.Seal(nil, bytes.Clone(data), additional(s, key))
		if err != nil {
			return nil, sealError(err)
		}
		buf.b = append(buf.b, own...)
	}
	return buf.b[start:len(buf.b):len(buf.b)], nil
}

func sealError(err error) error { return fmt.Errorf("sealing failed: %w", err) }

// open returns what sealed holds, in a slice that nobody changes.
func open(sealer Sealer, s *Session, key string, sealed []byte) ([]byte, error) {
	if ring, ok := sealer.(*KeyRing); ok {
		return ring.Open(nil, sealed, additional(s, key))
	}
	own, err := sealer.Open(nil, bytes.Clone(sealed), additional(s, key))
	if err != nil {
		return nil, err
	}
	return append(make([]byte, 0, len(own)), own...), nil
}

// additional returns the data that a sealed value is tied to: namespace, session ID and key. Each
// has its length before it, so that no two triples are equal.
func additional(s *Session, key string) []byte {
	ns := s.sessions.backend.Namespace()
	b := make([]byte, 0, len(ns)+len(s.id)+len(key)+3*binary.MaxVarintLen16)
	for _, part := range []string{ns, s.id, key} {
		b = binary.AppendUvarint(b, uint64(len(part)))
		b = append(b, part...)
	}
	return b
}
