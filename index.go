package store

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"time"

	"github.com/sessionkv/store/codec"
)

// An Index lets sessions be found by the value of one key; see [Key.Index] and
// [Options].Indexes.
type Index struct {
	key   string
	typ   reflect.Type
	codec codec.Codec // nil: the codec of the session
	plain func(c codec.Codec, data []byte) ([]byte, error)
}

// ErrNotIndexed: sessions are to be found by a key that Options.Indexes does not name.
var ErrNotIndexed = errors.New("this key is not indexed; add its Index to Options.Indexes")

// Index returns the index of the key, for [Options].Indexes. Values of T must be strings,
// integers, bools, byte slices or byte arrays; New refuses others.
func (k Key[T]) Index() Index { return k.bound().Index() }

// Index is [Key.Index].
func (k CodecKey[T]) Index() Index {
	return Index{
		key:   k.name,
		typ:   reflect.TypeFor[T](),
		codec: k.codec,
		plain: func(c codec.Codec, data []byte) ([]byte, error) {
			v, err := codec.Decode[T](c, data)
			if err != nil {
				return nil, decodeError(reflect.TypeFor[T](), err)
			}
			return appendPlain(nil, reflect.ValueOf(&v).Elem()), nil
		},
	}
}

// appendPlain appends a form of v that is the same whatever codec stores it. Different values of a type
// have different forms.
func appendPlain(b []byte, v reflect.Value) []byte {
	switch k := v.Kind(); {
	case k == reflect.String:
		return append(append(b, 's'), v.String()...)
	case k == reflect.Bool:
		return strconv.AppendBool(append(b, 'b'), v.Bool())
	case v.CanInt():
		return strconv.AppendInt(append(b, 'i'), v.Int(), 10)
	case v.CanUint():
		return strconv.AppendUint(append(b, 'i'), v.Uint(), 10)
	case k == reflect.Slice:
		return append(append(b, 'x'), v.Bytes()...)
	case k == reflect.Array:
		b = append(b, 'x')
		for i := range v.Len() {
			b = append(b, byte(v.Index(i).Uint()))
		}
	}
	return b
}

// canIndex reports whether appendPlain takes values of t.
func canIndex(t reflect.Type) bool {
	switch k := t.Kind(); k {
	case reflect.String, reflect.Bool:
		return true
	case reflect.Slice, reflect.Array:
		return t.Elem().Kind() == reflect.Uint8
	default:
		return reflect.Int <= k && k <= reflect.Uintptr
	}
}

// indexes are those of a Sessions.
type indexes struct {
	backend Indexer
	all     []Index
	byKey   map[string]int // places in all
	blind   BlindIndexer   // nil without a Sealer
	absent  []Entry        // the mark and all indexed keys, absent
}

// newIndexes returns nil where there are none.
func newIndexes(backend Backend, all []Index, sealer Sealer) (*indexes, error) {
	if len(all) == 0 {
		return nil, nil
	}
	x := &indexes{all: all, byKey: make(map[string]int), absent: []Entry{{Key: markKey}}}
	for i, index := range all {
		switch _, twice := x.byKey[index.key]; {
		case index.plain == nil:
			return nil, fmt.Errorf("Options.Indexes holds an empty Index; make it with Key.Index")
		case twice:
			return nil, fmt.Errorf("Options.Indexes names the key %q twice", index.key)
		case !canIndex(index.typ):
			return nil, fmt.Errorf("Options.Indexes: key %q holds values of type %v, which cannot be indexed; use a string, an integer, a bool, or bytes", index.key, index.typ)
		}
		if err := CheckKey(index.key); err != nil {
			return nil, fmt.Errorf("Options.Indexes: key %q: %w", index.key, err)
		}
		if isReserved(index.key) {
			return nil, fmt.Errorf("Options.Indexes: key %q: names that begin with U+FDD0 are reserved", index.key)
		}
		x.byKey[index.key] = i
		x.absent = append(x.absent, Entry{Key: index.key})
	}
	var err error
	if x.backend, err = AsIndexer(backend); err != nil {
		return nil, fmt.Errorf("Options.Indexes: %w", err)
	}
	if sealer != nil {
		blind, ok := sealer.(BlindIndexer)
		if !ok {
			return nil, fmt.Errorf("Options.Indexes: %T is no BlindIndexer, so that the indexed values would be stored as hashes that everybody can make: %w", sealer, errors.ErrUnsupported)
		}
		x.blind = blind
	}
	return x, nil
}

