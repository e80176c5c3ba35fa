package store

import (
	"crypto/rand"
	"fmt"
	"unicode/utf8"
)

const (
	// MaxKeyLength is the longest key in bytes. [Limits] can only lower it.
	MaxKeyLength = 256

	// MaxIDLength is the longest session ID in bytes.
	MaxIDLength = 512
)

// CheckKey reports whether key is usable as a key: 1 to [MaxKeyLength] bytes of
// valid UTF-8 without control characters (U+0000–U+001F and U+007F). Backends
// use the names outside that set for themselves, so that no key can ever
// collide with them. The error satisfies errors.Is(err, [ErrInvalidKey]).
//
// Backends call it; users of typed keys need not.
func CheckKey(key string) error {
	if len(key) == 0 {
		return &keyError{key, "it is empty"}
	}
	if len(key) > MaxKeyLength {
		return &keyError{key, fmt.Sprintf("it has %d bytes, at most %d are allowed", len(key), MaxKeyLength)}
	}
	ascii := true
	for i := range len(key) {
		switch c := key[i]; {
		case c < 0x20 || c == 0x7f:
			return &keyError{key, fmt.Sprintf("control character at byte %d", i)}
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	if !ascii && !utf8.ValidString(key) {
		return &keyError{key, "it is not valid UTF-8"}
	}
	return nil
}

// CheckID reports whether id is usable as a session ID: 1 to [MaxIDLength]
// bytes, of any value. The error satisfies errors.Is(err, [ErrInvalidID]) and
// does not repeat the ID.
func CheckID(id string) error {
	switch {
	case len(id) == 0:
		return fmt.Errorf("%w: it is empty", ErrInvalidID)
	case len(id) > MaxIDLength:
		return fmt.Errorf("%w: it has %d bytes, at most %d are allowed", ErrInvalidID, len(id), MaxIDLength)
	}
	return nil
}

// NewID returns a new session ID of at least 128 random bits, made of the
// letters A–Z and the digits 2–7. It cannot be guessed.
func NewID() string { return rand.Text() }
