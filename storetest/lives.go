package storetest

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/sessionkv/store"
)

var lifeRules = []rule{
	{name: "Create begins an empty session", run: func(x *env) {
		id := x.id()
		x.a.create(id).holds("k", nil)
		x.b.attach(id).holds("k", nil)
	}},
	{name: "Create stores the initial values with the session", run: func(x *env) {
		id := x.id()
		x.a.create(id, with("k", "v", "empty", "", "absent", nil)).holds("k", "v", "empty", "", "absent", nil)
		x.b.attach(id).holds("k", "v", "empty", "", "absent", nil)
	}},
	{name: "Create of a living session is ErrExists and leaves it alone", run: func(x *env) {
		id := x.id()
		s := x.a.create(id, with("k", "v"))
		_, r := x.a.tryCreate(id, with("k", "w", "l", "w"))
		r.fails(store.ErrExists)
		_, r = x.b.tryCreate(id)
		r.fails(store.ErrExists)
		s.holds("k", "v", "l", nil)
	}},
	{name: "one of many that create the same session wins", run: func(x *env) {
		for range 10 {
			id := x.id()
			var won, winner atomic.Int64
			x.together(16, func(i int) {
				s, r := x.node(i).tryCreate(id, with("k", fmt.Sprint(i)))
				if errors.Is(r.err, store.ErrExists) {
					return
				}
				r.ok()
				s.get("k").gives(fmt.Sprint(i))
				winner.Store(int64(i))
				if won.Add(1) > 1 {
					x.fail(r.call, "a second session", "error: "+show(store.ErrExists))
				}
			})
			if won.Load() == 0 {
				x.fail("Create(id) 16 times at once", "ErrExists for all of them", "one that succeeds")
			}
			x.b.attach(id).holds("k", fmt.Sprint(winner.Load()))
		}
	}},
	{name: "Attach without a session is ErrNoSession", run: func(x *env) {
		id := x.id()
		x.a.lacks(id)
		x.a.create(id).destroy().ok()
		x.a.lacks(id)
		x.b.lacks(id)
	}},
	{name: "Attach gives every node the same session", run: func(x *env) {
		id := x.id()
		first := x.a.create(id, with("k", "v"))
		second, third := x.a.attach(id), x.b.attach(id)
		second.set("k", "second").ok()
		third.set("l", "third").ok()
		for _, s := range []*handle{first, second, third} {
			s.holds("k", "second", "l", "third")
		}
	}},
	{name: "Destroy removes the session and its values", run: func(x *env) {
		id := x.id()
		s := x.a.create(id, with("k", "v"))
		s.set("l", "w").ok()
		s.destroy().ok()
		x.a.lacks(id)
		x.b.lacks(id)
		_, r := x.b.tryResume(id)
		r.fails(store.ErrNoSession)
		x.b.create(id).holds("k", nil, "l", nil)
	}},
	{name: "Destroy is idempotent, on every handle", run: func(x *env) {
		id := x.id()
		a := x.a.create(id)
		second, b := x.a.attach(id), x.b.attach(id)
		for _, s := range []*handle{a, a, second, b, b} {
			s.destroy().ok()
		}
	}},
	{name: "after Destroy every method of the same handle is ErrDestroyed", run: func(x *env) {
		id := x.id()
		s := x.a.create(id, with("k", "v"))
		s.destroy().ok()
		s.ended()
		x.a.renew(long, s).gives(store.ErrDestroyed)
		x.a.suspend(s, long).fails(store.ErrDestroyed)
		x.a.lacks(id)
		x.b.lacks(id)
	}},
	{name: "after Destroy every method of another handle is ErrDestroyed", run: func(x *env) {
		id := x.id()
		s := x.a.create(id, with("k", "v"))
		other := x.a.attach(id)
		other.get("k").gives("v")
		s.destroy().ok()
		other.ended()
		other.destroy().ok()
		x.a.renew(long, other).gives(store.ErrDestroyed)
		x.a.suspend(other, long).fails(store.ErrDestroyed)
		x.a.lacks(id)
	}},
	{name: "after Destroy every method on another node is ErrDestroyed", run: func(x *env) {
		id := x.id()
		s := x.a.create(id, with("k", "v"))
		other := x.b.attach(id)
		other.get("k").gives("v")
		s.destroy().ok()
		other.ended()
		x.b.renew(long, other).gives(store.ErrDestroyed)
		x.b.suspend(other, long).fails(store.ErrDestroyed)
		x.a.lacks(id)
		x.b.lacks(id)
	}},
	{name: "a handle from Attach can destroy the session", run: func(x *env) {
		id := x.id()
		s := x.a.create(id, with("k", "v"))
		x.b.attach(id).destroy().ok()
		s.ended()
		x.a.lacks(id)
	}},
	{name: "handles of an earlier life never touch a later one with the same ID", run: func(x *env) {
		id := x.id()
		s := x.a.create(id, with("k", "v"))
		second, other := x.a.attach(id), x.b.attach(id)
		s.destroy().ok()
		later := x.b.create(id, with("k", "later"))
		for _, old := range []*handle{s, second, other} {
			old.ended()
			later.holds("k", "later", "late", nil)
		}
		x.a.attach(id).holds("k", "later", "late", nil)
	}},
	{name: "Destroy of an earlier life leaves the later one alone", run: func(x *env) {
		id := x.id()
		s := x.a.create(id, with("k", "v"))
		second, other := x.a.attach(id), x.b.attach(id)
		s.destroy().ok()
		later := x.a.create(id, with("k", "later"))
		for _, old := range []*handle{s, second, other} {
			old.destroy().ok()
			later.holds("k", "later")
		}
		x.b.attach(id).holds("k", "later")
	}},
	{name: "Renew and Suspend of an earlier life leave the later one alone", run: func(x *env) {
		id := x.id()
		s := x.a.create(id)
		other := x.b.attach(id)
		s.destroy().ok()
		later := x.a.create(id, with("k", "later"))
		x.a.renew(long, s, later).gives(store.ErrDestroyed, nil)
		x.b.renew(long, other).gives(store.ErrDestroyed)
		x.a.suspend(s, long).fails(store.ErrDestroyed)
		x.b.suspend(other, long).fails(store.ErrDestroyed)
		later.holds("k", "later")
	}},
	{name: "each of many lives with the same ID is a life of its own", run: func(x *env) {
		id := x.id()
		var old []*handle
		for i := range 20 {
			s := x.node(i).create(id, with("k", fmt.Sprint(i)))
			for _, o := range old {
				o.get("k").fails(store.ErrDestroyed)
				o.set("k", "late").fails(store.ErrDestroyed)
				o.destroy().ok()
			}
			s.holds("k", fmt.Sprint(i))
			s.destroy().ok()
			old = append(old, s)
		}
	}},
	{name: "Resume keeps the values", run: func(x *env) {
		id := x.id()
		s := x.a.create(id, with("k", "v", "empty", ""))
		x.a.suspend(s, long).ok()
		r := x.b.resume(id)
		r.holds("k", "v", "empty", "", "absent", nil)
		r.set("k", "w").ok()
		x.a.attach(id).holds("k", "w", "empty", "")
	}},
	{name: "a session without values is a session", run: func(x *env) {
		id := x.id()
		s := x.a.create(id, with("k", "v"))
		s.delete("k").ok()
		s.get("k").fails(store.ErrNotFound)
		x.a.renew(long, s).gives(nil)
		x.b.attach(id).holds("k", nil)
		if x.has(canCommit) {
			s.set("k", "v").ok()
			s.commit(nil, entries("k", nil)).ok()
		}
		x.a.suspend(s, long).ok()
		_, r := x.b.tryCreate(id)
		r.fails(store.ErrExists)
		resumed := x.b.resume(id)
		resumed.holds("k", nil)
		resumed.set("k", "v").ok()
		x.a.attach(id).holds("k", "v")
	}},
	{name: "Resume takes over a session that is not suspended", run: func(x *env) {
		id := x.id()
		s := x.a.create(id, with("k", "v"))
		r := x.b.resume(id)
		s.ended()
		r.holds("k", "v", "late", nil)
		again := x.b.resume(id)
		r.ended()
		again.holds("k", "v", "late", nil)
	}},
	{name: "Resume without a session is ErrNoSession", run: func(x *env) {
		id := x.id()
		_, r := x.a.tryResume(id)
		r.fails(store.ErrNoSession)
		x.a.lacks(id)
		x.a.create(id).destroy().ok()
		_, r = x.b.tryResume(id)
		r.fails(store.ErrNoSession)
		x.b.lacks(id)
	}},
	{name: "Resume ends every earlier handle on every node", run: func(x *env) {
		id := x.id()
		first := x.a.create(id, with("k", "v"))
		old := []*handle{first, x.a.attach(id), x.b.attach(id)}
		x.a.suspend(first, long).ok()
		r := x.b.resume(id)
		for i, s := range old {
			s.ended()
			on := x.a
			if i == 2 {
				on = x.b
			}
			on.renew(long, s).gives(store.ErrDestroyed)
			on.suspend(s, long).fails(store.ErrDestroyed)
			r.holds("k", "v", "late", nil)
		}
	}},
	{name: "Destroy of an earlier handle does not touch a resumed session", run: func(x *env) {
		id := x.id()
		first := x.a.create(id, with("k", "v"))
		old := []*handle{first, x.a.attach(id), x.b.attach(id)}
		r := x.b.resume(id)
		for _, s := range old {
			s.destroy().ok()
			r.holds("k", "v")
		}
		x.a.attach(id).holds("k", "v")
	}},
	{name: "of many that resume at once the last one has the session", run: func(x *env) {
		for range 5 {
			id := x.id()
			x.a.create(id, with("k", "v"))
			resumed := make([]*handle, 8)
			x.together(len(resumed), func(i int) { resumed[i] = x.node(i).resume(id) })
			living := 0
			for _, s := range resumed {
				if r := s.get("k"); !errors.Is(r.err, store.ErrDestroyed) {
					r.gives("v")
					living++
				}
			}
			if living != 1 {
				x.fail("Resume(id) 8 times at once, then Get on each handle", fmt.Sprintf("%d handles that work", living), "1")
			}
		}
	}},
	{name: "a suspended session is still that session", run: func(x *env) {
		id := x.id()
		s := x.a.create(id, with("k", "v"))
		x.a.suspend(s, long).ok()
		s.get("k").gives("v")
		x.a.renew(0, s).gives(nil)
		_, r := x.b.tryCreate(id)
		r.fails(store.ErrExists)
		other := x.b.attach(id)
		other.set("k", "w").ok()
		s.get("k").gives("w")
		other.destroy().ok()
		s.ended()
		x.b.lacks(id)
	}},
	{name: "Suspend of a life that has ended is ErrDestroyed", run: func(x *env) {
		id := x.id()
		s := x.a.create(id)
		other := x.b.attach(id)
		s.destroy().ok()
		x.a.suspend(s, long).fails(store.ErrDestroyed)
		x.b.suspend(other, long).fails(store.ErrDestroyed)
		x.a.lacks(id)
	}},
}
