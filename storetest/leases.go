package storetest

import (
	"errors"
	"fmt"
	"time"

	"github.com/sessionkv/store"
)

// leaseRules are the rules about time, in units of the harness's lease (l).
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
	{name: "removing the last key neither prolongs the lease nor takes it away", run: func(x *env) {
		start := time.Now()
		x.hurry(start.Add(2 * x.lease))
		s, t := x.a.session(lease(2*x.lease), with("k", "v")), x.a.session(lease(2*x.lease), with("k", "v"))
		s.delete("k").ok()
		if x.has(canCommit) {
			t.commit(nil, entries("k", nil)).ok()
		}
		x.endsAfter(start, 2*x.lease, func() result { return s.has("k") }, func() result { return t.has("k") })
	}},
	{name: "a write that is refused leaves the lease alone", run: func(x *env) {
		id := x.id()
		start := time.Now()
		s := x.a.create(id, lease(x.lease), maxKeys(1), with("k", "v"))
		long := x.a.session(maxKeys(1), with("k", "v"))
		refused := func(s *handle) error {
			calls := []error{s.set("l", "v").err, s.set("", "v").err, s.delete("absent").err}
			if x.has(canCommit) {
				calls = append(calls, s.commit(entries("k", "unlikely"), entries("k", "w")).err, s.commit(nil, entries("l", "v")).err)
			}
			for _, err := range calls {
				if errors.Is(err, store.ErrDestroyed) {
					return err
				}
			}
			return nil
		}
		x.endsAfter(start, x.lease, func() result {
			if s.get("k").err == nil {
				_ = refused(long)
			}
			if err := refused(s); err != nil {
				return result{x, s.name + ": writes that are refused", nil, err}
			}
			return s.get("k")
		})
		long.get("k").gives("v")
	}},
	{name: "a refused Create leaves the lease alone", run: func(x *env) {
		prolonged, shortened := x.id(), x.id()
		living := x.a.create(shortened, with("k", "v"))
		start := time.Now()
		s := x.a.create(prolonged, lease(x.lease), with("k", "v"))
		x.endsAfter(start, x.lease, func() result {
			_, r := x.b.tryCreate(shortened, lease(x.lease))
			r.fails(store.ErrExists)
			if again, r := x.b.tryCreate(prolonged, lease(long)); r.err == nil {
				again.destroy().ok() // the session had ended
			} else {
				r.fails(store.ErrExists)
			}
			return s.get("k")
		})
		x.pass(x.lease / 2)
		living.get("k").gives("v")
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
		reads := []func() result{
			func() result { return s.get("k") },
			func() result { return s.get("absent").orNotFound() },
			func() result { return s.has("k") },
			func() result { _, r := x.b.tryAttach(id); return r },
		}
		if x.has(canGetMany) {
			reads = append(reads, func() result { return s.getMany("k") })
		}
		if x.has(canCommit) {
			reads = append(reads, func() result { return s.commit(entries("k", "v"), nil) })
		}
		if x.has(canList) {
			reads = append(reads, func() result { return s.keys() })
		}
		x.endsAfter(start, x.lease, func() (r result) {
			for _, read := range reads {
				if r = read(); r.err != nil {
					break
				}
			}
			return r
		})
	}},
	{name: "Attach does not use its lease", run: func(x *env) {
		id := x.id()
		s := x.a.create(id, with("k", "v"))
		x.b.attach(id, lease(x.lease)).get("k").gives("v")
		x.b.attach(id, lease(0)).get("k").gives("v")
		x.pass(x.lease + x.lease/2)
		s.get("k").gives("v")
	}},
	{name: "a lease is never rounded down", run: func(x *env) {
		for _, more := range []time.Duration{x.lease / 3, x.lease * 9 / 10} {
			d := x.lease + more + 700*time.Microsecond
			suspended := x.a.session()
			start := time.Now()
			leased := x.a.session(lease(d))
			x.a.suspend(suspended, d).ok()
			x.endsAfter(start, d, func() result { return leased.has("k") }, func() result { return suspended.has("k") })
		}
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
	{name: "Renew of several never shortens a life, and lengthens the others", run: func(x *env) {
		start := time.Now()
		x.hurry(start.Add(x.lease))
		short, other := x.a.session(lease(x.lease), with("k", "v")), x.a.session(lease(x.lease), with("k", "v"))
		longer, forever := x.a.session(lease(4*x.lease), with("k", "v")), x.a.session(with("k", "v"))
		renewed := time.Now()
		x.a.renew(2*x.lease, longer, short, forever, other).gives(nil)
		done := time.Now()
		x.endsBetween(renewed, done, 2*x.lease, func() result { return short.get("k") }, func() result { return other.get("k") })
		x.endsBetween(start, done, 4*x.lease, func() result { return longer.get("k") })
		forever.get("k").gives("v")
	}},
	{name: "Renew of hundreds renews each of them", run: func(x *env) {
		const n = 300
		start := time.Now()
		l := max(2*x.lease, 2*time.Second) // to begin them all takes a while
		x.hurry(start.Add(l))
		var sessions []*handle
		for range n {
			sessions = append(sessions, x.a.session(lease(l)))
		}
		x.a.renew(long, sessions...).gives(nil)
		x.pass(l + l/2)
		for _, s := range sessions {
			s.has("k").gives(false)
		}
	}},
	{name: "Renew through a handle from Attach renews", run: func(x *env) {
		id := x.id()
		start := time.Now()
		x.hurry(start.Add(2 * x.lease))
		s := x.a.create(id, lease(2*x.lease), with("k", "v"))
		attached := x.b.attach(id)
		renewed := time.Now()
		x.b.renew(4*x.lease, attached).gives(nil)
		x.endsAfter(renewed, 4*x.lease, func() result { return s.get("k") })
	}},
	{name: "a Renew that is in progress does not lengthen a resumed life", run: func(x *env) {
		var probes []func() result
		start := time.Now()
		for range 20 {
			id := x.id()
			old := x.a.create(id)
			race := newRace(2, store.ErrDestroyed)
			x.together(3, func(i int) {
				if i < 2 {
					race.write(func(int) result {
						r := x.a.renew(long, old)
						return result{x, r.call, nil, first(r.errs)}
					})
					return
				}
				race.end(func() {
					s := x.b.resume(id, lease(x.lease))
					probes = append(probes, func() result { return s.has("k") })
				})
			})
		}
		x.endsAfter(start, x.lease, probes...)
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
	{name: "a long lease is not cut short", run: func(x *env) {
		for _, d := range []time.Duration{long, 10 * 365 * 24 * time.Hour} {
			start := time.Now()
			s := x.a.session(lease(d), with("k", "v"))
			x.pass(2 * x.lease)
			s.get("k").gives("v")
			x.a.renew(0, s).gives(nil)
			if x.h.Synctest && d == long {
				x.endsAfter(start, d, func() result { return s.get("k") })
			}
		}
	}},
}

func first(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	return errs[0]
}
