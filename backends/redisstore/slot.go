package redisstore

import (
	"slices"
	"sync/atomic"
	"time"
)

// A slot has what is kept of one session. All but kept belongs to those who have
// locked its shard.
type slot struct {
	shard *shard
	name  string
	kept  atomic.Pointer[kept] // nil: nothing

	dead         bool  // it is not in its shard any more, and never comes back
	filled       int64 // when what it has was asked for, or it was made
	bytes        int
	wanted       []wanted // what to fetch beside what is asked for next
	fetches      []*fetch // in progress
	ended        uint64   // fetches
	older, newer *slot
}

// A kept is what is kept of one life of a session, all from one reading of the server. Of two
// readings, nobody could say which is the older. It does not change.
type kept struct {
	token  any // string
	names  []string
	fields []*keptField // of names
	at     int64        // when its fetch began
	ended  uint64       // of how many fetches of the slot it is the last that has ended
	bytes  int
}

// A keptField is what was read of one field.
type keptField struct {
	value any   // string, or nil for an absent one
	idle  uint8 // how often it was fetched beside others before, and not used
	used  atomic.Bool
}

// A wanted is a field that was of use.
type wanted struct {
	name any // string
	idle uint8
}

// A fetch is a read in progress.
type fetch struct {
	fields []any    // that of the token, what was asked for, and beside
	beside []wanted // the last ones of fields
	epoch  uint64
	at     int64
	after  uint64 // so many fetches of the slot had ended before
	stale  bool   // it may bring what was there before a write

	callers int    // who wait for it
	cancel  func() // ends it; nil where the one who began it never leaves

	done   chan struct{} // closed when the rest is there
	values []any         // of fields
	err    error
}

const (
	// A field that was fetched maxIdle times beside others without being used is not
	// wanted any more. One that is larger than maxBeside never is.
	maxIdle   = 3
	maxBeside = 4 << 10
	maxWanted = 16

	// More fields than maxFields at once are not kept: it would take longer to find them.
	maxFields = 256

	// A fetch is joined for joinFor. Whoever comes later asks again: it may hang, until the client gives up.
	joinFor = int64(100 * time.Millisecond)

	slotBytes  = 300 // of a slot without fields, with its place in the shard
	fieldBytes = 144 // of a field without its name and its value
)

func (f *keptField) use() {
	if !f.used.Load() { // others who read it keep its cache line
		f.used.Store(true)
	}
}

// find returns the field called name. It looks at place at first.
func (k *kept) find(name string, at int) *keptField {
	if i := indexFrom(len(k.names), at, func(i int) bool { return k.names[i] == name }); i >= 0 {
		return k.fields[i]
	}
	return nil
}

// indexFrom returns the place below n that is, the first one from at on, or after the
// last from zero on. It is -1 if none is.
func indexFrom(n, at int, is func(int) bool) int {
	for i := at; i < n; i++ {
		if is(i) {
			return i
		}
	}
	for i := range min(at, n) {
		if is(i) {
			return i
		}
	}
	return -1
}

// values returns fields, the first of which is the token's, if all others are kept, and were not read before oldest.
func (s *slot) values(token any, fields []any, oldest int64) []any {
	kept := s.kept.Load()
	if kept == nil || kept.token != token || kept.at < oldest {
		return nil
	}
	values := make([]any, len(fields))
	values[0] = token
	for i, name := range fields[1:] {
		f := kept.find(name.(string), i)
		if f == nil {
			return nil
		}
		values[1+i] = f.value
		f.use()
	}
	return values
}

// join returns a fetch that brings fields and did not begin before oldest, if there is one.
func (s *slot) join(fields []any, epoch uint64, oldest int64) *fetch {
	for _, f := range s.fetches {
		if !f.stale && f.epoch == epoch && f.at >= oldest && f.brings(fields) {
			return f
		}
	}
	return nil
}

// place returns the place of a field of f, looking at place at first, and -1 if it is
// none.
func (f *fetch) place(name any, at int) int {
	return indexFrom(len(f.fields), at, func(i int) bool { return f.fields[i] == name })
}

func (f *fetch) brings(fields []any) bool {
	for i, name := range fields {
		if f.place(name, i) < 0 {
			return false
		}
	}
	return true
}

// pick returns the values of fields, all of which f has brought.
func (f *fetch) pick(fields []any) []any {
	values := make([]any, len(fields))
	for i, name := range fields {
		values[i] = f.values[f.place(name, i)]
	}
	return values
}

