package storetest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sessionkv/store"
)

var nameRules = []rule{
	{name: "every key that CheckKey accepts is a key of its own", run: func(x *env) {
		id := x.id()
		a := x.a.create(id)
		b := x.b.attach(id)
		for i, k := range goodKeys {
			a.get(k).fails(store.ErrNotFound)
			a.set(k, fmt.Sprint(i)).ok()
		}
		for i, k := range goodKeys {
			a.get(k).gives(fmt.Sprint(i))
			b.get(k).gives(fmt.Sprint(i))
			b.has(k).gives(true)
		}
		if x.has(canList) {
			sorted := slices.Clone(goodKeys)
			slices.Sort(sorted)
			a.keys().lists(sorted...)
		}
		if x.has(canGetMany) {
			values := make([]any, len(goodKeys))
			for i := range goodKeys {
				values[i] = fmt.Sprint(i)
			}
			a.getMany(goodKeys...).gives(values...)
		}
		for i, k := range goodKeys {
			b.delete(k).ok()
			a.has(k).gives(false)
			if i+1 < len(goodKeys) {
				a.has(goodKeys[i+1]).gives(true)
			}
		}
	}},
	{name: "every key that CheckKey accepts can be an initial one and committed", needs: commit, run: func(x *env) {
		var initial, changed []any
		for i, k := range goodKeys {
			initial = append(initial, k, fmt.Sprint(i))
			changed = append(changed, k, fmt.Sprint(-i))
		}
		s := x.a.session(with(initial...))
		s.holds(initial...)
		s.commit(entries(initial...), entries(changed...)).ok()
		s.holds(changed...)
	}},
	{name: "every other key is ErrInvalidKey in every method and changes nothing", run: func(x *env) {
		s := x.a.session(with("k", "v"))
		for _, bad := range badKeys {
			s.get(bad).fails(store.ErrInvalidKey)
			s.set(bad, "v").fails(store.ErrInvalidKey)
			s.has(bad).fails(store.ErrInvalidKey)
			s.delete(bad).fails(store.ErrInvalidKey)
			if x.has(canGetMany) {
				s.getMany(bad).fails(store.ErrInvalidKey)
				s.getMany("k", bad).fails(store.ErrInvalidKey)
			}
			if x.has(canCommit) {
				s.commit(entries(bad, nil), nil).fails(store.ErrInvalidKey)
				s.commit(nil, entries(bad, "v")).fails(store.ErrInvalidKey)
				s.commit(entries("k", "v", bad, nil), entries("k", "w")).fails(store.ErrInvalidKey)
				s.commit(nil, entries("k", "w", bad, nil)).fails(store.ErrInvalidKey)
			}
			if x.has(canDestroyIf) {
				s.destroyIf("k", "v", bad, nil).fails(store.ErrInvalidKey)
				s.destroyIf(bad, "v").fails(store.ErrInvalidKey)
			}
			id := x.id()
			_, r := x.a.tryCreate(id, with("k", "v", bad, "v"))
			r.fails(store.ErrInvalidKey)
			x.b.lacks(id)
			_, r = x.a.tryCreate(id, with(bad, nil))
			r.fails(store.ErrInvalidKey)
			x.b.lacks(id)
		}
		s.holds("k", "v")
	}},
	{name: "every ID that CheckID accepts is a session of its own", run: func(x *env) {
		ids := goodIDs(x.id())
		sessions := make([]*handle, len(ids))
		for i, id := range ids {
			sessions[i] = x.node(i).create(id, with("k", fmt.Sprint(i)))
		}
		for i, id := range ids {
			sessions[i].get("k").gives(fmt.Sprint(i))
			other := x.node(i + 1).attach(id)
			other.get("k").gives(fmt.Sprint(i))
			other.set("k", fmt.Sprint(i, "changed")).ok()
			_, r := x.node(i).tryCreate(id)
			r.fails(store.ErrExists)
		}
		for i, id := range ids {
			sessions[i].get("k").gives(fmt.Sprint(i, "changed"))
			sessions[i] = x.node(i + 1).resume(id)
			sessions[i].get("k").gives(fmt.Sprint(i, "changed"))
		}
		for i, id := range ids {
			sessions[i].destroy().ok()
			x.a.lacks(id)
			if i+1 < len(ids) {
				sessions[i+1].has("k").gives(true)
			}
		}
	}},
	{name: "every other ID is ErrInvalidID", run: func(x *env) {
		long := strings.Repeat(x.id(), store.MaxIDLength)
		for _, id := range []string{"", long[:store.MaxIDLength+1], long} {
			_, r := x.a.tryCreate(id)
			r.fails(store.ErrInvalidID)
			_, r = x.a.tryAttach(id)
			r.fails(store.ErrInvalidID)
			_, r = x.a.tryResume(id)
			r.fails(store.ErrInvalidID)
		}
	}},
	{name: "sessions do not see each other's values", run: func(x *env) {
		a, b := x.a.session(), x.b.session()
		a.set("k", "a").ok()
		b.get("k").fails(store.ErrNotFound)
		b.has("k").gives(false)
		b.set("k", "b").ok()
		a.get("k").gives("a")
		b.delete("k").ok()
		a.get("k").gives("a")
		a.destroy().ok()
		b.set("k", "b").ok()
		b.get("k").gives("b")
	}},
	{name: "no split of the same characters into ID and key meets another", run: func(x *env) {
		core := x.id()
		for _, sep := range []string{":", "/", ".", "-", "_", "|", ",", "#", "%", " ", "{", "}"} {
			a := x.a.create(core+sep+"1", with("2"+sep+"3", "a"))
			b := x.b.create(core+sep+"1"+sep+"2", with("3", "b"))
			a.holds("2"+sep+"3", "a", "3", nil)
			b.holds("3", "b", "2"+sep+"3", nil)
			b.destroy().ok()
			a.holds("2"+sep+"3", "a")
			a.destroy().ok()
		}
	}},
	{name: "sessions of another namespace are others", run: func(x *env) {
		if x.h.Other == nil {
			x.t.Skip("the storage knows no namespaces (Harness.Other is nil)")
		}
		far := &node{x, "other namespace", openOne(x.t, x.h.Other)}
		if far.backend.Namespace() == x.a.backend.Namespace() {
			x.fail("Namespace()", show(far.backend.Namespace())+" in both", "two names")
		}
		id := x.id()
		here := x.a.create(id, with("k", "here"))
		far.lacks(id)
		there := far.create(id, with("k", "there"))
		here.get("k").gives("here")
		there.set("k", "changed").ok()
		here.get("k").gives("here")
		there.destroy().ok()
		here.get("k").gives("here")
		x.b.attach(id).get("k").gives("here")
	}},
	{name: "the nodes of one storage name the same namespace", run: func(x *env) {
		if a, b := x.a.backend.Namespace(), x.b.backend.Namespace(); a != b {
			x.fail("node B: Namespace()", show(b), show(a)+" as on node A")
		}
	}},
}

