package storetest

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/sessionkv/store"
)

var limitRules = []rule{
	{name: "Set of one key too many is ErrTooManyKeys and changes nothing", run: func(x *env) {
		s := x.a.session(maxKeys(3))
		for i := range 3 {
			s.set(fmt.Sprint("k", i), "v").ok()
		}
		s.set("one more", "v").fails(store.ErrTooManyKeys)
		s.set("one more", "").fails(store.ErrTooManyKeys)
		s.holds("k0", "v", "k1", "v", "k2", "v", "one more", nil)
	}},
	{name: "overwriting works at the limit", run: func(x *env) {
		s := x.a.session(maxKeys(2), with("k", "v", "l", "v"))
		s.set("k", "w").ok()
		s.set("l", "").ok()
		s.set("l", "x").ok()
		s.holds("k", "w", "l", "x")
	}},
	{name: "Delete makes room for another key", run: func(x *env) {
		s := x.a.session(maxKeys(2), with("k", "v", "l", "v"))
		s.delete("absent").ok()
		s.set("m", "v").fails(store.ErrTooManyKeys)
		s.delete("k").ok()
		s.set("m", "v").ok()
		s.set("k", "v").fails(store.ErrTooManyKeys)
		s.holds("k", nil, "l", "v", "m", "v")
	}},
	{name: "Create with as many keys as allowed works", run: func(x *env) {
		s := x.a.session(maxKeys(2), with("k", "v", "l", ""))
		s.set("m", "v").fails(store.ErrTooManyKeys)
		s.holds("k", "v", "l", "", "m", nil)
	}},
	{name: "Create with too many keys is ErrTooManyKeys and begins nothing", run: func(x *env) {
		id := x.id()
		_, r := x.a.tryCreate(id, maxKeys(2), with("k", "v", "l", "v", "m", "v"))
		r.fails(store.ErrTooManyKeys)
		x.a.lacks(id)
		x.b.create(id, maxKeys(2)).holds("k", nil)
	}},
	{name: "initial values that are nil are no keys", run: func(x *env) {
		s := x.a.session(maxKeys(2), with("absent", nil, "k", "v", "l", "v", "gone", nil))
		s.holds("k", "v", "l", "v", "absent", nil, "gone", nil)
		s.set("m", "v").fails(store.ErrTooManyKeys)
		x.a.session(maxKeys(1), with("a", nil, "b", nil, "c", nil)).set("k", "v").ok()
	}},
	{name: "a limit of hundreds is kept exactly", run: func(x *env) {
		const n = 300
		var initial []any
		for i := range n {
			initial = append(initial, fmt.Sprint("k", i), "v")
		}
		s := x.a.session(maxKeys(n), with(initial...))
		s.set("one more", "v").fails(store.ErrTooManyKeys)
		s.set("k299", "w").ok()
		if x.has(canCommit) {
			s.commit(nil, entries("one more", "v")).fails(store.ErrTooManyKeys)
			s.commit(nil, entries("k298", "w", "k297", nil, "another", "v")).ok()
		}
		s.has("one more").gives(false)
		_, r := x.a.tryCreate(x.id(), maxKeys(n-1), with(initial...))
		r.fails(store.ErrTooManyKeys)
	}},
	{name: "the limit counts what every handle has written and removed", run: func(x *env) {
		id := x.id()
		a := x.a.create(id, maxKeys(3), with("k", "v"))
		b := x.b.attach(id, maxKeys(3))
		b.set("b1", "v").ok()
		a.set("a1", "v").ok()
		for _, s := range []*handle{a, b} {
			s.set("one more", "v").fails(store.ErrTooManyKeys)
		}
		b.delete("k").ok()
		a.set("a2", "v").ok()
		b.set("one more", "v").fails(store.ErrTooManyKeys)
		a.delete("b1").ok()
		b.set("b2", "v").ok()
		a.holds("k", nil, "a1", "v", "a2", "v", "b1", nil, "b2", "v")
	}},
	{name: "Attach and Resume with a limit below what the session holds keep it all", run: func(x *env) {
		id := x.id()
		x.a.create(id, with("k", "v", "l", "v", "m", "v"))
		for _, open := range []func(string, ...option) *handle{x.b.attach, x.b.resume} {
			s := open(id, maxKeys(1))
			s.holds("k", "v", "l", "v", "m", "v")
			s.set("k", "v").ok()
			s.set("n", "v").fails(store.ErrTooManyKeys)
		}
	}},
	{name: "a limit never hides that the life has ended", run: func(x *env) {
		id := x.id()
		s := x.a.create(id, maxKeys(1), with("k", "v"))
		s.destroy().ok()
		s.set("l", "v").fails(store.ErrDestroyed)
		x.b.create(id, with("k", "v"))
		s.set("l", "v").fails(store.ErrDestroyed)
		if x.has(canCommit) {
			s.commit(nil, entries("l", "v", "m", "v")).fails(store.ErrDestroyed)
		}
	}},
	{name: "the limit of a Commit is that of the handle", needs: commit, run: func(x *env) {
		id := x.id()
		x.a.create(id, with("k", "v"))
		attached := x.b.attach(id, maxKeys(2))
		attached.commit(nil, entries("l", "v", "m", "v")).fails(store.ErrTooManyKeys)
		attached.commit(entries("l", nil), entries("l", "v")).ok()
		attached.commit(entries("m", nil), entries("m", "v")).fails(store.ErrTooManyKeys)
		x.a.attach(id, maxKeys(3)).commit(nil, entries("m", "v")).ok()
		resumed := x.b.resume(id, maxKeys(4))
		resumed.commit(nil, entries("n", "v", "o", "v")).fails(store.ErrTooManyKeys)
		resumed.commit(nil, entries("n", "v")).ok()
		resumed.holds("k", "v", "l", "v", "m", "v", "n", "v", "o", nil)
	}},
	{name: "a wrong expectation counts before the limit", needs: commit, run: func(x *env) {
		s := x.a.session(maxKeys(1), with("k", "v"))
		s.commit(entries("k", "other"), entries("l", "v", "m", "v")).refused("v")
		s.commit(entries("k", "v"), entries("l", "v", "m", "v")).fails(store.ErrTooManyKeys)
	}},
	{name: "a limit of zero is none", run: func(x *env) {
		for _, n := range []int{0, -1} {
			s := x.a.session(maxKeys(n), with("k", "v"))
			for i := range 30 {
				s.set(fmt.Sprint(i), "v").ok()
			}
		}
	}},
	{name: "the limit is that of the handle that adds the key", run: func(x *env) {
		id := x.id()
		two := x.a.create(id, maxKeys(2), with("k", "v"))
		five := x.b.attach(id, maxKeys(5))
		for i := range 4 {
			five.set(fmt.Sprint(i), "v").ok()
		}
		five.set("one more", "v").fails(store.ErrTooManyKeys)
		two.set("one more", "v").fails(store.ErrTooManyKeys)
		two.set("k", "w").ok()
		two.set("0", "w").ok()
		x.a.attach(id, maxKeys(6)).set("sixth", "v").ok()
		resumed := x.b.resume(id, maxKeys(6))
		resumed.set("one more", "v").fails(store.ErrTooManyKeys)
		resumed.set("sixth", "w").ok()
	}},
	{name: "Commit of one key too many is ErrTooManyKeys and writes nothing", needs: commit, run: func(x *env) {
		s := x.a.session(maxKeys(2), with("k", "v"))
		s.commit(nil, entries("k", "w", "l", "w", "m", "w")).fails(store.ErrTooManyKeys)
		s.holds("k", "v", "l", nil, "m", nil)
		s.commit(entries("k", "v"), entries("l", "w", "m", "w")).fails(store.ErrTooManyKeys)
		s.holds("k", "v", "l", nil, "m", nil)
		s.commit(nil, entries("l", "w")).ok()
		s.commit(entries("m", nil), entries("m", "w")).fails(store.ErrTooManyKeys)
		s.holds("k", "v", "l", "w", "m", nil)
	}},
	{name: "the limit of a Commit counts when all is written", needs: commit, run: func(x *env) {
		s := x.a.session(maxKeys(2), with("k", "v", "l", "v"))
		s.commit(nil, entries("k", "w", "l", "w")).ok()
		s.commit(nil, entries("m", "w", "k", nil)).ok()
		s.holds("k", nil, "l", "w", "m", "w")
		s.commit(nil, entries("m", "x", "n", "x", "absent", nil)).fails(store.ErrTooManyKeys)
		s.holds("l", "w", "m", "w", "n", nil)
		s.commit(nil, entries("absent", nil, "l", nil, "m", nil, "o", "x", "p", "x")).ok()
		s.holds("l", nil, "m", nil, "o", "x", "p", "x")
	}},
	{name: "a Commit that adds no key works above the limit", needs: commit, run: func(x *env) {
		id := x.id()
		x.a.create(id, with("a", "v", "b", "v", "c", "v", "d", "v"))
		s := x.b.attach(id, maxKeys(2))
		s.commit(entries("a", "v"), entries("a", "w")).ok()
		s.commit(nil, entries("b", "w", "c", nil)).ok()
		s.holds("a", "w", "b", "w", "c", nil, "d", "v")
	}},
	{name: "keys that are added at the same time never exceed the limit", run: func(x *env) {
		x.crowd(func(s *handle, key string) result { return s.set(key, "v") })
	}},
	{name: "keys that Commits add at the same time never exceed the limit", needs: commit, run: func(x *env) {
		x.crowd(func(s *handle, key string) result { return s.commit(nil, entries(key, "v")) })
		x.crowd(func(s *handle, key string) result { return s.commit(entries(key, nil), entries(key, "v")) })
	}},
	{name: "keys that Sets and Commits add at the same time never exceed the limit", needs: commit, run: func(x *env) {
		var n atomic.Int64
		x.crowd(func(s *handle, key string) result {
			if n.Add(1)%2 == 0 {
				return s.set(key, "v")
			}
			return s.commit(nil, entries(key, "v"))
		})
	}},
}

// crowd adds 64 keys at the same time to a session that may hold 10.
func (x *env) crowd(add func(s *handle, key string) result) {
	for range 3 {
		id := x.id()
		handles := []*handle{x.a.create(id, maxKeys(10)), x.b.attach(id, maxKeys(10))}
		var stored atomic.Int64
		x.together(16, func(i int) {
			for n := range 4 {
				r := add(handles[i%2], fmt.Sprintf("k%d-%d", i, n))
				if errors.Is(r.err, store.ErrTooManyKeys) {
					continue
				}
				r.ok()
				stored.Add(1)
			}
		})
		found := 0
		for i := range 16 {
			for n := range 4 {
				if r := handles[0].has(fmt.Sprintf("k%d-%d", i, n)).ok(); r.value == true {
					found++
				}
			}
		}
		if found != 10 || stored.Load() != 10 {
			x.fail("64 different keys, added by 16 goroutines to a session that may hold 10", fmt.Sprintf("%d that succeeded, %d keys", stored.Load(), found), "10 and 10")
		}
	}
}
