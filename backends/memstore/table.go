package memstore

import (
	"maps"
	"sync"
	"sync/atomic"
	"unsafe"
)

// A table holds the keys and values of one life.
//
// Readers scan it without a lock; writers hold the mutex of the life. A writer adds a key like
// this:
//
//  1. It writes key and value into the first slot beyond used, at which no reader looks.
//  2. It raises used, in one atomic step: whoever sees the new number sees the slot.
//  3. Without a free slot it copies all into a larger table, and publishes that in the life.
//
// What holds for a table that readers can see:
//   - The key of a slot below used never changes. Its value is replaced, removed or restored in one
//     atomic step.
//   - used only grows. Keys that were removed keep their slots until another table takes over.
//   - Whoever still reads a table that was replaced sees what it had then. That read has begun
//     before the writes that went to the new one.
//   - A life that has ended has no table.
//
// The slots follow the header in the same allocation, because a scan over a few keys in one place
// beats a hash map. With one goroutine, a read of one of three keys takes 12 ns, and 25 to 38 ns
// from a map under a sync.RWMutex or from a sync.Map. The two fall further behind with several.
// Beyond maxSlots keys the table is the header of a [large] instead.
type table struct {
	used atomic.Uint32 // slots that have a key, if only of a removed value
	room uint32        // slots in all, or isLarge
}

// A slot is a key and its value; nil for a key that has been removed.
type slot struct {
	key string
	val atomic.Pointer[byte]
}

// large holds many keys. Readers take mu for reading; writers, who hold the
// mutex of the life, read without it and take it for writing.
type large struct {
	table
	mu   sync.RWMutex
	keys map[string]value // nil once the life has ended or has another table
	peak int              // the most keys since the map was made
}

const (
	maxSlots = 24
	isLarge  = ^uint32(0)
)

// none is the table of a life without keys. It has no room, so nobody writes it.
var none table

// newTable returns an empty table for n keys.
func newTable(n int) *table {
	var t *table
	switch {
	case n == 0:
		return &none
	case n <= 1:
		t = &new(slots1).table
		t.room = 1
	case n <= 2:
		t = &new(slots2).table
		t.room = 2
	case n <= 3:
		t = &new(slots3).table
		t.room = 3
	case n <= 4:
		t = &new(slots4).table
		t.room = 4
	case n <= 6:
		t = &new(slots6).table
		t.room = 6
	case n <= 8:
		t = &new(slots8).table
		t.room = 8
	case n <= 12:
		t = &new(slots12).table
		t.room = 12
	case n <= 16:
		t = &new(slots16).table
		t.room = 16
	case n <= maxSlots:
		t = &new(slots24).table
		t.room = maxSlots
	default:
		g := &large{keys: make(map[string]value, n)}
		t = &g.table
		t.room = isLarge
	}
	return t
}

// The memory layouts of tables, for the allocator and the garbage collector.
type (
	slots1 struct {
		table
		_ [1]slot
	}
	slots2 struct {
		table
		_ [2]slot
	}
	slots3 struct {
		table
		_ [3]slot
	}
	slots4 struct {
		table
		_ [4]slot
	}
	slots6 struct {
		table
		_ [6]slot
	}
	slots8 struct {
		table
		_ [8]slot
	}
	slots12 struct {
		table
		_ [12]slot
	}
	slots16 struct {
		table
		_ [16]slot
	}
	slots24 struct {
		table
		_ [maxSlots]slot
	}
)

// large returns t as a large table, or nil.
func (t *table) large() *large {
	if t.room != isLarge {
		return nil
	}
	return (*large)(unsafe.Pointer(t)) // t is its first field
}

// slots returns the first n slots of a table that is not large.
func (t *table) slots(n uint32) []slot {
	return unsafe.Slice((*slot)(unsafe.Add(unsafe.Pointer(t), unsafe.Sizeof(*t))), n)
}

// find returns the slot of key, or nil. In a large table it finds nothing.
func (t *table) find(key string) *slot {
	slots := t.slots(t.used.Load())
	for i := range slots {
		if slots[i].key == key {
			return &slots[i]
		}
	}
	return nil
}

// get returns the value under key, or nil. The caller is a writer.
func (t *table) get(key string) value {
	if g := t.large(); g != nil {
		return g.keys[key]
	}
	if s := t.find(key); s != nil {
		return s.val.Load()
	}
	return nil
}

// append fills the next free slot with a new key, which is copied through names.
// It reports false when there is no free slot. The caller is a writer.
func (t *table) append(key string, v value, names *names) bool {
	used := t.used.Load()
	if used >= t.room || t.room == isLarge {
		return false
	}
	s := &t.slots(used + 1)[used]
	s.key = names.keep(key)
	s.val.Store(v)
	t.used.Store(used + 1)
	return true
}

// put stores v under key, or removes key if v is nil, in a table that is not
// published yet and has room for it.
func (t *table) put(key string, v value, names *names) {
	if g := t.large(); g != nil {
		g.put(key, v, names)
		return
	}
	if s := t.find(key); s != nil {
		s.val.Store(v)
	} else if v != nil {
		t.append(key, v, names)
	}
}

// put stores v under key, or removes key if v is nil. A new key is copied
// through names. The caller holds mu.
func (g *large) put(key string, v value, names *names) {
	if v == nil {
		delete(g.keys, key)
		return
	}
	if _, ok := g.keys[key]; !ok {
		key = names.keep(key)
	}
	g.keys[key] = v
	g.peak = max(g.peak, len(g.keys))
}

// replace stores v under key if key has a value. The caller is a writer.
func (g *large) replace(key string, v value) bool {
	if _, ok := g.keys[key]; !ok {
		return false
	}
	g.mu.Lock()
	g.keys[key] = v
	g.mu.Unlock()
	return true
}

// all calls f for each key that has a value. The caller is a writer.
func (t *table) all(f func(key string, v value)) {
	if g := t.large(); g != nil {
		for key, v := range g.keys {
			f(key, v)
		}
		return
	}
	slots := t.slots(t.used.Load())
	for i := range slots {
		if v := slots[i].val.Load(); v != nil {
			f(slots[i].key, v)
		}
	}
}

// fewer returns what takes the place of t when only n keys have a value: t itself while
// that wastes little. The caller is a writer. Another table is not published yet.
func (t *table) fewer(n int) *table {
	const small = 8 // rooms up to here are not worth it
	g := t.large()
	switch {
	case g != nil && n > g.peak/4:
	case g != nil && n > maxSlots/2:
		// A map keeps its size, so another one takes its place.
		keys := make(map[string]value, n)
		maps.Copy(keys, g.keys)
		g.mu.Lock()
		g.keys, g.peak = keys, n
		g.mu.Unlock()
	case g != nil, t.room >= small && n <= int(t.room)/4:
		next := newTable(n)
		t.copyTo(next)
		return next
	}
	return t
}

// retire sends readers of t to the table that has taken its place.
func (t *table) retire() {
	if g := t.large(); g != nil {
		g.mu.Lock()
		g.keys = nil
		g.mu.Unlock()
	}
}

// copyTo adds what is in t to an unpublished table.
func (t *table) copyTo(to *table) {
	if g := to.large(); g != nil {
		t.all(func(key string, v value) { g.keys[key] = v })
		g.peak = len(g.keys)
		return
	}
	var n uint32
	t.all(func(key string, v value) {
		s := &to.slots(n + 1)[n]
		s.key = key
		s.val.Store(v)
		n++
	})
	if n > 0 { // none stays as it is
		to.used.Store(n)
	}
}
