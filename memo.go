package store

import (
	"reflect"
	"sync"
	"time"
	"unsafe"

	"github.com/sessionkv/store/codec"
)

// memoSize bounds the decoded values that one session remembers.
const memoSize = 8

// A memo remembers decoded values of a session, each with the stored slice that
// it came from. As long as the raw store returns that very slice, the value is
// still right: slices from Get never change, and the memo keeps the slice
// reachable, so its address cannot be used for another. A memo is immutable; a
// new one takes its place.
type memo struct{ entries []memoEntry }

type memoEntry struct {
	key   string
	raw   []byte
	codec codec.Codec
	value any // a *T
}

// remembered returns the value that c decoded from raw earlier, or nil. It
// belongs to the memo: copy it.
func remembered[T any](s *Session, c codec.Codec, raw []byte) *T {
	m := s.memo.Load()
	if m == nil {
		return nil
	}
	for i := range m.entries {
		e := &m.entries[i]
		if unsafe.SliceData(e.raw) == unsafe.SliceData(raw) && len(e.raw) == len(raw) {
			if v, ok := e.value.(*T); ok && e.codec == c {
				return v
			}
		}
	}
	return nil
}

// remember keeps v for as long as raw is what the store returns under key.
//
//go:noinline
func remember[T any](s *Session, key string, c codec.Codec, raw []byte, v T) {
	// An empty slice has no address of its own.
	if len(raw) == 0 || !pure(reflect.TypeFor[T]()) || !reflect.TypeOf(c).Comparable() {
		return
	}
	entry := memoEntry{key: key, raw: raw, codec: c, value: &v}
	for {
		old := s.memo.Load()
		next := &memo{entries: make([]memoEntry, 0, memoSize)}
		next.entries = append(next.entries, entry)
		if old != nil {
			for _, e := range old.entries {
				if e.key != key && len(next.entries) < memoSize {
					next.entries = append(next.entries, e)
				}
			}
		}
		if s.ended.Load() != nil || s.memo.CompareAndSwap(old, next) {
			return
		}
	}
}

var pureTypes sync.Map // reflect.Type -> bool

// pure reports whether values of type t share nothing mutable when copied, so
// that a remembered value can be handed out again and again.
func pure(t reflect.Type) bool {
	if known, ok := pureTypes.Load(t); ok {
		return known.(bool)
	}
	is := isPure(t)
	pureTypes.Store(t, is)
	return is
}

func isPure(t reflect.Type) bool {
	if t == reflect.TypeFor[time.Time]() {
		return true // its *Location is never written through
	}
	switch t.Kind() {
	case reflect.Array:
		return isPure(t.Elem())
	case reflect.Struct:
		for f := range t.Fields() {
			if !isPure(f.Type) {
				return false
			}
		}
		return true
	case reflect.Bool, reflect.String,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr,
		reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128:
		return true
	}
	return false
}
