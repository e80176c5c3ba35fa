package store

import (
	"reflect"
	"sync/atomic"
	"unsafe"

	"github.com/sessionkv/store/codec"
)

// memoSize bounds the decoded values that one session remembers.
const memoSize = 8

// A memo remembers decoded values of a session, each with the stored slice that it came from. As
// long as the raw store returns that very slice, the value is still right. Slices from Get never
// change, and the memo keeps the slice reachable, so its address cannot be used for another. An
// entry is immutable; a new one takes its place. A memo has as many slots as are needed; a longer
// one takes its place.
type memo []atomic.Pointer[memoEntry]

type memoEntry struct {
	raw    *byte
	size   int // of the slice at raw
	key    string
	codec  codec.Codec
	value  any           // a *T
	copier *copier       // nil if a T shares nothing when it is copied
	served atomic.Uint32 // how often it was handed out, up to worthwhile
}

// A memoOf is an entry with its value in one piece of memory.
type memoOf[T any] struct {
	memoEntry
	kept T
}

// remembered stores in *v what c decoded from raw earlier, in a copy of its own, and reports
// whether it did. It does not let v escape.
func remembered[T any](s *Session, c codec.Codec, raw []byte, v *T) bool {
	m := s.memo.Load()
	if m == nil {
		return false
	}
	slots := *m
	for i := range slots {
		e := slots[i].Load()
		if e != nil && e.raw == unsafe.SliceData(raw) && e.size == len(raw) {
			if kept, ok := e.value.(*T); ok && e.codec == c {
				*v = *kept
				if n := e.served.Load(); n < worthwhile {
					e.served.Store(n + 1)
				}
				if e.copier != nil {
					e.copier.separate(hide(unsafe.Pointer(v)))
				}
				return true
			}
		}
	}
	return false
}

// remember keeps v for as long as raw, which is not empty, is what the store returns under key.
//
//go:noinline
func remember[T any](s *Session, key string, c codec.Codec, raw []byte, v T) {
	if !reflect.ValueOf(c).Comparable() {
		return
	}
	cp := copierOf(reflect.TypeFor[T]())
	if cp == nil {
		return
	}
	e := &memoOf[T]{memoEntry: memoEntry{raw: unsafe.SliceData(raw), size: len(raw), key: key, codec: c}, kept: v}
	e.value = &e.kept
	if len(cp.steps) > 0 {
		e.copier = cp
		cp.separate(unsafe.Pointer(&e.kept)) // the caller has the other
	}
	s.keep(&e.memoEntry)
}

// keep puts e into the memo: in the place of what is outdated, into a free slot, or into another one.
// When there are memoSize already, it takes the place of any other.
func (s *Session) keep(e *memoEntry) {
	for {
		m := s.memo.Load()
		var slots memo
		if m != nil {
			slots = *m
		}
		var place *atomic.Pointer[memoEntry]
		for i := range slots {
			old := slots[i].Load()
			switch {
			case old == nil:
				if place == nil {
					place = &slots[i]
				}
			case old.key == e.key && old.sameUse(e):
				if old.raw != e.raw {
					s.weigh(old.served.Load() >= worthwhile)
				}
				if place == nil || place.Load() == nil {
					place = &slots[i]
				} else {
					slots[i].CompareAndSwap(old, nil)
				}
			}
		}
		if place == nil && len(slots) == memoSize {
			place = &slots[markOf(uintptr(unsafe.Pointer(e.raw)))%memoSize]
		}
		if place != nil {
			// In a memo that is not that of s any more, this is lost, and decoding comes again.
			place.Store(e)
			return
		}
		if s.growMemo(m, e) {
			return
		}
	}
}

// sameUse reports whether e takes the place of old, of the same key. It does where old is of another
// stored slice, or was decoded into the same type by the same codec.
func (old *memoEntry) sameUse(e *memoEntry) bool {
	return old.raw != e.raw || old.size != e.size || old.codec == e.codec && reflect.TypeOf(old.value) == reflect.TypeOf(e.value)
}

