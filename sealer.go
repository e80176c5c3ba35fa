package store

import (
	"encoding/binary"
	"fmt"
)

// A Sealer encrypts values before they reach a backend and opens them again.
// additional is authenticated but not stored: it ties a sealed value to its
// namespace, session ID and key, so that a copy elsewhere does not open.
//
// Seal and Open append to dst and return the extended slice. They neither retain
// nor modify the other slices, and are safe for concurrent use. Open fails with
// an error that satisfies errors.Is(err, [ErrSealed]) for anything that was not
// sealed with these very arguments.
type Sealer interface {
	Seal(dst, plaintext, additional []byte) ([]byte, error)
	Open(dst, sealed, additional []byte) ([]byte, error)
}

// seal seals data into a slice of its own.
func seal(sealer Sealer, s *Session, key string, data []byte) ([]byte, error) {
	sealed, err := sealer.Seal(nil, data, additional(s, key))
	if err != nil {
		return nil, fmt.Errorf("sealing failed: %w", err)
	}
	return sealed, nil
}

func open(sealer Sealer, s *Session, key string, sealed []byte) ([]byte, error) {
	return sealer.Open(nil, sealed, additional(s, key))
}

// additional returns the data that a sealed value is tied to: namespace, session
// ID and key, each with its length before it, so that no two triples are equal.
func additional(s *Session, key string) []byte {
	ns := s.sessions.backend.Namespace()
	b := make([]byte, 0, len(ns)+len(s.id)+len(key)+3*binary.MaxVarintLen16)
	for _, part := range []string{ns, s.id, key} {
		b = binary.AppendUvarint(b, uint64(len(part)))
		b = append(b, part...)
	}
	return b
}