// begin begins a fetch of fields, and of what else was of use.
func (s *slot) begin(fields []any, epoch uint64, at int64) *fetch {
	f := &fetch{epoch: epoch, at: at, after: s.ended, done: make(chan struct{})}
	f.fields = append(make([]any, 0, len(fields)+maxWanted), fields...)
	beside := s.wanted
	if kept := s.kept.Load(); kept != nil {
		beside = kept.wanted(beside)
	}
	for _, w := range beside {
		if f.place(w.name, 0) < 0 {
			f.fields = append(f.fields, w.name)
			f.beside = append(f.beside, w)
		}
	}
	s.fetches = append(s.fetches, f)
	return f
}

// leave takes out f, which is done.
func (s *slot) leave(f *fetch) {
	if i := slices.Index(s.fetches, f); i >= 0 {
		s.fetches = slices.Delete(s.fetches, i, i+1)
	}
}

// quit is for a caller who does not wait for f any more. The last one ends it: otherwise a slow server would get more and
// more reads whose callers have left.
func (s *slot) quit(f *fetch) {
	s.shard.mu.Lock()
	defer s.shard.mu.Unlock()
	if f.callers--; f.callers == 0 {
		s.leave(f) // nobody comes to it any more, and no write makes it stale
		f.stale = true
		f.cancel()
	}
}

// wanted appends to list what was of use.
func (k *kept) wanted(list []wanted) []wanted {
	list = slices.Clip(list)
	for i, f := range k.fields {
		idle := f.idle + 1
		if f.used.Load() {
			idle = 0
		}
		if idle <= maxIdle && small(f.value) && len(list) < maxWanted {
			list = append(list, wanted{any(k.names[i]), idle})
		}
	}
	return list
}

func small(value any) bool {
	text, _ := value.(string)
	return len(text) <= maxBeside
}

// end takes note of f, whose values its callers have got. It drops what they must not find any more, and reports whether what f has
// brought may be kept:
//
//  1. A fetch that was in progress at the same time may bring something older than f, or than callers of f were told
//     since. Nobody joins it any more, and it is not kept.
//  2. If one has ended while f was in progress, nobody can say which of both is the older, and neither is kept.
//
// So whoever has read a value of the session finds no older one of another field.
func (s *slot) end(f *fetch) (fresh bool) {
	fresh = !f.stale
	s.ended++
	for _, other := range s.fetches {
		other.stale = true
	}
	if kept := s.kept.Load(); kept != nil && kept.ended > f.after {
		s.empty()
		fresh = false
	}
	return fresh
}

// fill keeps what f has brought, in the place of what was kept.
func (s *slot) fill(f *fetch) {
	n := len(f.fields) - 1
	is := &kept{token: f.values[0], names: make([]string, n), fields: make([]*keptField, n), at: f.at, ended: s.ended}
	asked := len(f.fields) - len(f.beside)
	for i := 1; i <= n; i++ {
		name := f.fields[i].(string)
		text, _ := f.values[i].(string)
		of := &keptField{value: f.values[i]}
		if i < asked {
			of.used.Store(true)
		} else {
			of.idle = f.beside[i-asked].idle
		}
		is.names[i-1], is.fields[i-1] = name, of
		is.bytes += fieldBytes + len(name) + len(text)
	}
	s.kept.Store(is)
	s.filled, s.wanted = f.at, nil
	s.resize()
}

// empty drops what is kept, and makes the fetches in progress stale.
func (s *slot) empty() {
	for _, f := range s.fetches {
		f.stale = true
	}
	if kept := s.kept.Load(); kept != nil {
		s.wanted = kept.wanted(nil)
		s.kept.Store(nil)
		s.resize()
	}
}

// miss makes wanted what f has brought, and what cannot be kept.
func (s *slot) miss(f *fetch) {
	asked := len(f.fields) - len(f.beside)
	for i := 1; i < len(f.fields) && len(s.wanted) < maxWanted; i++ {
		w := wanted{name: f.fields[i]}
		if i >= asked {
			w = f.beside[i-asked]
		}
		if small(f.values[i]) && !slices.ContainsFunc(s.wanted, func(o wanted) bool { return o.name == w.name }) {
			s.wanted = append(s.wanted, w)
		}
	}
	s.resize()
}

// resize counts the memory of s.
func (s *slot) resize() {
	bytes := slotBytes + len(s.name) + 24*len(s.wanted)
	if kept := s.kept.Load(); kept != nil {
		bytes += kept.bytes
	}
	s.shard.bytes += bytes - s.bytes
	s.bytes = bytes
}
