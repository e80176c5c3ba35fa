package storetest

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

	"github.com/sessionkv/store"
)

// conflicted turns a conflict into success; other errors stay.
func (r result) conflicted() result {
	if errors.Is(r.err, store.ErrConflict) {
		r.err = nil
	}
	return r
}

// departureRules are about DestroyIf.
var departureRules = []rule{
	{name: "DestroyIf with all values ends the session", needs: destroyIf, run: func(x *env) {
		for _, values := range [][]any{
			nil,
			{"k", "v"},
			{"k", "v", "empty", "", "z", "\x00\xff"},
		} {
			id := x.id()
			s := x.a.create(id, with(values...))
			attached := x.b.attach(id)
			attached.destroyIf(values...).ok()
			s.ended()
			attached.ended()
			x.a.lacks(id)
			x.b.create(id).holds("k", nil, "empty", nil)
		}
	}},
	{name: "DestroyIf with other values is ErrConflict and changes nothing", needs: destroyIf, run: func(x *env) {
		id := x.id()
		s := x.a.create(id, with("k", "v", "l", "w", "empty", ""))
		for _, wrong := range [][]any{
			nil,
			{"k", "v", "l", "w"},
			{"k", "v", "empty", ""},
			{"k", "v", "l", "w", "empty", nil},
			{"k", "v", "l", "w", "empty", "x"},
			{"k", "v", "l", "v", "empty", ""},
			{"k", "V", "l", "w", "empty", ""},
			{"k", "w", "l", "v", "empty", ""},
			{"k", "v", "l", "w", "empty", "", "m", "x"},
			{"k", "v", "l", "w", "m", ""},
			{"k", nil, "l", "w", "empty", "", "m", "v"},
		} {
			s.destroyIf(wrong...).fails(store.ErrConflict)
			x.b.attach(id).destroyIf(wrong...).fails(store.ErrConflict)
		}
		s.holds("k", "v", "l", "w", "empty", "")
		s.destroyIf("absent", nil, "l", "w", "empty", "", "k", "v").ok()
		x.b.lacks(id)
	}},
	{name: "DestroyIf sees what other handles have written and removed", needs: destroyIf, run: func(x *env) {
		id := x.id()
		s := x.a.create(id, with("k", "v"))
		other := x.b.attach(id)
		s.destroyIf().fails(store.ErrConflict)
		other.set("k", "w").ok()
		s.destroyIf("k", "v").fails(store.ErrConflict)
		other.set("new", "n").ok()
		s.destroyIf("k", "w").fails(store.ErrConflict)
		other.delete("k").ok()
		s.destroyIf("k", "w", "new", "n").fails(store.ErrConflict)
		if x.has(canCommit) {
			other.commit(nil, entries("new", nil, "k", "c")).ok()
			s.destroyIf("new", "n").fails(store.ErrConflict)
			other.commit(nil, entries("k", nil, "new", "n")).ok()
		}
		s.destroyIf("new", "n").ok()
		other.ended()
	}},
	{name: "DestroyIf takes hundreds of keys and large values", needs: destroyIf, run: func(x *env) {
		const n = 300
		var values []any
		for i := range n {
			values = append(values, fmt.Sprintf("k%03d", i), fmt.Sprint(i))
		}
		values = append(values, "large", patterned(70_000))
		id := x.id()
		s := x.a.create(id, with(values...))
		almost := patterned(70_000)
		almost[len(almost)-1]++
		s.destroyIf(append(values[:2*n:2*n], "large", almost)...).fails(store.ErrConflict)
		s.destroyIf(values[:2*n]...).fails(store.ErrConflict)
		s.destroyIf(values[2:]...).fails(store.ErrConflict)
		s.destroyIf(values...).ok()
		x.b.lacks(id)
	}},
	{name: "DestroyIf of a life that has ended is ErrDestroyed and leaves the later one alone", needs: destroyIf, run: func(x *env) {
		id := x.id()
		s := x.a.create(id, with("k", "v"))
		early := x.b.attach(id)
		later := x.b.resume(id)
		for range 2 {
			s.destroyIf("k", "v").fails(store.ErrDestroyed)
			early.destroyIf("k", "v").fails(store.ErrDestroyed)
		}
		later.holds("k", "v")
		later.destroyIf("k", "v").ok()
		later.destroyIf("k", "v").fails(store.ErrDestroyed)
		later.destroyIf().fails(store.ErrDestroyed)
		last := x.a.create(id, with("k", "v"))
		for _, h := range []*handle{s, early, later} {
			h.destroyIf("k", "v").fails(store.ErrDestroyed)
		}
		last.holds("k", "v")
	}},
	{name: "a suspended session can be left with DestroyIf", needs: destroyIf, run: func(x *env) {
		id := x.id()
		s := x.a.create(id, with("k", "v"))
		x.a.suspend(s, long).ok()
		s.destroyIf("k", "w").fails(store.ErrConflict)
		x.b.attach(id).destroyIf("k", "v").ok()
		x.a.lacks(id)
	}},
	{name: "DestroyIf drops no write that was acknowledged", needs: destroyIf, run: func(x *env) {
		for round := range 100 {
			id := x.id()
			s := x.a.create(id, with("k0", "0", "k1", "0", "k2", "0"))
			writers := []*handle{s, x.b.attach(id), x.a.attach(id)}
			leaver := x.b.attach(id)
			var left result
			results := make([]result, len(writers))
			x.together(len(writers)+1, func(i int) {
				if i == len(writers) {
					left = leaver.destroyIf("k0", "0", "k1", "0", "k2", "0")
					return
				}
				for range (round + i) % 10 { // so that the writes meet DestroyIf at different moments
					runtime.Gosched()
				}
				key := fmt.Sprint("k", i)
				switch {
				case i == 1 && x.has(canCommit):
					results[i] = writers[i].commit(nil, entries(key, nil, "new", "v"))
				case i == 2 && round%2 == 0:
					results[i] = writers[i].set("new", "v")
				default:
					results[i] = writers[i].set(key, "1")
				}
			})
			for _, r := range results {
				switch {
				case left.err == nil:
					r.fails(store.ErrDestroyed)
				case !errors.Is(left.err, store.ErrUnknownOutcome):
					left.fails(store.ErrConflict)
					r.ok()
				}
			}
			s.destroy().ok()
		}
	}},
	{name: "one of many that leave with DestroyIf ends the session", needs: destroyIf, run: func(x *env) {
		for range 10 {
			id := x.id()
			s := x.a.create(id, with("k", "v"))
			handles := []*handle{s, x.b.attach(id)}
			var ended atomic.Int64
			x.together(16, func(i int) {
				r := handles[i%2].destroyIf("k", "v")
				if errors.Is(r.err, store.ErrDestroyed) || errors.Is(r.err, store.ErrUnknownOutcome) {
					return // a client that repeats calls may not tell its own success from another's
				}
				r.ok()
				ended.Add(1)
			})
			if n := ended.Load(); n != 1 {
				x.fail("DestroyIf(k=v) 16 times at once", fmt.Sprintf("%d that succeed", n), "1")
			}
		}
	}},
}
