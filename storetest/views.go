package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/sessionkv/store"
)

// viewRules are about what handles see of each other's writes: all of it, at
// once, and never a half.
var viewRules = []rule{
	{name: "what one handle has written every other reads, with every method", run: func(x *env) {
		id := x.id()
		handles := []*handle{x.a.create(id), x.a.attach(id), x.b.attach(id), x.b.attach(id)}
		for round := range 3 {
			for i, w := range handles {
				v := fmt.Sprint("value ", round, " of ", i)
				w.set("k", v).ok()
				for _, r := range handles {
					r.sees("k", v)
				}
				w.delete("k").ok()
				for _, r := range handles {
					r.sees("k", nil)
				}
				if x.has(canCommit) {
					w.commit(nil, entries("k", v)).ok()
					for _, r := range handles {
						r.sees("k", v)
					}
					w.commit(nil, entries("k", nil)).ok()
					for _, r := range handles {
						r.sees("k", nil)
					}
				}
			}
		}
	}},
	{name: "a read that begins after a write was acknowledged does not miss it", run: func(x *env) {
		id := x.id()
		writer := x.a.create(id, with("k", "0"))
		var readers []func() result
		for _, s := range []*handle{x.a.attach(id), x.b.attach(id)} {
			readers = append(readers, func() result { return s.get("k") })
			if x.has(canGetMany) {
				readers = append(readers, func() result { return s.getMany("k").only() })
			}
			if x.has(canCommit) {
				readers = append(readers, func() result { return s.commit(entries("k", "unlikely"), nil).conflicting().only() })
			}
		}
		var written, begun atomic.Int64
		x.beside(len(readers), func(n int) {
			begun.Store(int64(n + 1))
			writer.set("k", strconv.Itoa(n+1)).ok()
			written.Store(int64(n + 1))
		}, func(i int) any {
			least := written.Load()
			r := readers[i]().ok()
			most := begun.Load()
			if n := number(r.value); n < least || n > most {
				x.fail(r.call, r.got(), fmt.Sprintf("a number from %d, which was acknowledged before, to %d", least, most))
			}
			return string(bytesOf(r.value))
		})
	}},
	{name: "GetMany and a refused Commit see the values of one instant", needs: commit | getMany, run: func(x *env) {
		const n = 40
		id := x.id()
		var names, backwards []string
		var initial []any
		for i := range n {
			names = append(names, fmt.Sprint("k", i))
			initial = append(initial, names[i], "0")
		}
		writer := x.a.create(id, with(initial...))
		for _, k := range slices.Backward(names) {
			backwards = append(backwards, k)
		}
		a, b := x.a.attach(id), x.b.attach(id)
		wrong := make([]store.Entry, n)
		for i, k := range names {
			wrong[i] = store.Entry{Key: k, Value: []byte("unlikely")}
		}
		readers := []func() result{
			func() result { return a.getMany(names...) },
			func() result { return b.getMany(backwards...) },
			func() result { return b.commit(wrong, nil).conflicting() },
		}
		x.beside(len(readers), func(n int) {
			write := make([]store.Entry, len(names))
			for i, k := range names {
				write[i] = store.Entry{Key: k, Value: []byte(strconv.Itoa(n))}
			}
			writer.commit(nil, write).ok()
		}, func(i int) any {
			r := readers[i]().ok()
			values := r.value.([][]byte)
			for _, v := range values {
				if string(v) != string(values[0]) {
					x.fail(r.call+", while another handle commits the same value to all", r.got(), "the same value everywhere")
				}
			}
			return string(values[0])
		})
	}},
	{name: "GetMany sees writes in their order", needs: getMany, run: func(x *env) {
		id := x.id()
		writer := x.a.create(id, with("first", "0", "second", "0"))
		a, b := x.a.attach(id), x.b.attach(id)
		readers := []func() (r result, first, second int64){
			func() (result, int64, int64) {
				r := a.getMany("first", "second").ok()
				v := r.value.([][]byte)
				return r, number(v[0]), number(v[1])
			},
			func() (result, int64, int64) {
				r := b.getMany("second", "first").ok()
				v := r.value.([][]byte)
				return r, number(v[1]), number(v[0])
			},
		}
		x.beside(len(readers), func(n int) {
			writer.set("first", strconv.Itoa(n+1)).ok()
			writer.set("second", strconv.Itoa(n+1)).ok()
		}, func(i int) any {
			r, first, second := readers[i]()
			if first != second && first != second+1 {
				x.fail(r.call+", while another handle sets the same in first and then in second", r.got(), "the first as far as the second or one further")
			}
			return first
		})
	}},
	{name: "a Commit is whole for those who read one key after another", needs: commit, run: func(x *env) {
		const n = 10
		id := x.id()
		var initial []any
		for i := range n {
			initial = append(initial, fmt.Sprint("k", i), "0")
		}
		writer := x.a.create(id, with(initial...))
		readers := []*handle{x.a.attach(id), x.b.attach(id)}
		x.beside(len(readers), func(n int) {
			write := entries(initial...)
			for i := range write {
				write[i].Value = []byte(strconv.Itoa(n + 1))
			}
			writer.commit(nil, write).ok()
		}, func(i int) any {
			one, other := fmt.Sprint("k", rand.N(n)), fmt.Sprint("k", rand.N(n))
			before := number(readers[i].get(one).ok().value)
			if r := readers[i].get(other).ok(); number(r.value) < before {
				x.fail(r.call, r.got(), fmt.Sprintf("%d or more, as %s, which every Commit sets to the same, was that before", before, one))
			}
			return before
		})
	}},
	{name: "Keys never sees half of a Commit", needs: commit | keys, run: func(x *env) {
		id := x.id()
		writer := x.a.create(id, with("ball in 0", "v", "other", "v", "zebra", "v"))
		readers := []*handle{x.a.attach(id), x.b.attach(id)}
		at := "ball in 0"
		x.beside(len(readers), func(n int) {
			to := fmt.Sprint("ball in ", (n+1)%10)
			writer.commit(entries(at, "v"), entries(to, "v", at, nil)).ok()
			at = to
		}, func(i int) any {
			r := readers[i].keys().ok()
			names := r.value.([]string)
			if len(names) != 3 || !slices.Contains(names, "other") || !slices.Contains(names, "zebra") {
				x.fail(r.call+", while another handle moves a value from key to key", r.got(), "three names: one of the value, other, zebra")
			}
			return names[0]
		})
	}},
	{name: "a session begins with all its values at once", run: func(x *env) {
		var initial []any
		const n = 30
		for i := range n {
			initial = append(initial, fmt.Sprint("k", i), "v")
		}
		for range 10 {
			id := x.id()
			x.together(3, func(i int) {
				if i == 0 {
					x.a.create(id, with(initial...))
					return
				}
				for {
					s, r := x.node(i).tryAttach(id)
					if errors.Is(r.err, store.ErrNoSession) {
						runtime.Gosched()
						continue
					}
					r.ok()
					for k := n - 1; k >= 0; k-- {
						s.get(fmt.Sprint("k", k)).gives("v")
					}
					return
				}
			})
		}
	}},
}

