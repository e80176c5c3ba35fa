package storetest

import (
	"fmt"
	"slices"
	"strings"
	"unsafe"

	"github.com/sessionkv/store"
)

var valueRules = []rule{
	{name: "a value is read back by every node", run: func(x *env) {
		id := x.id()
		a := x.a.create(id)
		b := x.b.attach(id)
		a.set("k", "v").ok()
		a.get("k").gives("v")
		b.get("k").gives("v")
		b.set("k", "w").ok()
		a.get("k").gives("w")
	}},
	{name: "a key without a value is ErrNotFound", run: func(x *env) {
		s := x.a.session()
		s.get("k").fails(store.ErrNotFound)
		s.set("other", "v").ok()
		s.get("k").fails(store.ErrNotFound)
	}},
	{name: "Set overwrites, also by a shorter value and by the same one", run: func(x *env) {
		s := x.a.session()
		for _, v := range []string{"a longer value", "v", "v", "another"} {
			s.set("k", v).ok()
			s.get("k").gives(v)
		}
	}},
	{name: "an empty value is not an absent one", run: func(x *env) {
		s := x.a.session()
		s.set("k", "").ok()
		s.get("k").gives("")
		s.has("k").gives(true)
		s.set("k", "v").ok()
		s.set("k", "").ok()
		s.get("k").gives("")
		s.delete("k").ok()
		s.get("k").fails(store.ErrNotFound)
	}},
	{name: "a nil value is stored as an empty one", run: func(x *env) {
		s := x.a.session()
		s.setBytes("k", nil).ok()
		s.get("k").gives("")
		s.has("k").gives(true)
	}},
	{name: "Has tells whether there is a value", run: func(x *env) {
		s := x.a.session()
		s.has("k").gives(false)
		s.set("k", "v").ok()
		s.has("k").gives(true)
		s.has("K").gives(false)
		s.delete("k").ok()
		s.has("k").gives(false)
	}},
	{name: "Delete removes one key and no other", run: func(x *env) {
		s := x.a.session(with("k", "1", "kk", "2", "l", "3"))
		s.delete("k").ok()
		s.holds("k", nil, "kk", "2", "l", "3")
	}},
	{name: "Delete of an absent key succeeds", run: func(x *env) {
		s := x.a.session(with("other", "v"))
		s.delete("k").ok()
		s.set("k", "v").ok()
		s.delete("k").ok()
		s.delete("k").ok()
		s.holds("other", "v", "k", nil)
	}},
	{name: "a value of 1 MiB and one of every byte are kept as they are", run: func(x *env) {
		every := make([]byte, 256)
		for i := range every {
			every[i] = byte(i)
		}
		big := []byte(strings.Repeat("0123456789abcdef", 1<<16))
		s := x.a.session(with("initial", every))
		s.get("initial").gives(every)
		s.setBytes("every", every).ok()
		s.get("every").gives(every)
		s.setBytes("big", big).ok()
		s.get("big").gives(big)
		s.has("big").gives(true)
		s.set("big", "small").ok()
		s.get("big").gives("small")
		for _, v := range []string{"\x00", "\r\n", "nil", "null", "0", "-1", "1e3", " v ", "\xff\xfe", "é", strings.Repeat("\x00", 100)} {
			s.set("k", v).ok()
			s.get("k").gives(v)
		}
	}},
	{name: "Set does not retain its argument", run: func(x *env) {
		s := x.a.session()
		for _, size := range sizes {
			arg, want := patterned(size), patterned(size)
			s.setBytes("k", arg).ok()
			clobber(arg)
			s.get("k").gives(want)
		}
	}},
	{name: "Create does not retain its initial values", run: func(x *env) {
		for _, size := range sizes {
			initial := entries("k", patterned(size), "l", "v")
			id := x.id()
			raw, err := x.a.backend.Create(x.ctx, id, initial, store.Terms{Lease: long})
			s, r := x.a.adopt(x.a.name+": Create(id, …)", id, raw, err)
			r.ok()
			clobber(initial[0].Value)
			initial[1] = store.Entry{Key: "m", Value: []byte("w")}
			s.holds("k", patterned(size), "l", "v", "m", nil)
		}
	}},
	{name: "Commit does not retain its arguments", needs: commit, run: func(x *env) {
		s := x.a.session(with("k", "v"))
		for _, size := range sizes {
			s.set("k", "v").ok()
			expect, write := entries("k", "v"), entries("k", patterned(size), "l", "w")
			s.commit(expect, write).ok()
			clobber(expect[0].Value)
			clobber(write[0].Value)
			write[1] = store.Entry{Key: "m", Value: []byte("x")}
			s.holds("k", patterned(size), "l", "w", "m", nil)
		}
	}},
	{name: "no method modifies a slice that it was given", run: func(x *env) {
		s := x.a.session()
		v := patterned(100)
		s.setBytes("k", v).ok()
		unchanged(x, "Set(k, v)", v)
		if x.has(canCommit) {
			expect, write := entries("z", nil, "k", v), entries("z", v, "a", v)
			s.commit(expect, write).ok()
			unchanged(x, "Commit(expect, write)", v)
			if expect[0].Key != "z" || expect[1].Key != "k" || write[0].Key != "z" || write[1].Key != "a" {
				x.fail("Commit(expect, write)", show(expect)+" and "+show(write)+" afterwards", "the lists unchanged, also in their order")
			}
		}
		if x.has(canGetMany) {
			names := []string{"z", "k", "a"}
			s.getMany(names...).ok()
			if !slices.Equal(names, []string{"z", "k", "a"}) {
				x.fail("GetMany(keys)", show(names)+" afterwards", "the list unchanged")
			}
		}
		initial := entries("z", nil, "k", v, "y", nil, "a", v)
		raw, err := x.a.backend.Create(x.ctx, x.id(), initial, store.Terms{Lease: long})
		other, r := x.a.adopt(x.a.name+": Create(id, …)", "", raw, err)
		r.ok()
		unchanged(x, "Create(initial)", v)
		if got, want := show(initial), show(entries("z", nil, "k", v, "y", nil, "a", v)); got != want {
			x.fail("Create(initial)", got+" afterwards", want)
		}
		sessions := []store.Store{other.raw, s.raw, other.raw}
		x.a.renewStores(long, sessions...).gives(nil)
		if sessions[0] != other.raw || sessions[1] != s.raw || sessions[2] != other.raw {
			x.fail("Renew(sessions)", "another list afterwards", "the list unchanged")
		}
	}},
	{name: "a slice that Get returned never changes", run: func(x *env) {
		id := x.id()
		s, other := x.a.create(id), x.b.attach(id)
		for _, size := range sizes {
			s.setBytes("k", patterned(size)).ok()
			got := s.get("k").ok()
			again := other.get("k").ok()
			s.setBytes("k", clobber(patterned(size))).ok()
			check := func(after string) {
				unchanged(x, got.call+" after "+after, got.value.([]byte))
				unchanged(x, again.call+" after "+after, again.value.([]byte))
			}
			check("Set of another value")
			s.get("k").ok()
			other.get("k").ok()
			check("Get of another value")
			s.delete("k").ok()
			check("Delete")
			s.setBytes("k", clobber(patterned(size))).ok()
			check("Set of a new value")
			s.setBytes("k", patterned(size)).ok()
			got = s.get("k").ok()
			s.delete("k").ok()
			check("Delete of just this value")
		}
		s.setBytes("k", patterned(64)).ok()
		got := s.get("k").ok()
		s.destroy().ok()
		fresh := x.a.create(id)
		fresh.setBytes("k", clobber(patterned(64))).ok()
		fresh.get("k").ok()
		unchanged(x, got.call+" after Destroy and a new life", got.value.([]byte))
	}},
	{name: "slices that GetMany returned never change", needs: getMany, run: func(x *env) {
		s := x.a.session()
		for _, size := range sizes {
			s.setBytes("k", patterned(size)).ok()
			s.setBytes("l", patterned(size)).ok()
			got := s.getMany("k", "l").ok()
			s.setBytes("k", clobber(patterned(size))).ok()
			s.delete("l").ok()
			s.getMany("k", "l").ok()
			s.get("k").ok()
			for _, v := range got.value.([][]byte) {
				unchanged(x, got.call+" after Set and Delete", v)
			}
		}
	}},
	{name: "slices that a refused Commit returned never change", needs: commit, run: func(x *env) {
		s := x.a.session()
		for _, size := range sizes {
			s.setBytes("k", patterned(size)).ok()
			got := s.commit(entries("k", nil), nil)
			got.refused(patterned(size))
			s.setBytes("k", clobber(patterned(size))).ok()
			s.commit(entries("k", nil), nil).refused(clobber(patterned(size)))
			unchanged(x, got.call+" after Set", got.value.([][]byte)[0])
		}
	}},
	{name: "lists that Keys and Renew returned never change", run: func(x *env) {
		s, dead := x.a.session(with("a", "v", "b", "v", "c", "v")), x.a.session()
		dead.destroy().ok()
		errs := x.a.renew(long, dead, s)
		if x.has(canList) {
			names := s.keys()
			s.delete("a").ok()
			s.set("d", "v").ok()
			s.keys().lists("b", "c", "d")
			names.lists("a", "b", "c")
		}
		x.a.renew(long, s, dead).gives(nil, store.ErrDestroyed)
		errs.gives(store.ErrDestroyed, nil)
	}},
	{name: "a StableReader returns the very same slice for an unchanged value", run: func(x *env) {
		s := x.a.session(with("k", patterned(64)))
		if !store.StableReads(s.raw) {
			x.t.Skip("the backend is no StableReader")
		}
		first := s.get("k").ok()
		s.set("other", "v").ok()
		s.delete("other").ok()
		for range 10 {
			again := s.get("k").ok()
			if g, w := again.value.([]byte), first.value.([]byte); unsafe.SliceData(g) != unsafe.SliceData(w) || len(g) != len(w) {
				x.fail(again.call, fmt.Sprintf("%d bytes at %p", len(g), g), fmt.Sprintf("%d bytes at %p as before", len(w), w))
			}
		}
	}},
	{name: "GetMany returns values in the order of the keys, nil for absent", needs: getMany, run: func(x *env) {
		s := x.a.session(with("a", "1", "b", "2", "empty", ""))
		s.getMany("b", "absent", "a", "empty").gives("2", nil, "1", "")
		s.getMany("absent").gives(nil)
		s.getMany("empty").gives("")
		s.getMany("a", "a").gives("1", "1")
		if r := s.getMany().ok(); len(r.value.([][]byte)) != 0 {
			x.fail(r.call, r.got(), "no values")
		}
	}},
	{name: "Keys lists the keys that have a value, in byte order", needs: keys, run: func(x *env) {
		s := x.a.session()
		s.keys().lists()
		names := []string{"b", "a", "B", "aa", "a b", "é", "z", "10", "9", "\U0001F600", "\uffff", "_"}
		for _, k := range names {
			s.set(k, "").ok()
		}
		s.set("gone", "v").ok()
		s.delete("gone").ok()
		slices.Sort(names)
		s.keys().lists(names...)
		s.delete("a").ok()
		s.keys().lists(slices.DeleteFunc(names, func(k string) bool { return k == "a" })...)
	}},
	{name: "a session holds hundreds of keys", run: func(x *env) {
		const n = 300
		var initial []any
		for i := range n {
			initial = append(initial, fmt.Sprintf("k%03d", i), fmt.Sprint(i))
		}
		s := x.a.session(with(initial...))
		s.set("k007", "changed").ok()
		s.get("k006").gives("6")
		s.get("k299").gives("299")
		if x.has(canGetMany) {
			var names []string
			var want []any
			for i := n - 1; i >= 0; i-- {
				names, want = append(names, initial[2*i].(string)), append(want, initial[2*i+1])
			}
			want[n-1-7] = "changed"
			s.getMany(names...).gives(want...)
		}
		if x.has(canList) {
			var names []string
			for i := range n {
				names = append(names, initial[2*i].(string))
			}
			s.keys().lists(names...)
		}
		for i := range n {
			if i != 7 {
				s.delete(initial[2*i].(string)).ok()
			}
		}
		s.holds("k006", nil, "k007", "changed")
	}},
	{name: "10 goroutines with 100 keys each on one session do not disturb each other", run: func(x *env) {
		id := x.id()
		handles := []*handle{x.a.create(id), x.b.attach(id)}
		var want []string
		for g := range 10 {
			for i := 1; i < 100; i += 2 {
				want = append(want, fmt.Sprintf("g%d-%d", g, i))
			}
		}
		x.together(10, func(g int) {
			s := handles[g%2]
			for i := range 100 {
				key, v := fmt.Sprintf("g%d-%d", g, i), fmt.Sprintf("value %d of %d", i, g)
				s.set(key, v).ok()
				s.get(key).gives(v)
				if i%2 == 0 {
					s.delete(key).ok()
					s.has(key).gives(false)
				}
			}
		})
		for _, k := range want {
			var g, i int
			if _, err := fmt.Sscanf(k, "g%d-%d", &g, &i); err != nil {
				x.fail("Keys()", k, "a key that was written")
			}
			handles[1].get(k).gives(fmt.Sprintf("value %d of %d", i, g))
		}
		if x.has(canList) {
			slices.Sort(want)
			handles[0].keys().lists(want...)
		}
	}},
	{name: "an ability is there or ErrUnsupported, always and without a trace", run: func(x *env) {
		for _, a := range abilities {
			x.everywhere(a)
		}
		id := x.id()
		a, b := x.a.create(id), x.b.attach(id)
		for _, can := range abilities {
			if x.has(can) {
				can.call(a).ok()
				can.call(b).ok()
			}
		}
	}},
}

// sizes around what implementations treat apart: inlined, pooled, large.
var sizes = []int{1, 16, 64, 1000, 70_000}

// patterned returns n bytes of a fixed pattern.
func patterned(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('a' + i%26)
	}
	return b
}

// clobber overwrites b and returns it.
func clobber(b []byte) []byte {
	for i := range b {
		b[i] = 'X'
	}
	return b
}

// unchanged checks that b still has its pattern.
func unchanged(x *env, what string, b []byte) {
	x.t.Helper()
	if want := patterned(len(b)); !slices.Equal(b, want) {
		x.fail(what, show(b), show(want))
	}
}
