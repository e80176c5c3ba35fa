package main

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/codec"
)

const (
	sealingVariable = "STORE_SEALING_KEYS"
	maxSealing      = 64 << 10 // bytes of keys
)

func sealingFlag(set *flag.FlagSet, f *flags) {
	set.StringVar(&f.sealing, "sealing-keys", "", "a `FILE` with the keys of the programs' KeyRing, for indexes of sealed values; or set "+sealingVariable)
}

// sealer returns a KeyRing of the keys that the flag or the environment gives, nil without any. No
// error repeats what was given: it may be a key in a wrong place.
func (c *call) sealer(ctx context.Context) (store.Sealer, error) {
	text, from := os.Getenv(sealingVariable), sealingVariable
	if c.sealing != "" {
		from = "the file of -sealing-keys"
		var err error
		if text, err = readText(ctx, c.sealing); ctx.Err() != nil {
			return nil, ctx.Err()
		} else if err != nil {
			return nil, wrongf("%s: %s cannot be read: %v", c.name, from, reason(err))
		}
	}
	keys, err := sealingKeys(text)
	switch {
	case err != nil:
		return nil, wrongf("%s: %s: %v", c.name, from, err)
	case len(keys) == 0 && c.sealing != "":
		return nil, wrongf("%s: %s has no key", c.name, from)
	case len(keys) == 0:
		return nil, nil
	}
	ring, err := store.NewKeyRing(keys[0], keys[1:]...)
	if err != nil {
		return nil, wrongf("%s: %s: %s", c.name, from, strings.TrimPrefix(err.Error(), "store: "))
	}
	return ring, nil
}

func readText(ctx context.Context, name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(interruptible(ctx, f), maxSealing+1))
	if err == nil && len(b) > maxSealing {
		err = errors.New("it is too large to be one of keys")
	}
	return string(b), err
}

// sealingKeys reads keys of the form ID:SECRET, with white space between them. A line may end with a comment.
func sealingKeys(text string) (keys []store.SealingKey, err error) {
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		for word := range strings.FieldsSeq(line) {
			id, secret, _ := strings.Cut(word, ":")
			n, err := strconv.ParseUint(id, 10, 32)
			if err != nil {
				return nil, fmt.Errorf("key %d has not the form ID:SECRET, with a number up to 4294967295 as its ID", len(keys)+1)
			}
			bytes, ok := secretOf(secret)
			if !ok {
				return nil, fmt.Errorf("the secret of key %d is not 32 bytes in base64 or hexadecimal digits", len(keys)+1)
			}
			keys = append(keys, store.SealingKey{ID: uint32(n), Secret: bytes})
		}
	}
	return keys, nil
}

func secretOf(text string) (secret []byte, ok bool) {
	const size = 32
	if b, err := hex.DecodeString(text); err == nil && len(b) == size {
		return b, true
	}
	text = strings.TrimRight(text, "=")
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if b, err := encoding.DecodeString(text); err == nil && len(b) == size {
			return b, true
		}
	}
	return nil, false
}

const (
	peekPages    = 4
	peekSessions = 64
)

// errSealed is what is said in place of nothing found.
var errSealed = errors.New("nothing was found: the values of this key are sealed, and listed under hashes that only their keys make; give -sealing-keys or set " + sealingVariable)

// nothingFound returns why nothing was found by a key, nil when no session has the value. It looks at some sessions that have the
// key. Where that is not possible, nothing is known to be wrong.
func (c *call) nothingFound(ctx context.Context, ss *store.Sessions) error {
	scanner, err := store.AsScanner(c.store)
	if err != nil {
		return nil
	}
	stored := store.Key[[]byte](c.args[0]).With(codec.Raw)
	left, cursor := peekSessions, ""
	for range peekPages {
		var page []string
		if page, cursor, err = scanner.Scan(ctx, cursor); err != nil {
			return ctx.Err()
		}
		for _, id := range page[:min(left, len(page))] {
			s, err := ss.Attach(ctx, id)
			if err != nil {
				continue
			}
			switch value, err := stored.Get(ctx, s); {
			case errors.Is(err, store.ErrSealed):
				return fmt.Errorf("nothing was found, and the sealing keys do not fit the values of this key: %w", unkeyed(err))
			case err == nil && c.ring == nil && c.looksSealed(value):
				return errSealed
			}
		}
		if left -= len(page); left <= 0 || cursor == "" {
			break
		}
	}
	return ctx.Err()
}

// unkeyed returns the error without the operation and the key, which may have a session's ID in it.
func unkeyed(err error) error {
	if e, ok := errors.AsType[*store.Error](err); ok {
		return e.Err
	}
	return err
}

// looksSealed reports whether a stored value can be what a KeyRing made. Bytes as they are may be anything.
func (c *call) looksSealed(value []byte) bool {
	const format, overhead = 1, 33 // of a KeyRing
	anything := c.codec == "raw" && c.valueType == "bytes"
	return !anything && len(value) >= overhead && value[0] == format
}
