package inspect

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/peek"
)

const (
	// maxRead bounds the bytes of a session that are read; a batch of values may go beyond.
	maxRead = 16 << 20

	// readBatch is how many values are read at once.
	readBatch = 16
)

var errCodecName = errors.New("the codec of the session fails to return its name")

var errBatch = errors.New("the backend breaks the contract of GetMany: not one value for each key")

// Dump returns the values of s in the order of their keys, decoded without their Go types. It reads
// them from the backend, some at a time, so that those that change meanwhile may be from different
// moments. It changes nothing, and keeps no session alive.
//
// Stored bytes do not say which codec wrote them. Dump goes by the codec of the session, then by msgpack,
// JSON and raw, and takes the first that fits all bytes of a value. So a single digit that a key of its
// own stored as JSON reads as a number of msgpack. Marks of codec.Versioned and of a change of codecs are
// understood. A sealed value stays sealed. A value within which the session's ID appears is [Omitted].
//
// Whatever the bytes are, Dump does not panic. It keeps 10 000 elements, 32 levels, 4 KiB of each
// string and 1 MiB of all, and says what it left out. After 16 MiB it lists keys without their values.
//
// It fails with store.ErrDestroyed when the life of s has ended, and with
// errors.ErrUnsupported when the backend cannot list keys.
func Dump(ctx context.Context, s *store.Session) ([]Value, error) {
	return dump(ctx, s, 0)
}

// dump is Dump for the first n keys, or all if n is zero; of the other keys it returns the names.
func dump(ctx context.Context, s *store.Session, n int) ([]Value, error) {
	about, err := look(s)
	if err != nil {
		return nil, err
	}
	keys, err := s.Keys(ctx)
	if err != nil {
		return nil, err
	}
	d := decoder{id: s.ID(), nodes: maxNodes, bytes: maxBytes}
	all := make([]Value, 0, len(keys))
	read := keys
	if n > 0 {
		read = keys[:min(n, len(keys))]
	}
	bytesRead := 0
	for batch := range slices.Chunk(read, readBatch) {
		if bytesRead >= maxRead {
			break
		}
		values, err := getMany(ctx, s.Store(), batch)
		if err != nil {
			return nil, &store.Error{Op: "inspect", Err: err}
		}
		for i, b := range values {
			if b == nil { // deleted meanwhile
				continue
			}
			if err := ctx.Err(); err != nil { // a long value takes some milliseconds to decode
				return nil, &store.Error{Op: "inspect", Err: err}
			}
			bytesRead += len(b)
			all = append(all, d.value(batch[i], b, about))
		}
		keys = keys[len(batch):]
	}
	for _, key := range keys {
		all = append(all, Value{Key: key, Encoding: "unread", Data: omittedRead})
	}
	return all, nil
}

// look returns what package store has to say of s.
func look(s *store.Session) (about peek.Session, err error) {
	defer func() {
		if recover() != nil { // the name of a codec of somebody else
			err = &store.Error{Op: "inspect", Err: errCodecName}
		}
	}()
	about, ok := peek.OfSession(s)
	if !ok {
		return about, &store.Error{Op: "inspect", Err: store.ErrNoSession}
	}
	return about, nil
}

// getMany reads several values; nil is one that is absent.
func getMany(ctx context.Context, raw store.Store, keys []string) ([][]byte, error) {
	values, err := store.GetMany(ctx, raw, keys)
	if !errors.Is(err, errors.ErrUnsupported) {
		if err == nil && len(values) != len(keys) {
			err = errBatch
		}
		return values, err
	}
	values = make([][]byte, len(keys))
	for i, key := range keys {
		switch b, err := raw.Get(ctx, key); {
		case err == nil:
			values[i] = b
		case !errors.Is(err, store.ErrNotFound):
			return nil, err
		}
	}
	return values, nil
}

// value returns what b, stored under key, can be shown as.
func (d *decoder) value(key string, b []byte, about peek.Session) Value {
	hidden := d.hidden
	v := d.decoded(key, b, about)
	if d.hidden == hidden && shows(b, d.id) { // not as a string within the value
		v.Data = omittedID
	}
	return v
}

func (d *decoder) decoded(key string, b []byte, about peek.Session) Value {
	v := Value{Key: key, Size: len(b)}
	if about.Sealed(b) {
		v.Encoding, v.Data = "sealed", sealedText(b)
		return v
	}
	version, named, encoding := cutMarks(b)
	for _, name := range []string{named, about.Codec, "msgpack", "json"} {
		attempt := *d
		var data any
		err := errMsgpack
		switch name {
		case "msgpack":
			data, err = attempt.msgpack(encoding)
		case "json":
			data, err = attempt.json(encoding)
		case "raw":
			data, err = attempt.raw(b), nil
			version = 0
		}
		if err == nil {
			v.Encoding, v.Version, v.Data = name, version, data
			*d = attempt
			return v
		}
	}
	v.Encoding, v.Data = "raw", d.raw(b)
	return v
}

// raw returns b as text if it can be some.
func (d *decoder) raw(b []byte) any {
	d.node()
	if utf8.Valid(b) && bytes.IndexByte(b, 0) < 0 {
		return d.text(b)
	}
	return d.binary(b)
}

// sealedText names the key of a value that a KeyRing sealed, which precedes it in clear.
func sealedText(b []byte) Omitted {
	const format, overhead = 1, 1 + 4 + 12 + 16
	if len(b) >= overhead && b[0] == format {
		return Omitted(fmt.Sprintf("sealed, with key %d", binary.BigEndian.Uint32(b[1:])))
	}
	return "sealed"
}
