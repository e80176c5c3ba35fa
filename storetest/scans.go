package storetest

import (
	"context"
	"fmt"
	"slices"

	"github.com/sessionkv/store"
)

// scanner returns the node's Scanner.
func (n *node) scanner() store.Scanner {
	n.x.t.Helper()
	s, err := store.AsScanner(n.backend)
	n.x.result(n.name+": AsScanner()", nil, err).ok()
	return s
}

// scannable tells whether the backend of s is a Scanner.
func (s *handle) scannable() result {
	_, err := store.AsScanner(s.on.backend)
	return s.result(nil, err, "AsScanner()")
}

// pages scans and calls between after each page but the last. It returns how often each ID was named.
func (n *node) pages(between func(page int)) map[string]int {
	n.x.t.Helper()
	const most = 100_000
	named := make(map[string]int)
	cursor := ""
	for page := range most {
		ids, next, err := n.scanner().Scan(n.x.ctx, cursor)
		n.x.result(fmt.Sprintf("%s: Scan() of page %d", n.name, page), nil, err).ok()
		for _, id := range ids {
			named[id]++
		}
		if next == "" {
			return named
		}
		cursor = next
		between(page)
	}
	n.x.fail(n.name+": Scan()", fmt.Sprintf("%d pages and no end", most), "a last page with an empty cursor")
	return nil
}

func (n *node) scan() map[string]int {
	n.x.t.Helper()
	return n.pages(func(int) {})
}

// names checks that a scan names each of the sessions.
func (n *node) names(named map[string]int, sessions ...*handle) {
	n.x.t.Helper()
	missing := 0
	first := ""
	for _, s := range sessions {
		if named[s.id] == 0 {
			if missing++; first == "" {
				first = s.name
			}
		}
	}
	if missing > 0 {
		n.x.fail(n.name+": Scan(), page by page", fmt.Sprintf("%d IDs without %d of these %d sessions, the first of them %s", len(named), missing, len(sessions), first), "each session that lives all the time")
	}
}

// namesNot checks that a scan does not name id.
func (n *node) namesNot(named map[string]int, id, why string) {
	n.x.t.Helper()
	if named[id] > 0 {
		n.x.fail(n.name+": Scan(), page by page", "the ID of "+why, "IDs of sessions of the namespace that have not ended")
	}
}

// scanRules are about [store.Scanner].
var scanRules = []rule{
	{name: "Scan names the living sessions of all nodes, suspended ones among them", needs: scan, run: func(x *env) {
		a, b, empty := x.a.session(with("k", "v")), x.b.session(with("k", "v")), x.a.session()
		suspended, resumed := x.a.session(), x.a.session()
		x.a.suspend(suspended, long).ok()
		resumed = x.b.resume(resumed.id)
		for _, n := range []*node{x.a, x.b} {
			n.names(n.scan(), a, b, empty, suspended, resumed)
		}
		a.get("k").gives("v")
		if left := x.a.suspend(suspended, long); left.err != nil {
			x.fail(left.call+" after Scan()", show(left.err), "no error: Scan ends nothing")
		}
	}},
	{name: "Scan names every ID that CheckID accepts as it is", needs: scan, run: func(x *env) {
		var sessions []*handle
		for i, id := range goodIDs(x.id()) {
			sessions = append(sessions, x.node(i).create(id))
		}
		named := x.b.scan()
		x.b.names(named, sessions...)
		for id := range named {
			if err := store.CheckID(id); err != nil {
				x.fail("node B: Scan()", show(err), "IDs that CheckID accepts")
			}
		}
	}},
	{name: "Scan does not name a session that was destroyed", needs: scan, run: func(x *env) {
		a, b := x.a.session(with("k", "v")), x.a.session()
		x.b.attach(a.id).destroy().ok()
		named := x.a.scan()
		x.a.namesNot(named, a.id, "a session that was destroyed")
		x.a.names(named, b)
	}},
	{name: "Scan names nothing but sessions", needs: scan, run: func(x *env) {
		s := x.a.session(with("a key of a session", "v"))
		list := x.list()
		if x.has(canIndex) {
			x.a.put(list, long, "a member of a list")
		}
		named := x.b.scan()
		x.b.names(named, s)
		for _, other := range []string{list, "i:" + list, ":i:" + list, ":i:" + list + ":0", "a member of a list", "a key of a session", "k", ""} {
			x.b.namesNot(named, other, "a list of an index, a member, a key, or nothing")
		}
	}},
	{name: "Scan names no session of another namespace", needs: scan, run: func(x *env) {
		if x.h.Other == nil {
			x.t.Skip("the storage knows no namespaces")
		}
		other := &node{x, "the other namespace", openOne(x.t, x.h.Other)}
		here, there := x.a.session(), other.session()
		named := x.a.scan()
		x.a.names(named, here)
		x.a.namesNot(named, there.id, "a session of another namespace")
		named = other.scan()
		other.names(named, there)
		other.namesNot(named, here.id, "a session of another namespace")
	}},
	{name: "Scan of thousands names each session that lives all the time, whatever comes and goes meanwhile", needs: scan, run: func(x *env) {
		const n = 1500
		stay, leave := make([]*handle, n), make([]*handle, n)
		x.together(2, func(k int) {
			for i := k; i < n; i += 2 {
				stay[i], leave[i] = x.node(i).session(), x.node(i).session()
			}
		})
		named := x.b.pages(func(page int) {
			for i := page * 100; i < min((page+1)*100, n); i++ {
				leave[i].destroy().ok()
				stay[i] = x.node(i + 1).resume(stay[i].id)
			}
			for range 20 {
				x.a.session()
			}
		})
		x.b.names(named, stay...)
	}},
	{name: "a cursor that Scan did not return is an error", needs: scan, run: func(x *env) {
		x.a.session()
		for _, cursor := range []string{"a cursor that nobody has returned", "\x00", "-1", "99999999999999999999999999", "%", "/", ":"} {
			ids, next, err := x.a.scanner().Scan(x.ctx, cursor)
			if err == nil || len(ids) > 0 || next != "" {
				x.fail("node A: Scan("+show(cursor)+")", fmt.Sprintf("%d IDs, another cursor %t, %s", len(ids), next != "", show(err)), "an error and nothing else")
			}
		}
	}},
	{name: "a Scan whose context has ended fails with its error", needs: scan, run: func(x *env) {
		ended, cancel := context.WithCancel(x.ctx)
		cancel()
		ids, _, err := x.a.scanner().Scan(ended, "")
		x.result("node A: Scan()", slices.Clone(ids), err).fails(context.Canceled)
	}},
	{name: "after Close a Scanner refuses", needs: scan, run: func(x *env) {
		b := x.a.backend
		if !x.h.Synctest {
			b = openOne(x.t, x.h.Open)
		}
		s, err := store.AsScanner(b)
		x.result("AsScanner()", nil, err).ok()
		x.result("Close()", nil, b.Close()).ok()
		_, _, err = s.Scan(x.ctx, "")
		x.result("Scan()", nil, err).fails(store.ErrClosed)
	}},
}