// goodKeys are keys that an implementation may confuse with each other or with
// names of its own.
var goodKeys = []string{
	"k", "K", "k ", " k", "kk", "k:", ":k", "k:k", "k/k", "k//k", "../k", ".", "..", "k.k", "k,k", "k;k", "k|k", "k=k", "k&k", "k?", "k*", "*", "k[a]", "ka",
	"{k}", "{", "}", "{}", "k}", "(k)", "<k>", "'k'", "\"k\"", "`k`", "\\k", "k\\", "$k", "@k", "#k", "~", "!", "%", "%6B", "%6b", "%256B", "k%00", "%s%d%!v",
	"0", "00", "-1", "1.0", "1e0", "null", "nil", "true", "NaN", "undefined", "__proto__", "_id", "id", "token", "_token", "$token", "__token", ":token", "lease", "ttl", "expiry", "deadline", "version", "incarnation", "meta", "data", "values", "keys",
	"é", "e\u0301", "É", "ß", "ss", "ı", "i", "I", "İ", "日本語", "\u200b", "\u200bk", "\ufeff", "\u00a0", "\u0085", "\ufffd", "\U0001F600", "\u202ek",
	strings.Repeat("k", store.MaxKeyLength), strings.Repeat("k", store.MaxKeyLength-1), strings.Repeat("k", store.MaxKeyLength-1) + "l", strings.Repeat("é", store.MaxKeyLength/2),
}

// badKeys are keys that CheckKey refuses.
var badKeys = []string{
	"", "\x00", "k\x00", "\x00k", "a\x00b", "\t", "\n", "k\r\n", "\r\nDEL k\r\n", "\x1b[0m", "\x1f", "\x7f", "k\x7f",
	"\xff", "k\xfe", "\xc0\x80", "\xed\xa0\x80", "é\xc3", "\xf5\x80\x80\x80",
	strings.Repeat("k", store.MaxKeyLength+1), strings.Repeat("k", 1<<20),
}

// goodIDs returns IDs around the random core that an implementation may confuse
// with each other.
func goodIDs(core string) []string {
	pad := core + strings.Repeat("x", store.MaxIDLength-len(core))
	return []string{
		core, core[:len(core)-1], core + "0", strings.ToLower(core), core + "a", core + "A",
		core + ":", ":" + core, core + "::", core + ":a", core + ":token", core + "/", core + "/a", core + "//a", core + "/./a", core + "/../a", "../" + core,
		core + ".", core + ",", core + "|", core + "-", core + "_", core + "#", core + "?", core + "*", core + "[a]", core + "\\", core + "'", core + "\"",
		"{" + core + "}", core + "{}", "{" + core, core + "}", "{}" + core, core + "{a}", core + "{b}",
		core + "%", core + "%3A", core + "%3a", core + "%253A", core + "%00", core + "%25",
		core + " ", " " + core, core + "\t", core + "\n", core + "\r\n", core + "\r\nFLUSHALL\r\n", core + "+",
		core + "\x00", core + "\x00a", core + "\x00b", "\x00" + core, core + "\x7f",
		core + "\xff", core + "\xfe", core + "\xc3", core + "\ufffd", core + "é", core + "e\u0301", core + "\U0001F600",
		pad, pad[:len(pad)-1], pad[:len(pad)-1] + "y", core + strings.Repeat("\xff", store.MaxIDLength-len(core)), core + strings.Repeat("%", store.MaxIDLength-len(core)),
	}
}
