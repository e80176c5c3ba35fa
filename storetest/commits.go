package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/sessionkv/store"
)

var commitRules = []rule{
	{name: "Commit writes when the values are as expected", needs: commit, run: func(x *env) {
		id := x.id()
		s := x.a.create(id, with("k", "v", "l", "w"))
		s.commit(entries("k", "v"), entries("k", "v2")).ok()
		s.holds("k", "v2", "l", "w")
		s.commit(entries("k", "v2", "l", "w"), entries("k", "v3", "l", "w3", "m", "x3")).ok()
		x.b.attach(id).holds("k", "v3", "l", "w3", "m", "x3")
	}},
	{name: "Commit with other values than expected is ErrConflict and changes nothing", needs: commit, run: func(x *env) {
		s := x.a.session(with("k", "v", "l", "w"))
		s.commit(entries("k", "x"), entries("k", "y")).fails(store.ErrConflict)
		s.commit(entries("k", "x"), entries("l", "y", "m", "y")).fails(store.ErrConflict)
		s.commit(entries("k", "x"), entries("k", nil, "l", nil)).fails(store.ErrConflict)
		s.holds("k", "v", "l", "w", "m", nil)
	}},
	{name: "a refused Commit returns the current values of all expected keys in their order", needs: commit, run: func(x *env) {
		s := x.a.session(with("k", "v", "l", "w", "empty", ""))
		s.commit(entries("k", "x"), entries("k", "y")).refused("v")
		s.commit(entries("l", "w", "absent", "x", "k", "v", "empty", ""), nil).refused("w", nil, "v", "")
		s.commit(entries("absent", nil, "empty", nil), entries("m", "y")).refused(nil, "")
		s.commit(entries("absent", "", "k", "v"), nil).refused(nil, "v")
	}},
	{name: "a retry with the values that a refused Commit returned succeeds", needs: commit, run: func(x *env) {
		s := x.a.session(with("k", "v", "empty", ""))
		r := s.commit(entries("k", "x", "absent", "x", "empty", "x"), nil)
		r.refused("v", nil, "")
		expect := entries("k", nil, "absent", nil, "empty", nil)
		for i, v := range r.value.([][]byte) {
			expect[i].Value = v
		}
		s.commit(expect, entries("k", "done")).ok()
		s.holds("k", "done", "empty", "", "absent", nil)
	}},
	{name: "expecting absence is refused by any value, also an empty one", needs: commit, run: func(x *env) {
		s := x.a.session(with("k", "v", "empty", ""))
		s.commit(entries("k", nil), entries("k", "x")).refused("v")
		s.commit(entries("empty", nil), entries("empty", "x")).refused("")
		s.commit(entries("absent", nil), entries("absent", "x")).ok()
		s.holds("k", "v", "empty", "", "absent", "x")
	}},
	{name: "expecting an empty value is refused by absence and by any other value", needs: commit, run: func(x *env) {
		s := x.a.session(with("k", "v", "empty", ""))
		s.commit(entries("absent", ""), entries("absent", "x")).refused(nil)
		s.commit(entries("k", ""), entries("k", "x")).refused("v")
		s.commit(entries("empty", ""), entries("empty", "x")).ok()
		s.holds("k", "v", "empty", "x", "absent", nil)
	}},
	{name: "Commit compares bytes, all of them", needs: commit, run: func(x *env) {
		s := x.a.session()
		for _, v := range []string{"v", "V", "v ", "\x00", "\x00\x00", "\xff", "\xfe", "1", "1.0", "01", "é", "e\u0301", "a\x00b", "a\x00c"} {
			s.set("k", v).ok()
			for _, other := range []string{"v", "V", "v ", "\x00", "\x00\x00", "\xff", "\xfe", "1", "1.0", "01", "é", "e\u0301", "a\x00b", "a\x00c"} {
				if other != v {
					s.commit(entries("k", other), entries("k", "wrong")).refused(v)
				}
			}
			s.commit(entries("k", bytes.Clone([]byte(v))), entries("l", v)).ok()
			s.get("l").gives(v)
		}
		big := patterned(70_000)
		s.setBytes("k", big).ok()
		almost := bytes.Clone(big)
		almost[len(almost)-1]++
		s.commit(entries("k", almost), entries("k", "wrong")).refused(big)
		s.commit(entries("k", big[:len(big)-1]), entries("k", "wrong")).refused(big)
		s.commit(entries("k", bytes.Clone(big)), entries("k", "right")).ok()
	}},
	{name: "a value that was there before and came back is expected again", needs: commit, run: func(x *env) {
		s := x.a.session(with("k", "v"))
		s.set("k", "w").ok()
		s.set("k", "v").ok()
		s.commit(entries("k", "v"), entries("k", "x")).ok()
		s.delete("k").ok()
		s.commit(entries("k", nil), entries("k", "y")).ok()
		s.get("k").gives("y")
	}},
	{name: "a value that was removed or replaced is not expected any more", needs: commit, run: func(x *env) {
		id := x.id()
		a := x.a.create(id)
		for _, s := range []*handle{a, x.a.attach(id), x.b.attach(id)} {
			for _, by := range []*handle{a, s} {
				s.set("k", "v").ok()
				s.get("k").gives("v")
				by.delete("k").ok()
				s.commit(entries("k", "v"), entries("k", "back")).refused(nil)
				s.set("k", "v").ok()
				by.commit(nil, entries("k", nil)).ok()
				s.commit(entries("k", "v"), entries("l", "back")).refused(nil)
				s.commit(nil, entries("k", "v")).ok()
				by.set("k", "w").ok()
				s.commit(entries("k", "v"), entries("k", "back")).refused("w")
				by.set("k", "").ok()
				s.commit(entries("k", "w"), entries("k", "back")).refused("")
				by.delete("k").ok()
				s.commit(entries("k", ""), entries("k", "back")).refused(nil)
				s.holds("k", nil, "l", nil)
			}
		}
	}},
	{name: "Commit expects and writes hundreds of keys", needs: commit, run: func(x *env) {
		const n = 300
		var before, after, current []any
		for i := range n {
			before = append(before, fmt.Sprintf("k%03d", i), fmt.Sprint(i))
			after = append(after, fmt.Sprintf("k%03d", i), fmt.Sprint(i, "changed"))
			current = append(current, fmt.Sprint(i))
		}
		s := x.a.session(with(before...))
		for _, i := range []int{0, 150, n - 1} {
			expect := entries(before...)
			expect[i].Value = []byte("other")
			s.commit(expect, entries(after...)).refused(current...)
			expect[i].Value = nil
			s.commit(expect, entries(after...)).refused(current...)
		}
		s.commit(entries(before...), entries(after...)).ok()
		for _, k := range []string{"k000", "k150", "k299"} {
			i, _ := strconv.Atoi(k[1:])
			s.get(k).gives(fmt.Sprint(i, "changed"))
		}
		s.commit(entries(after...), append(entries(before[:2]...), entries("k299", nil)...)).ok()
		s.get("k000").gives("0")
		s.get("k299").fails(store.ErrNotFound)
	}},
	{name: "one wrong expectation among several refuses everything", needs: commit, run: func(x *env) {
		s := x.a.session(with("a", "1", "b", "2", "c", "3"))
		for i, wrong := range []string{"a", "b", "c"} {
			expect := entries("a", "1", "b", "2", "c", "3")
			expect[i].Value = []byte("wrong")
			s.commit(expect, entries("a", "x", "b", "x", "c", nil, "d", "x")).refused("1", "2", "3")
			s.holds("a", "1", "b", "2", "c", "3", "d", nil)
			expect[i] = store.Entry{Key: wrong, Value: nil}
			s.commit(expect, entries("a", "x", "b", "x", "c", nil, "d", "x")).refused("1", "2", "3")
		}
		s.commit(entries("a", "1", "b", "2", "c", "3", "d", nil), entries("a", "x", "b", "x", "c", nil, "d", "x")).ok()
		s.holds("a", "x", "b", "x", "c", nil, "d", "x")
	}},
	{name: "CommitTimed says no less than how long the session lives", needs: commit, run: func(x *env) {
		start := time.Now()
		s := x.a.session(lease(x.lease), with("k", "v"))
		if _, ok := s.raw.(store.TimedCommitter); !ok {
			return
		}
		handles := []*handle{s, x.b.attach(s.id)}
		x.hurry(start.Add(x.lease))
		for i := range 4 {
			r, left := handles[i%2].commitTimed(entries("k", "v"), entries("n", fmt.Sprint(i)))
			r.ok()
			asked := time.Since(start)
			if least := x.lease - asked; left != 0 && (left < least || left > x.lease+x.h.Granularity+time.Second) {
				x.fail(r.call, fmt.Sprint(left), fmt.Sprintf("0, or from %v to %v, as a lease of %v began %v ago", least, x.lease+x.h.Granularity, x.lease, asked))
			}
			handles[i%2].commitTimed(entries("k", "w"), entries("n", "wrong"))
			s.holds("k", "v", "n", fmt.Sprint(i))
		}
		x.a.renew(long, s).gives(nil)
		if r, left := s.commitTimed(nil, entries("n", "renewed")); left != 0 && left < long/2 {
			x.fail(r.call, fmt.Sprint(left), "0, or an hour, nearly")
		}
	}},
	{name: "an empty expectation always holds", needs: commit, run: func(x *env) {
		s := x.a.session(with("k", "v"))
		s.commit(nil, entries("k", "w", "l", "w")).ok()
		s.commit([]store.Entry{}, entries("l", "x")).ok()
		s.holds("k", "w", "l", "x")
	}},
	{name: "a Commit without writes only checks", needs: commit, run: func(x *env) {
		s := x.a.session(with("k", "v"))
		s.commit(entries("k", "v"), nil).ok()
		s.commit(entries("k", "v", "absent", nil), []store.Entry{}).ok()
		s.commit(entries("k", "w"), nil).refused("v")
		s.commit(nil, nil).ok()
		s.holds("k", "v", "absent", nil)
	}},
	{name: "Commit of a nil value deletes, of an empty one stores it", needs: commit, run: func(x *env) {
		s := x.a.session(with("k", "v", "l", "v"))
		s.commit(entries("k", "v"), entries("k", nil, "l", []byte{}, "absent", nil)).ok()
		s.holds("k", nil, "l", "", "absent", nil)
		s.commit(nil, entries("l", nil)).ok()
		s.holds("l", nil)
	}},
	{name: "Commit can expect some keys and write others", needs: commit, run: func(x *env) {
		s := x.a.session(with("lock", "free", "k", "v"))
		s.commit(entries("lock", "free"), entries("k", "w")).ok()
		s.holds("lock", "free", "k", "w")
	}},
	{name: "two writers that count with Commit lose nothing", needs: commit, run: func(x *env) {
		const each = 100
		id := x.id()
		x.a.create(id)
		x.together(2, func(i int) {
			s := x.node(i).attach(id)
			var current []byte // absent at first
			for range each {
				for {
					n, _ := strconv.Atoi(string(current))
					next := []byte(strconv.Itoa(n + 1))
					r := s.commit([]store.Entry{{Key: "n", Value: current}}, []store.Entry{{Key: "n", Value: next}})
					if r.err == nil {
						current = next
						break
					}
					r.fails(store.ErrConflict)
					values := r.value.([][]byte)
					if len(values) != 1 || bytes.Equal(values[0], current) {
						x.fail(r.call, r.got(), "the one value that differs from "+show(current))
					}
					current = values[0]
				}
			}
		})
		x.b.attach(id).get("n").gives(strconv.Itoa(2 * each))
	}},
	{name: "transfers by two nodes keep the sum, and GetMany never sees half of one", needs: commit | getMany, run: func(x *env) {
		const each, total = 60, 1000
		id := x.id()
		x.a.create(id, with("a", strconv.Itoa(total), "b", "0"))
		sum := func(r result) (a, b int) {
			x.t.Helper()
			values, _ := r.value.([][]byte)
			if len(values) != 2 {
				x.fail(r.call, r.got(), "two values")
			}
			a, _ = strconv.Atoi(string(values[0]))
			b, _ = strconv.Atoi(string(values[1]))
			if a+b != total {
				x.fail(r.call, fmt.Sprintf("%s, which adds up to %d", r.got(), a+b), fmt.Sprintf("a sum of %d", total))
			}
			return a, b
		}
		x.together(4, func(i int) {
			s := x.node(i).attach(id)
			if i >= 2 {
				for range 3 * each {
					sum(s.getMany("a", "b").ok())
				}
				return
			}
			for n := range each {
				a, b := sum(s.getMany("a", "b").ok())
				for {
					move := n%7 + 1 - 10*i
					r := s.commit(
						entries("a", strconv.Itoa(a), "b", strconv.Itoa(b)),
						entries("a", strconv.Itoa(a-move), "b", strconv.Itoa(b+move)))
					if r.err == nil {
						break
					}
					r.fails(store.ErrConflict)
					a, b = sum(r)
				}
			}
		})
		sum(x.a.attach(id).getMany("a", "b").ok())
	}},
	{name: "one of many that set an absent key wins", needs: commit, run: func(x *env) {
		for range 10 {
			id := x.id()
			s := x.a.create(id)
			handles := []*handle{s, x.b.attach(id)}
			var winner atomic.Value
			x.together(16, func(i int) {
				mine := fmt.Sprint("mine ", i)
				r := handles[i%2].commit(entries("k", nil), entries("k", mine))
				if errors.Is(r.err, store.ErrConflict) {
					if values := r.value.([][]byte); len(values) != 1 || values[0] == nil {
						x.fail(r.call, r.got(), "the winner's value and "+show(store.ErrConflict))
					}
					return
				}
				r.ok()
				if !winner.CompareAndSwap(nil, mine) {
					x.fail(r.call, "a second success", show(store.ErrConflict))
				}
			})
			if winner.Load() == nil {
				x.fail("Commit(absent, mine) 16 times at once", "ErrConflict for all", "one that succeeds")
			}
			s.get("k").gives(winner.Load().(string))
		}
	}},
	{name: "one of many that take a value gets it", needs: commit, run: func(x *env) {
		for range 10 {
			id := x.id()
			s := x.a.create(id, with("ticket", "t"))
			handles := []*handle{s, x.b.attach(id)}
			var taken atomic.Int64
			x.together(16, func(i int) {
				r := handles[i%2].commit(entries("ticket", "t"), entries("ticket", nil))
				if errors.Is(r.err, store.ErrConflict) {
					r.refused(nil)
					return
				}
				r.ok()
				taken.Add(1)
			})
			if n := taken.Load(); n != 1 {
				x.fail("Commit(ticket=t, ticket=nil) 16 times at once", fmt.Sprintf("%d that took it", n), "1")
			}
			s.holds("ticket", nil)
		}
	}},
	{name: "a Set between reading and Commit is not overwritten", needs: commit, run: func(x *env) {
		id := x.id()
		a := x.a.create(id, with("k", "v"))
		b := x.b.attach(id)
		for i := range 20 {
			seen := a.get("k").ok().value
			a.commit(entries("k", seen), entries("l", fmt.Sprint(i))).ok()
			b.set("k", fmt.Sprint("b", i)).ok()
			a.commit(entries("k", seen), entries("k", "lost update")).refused(fmt.Sprint("b", i))
			b.get("k").gives(fmt.Sprint("b", i))
		}
	}},
}
