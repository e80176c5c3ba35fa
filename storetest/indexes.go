package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sessionkv/store"
)

// indexer returns the node's Indexer.
func (n *node) indexer() store.Indexer {
	n.x.t.Helper()
	x, err := store.AsIndexer(n.backend)
	n.x.result(n.name+": AsIndexer()", nil, err).ok()
	return x
}

// indexable tells whether the backend of s is an Indexer.
func (s *handle) indexable() result {
	_, err := store.AsIndexer(s.on.backend)
	return s.result(nil, err, "AsIndexer()")
}

// list returns the name of a list that no other rule uses.
func (x *env) list() string { return "storetest." + store.NewID() }

// put makes members of a list stay for ttl.
func (n *node) put(list string, ttl time.Duration, members ...string) {
	n.x.t.Helper()
	n.tryPut(list, ttl, members...).ok()
}

func (n *node) tryPut(list string, ttl time.Duration, members ...string) result {
	n.x.t.Helper()
	entries := make([]store.IndexEntry, len(members))
	for i, m := range members {
		entries[i] = store.IndexEntry{Index: list, Member: m}
	}
	errs := n.indexer().PutEntries(n.x.ctx, entries, ttl)
	call := fmt.Sprintf("%s: PutEntries(%d members, %v)", n.name, len(members), ttl)
	if len(errs) != 0 && len(errs) != len(entries) {
		n.x.fail(call, fmt.Sprintf("%d errors", len(errs)), "none, or one for each entry")
	}
	return n.x.result(call, nil, errors.Join(errs...))
}

func (n *node) take(list string, members ...string) {
	n.x.t.Helper()
	entries := make([]store.IndexEntry, len(members))
	for i, m := range members {
		entries[i] = store.IndexEntry{Index: list, Member: m}
	}
	n.x.result(fmt.Sprintf("%s: RemoveEntries(%d members)", n.name, len(members)), nil, n.indexer().RemoveEntries(n.x.ctx, entries)).ok()
}