// growMemo puts a memo with e as well in the place of old, unless another came first.
func (s *Session) growMemo(old *memo, e *memoEntry) bool {
	var before memo
	if old != nil {
		before = *old
	}
	next := make(memo, len(before)+1)
	for i := range before {
		next[i].Store(before[i].Load())
	}
	next[len(before)].Store(e)
	return s.swapMemo(old, &next)
}

// swapMemo puts a memo in the place of old, except in an ended session, which keeps none. It reports
// false when another came first.
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

// forget drops what is remembered under key, which keeps the stored slice and the decoded value in
// memory. Another memo takes the place of that with the key, so that none that grows meanwhile has it.
func (s *Session) forget(key string) {
	for {
		m := s.memo.Load()
		if m == nil {
			return
		}
		var others []*memoEntry
		found := false
		for i := range *m {
			switch e := (*m)[i].Load(); {
			case e == nil:
			case e.key == key:
				found = true
			default:
				others = append(others, e)
			}
		}
		if !found {
			return
		}
		var next *memo
		if len(others) > 0 {
			list := make(memo, len(others))
			for i, e := range others {
				list[i].Store(e)
			}
			next = &list
		}
		if s.swapMemo(m, next) {
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
	for i := range *m {
		if e := (*m)[i].Load(); e != nil && e.size >= large && e.key == key {
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

// A session that is written about as often as it is read gains nothing from remembering. What is remembered is replaced before it was
// handed out often enough. Session.decoded therefore also holds the session's reluctance to remember, from 0 to 5, and how many
// decodings it lets pass without a note:
//
//	5 bits  decodings to let pass
//	3 bits  reluctance
//	7 bits  mark of the slice that was decoded last, 0 for none
//	…       those of the seven before it
const (
	passBits      = 5
	reluctantBits = 3
	markBits      = 7
	marksAt       = passBits + reluctantBits
	maxReluctance = passBits // 1<<maxReluctance - 1 decodings are the most that pass
)

// worthwhile is how often a value must be handed out after it was remembered, which takes as long as two decodings.
const worthwhile = 2

// again reports whether raw is among the last eight slices that were decoded. It notes it otherwise, as a
// mark of its address. A value that is read once is not worth remembering, and of more values in turn
// than the memo holds, none is.
func (s *Session) again(raw []byte) bool {
	seen := s.decoded.Load()
	if seen&(1<<passBits-1) != 0 {
		s.decoded.Store(seen - 1)
		return false
	}
	mark := markOf(uintptr(unsafe.Pointer(unsafe.SliceData(raw))))
	for rest := seen >> marksAt; rest != 0; rest >>= markBits {
		if rest&(1<<markBits-1) == mark {
			return true
		}
	}
	// Of two at once one may be lost, which costs one decoding.
	s.decoded.Store((seen>>marksAt<<markBits|mark)<<marksAt | seen&(1<<marksAt-1))
	return false
}

// weigh makes the session more reluctant to remember, or less if a value that was replaced had been worthwhile.
func (s *Session) weigh(paid bool) {
	seen := s.decoded.Load()
	reluctance := seen >> passBits & (1<<reluctantBits - 1)
	pass := uint64(0)
	if paid {
		reluctance -= min(reluctance, 1)
	} else {
		reluctance = min(reluctance+1, maxReluctance)
		pass = 1<<reluctance - 1
	}
	s.decoded.Store(seen>>marksAt<<marksAt | reluctance<<passBits | pass)
}

// markOf returns 7 bits, not all 0, for an address. Slices of one size, which lie at even
// distances, must have different ones, so every bit of the address has to matter. Multiplying alone
// gives neighbours 144 bytes apart the same.
func markOf(address uintptr) uint64 {
	h := uint64(address)
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h>>32*(1<<markBits-1)>>32 + 1
}
