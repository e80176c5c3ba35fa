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
	older, newer *slot
}

// A kept is what is kept of one life of a session. It does not change.
type kept struct {
	token  any // string
	names  []string
	fields []*keptField // of names
	bytes  int
}

// A keptField is what was read of one field.
type keptField struct {
	value   any    // string, or nil for an absent one
	at      int64  // when its fetch began
	reading uint64 // the same for what was read in one step
	idle    uint8  // how often it was fetched beside others before, and not used
	used    atomic.Bool
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
	stale  bool // it may bring what was there before a write

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
	maxBeside = 1 << 10
	maxWanted = 16

	// More fields than maxFields at once are not kept, and of those read before no more than make up
	// maxFields: it would take longer to find them.
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

// values returns fields, the first of which is the token's, if what is kept of all others
// was read in one step, and not before oldest.
func (s *slot) values(token any, fields []any, oldest int64) []any {
	kept := s.kept.Load()
	if kept == nil || kept.token != token {
		return nil
	}
	values := make([]any, len(fields))
	values[0] = token
	reading := uint64(0)
	for i, name := range fields[1:] {
		f := kept.find(name.(string), i)
		if f == nil || f.at < oldest || i > 0 && f.reading != reading {
			return nil
		}
		reading = f.reading
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

// begin begins a fetch of fields, and of what else was of use and is not kept any more, or
// was read before oldest.
func (s *slot) begin(fields []any, epoch uint64, at, oldest int64) *fetch {
	f := &fetch{epoch: epoch, at: at, done: make(chan struct{})}
	f.fields = append(make([]any, 0, len(fields)+maxWanted), fields...)
	beside := s.wanted
	if kept := s.kept.Load(); kept != nil {
		beside = kept.wanted(beside, oldest)
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

// quit is for a caller who does not wait for f any more. The last one ends it: otherwise a server that is too slow would be
// asked for ever more that nobody waits for.
func (s *slot) quit(f *fetch) {
	s.shard.mu.Lock()
	defer s.shard.mu.Unlock()
	if f.callers--; f.callers == 0 {
		s.leave(f) // nobody comes to it any more, and no write makes it stale
		f.stale = true
		f.cancel()
	}
}

// wanted appends to list what was of use of what was read before oldest.
func (k *kept) wanted(list []wanted, oldest int64) []wanted {
	list = slices.Clip(list)
	for i, f := range k.fields {
		idle := f.idle + 1
		if f.used.Load() {
			idle = 0
		}
		if f.at < oldest && idle <= maxIdle && small(f.value) && len(list) < maxWanted {
			list = append(list, wanted{any(k.names[i]), idle})
		}
	}
	return list
}

func small(value any) bool {
	text, _ := value.(string)
	return len(text) <= maxBeside
}

// fill puts what f has brought beside what is kept of the same life and was not read
// before oldest. What was asked for later than f stays.
func (s *slot) fill(f *fetch, reading uint64, oldest int64) {
	was := s.kept.Load()
	is := &kept{token: f.values[0]}
	if was != nil && was.token != is.token {
		was = nil
	}
	add := func(name string, f *keptField) {
		text, _ := f.value.(string)
		is.names, is.fields = append(is.names, name), append(is.fields, f)
		is.bytes += fieldBytes + len(name) + len(text)
	}
	asked := len(f.fields) - len(f.beside)
	for i := 1; i < len(f.fields); i++ {
		if was != nil {
			if of := was.find(f.fields[i].(string), i-1); of != nil && of.at > f.at {
				add(f.fields[i].(string), of)
				continue
			}
		}
		of := &keptField{value: f.values[i], at: f.at, reading: reading}
		if i < asked {
			of.used.Store(true)
		} else {
			of.idle = f.beside[i-asked].idle
		}
		add(f.fields[i].(string), of)
	}
	if was != nil {
		for i, of := range was.fields {
			if len(is.names) >= maxFields {
				break // what follows was read before
			}
			if of.at >= oldest && f.place(any(was.names[i]), 1+i) < 0 {
				add(was.names[i], of)
			}
		}
	}
	s.kept.Store(is)
	s.filled, s.wanted = max(s.filled, f.at), nil
	s.resize()
}

// empty drops what is kept, and makes the fetches in progress stale.
func (s *slot) empty() {
	for _, f := range s.fetches {
		f.stale = true
	}
	if kept := s.kept.Load(); kept != nil {
		s.wanted = kept.wanted(nil, maxTime)
		s.kept.Store(nil)
		s.resize()
	}
}

const maxTime = 1<<63 - 1

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