// members returns those of a list, each once, in order.
func (n *node) members(list string) []string {
	n.x.t.Helper()
	var all []string
	for cursor, more := "", true; more; more = cursor != "" {
		page, next, err := n.indexer().Entries(n.x.ctx, list, cursor)
		n.x.result(n.name+": Entries(list, "+show(cursor)+")", nil, err).ok()
		if next == cursor && next != "" {
			n.x.fail(n.name+": Entries(list, "+show(cursor)+")", "the same cursor again", "the next one, or an empty one")
		}
		all, cursor = append(all, page...), next
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// lists checks that a list has exactly these members.
func (n *node) lists(list string, want ...string) {
	n.x.t.Helper()
	got := n.members(list)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		n.x.fail(n.name+": Entries(list)", fmt.Sprintf("%d members %.300q", len(got), got), fmt.Sprintf("%d: %.300q", len(want), want))
	}
}

// listed is a probe for endsAfter: it fails when the member is not there.
func (n *node) listed(list, member string) func() result {
	return func() result {
		r := n.x.result(n.name+": Entries(list)", "the member", nil)
		if !slices.Contains(n.members(list), member) {
			r.value, r.err = nil, store.ErrNoSession
		}
		return r
	}
}

func (n *node) renewIf(lease time.Duration, s *handle, keysAndValues ...any) result {
	expect := entries(keysAndValues...)
	errs := n.indexer().RenewIf(n.x.ctx, []store.Store{s.raw}, [][]store.Entry{expect}, lease)
	return s.result(nil, errors.Join(errs...), "RenewIf(%s, %v)", show(expect), lease)
}

func (n *node) suspendIf(grace time.Duration, s *handle, keysAndValues ...any) result {
	expect := entries(keysAndValues...)
	return s.result(nil, n.indexer().SuspendIf(n.x.ctx, s.raw, expect, grace), "SuspendIf(%s, %v)", show(expect), grace)
}

// indexRules are about [store.Indexer].
var indexRules = []rule{
	{name: "what one node puts in a list every other finds there, and nothing else", needs: index, run: func(x *env) {
		list, other := x.list(), x.list()
		x.b.lists(list)
		x.a.put(list, long, "m", "n")
		x.b.put(other, long, "m")
		x.b.put(list, long, "m")
		x.a.lists(list, "m", "n")
		x.b.lists(list, "m", "n")
		x.a.lists(other, "m")
		x.a.lists(strings.ToLower(list))
		x.a.lists(list[:len(list)-1])
	}},
	{name: "RemoveEntries removes one entry and no other", needs: index, run: func(x *env) {
		list, other := x.list(), x.list()
		x.a.put(list, long, "m", "mm", "M")
		x.a.put(other, long, "m")
		x.b.take(list, "m", "absent")
		x.b.take(list, "m")
		x.b.take(x.list(), "m")
		x.a.lists(list, "mm", "M")
		x.a.lists(other, "m")
		x.b.take(list, "mm", "M")
		x.a.lists(list)
		x.a.put(list, long, "m")
		x.b.lists(list, "m")
	}},
	{name: "every member of 1 to 1024 bytes is a member of its own", needs: index, run: func(x *env) {
		list := x.list()
		members := []string{"\x00", "\x00\x00", "a\x00", "a", "\xff", "\xfe", "\ufffd", "{a}", "a:b", "a%3Ab", "a b", " ", strings.Repeat("x", 1024), strings.Repeat("x", 1023)}
		x.a.put(list, long, members...)
		x.b.lists(list, members...)
		x.b.take(list, members[1:]...)
		x.a.lists(list, members[0])
	}},
	{name: "every other member or list is refused", needs: index, run: func(x *env) {
		list := x.list()
		for _, e := range []struct{ list, member string }{
			{"", "m"},
			{"a:b", "m"},
			{"a b", "m"},
			{"a\x00", "m"},
			{strings.Repeat("l", 65), "m"},
			{list, ""},
			{list, strings.Repeat("x", 1025)},
		} {
			if r := x.a.tryPut(e.list, long, e.member); r.err == nil {
				x.fail(r.call+" with a list of "+show(e.list)+" and a member of "+fmt.Sprint(len(e.member))+" bytes", "no error", "an error")
			}
		}
		if r := x.a.tryPut(list, 0, "m"); r.err == nil {
			x.fail(r.call, "no error", "an error: what stays for no time cannot be put")
		}
		x.b.lists(list)
	}},
	{name: "a list of thousands is read page by page", needs: index, run: func(x *env) {
		list := x.list()
		members := make([]string, 3000)
		for i := range members {
			members[i] = fmt.Sprint("member ", i)
		}
		x.a.put(list, long, members...)
		x.b.lists(list, members...)
		page, next, err := x.b.indexer().Entries(x.ctx, list, "")
		x.result("Entries(list of 3000)", nil, err).ok()
		if len(page) == len(members) || next == "" {
			x.fail("Entries(list of 3000)", fmt.Sprintf("a page of %d", len(page)), "pages that are smaller than a list of thousands")
		}
		x.a.take(list, members[1:]...)
		x.b.lists(list, members[0])
	}},
	{name: "a member that stays is on a page, whatever comes and goes meanwhile", needs: index, run: func(x *env) {
		list := x.list()
		var stay, leave []string
		for i := range 1000 {
			stay = append(stay, fmt.Sprint("stays ", i))
			leave = append(leave, fmt.Sprint("leaves ", i))
		}
		x.a.put(list, long, slices.Concat(leave, stay)...)
		got := make(map[string]bool)
		cursor := ""
		for n := 0; ; n++ {
			page, next, err := x.b.indexer().Entries(x.ctx, list, cursor)
			x.result("node B: Entries(list, "+show(cursor)+")", nil, err).ok()
			for _, m := range page {
				got[m] = true
			}
			if cursor = next; cursor == "" {
				break
			}
			if at := 50 * n; at < len(leave) {
				x.a.take(list, leave[at:at+50]...)
				x.a.put(list, 2*long, stay[at:at+50]...)
				x.a.put(list, long, fmt.Sprint("comes ", n))
			}
		}
		for _, m := range stay {
			if !got[m] {
				x.fail("node B: Entries(list), page by page", fmt.Sprintf("%d members without %q", len(got), m), "every member that the list has all the time")
			}
		}
	}},
	{name: "lists of another namespace are others", needs: index, run: func(x *env) {
		if x.h.Other == nil {
			x.t.Skip("the storage knows no namespaces")
		}
		other := &node{x, "the other namespace", openOne(x.t, x.h.Other)}
		list := x.list()
		x.a.put(list, long, "m")
		other.lists(list)
		other.put(list, long, "n")
		x.b.lists(list, "m")
	}},
	{name: "a member is there for its time and then gone", needs: index, run: func(x *env) {
		list := x.list()
		start := time.Now()
		x.a.put(list, x.lease, "m")
		granted := time.Now()
		x.b.put(list, long, "stays")
		x.endsBetween(start, granted, x.lease, x.b.listed(list, "m"))
		x.a.lists(list, "stays")
	}},
	{name: "the last member of a list is gone after its time", needs: index, run: func(x *env) {
		list := x.list()
		start := time.Now()
		x.a.put(list, x.lease, "m")
		x.endsBetween(start, time.Now(), x.lease, x.b.listed(list, "m"))
		x.a.put(list, long, "n")
		x.b.lists(list, "n")
	}},
	{name: "PutEntries lengthens the time of a member", needs: index, run: func(x *env) {
		list := x.list()
		x.a.put(list, x.lease, "m")
		start := time.Now()
		x.b.put(list, 2*x.lease, "m")
		x.endsBetween(start, time.Now(), 2*x.lease, x.a.listed(list, "m"))
	}},
	{name: "PutEntries never shortens the time of a member", needs: index, run: func(x *env) {
		list := x.list()
		start := time.Now()
		x.a.put(list, 2*x.lease, "m")
		granted := time.Now()
		x.b.put(list, x.lease/4, "m", "n")
		x.endsBetween(start, granted, 2*x.lease, x.a.listed(list, "m"))
	}},
	{name: "RenewIf renews a session that has the values", needs: index, run: func(x *env) {
		s := x.a.session(lease(x.lease), with("k", "v", "empty", ""))
		start := time.Now()
		x.hurry(start.Add(x.lease))
		x.a.renewIf(2*x.lease, s, "k", "v", "absent", nil, "empty", "").ok()
		x.endsAfter(start, 2*x.lease, func() result { return s.get("absent").orNotFound() })
	}},
	{name: "RenewIf of a session with other values is ErrConflict and does not renew", needs: index, run: func(x *env) {
		start := time.Now()
		s := x.a.session(lease(x.lease), with("k", "v", "empty", ""))
		granted := time.Now()
		x.hurry(start.Add(x.lease))
		x.b.attach(s.id).set("k", "w").ok()
		for _, expect := range [][]any{{"k", "v"}, {"k", nil}, {"k", "w", "absent", ""}, {"k", "W"}, {"empty", nil}, {"k", "wider"}, {"k", "w", "empty", "x"}} {
			x.a.renewIf(long, s, expect...).fails(store.ErrConflict)
		}
		x.endsBetween(start, granted, x.lease, func() result { return s.get("absent").orNotFound() })
	}},
	{name: "RenewIf of several decides for each", needs: index, run: func(x *env) {
		a, b, c := x.a.session(with("k", "a")), x.a.session(with("k", "b")), x.a.session(with("k", "c"))
		gone := x.a.session()
		x.b.attach(gone.id).destroy().ok()
		raws := []store.Store{a.raw, b.raw, gone.raw, c.raw}
		expect := [][]store.Entry{entries("k", "a"), entries("k", "other"), nil, entries("k", "c")}
		renewal{x, "RenewIf(4 sessions)", x.a.indexer().RenewIf(x.ctx, raws, expect, long)}.gives(nil, store.ErrConflict, store.ErrDestroyed, nil)
		renewal{x, "RenewIf(2 sessions)", x.a.indexer().RenewIf(x.ctx, raws[:1], expect[:1], long)}.gives(nil)
		foreign := []store.Store{a.raw, struct{ store.Store }{c.raw}}
		renewal{x, "RenewIf(a Store of somebody else)", x.a.indexer().RenewIf(x.ctx, foreign, expect[:2], long)}.gives(nil, store.ErrForeignStore)
	}},
	{name: "RenewIf of hundreds renews each of them", needs: index, run: func(x *env) {
		const n = 300
		raws, expect, want := make([]store.Store, n), make([][]store.Entry, n), make([]error, n)
		for i := range n {
			s := x.a.session(lease(long), with("k", fmt.Sprint(i)))
			raws[i], expect[i] = s.raw, entries("k", fmt.Sprint(i))
			if i%100 == 50 {
				expect[i], want[i] = entries("k", "other"), store.ErrConflict
			}
		}
		renewal{x, "RenewIf(300 sessions)", x.a.indexer().RenewIf(x.ctx, raws, expect, 2*long)}.gives(want...)
		for i := range raws {
			left, err := x.a.indexer().TimeLeft(x.ctx, raws[i])
			x.result("TimeLeft()", nil, err).ok()
			if renewed := left > long+long/2; renewed != (want[i] == nil) {
				x.fail(fmt.Sprintf("TimeLeft() of session %d after RenewIf", i), fmt.Sprint(left), "twice as much, or once where RenewIf was refused")
			}
		}
	}},
	{name: "RenewIf never shortens a life", needs: index, run: func(x *env) {
		s := x.a.session(lease(long), with("k", "v"))
		x.a.renewIf(x.lease, s, "k", "v").ok()
		if left, err := x.a.indexer().TimeLeft(x.ctx, s.raw); err != nil || left < long/2 {
			x.fail("TimeLeft() after RenewIf with a shorter lease", fmt.Sprint(left, err), "an hour, nearly")
		}
	}},
	{name: "SuspendIf suspends a session that has the values, and no other", needs: index, run: func(x *env) {
		s := x.a.session(with("k", "v"))
		x.a.suspendIf(x.lease, s, "k", "w").fails(store.ErrConflict)
		x.a.suspendIf(x.lease, s, "absent", "").fails(store.ErrConflict)
		x.a.suspendIf(x.lease, s, "k", nil).fails(store.ErrConflict)
		if left, err := x.a.indexer().TimeLeft(x.ctx, s.raw); err != nil || left < long/2 {
			x.fail("TimeLeft() after SuspendIf was refused", fmt.Sprint(left, err), "an hour, nearly")
		}
		start := time.Now()
		x.a.suspendIf(x.lease, s, "k", "v", "absent", nil).ok()
		x.endsBetween(start, time.Now(), x.lease, func() result { return s.get("absent").orNotFound() })
		x.a.suspendIf(x.lease, s, "k", "v").fails(store.ErrDestroyed)
		s.result(nil, x.a.indexer().SuspendIf(x.ctx, struct{ store.Store }{s.raw}, nil, x.lease), "SuspendIf(a Store of somebody else)").fails(store.ErrForeignStore)
	}},
	{name: "TimeLeft is no less than what is left", needs: index, run: func(x *env) {
		start := time.Now()
		s := x.a.session(lease(x.lease))
		other := x.b.attach(s.id)
		x.hurry(start.Add(x.lease))
		for range 3 {
			left, err := x.b.indexer().TimeLeft(x.ctx, other.raw)
			other.result(nil, err, "TimeLeft()").ok()
			asked := time.Since(start)
			if least := x.lease - asked; left < least || left > x.lease+x.h.Granularity+time.Second {
				x.fail("TimeLeft()", fmt.Sprint(left), fmt.Sprintf("from %v to %v, as a lease of %v began %v ago", least, x.lease+x.h.Granularity, x.lease, asked))
			}
		}
		s.destroy().ok()
		_, err := x.b.indexer().TimeLeft(x.ctx, other.raw)
		other.result(nil, err, "TimeLeft()").fails(store.ErrDestroyed)
		_, err = x.b.indexer().TimeLeft(x.ctx, struct{ store.Store }{other.raw})
		other.result(nil, err, "TimeLeft(a Store of somebody else)").fails(store.ErrForeignStore)
	}},
	{name: "an Indexer whose context has ended does nothing", needs: index, run: func(x *env) {
		list := x.list()
		s := x.a.session(lease(long), with("k", "v"))
		i := x.a.indexer()
		x.a.put(list, long, "m")
		ended, cancel := context.WithCancel(x.ctx)
		cancel()
		entry := []store.IndexEntry{{Index: list, Member: "n"}}
		x.result("PutEntries()", nil, errors.Join(i.PutEntries(ended, entry, long)...)).fails(context.Canceled)
		x.result("RemoveEntries()", nil, i.RemoveEntries(ended, []store.IndexEntry{{Index: list, Member: "m"}})).fails(context.Canceled)
		_, _, err := i.Entries(ended, list, "")
		x.result("Entries()", nil, err).fails(context.Canceled)
		x.result("RenewIf()", nil, errors.Join(i.RenewIf(ended, []store.Store{s.raw}, [][]store.Entry{nil}, 2*long)...)).fails(context.Canceled)
		x.result("SuspendIf()", nil, i.SuspendIf(ended, s.raw, nil, x.lease)).fails(context.Canceled)
		_, err = i.TimeLeft(ended, s.raw)
		x.result("TimeLeft()", nil, err).fails(context.Canceled)
		x.b.lists(list, "m")
	}},
	{name: "after Close an Indexer refuses", needs: index, run: func(x *env) {
		b := x.a.backend
		if !x.h.Synctest {
			b = openOne(x.t, x.h.Open)
		}
		s, err := b.Create(x.ctx, x.id(), nil, store.Terms{Lease: x.lease})
		x.result("Create()", nil, err).ok()
		i, err := store.AsIndexer(b)
		x.result("AsIndexer()", nil, err).ok()
		x.result("Close()", nil, b.Close()).ok()
		list := x.list()
		entry := []store.IndexEntry{{Index: list, Member: "n"}}
		x.result("PutEntries()", nil, errors.Join(i.PutEntries(x.ctx, entry, long)...)).fails(store.ErrClosed)
		x.result("RemoveEntries()", nil, i.RemoveEntries(x.ctx, entry)).fails(store.ErrClosed)
		_, _, err = i.Entries(x.ctx, list, "")
		x.result("Entries()", nil, err).fails(store.ErrClosed)
		x.result("RenewIf()", nil, errors.Join(i.RenewIf(x.ctx, []store.Store{s}, [][]store.Entry{nil}, long)...)).fails(store.ErrClosed)
		x.result("SuspendIf()", nil, i.SuspendIf(x.ctx, s, nil, x.lease)).fails(store.ErrClosed)
		_, err = i.TimeLeft(x.ctx, s)
		x.result("TimeLeft()", nil, err).fails(store.ErrClosed)
	}},
}
