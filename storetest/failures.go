package storetest

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/sessionkv/store"
)

var failureRules = []rule{
	{name: "a call with a context that has ended fails with its error and changes nothing", run: func(x *env) {
		canceled, cancel := context.WithCancel(x.ctx)
		cancel()
		expired, cancel := context.WithDeadline(x.ctx, time.Now().Add(-time.Second))
		defer cancel()
		for _, c := range []struct {
			ctx  context.Context
			want error
		}{{canceled, context.Canceled}, {expired, context.DeadlineExceeded}} {
			id, fresh := x.id(), x.id()
			s := x.a.create(id, with("k", "v"))
			y := x.under(c.ctx)
			dead := &handle{y, s.name + " (context ended)", id, s.raw, s.on}
			dead.get("k").fails(c.want)
			dead.get("absent").fails(c.want)
			dead.set("k", "w").fails(c.want)
			dead.set("new", "w").fails(c.want)
			dead.has("k").fails(c.want)
			dead.delete("k").fails(c.want)
			if x.has(canGetMany) {
				dead.getMany("k").fails(c.want)
				dead.getMany().fails(c.want)
			}
			if x.has(canCommit) {
				dead.commit(nil, entries("k", "w")).fails(c.want)
				dead.commit(nil, nil).fails(c.want)
				dead.commit(entries("k", "x"), entries("k", "w")).fails(c.want)
			}
			if x.has(canList) {
				dead.keys().fails(c.want)
			}
			if x.has(canDestroyIf) {
				dead.destroyIf("k", "v").fails(c.want)
			}
			dead.destroy().fails(c.want)
			_, r := y.a.tryCreate(fresh, with("k", "v"))
			r.fails(c.want)
			_, r = y.a.tryAttach(id)
			r.fails(c.want)
			_, r = y.a.tryResume(id)
			r.fails(c.want)
			y.a.suspend(dead, time.Nanosecond).fails(c.want)
			y.a.renew(long, dead, dead).gives(c.want, c.want)
			s.holds("k", "v", "new", nil)
			x.b.lacks(fresh)
		}
	}},
	{name: "a context that ends later does not disturb the session", run: func(x *env) {
		ctx, cancel := context.WithCancel(x.ctx)
		id := x.id()
		y := x.under(ctx)
		s := y.a.create(id, with("k", "v"))
		b := y.b.attach(id)
		s.set("l", "w").ok()
		cancel()
		s.x, b.x = x, x
		x.began = append(x.began, s)
		s.holds("k", "v", "l", "w")
		b.set("k", "x").ok()
		s.get("k").gives("x")
	}},
	{name: "no error text contains the session ID", run: func(x *env) {
		// Every result of every rule is checked for that; here are the calls
		// that are the most likely to say it.
		id := x.id()
		awkward := id + ":%{}\x00\xff"
		for _, id := range []string{id, awkward} {
			s := x.a.create(id, maxKeys(1), with("k", "v"))
			_, r := x.b.tryCreate(id)
			r.fails(store.ErrExists)
			s.get("absent").fails(store.ErrNotFound)
			s.set("l", "v").fails(store.ErrTooManyKeys)
			s.get("").fails(store.ErrInvalidKey)
			if x.has(canCommit) {
				s.commit(entries("k", nil), nil).refused("v")
			}
			s.destroy().ok()
			s.ended()
			x.a.renew(long, s).gives(store.ErrDestroyed)
			x.a.suspend(s, long).fails(store.ErrDestroyed)
			x.a.lacks(id)
			_, r = x.a.tryResume(id)
			r.fails(store.ErrNoSession)
		}
		tooLong := strings.Repeat(id, 1+store.MaxIDLength/len(id))
		_, r := x.a.tryCreate(tooLong)
		r.fails(store.ErrInvalidID)
		_, r = x.a.tryAttach(tooLong)
		r.fails(store.ErrInvalidID)
	}},
	{name: "Renew returns nil when all live, and else an error for each that does not", run: func(x *env) {
		var sessions []*handle
		var want []error
		for range 300 {
			sessions = append(sessions, x.a.session(with("k", "v")))
			want = append(want, nil)
		}
		x.a.renew(long).gives()
		x.a.renew(long, sessions...).gives(want...)
		x.a.renew(0, sessions...).gives(want...)
		for _, i := range []int{0, 7, 128, 299} {
			sessions[i].destroy().ok()
			want[i] = store.ErrDestroyed
		}
		x.a.renew(0, sessions...).gives(want...)
		x.a.renew(long, sessions...).gives(want...)
		for i, s := range sessions {
			if want[i] == nil {
				s.get("k").gives("v")
			}
		}
	}},
	{name: "Renew of the same session twice in one call renews it", run: func(x *env) {
		s := x.a.session()
		x.a.renew(long, s, s).gives(nil, nil)
		s.destroy().ok()
		x.a.renew(long, s, s).gives(store.ErrDestroyed, store.ErrDestroyed)
	}},
	{name: "Renew and Suspend refuse Stores that the Backend did not hand out", run: func(x *env) {
		s := x.a.session(with("k", "v"))
		strangers := []store.Store{stranger{}, nil}
		ended, end := context.WithCancel(x.ctx)
		end()
		if x.a.backend != x.b.backend {
			strangers = append(strangers, x.b.session().raw)
		}
		for _, other := range strangers {
			r := x.a.renewStores(long, s.raw, other)
			if len(r.errs) != 2 || r.errs[0] != nil || !errors.Is(r.errs[1], store.ErrForeignStore) {
				x.fail(r.call+" of one of its own and a foreign one", show(r.errs), "nil for its own and ErrForeignStore for the foreign one")
			}
			// Sessions asks in this way, so that no call goes to a server.
			errs := x.a.backend.Renew(ended, []store.Store{s.raw, other}, long)
			if len(errs) != 2 || !errors.Is(errs[0], context.Canceled) || !errors.Is(errs[1], store.ErrForeignStore) {
				x.fail(r.call+" of one of its own and a foreign one with a context that has ended", show(errs),
					"the context's error for its own and ErrForeignStore for the foreign one")
			}
			for _, ctx := range []context.Context{x.ctx, ended} {
				if err := x.a.backend.Suspend(ctx, other, long); !errors.Is(err, store.ErrForeignStore) {
					x.fail("node A: Suspend(a foreign Store) with a context of which Err is "+show(ctx.Err()), show(err), "ErrForeignStore")
				}
			}
		}
		s.get("k").gives("v")
	}},
	{name: "after Close everything is ErrClosed", run: func(x *env) {
		n := x.spare()
		id, fresh := x.id(), x.id()
		s := n.create(id, with("k", "v"))
		attached := n.attach(id)
		if err := n.backend.Close(); err != nil {
			x.fail("Close()", show(err), "no error")
		}
		_, r := n.tryCreate(fresh)
		r.fails(store.ErrClosed)
		_, r = n.tryAttach(id)
		r.fails(store.ErrClosed)
		_, r = n.tryResume(id)
		r.fails(store.ErrClosed)
		n.renew(long, s, attached).gives(store.ErrClosed, store.ErrClosed)
		n.suspend(s, long).fails(store.ErrClosed)
		for _, h := range []*handle{s, attached} {
			h.get("k").fails(store.ErrClosed)
			h.get("absent").fails(store.ErrClosed)
			h.set("k", "w").fails(store.ErrClosed)
			h.has("k").fails(store.ErrClosed)
			h.delete("k").fails(store.ErrClosed)
			h.destroy().fails(store.ErrClosed)
			if x.has(canGetMany) {
				h.getMany("k").fails(store.ErrClosed)
			}
			if x.has(canCommit) {
				h.commit(nil, entries("k", "w")).fails(store.ErrClosed)
			}
			if x.has(canList) {
				h.keys().fails(store.ErrClosed)
			}
			if x.has(canDestroyIf) {
				h.destroyIf("k", "v").fails(store.ErrClosed)
			}
		}
		if !x.h.Synctest {
			other := x.b.attach(id)
			other.holds("k", "v")
			other.destroy().ok()
			x.b.lacks(fresh)
		}
	}},
	{name: "closing twice is harmless", run: func(x *env) {
		n := x.spare()
		s := n.session()
		for range 3 {
			if err := n.backend.Close(); err != nil {
				x.fail("Close()", show(err), "no error")
			}
		}
		s.get("k").fails(store.ErrClosed)
	}},
	{name: "Close while calls are in progress ends them without a panic", run: func(x *env) {
		n := x.spare()
		s := n.session()
		const writers = 4
		race := newRace(writers, store.ErrClosed)
		x.together(writers+1, func(i int) {
			if i == writers {
				race.end(func() {
					if err := n.backend.Close(); err != nil {
						x.fail("Close()", show(err), "no error")
					}
				})
				return
			}
			race.write(func(int) result {
				r := s.set("k", "v")
				if errors.Is(r.err, store.ErrUnknownOutcome) {
					r.err = nil // Close may cut off the reply
				}
				return r
			})
		})
		s.get("k").fails(store.ErrClosed)
	}},
}

// under returns x with another context.
func (x *env) under(ctx context.Context) *env {
	y := &env{t: x.t, rule: x.rule, h: x.h, ctx: ctx, lease: x.lease, secrets: x.secrets, able: x.able}
	y.a = &node{y, x.a.name, x.a.backend}
	y.b = &node{y, x.b.name, x.b.backend}
	return y
}

// spare opens one more node, to be closed by the rule.
func (x *env) spare() *node { return &node{x, "a spare node", openOne(x.t, x.h.Open)} }

// stranger is a Store of no backend at all.
type stranger struct{ store.Store }
