package storetest

import (
	"time"

	"github.com/sessionkv/store"
)

// graceRules are the rules about Suspend, in units of the harness's lease.
var graceRules = []rule{
	{name: "Suspend keeps a session for the grace, longer than the lease", run: func(x *env) {
		x.hurry(time.Now().Add(2 * x.lease))
		s := x.a.session(lease(2*x.lease), with("k", "v"))
		start := time.Now()
		x.a.suspend(s, 4*x.lease).ok()
		x.endsAfter(start, 4*x.lease, func() result { return s.get("k") })
	}},
	{name: "Suspend keeps a session for the grace, shorter than the lease", run: func(x *env) {
		id := x.id()
		s := x.a.create(id, with("k", "v"))
		start := time.Now()
		x.a.suspend(s, x.lease).ok()
		x.endsAfter(start, x.lease, func() result { return s.get("k") })
		_, r := x.b.tryResume(id)
		r.fails(store.ErrNoSession)
		x.b.create(id).holds("k", nil)
	}},
	{name: "the last Suspend counts", run: func(x *env) {
		s := x.a.session(with("k", "v"))
		x.a.suspend(s, long/2).ok()
		x.hurry(time.Now().Add(x.lease))
		x.a.suspend(s, x.lease).ok()
		start := time.Now()
		x.a.suspend(s, 2*x.lease).ok()
		x.endsAfter(start, 2*x.lease, func() result { return s.get("k") })
	}},
	{name: "Suspend by an earlier handle does not shorten a later life", run: func(x *env) {
		resumed, recreated := x.id(), x.id()
		old := []*handle{x.a.create(resumed), x.a.create(recreated)}
		old[1].destroy().ok()
		later := []*handle{x.b.resume(resumed), x.b.create(recreated)}
		for i := range old {
			x.a.suspend(old[i], x.lease).fails(store.ErrDestroyed)
		}
		x.pass(x.lease + x.lease/2)
		for _, s := range later {
			s.set("k", "v").ok()
			s.get("k").gives("v")
		}
	}},
	{name: "Suspend through a handle from Attach counts", run: func(x *env) {
		id := x.id()
		s := x.a.create(id, with("k", "v"))
		attached := x.b.attach(id)
		start := time.Now()
		x.b.suspend(attached, x.lease).ok()
		x.endsAfter(start, x.lease, func() result { return s.get("k") })
	}},
	{name: "Suspend of a session without values keeps it", run: func(x *env) {
		id := x.id()
		s := x.a.create(id)
		start := time.Now()
		x.hurry(start.Add(2 * x.lease))
		x.a.suspend(s, 2*x.lease).ok()
		r := x.b.resume(id, lease(x.lease))
		r.holds("k", nil)
		x.endsAfter(start, x.lease, func() result { return r.has("k") })
	}},
	{name: "Renew never shortens a grace", run: func(x *env) {
		alone, several := x.a.session(with("k", "v")), x.a.session(with("k", "v"))
		start := time.Now()
		x.hurry(start.Add(x.lease))
		x.a.suspend(alone, 3*x.lease).ok()
		x.a.suspend(several, 3*x.lease).ok()
		x.a.renew(x.lease, alone).gives(nil)
		x.a.renew(x.lease, several, alone).gives(nil)
		x.a.renew(0, alone, several).gives(nil)
		x.endsAfter(start, 3*x.lease, func() result { return alone.get("k") }, func() result { return several.get("k") })
	}},
	{name: "Renew lengthens a grace that is shorter", run: func(x *env) {
		s := x.a.session(with("k", "v"))
		x.hurry(time.Now().Add(2 * x.lease))
		x.a.suspend(s, 2*x.lease).ok()
		start := time.Now()
		x.a.renew(4*x.lease, s).gives(nil)
		x.endsAfter(start, 4*x.lease, func() result { return s.get("k") })
	}},
	{name: "writes, reads and Attach do not prolong a grace", run: func(x *env) {
		id := x.id()
		s := x.a.create(id, with("k", "v"))
		other := x.b.attach(id)
		start := time.Now()
		x.a.suspend(s, x.lease).ok()
		x.endsAfter(start, x.lease, func() result { return x.touch(id, s, other) })
		x.a.lacks(id)
	}},
	{name: "writes, reads and Attach do not shorten a grace or end it", run: func(x *env) {
		id := x.id()
		x.hurry(time.Now().Add(x.lease))
		s := x.a.create(id, lease(x.lease), with("k", "v"))
		other := x.b.attach(id, lease(x.lease))
		start := time.Now()
		x.a.suspend(s, 4*x.lease).ok()
		x.touch(id, s, other).ok()
		x.endsAfter(start, 4*x.lease, func() result { return x.touch(id, s, other) })
	}},
	{name: "a suspended session that was written to can still be resumed", run: func(x *env) {
		id := x.id()
		s := x.a.create(id, with("k", "v"))
		other := x.b.attach(id)
		x.a.suspend(s, long).ok()
		x.touch(id, s, other).ok()
		r := x.b.resume(id)
		r.get("k").gives("touched")
		s.ended()
		other.ended()
	}},
	{name: "a Suspend that is in progress never shortens a resumed life", run: func(x *env) {
		var resumed []*handle
		for range 20 {
			id := x.id()
			old := x.a.create(id)
			race := newRace(2, store.ErrDestroyed)
			x.together(3, func(i int) {
				if i < 2 {
					race.write(func(int) result { return x.a.suspend(old, x.lease) })
					return
				}
				race.end(func() {
					if s, r := x.b.tryResume(id); r.err == nil {
						resumed = append(resumed, s)
					} else { // it came later than the grace
						r.fails(store.ErrNoSession)
					}
				})
			})
		}
		x.pass(x.lease + x.lease/2)
		for _, s := range resumed {
			s.has("k").gives(false)
		}
	}},
}

// touch makes one call of each kind through both handles and attaches; it returns
// the first that failed.
func (x *env) touch(id string, handles ...*handle) (r result) {
	for _, s := range handles {
		calls := []func() result{
			func() result { return s.set("k", "touched") },
			func() result { return s.set("l", "touched") },
			func() result { return s.delete("l") },
			func() result { return s.get("k") },
			func() result { return s.has("k") },
			func() result { _, r := x.b.tryAttach(id); return r },
		}
		if x.has(canCommit) {
			calls = append(calls, func() result { return s.commit(nil, entries("m", "touched", "n", nil)) })
		}
		if x.has(canGetMany) {
			calls = append(calls, func() result { return s.getMany("k", "l") })
		}
		if x.has(canList) {
			calls = append(calls, func() result { return s.keys() })
		}
		for _, call := range calls {
			if r = call(); r.err != nil {
				return r
			}
		}
	}
	return r
}