// of returns the index of key, nil without one.
func (x *indexes) of(key string) *Index {
	if x == nil {
		return nil
	}
	if len(x.all) <= fewEntries { // comparing them all is cheaper than a map
		for i := range x.all {
			if x.all[i].key == key {
				return &x.all[i]
			}
		}
		return nil
	}
	if i, ok := x.byKey[key]; ok {
		return &x.all[i]
	}
	return nil
}

// touches reports whether one of entries has an indexed key.
func (x *indexes) touches(entries []Entry) bool {
	if x == nil {
		return false
	}
	for i := range entries {
		if x.of(entries[i].Key) != nil {
			return true
		}
	}
	return false
}

// hashSize is the length of the hash of a value in an index.
const hashSize = 16

type indexHash [hashSize]byte

// listLength is the length of the name of a list: of a hash in base 64.
const listLength = (hashSize*8 + 5) / 6

// list is the name of the list of sessions with the hashed value.
func (h indexHash) list() string { return base64.RawURLEncoding.EncodeToString(h[:]) }

// hashes returns the hashes under which sessions with the value plain may be listed. Those of new entries
// come under the first.
func (ss *Sessions) hashes(index *Index, plain []byte) []indexHash {
	data := make([]byte, 0, 128)
	for _, part := range []string{ss.backend.Namespace(), index.key} {
		data = binary.AppendUvarint(data, uint64(len(part)))
		data = append(data, part...)
	}
	data = append(data, plain...)
	if ss.indexes.blind == nil {
		sum := sha256.Sum256(data)
		return []indexHash{indexHash(sum[:hashSize])}
	}
	var all []indexHash
	for _, sum := range ss.indexes.blind.BlindIndex(data) {
		if len(sum) >= hashSize {
			all = append(all, indexHash(sum[:hashSize]))
		}
	}
	return all
}

var errNoHash = errors.New("the Sealer made no hash of 16 bytes for the index")

// plain returns the indexed form of what is stored under the index's key for s.
func (s *Session) plain(index *Index, raw []byte) ([]byte, error) {
	data := raw
	if sealer := s.sessions.sealer; sealer != nil {
		var err error
		if data, err = open(sealer, s, index.key, raw); err != nil {
			return nil, err
		}
	}
	c := index.codec
	if c == nil {
		c = s.sessions.codec
	}
	return index.plain(c, data)
}

// hashesOf is hashes for a stored value.
func (s *Session) hashesOf(index *Index, raw []byte) ([]indexHash, error) {
	plain, err := s.plain(index, raw)
	if err != nil {
		return nil, err
	}
	all := s.sessions.hashes(index, plain)
	if len(all) == 0 {
		return nil, errNoHash
	}
	return all, nil
}

// indexError is why the entries of an index could not be written. Nothing is known to be wrong with the
// session then, and the value was not written. So it never is an unknown outcome.
type indexError struct{ cause error }

func (e *indexError) Error() string { return "the index could not be written: " + e.cause.Error() }

func (e *indexError) Is(target error) bool {
	return target != ErrUnknownOutcome && errors.Is(e.cause, target)
}

func (e *indexError) As(target any) bool { return errors.As(e.cause, target) }

// marginOf is how much longer than a lease entries are to stay, for what calls take.
func marginOf(lease time.Duration) time.Duration { return lease / 16 }

// withMargin is for how long after its session an entry is put.
func withMargin(lease time.Duration) time.Duration { return lease + marginOf(lease) }

// enoughAfter is for how long after its session an entry has to stay. Half the margin is for the calls that put it. The other
// half is for the renewals that the owner makes without a look at the mark.
func enoughAfter(lease time.Duration) time.Duration { return lease + marginOf(lease)/2 }

// millis returns the time since the Sessions were made, in milliseconds.
func (r *renewals) millis() int64 { return time.Since(r.epoch).Milliseconds() }

// livesFor returns until when a session lives at most of which a reply has just said that it does for left.
func (r *renewals) livesFor(left time.Duration) int64 { return r.millis() + left.Milliseconds() + 1 }

// till returns how long it takes until a time of millis.
func (r *renewals) till(at int64) time.Duration {
	return time.Duration(at-r.millis()) * time.Millisecond
}