// sees checks what each method finds under key; nil is absent.
func (s *handle) sees(key string, value any) {
	s.x.t.Helper()
	if s.x.has(canGetMany) { // first: a method that asks the storage may refresh what others keep
		s.getMany(key, "absent").gives(value, nil)
	}
	if s.x.has(canCommit) {
		s.commit(entries(key, "unlikely"), nil).refused(value)
	}
	s.has(key).gives(value != nil)
	if s.x.has(canList) {
		names := []string{key}
		if value == nil {
			names = nil
		}
		s.keys().lists(names...)
	}
	if value == nil {
		s.get(key).fails(store.ErrNotFound)
		return
	}
	s.get(key).gives(value)
}

// beside runs write(0), write(1), … in one goroutine, and readers in others. It does so for as long
// as it takes each of them to meet a good many different results of read.
func (x *env) beside(readers int, write func(n int), read func(i int) any) {
	const changes, most = 60, 3000
	var reading atomic.Int64
	reading.Store(int64(readers))
	begun := make(chan struct{}) // closed when something has been written
	x.together(readers+1, func(i int) {
		if i == readers {
			begin := sync.OnceFunc(func() { close(begun) })
			defer begin()
			for n := 0; reading.Load() > 0; n++ {
				write(n)
				begin()
			}
			return
		}
		defer reading.Add(-1)
		<-begun
		var last any
		for n, met := 0, 0; n < most && met < changes; n++ {
			if v := read(i); v != last {
				met, last = met+1, v
				continue
			}
			runtime.Gosched()
		}
	})
}

// conflicting turns a refused Commit into one that succeeded with the current
// values.
func (r result) conflicting() result {
	if r.err == nil || !errors.Is(r.err, store.ErrConflict) {
		r.x.fail(r.call, r.got(), "error: "+show(store.ErrConflict))
	}
	r.err = nil
	return r
}

// only takes the one value out of a list of one.
func (r result) only() result {
	if r.err != nil {
		return r
	}
	values, _ := r.value.([][]byte)
	if len(values) != 1 {
		r.x.fail(r.call, r.got(), "one value")
	}
	r.value = values[0]
	return r
}

// number reads a value that a rule has written as a number; -1 is none.
func number(v any) int64 {
	b, _ := v.([]byte)
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		return -1
	}
	return n
}
