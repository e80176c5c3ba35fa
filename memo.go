package store

import (
	"reflect"
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
	key    string
	raw    []byte
	codec  codec.Codec
	value  any     // a *T
	copier *copier // nil if a T shares nothing when it is copied
}

// remembered stores in *v what c decoded from raw earlier, in a copy of its own, and reports
// whether it did. It does not let v escape.
func remembered[T any](s *Session, c codec.Codec, raw []byte, v *T) bool {
	m := s.memo.Load()
	if m == nil {
		return false
	}
	for i := range m.entries {
		e := &m.entries[i]
		if unsafe.SliceData(e.raw) == unsafe.SliceData(raw) && len(e.raw) == len(raw) {
			if kept, ok := e.value.(*T); ok && e.codec == c {
				*v = *kept
				if e.copier != nil {
					e.copier.separate(hide(unsafe.Pointer(v)))
				}
				return true
			}
		}
	}
	return false
}

// remember keeps v for as long as raw is what the store returns under key, if this is not the first
// time lately that raw was decoded.
//
//go:noinline
func remember[T any](s *Session, key string, c codec.Codec, raw []byte, v T) {
	// An empty slice has no address of its own.
	if len(raw) == 0 || !s.again(raw) || !reflect.TypeOf(c).Comparable() {
		return
	}
	cp := copierOf(reflect.TypeFor[T]())
	if cp == nil {
		return
	}
	own := &v
	if len(cp.steps) == 0 {
		cp = nil
	} else {
		cp.separate(unsafe.Pointer(own)) // the caller has the other
	}
	entry := memoEntry{key: key, raw: raw, codec: c, value: own, copier: cp}
	for {
		old := s.memo.Load()
		if !s.swapMemo(old, old.without(key, &entry)) {
			continue
		}
		return
	}
}

// swapMemo puts a memo in the place of old, except in an ended session, which keeps none.
func (s *Session) swapMemo(old, next *memo) bool {
	if s.ended.Load() != nil {
		return true
	}
	if !s.memo.CompareAndSwap(old, next) {
		return false
	}
	if s.ended.Load() != nil {
		s.memo.Store(nil)
	}
	return true
}

// without returns a memo with first, if it is not nil, and then the values of m other than that under
// key, as far as there is room. It is nil when that is nothing.
func (m *memo) without(key string, first *memoEntry) *memo {
	n := 0
	if first != nil {
		n++
	}
	if m != nil {
		for i := range m.entries {
			if m.entries[i].key != key && n < memoSize {
				n++
			}
		}
	}
	if n == 0 {
		return nil
	}
	next := &memo{entries: make([]memoEntry, 0, n)}
	if first != nil {
		next.entries = append(next.entries, *first)
	}
	if m != nil {
		for i := range m.entries {
			if m.entries[i].key != key && len(next.entries) < n {
				next.entries = append(next.entries, m.entries[i])
			}
		}
	}
	return next
}

// forget drops what is remembered under key, which keeps the stored slice and the decoded value in
// memory.
func (s *Session) forget(key string) {
	for {
		m := s.memo.Load()
		if m == nil || !m.has(key) || s.swapMemo(m, m.without(key, nil)) {
			return
		}
	}
}

// forgetLarge is forget for a value that was replaced. A small one may stay until the next read of
// its key, which costs less than a memo for every write.
func (s *Session) forgetLarge(key string) {
	const large = 4 << 10
	m := s.memo.Load()
	if m == nil {
		return
	}
	for i := range m.entries {
		if e := &m.entries[i]; e.key == key && len(e.raw) >= large {
			s.forget(key)
			return
		}
	}
}

// forgetWritten forgets what entries, which were committed, removed or replaced.
func (s *Session) forgetWritten(entries []Entry) {
	if s.memo.Load() == nil {
		return
	}
	for i := range entries {
		if entries[i].Value == nil {
			s.forget(entries[i].Key)
		} else {
			s.forgetLarge(entries[i].Key)
		}
	}
}

func (m *memo) has(key string) bool {
	for i := range m.entries {
		if m.entries[i].key == key {
			return true
		}
	}
	return false
}

// again reports whether raw is among the last eight slices that were decoded. It notes it otherwise, as one
// byte of its address: a value that is read once is not worth remembering, and of more
// values in turn than the memo holds, none is.
func (s *Session) again(raw []byte) bool {
	address := uint64(uintptr(unsafe.Pointer(unsafe.SliceData(raw))))
	mark := address*0x9e3779b97f4a7c15>>56 | 1 // never 0, which is no slice
	seen := s.decoded.Load()
	for rest := seen; rest != 0; rest >>= 8 {
		if rest&0xff == mark {
			return true
		}
	}
	s.decoded.Store(seen<<8 | mark) // of two at once one may be lost, which costs one decoding
	return false
}
