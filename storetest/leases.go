package storetest

import (
	"errors"
	"fmt"
	"time"

	"github.com/sessionkv/store"
)

// The rules about time, in units of the harness's lease (l).
var leaseRules = []rule{
	{name: "a session lives for its lease and then ends", run: func(x *env) {
		start := time.Now()
		s := x.a.session(lease(x.lease), with("k", "v"))
		x.endsAfter(start, x.lease, func() result { return s.get("k") })
	}},
	{name: "an expired session leaves nothing behind", run: func(x *env) {
		id := x.id()
		start := time.Now()
		x.hurry(start.Add(x.lease))
		s := x.a.create(id, lease(x.lease), with("k", "v"))
		other := x.b.attach(id)
		x.endsAfter(start, x.lease, func() result { return other.has("k") })
		x.a.lacks(id)
		_, r := x.b.tryResume(id)
		r.fails(store.ErrNoSession)
		s.ended()
		later := x.b.create(id)
		later.holds("k", nil)
		later.set("k", "later").ok()
		s.ended()
		s.destroy().ok()
		other.destroy().ok()
		x.a.attach(id).holds("k", "later", "late", nil)
	}},
	{name: "no call brings an expired session back, whichever comes first", run: func(x *env) {
		calls := []func(s *handle) error{
			func(s *handle) error { return s.set("k", "late").err },
			func(s *handle) error { return s.set("new", "late").err },
			func(s *handle) error { return s.get("k").err },
			func(s *handle) error { return s.has("k").err },
			func(s *handle) error { return s.delete("k").err },
			func(s *handle) error { return x.a.suspend(s, long).err },
			func(s *handle) error { return first(x.a.renew(long, s).errs) },
			func(s *handle) error { return first(x.a.renew(0, s).errs) },
		}
		if x.has(canCommit) {
			calls = append(calls,
				func(s *handle) error { return s.commit(nil, entries("k", "late")).err },
				func(s *handle) error { return s.commit(entries("k", nil), entries("k", "late")).err },
				func(s *handle) error { return s.commit(entries("k", "v"), nil).err })
		}
		if x.has(canGetMany) {
			calls = append(calls, func(s *handle) error { return s.getMany("k").err })
		}
		if x.has(canList) {
			calls = append(calls, func(s *handle) error { return s.keys().err })
		}
		ids := make([]string, len(calls))
		sessions := make([]*handle, len(calls))
		for i := range calls {
			ids[i] = x.id()
			sessions[i] = x.a.create(ids[i], lease(x.lease), with("k", "v"))
		}
		x.pass(x.lease + x.lease/2)
		for i, call := range calls {
			if err := call(sessions[i]); !errors.Is(err, store.ErrDestroyed) {
				x.fail(fmt.Sprintf("call %d of this rule on an expired session", i+1), show(err), show(store.ErrDestroyed))
			}
			x.b.lacks(ids[i])
			sessions[i].ended()
		}
	}},
	{name: "an expired session can be neither attached to nor resumed, and its ID is free", run: func(x *env) {
		attached, resumed, created := x.id(), x.id(), x.id()
		for _, id := range []string{attached, resumed, created} {
			x.a.create(id, lease(x.lease), with("k", "v"))
		}
		x.pass(x.lease + x.lease/2)
		x.b.lacks(attached)
		_, r := x.b.tryResume(resumed)
		r.fails(store.ErrNoSession)
		x.b.create(created).holds("k", nil)
	}},
	{name: "writes do not prolong the lease", run: func(x *env) {
		start := time.Now()
		s := x.a.session(lease(x.lease))
		x.endsAfter(start, x.lease, func() result {
			if r := s.delete("l"); r.err != nil {
				return r
			}
			return s.set("k", "v")
		})
	}},
	{name: "writes do not shorten the lease or take it away", run: func(x *env) {
		start := time.Now()
		x.hurry(start.Add(2 * x.lease))
		s := x.a.session(lease(2*x.lease), with("k", "v"))
		s.set("k", "w").ok()
		s.set("l", "w").ok()
		s.delete("k").ok()
		if x.has(canCommit) {
			s.commit(entries("l", "w"), entries("k", "v", "l", nil)).ok()
		}
		x.endsAfter(start, 2*x.lease, func() result { return s.has("k") })
	}},
	{name: "commits do not prolong the lease", needs: commit, run: func(x *env) {
		start := time.Now()
		s := x.a.session(lease(x.lease))
		x.endsAfter(start, x.lease, func() result { return s.commit(nil, entries("k", "v", "l", nil)) })
	}},
	{name: "reading and Attach do not prolong the lease", run: func(x *env) {
		id := x.id()
		start := time.Now()
		s := x.a.create(id, lease(x.lease), with("k", "v"))
		x.endsAfter(start, x.lease, func() result {
			if x.has(canGetMany) {
				if r := s.getMany("k"); r.err != nil {
					return r
				}
			}
			_, r := x.b.tryAttach(id)
			return r
		})
	}},
	{name: "Renew keeps a session alive", run: func(x *env) {
		begun := time.Now()
		renewed := begun
		s := x.a.session(lease(2*x.lease), with("k", "v"))
		for time.Since(begun) < 5*x.lease {
			x.hurry(renewed.Add(2 * x.lease))
			now := time.Now()
			x.a.renew(2*x.lease, s).gives(nil)
			renewed = now
			time.Sleep(x.lease / 10)
		}
		x.endsAfter(renewed, 2*x.lease, func() result { return s.get("k") })
	}},
	{name: "Renew makes a session live for the lease from now", run: func(x *env) {
		x.hurry(time.Now().Add(2 * x.lease))
		s := x.a.session(lease(2*x.lease), with("k", "v"))
		start := time.Now()
		x.a.renew(4*x.lease, s).gives(nil)
		x.endsAfter(start, 4*x.lease, func() result { return s.get("k") })
	}},
	{name: "Renew never shortens a life", run: func(x *env) {
		start := time.Now()
		x.hurry(start.Add(3 * x.lease))
		s := x.a.session(lease(3*x.lease), with("k", "v"))
		x.a.renew(x.lease, s).gives(nil)
		x.endsAfter(start, 3*x.lease, func() result { return s.get("k") })
	}},
	{name: "Renew with a lease of zero only finds out who lives", run: func(x *env) {
		start := time.Now()
		s := x.a.session(lease(x.lease), with("k", "v"))
		x.endsAfter(start, x.lease, func() result {
			r := x.a.renew(0, s)
			return result{x, r.call, nil, first(r.errs)}
		})
	}},
	{name: "Renew never brings an expired session back", run: func(x *env) {
		id := x.id()
		expired, living := x.a.create(id, lease(x.lease), with("k", "v")), x.a.session(with("k", "v"))
		x.pass(x.lease + x.lease/2)
		x.a.renew(long, living, expired).gives(nil, store.ErrDestroyed)
		x.b.lacks(id)
		x.a.renew(long, living, expired).gives(nil, store.ErrDestroyed)
		expired.ended()
		living.get("k").gives("v")
	}},
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
	{name: "Resume leases the session anew, longer than the grace", run: func(x *env) {
		id := x.id()
		s := x.a.create(id, with("k", "v"))
		x.hurry(time.Now().Add(2 * x.lease))
		x.a.suspend(s, 2*x.lease).ok()
		start := time.Now()
		s = x.b.resume(id, lease(4*x.lease))
		x.endsAfter(start, 4*x.lease, func() result { return s.get("k") })
	}},
	{name: "Resume leases the session anew, shorter than the grace", run: func(x *env) {
		id := x.id()
		x.a.suspend(x.a.create(id, with("k", "v")), long).ok()
		start := time.Now()
		s := x.b.resume(id, lease(x.lease))
		x.endsAfter(start, x.lease, func() result { return s.get("k") })
		x.a.lacks(id)
	}},
	{name: "Renew and Suspend by an earlier handle do not lengthen a resumed life", run: func(x *env) {
		id := x.id()
		old := x.a.create(id, with("k", "v"))
		start := time.Now()
		s := x.b.resume(id, lease(x.lease))
		x.endsAfter(start, x.lease, func() result {
			x.a.renew(long, old).gives(store.ErrDestroyed)
			x.a.suspend(old, long).fails(store.ErrDestroyed)
			return s.get("k")
		})
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
	{name: "a long lease is not cut short", run: func(x *env) {
		s := x.a.session(with("k", "v"))
		x.pass(2 * x.lease)
		s.get("k").gives("v")
		x.a.renew(0, s).gives(nil)
	}},
}

func first(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	return errs[0]
}
