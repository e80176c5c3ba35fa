package storetest

import (
	"errors"
	"fmt"
	"time"

	"github.com/sessionkv/store"
)

// hintPatience is how long a rule waits for a hint. The contract says soon; how soon
// is for measurements to tell.
const hintPatience = 20 * time.Second

// hints are those of one watched session.
type hints struct {
	x    *env
	s    *handle
	on   *node
	c    chan struct{}
	stop func()
}

// watch begins to watch the session s on node n.
func (n *node) watch(s *handle) *hints {
	n.x.t.Helper()
	h := &hints{x: n.x, s: s, on: n, c: make(chan struct{}, 1)}
	stop, err := store.Watch(n.backend, s.raw, func() {
		select {
		case h.c <- struct{}{}:
		default:
		}
	})
	s.result(nil, err, "Watch()").ok()
	h.stop = stop
	n.x.t.Cleanup(stop)
	// What a server is told while the backend is not listening yet comes out by
	// asking, as the typed layer does.
	n.backend.Renew(n.x.ctx, []store.Store{s.raw}, 0)
	return h
}

// ends waits for hints and asks at each, until the answer is that the life has ended.
func (h *hints) ends(after string) {
	h.x.t.Helper()
	patience := time.After(hintPatience + 4*h.x.lease)
	for {
		select {
		case <-h.c:
		case <-patience:
			h.x.fail(fmt.Sprintf("%s: hints of Watch(), after %s", h.s.name, after), "none after which Renew with a lease of zero says that the life has ended", "one, soon")
		}
		errs := h.on.backend.Renew(h.x.ctx, []store.Store{h.s.raw}, 0)
		if len(errs) == 1 && errors.Is(errs[0], store.ErrDestroyed) {
			return
		}
	}
}

// noticeRules are about [store.Watcher].
var noticeRules = []rule{
	{name: "Destroy on another node is hinted at", needs: watch, run: func(x *env) {
		s := x.a.session()
		other := x.b.attach(s.id)
		mine, theirs := x.a.watch(s), x.b.watch(other)
		x.b.attach(s.id).destroy().ok()
		mine.ends("Destroy on node B")
		theirs.ends("Destroy through another handle of the node")
	}},
	{name: "Resume on another node is hinted at", needs: watch, run: func(x *env) {
		s := x.a.session()
		h := x.a.watch(s)
		x.b.resume(s.id)
		h.ends("Resume on node B")
	}},
	{name: "each of several who watch a session is hinted at", needs: watch, run: func(x *env) {
		s := x.a.session()
		other := x.a.attach(s.id)
		first, second, third := x.a.watch(s), x.a.watch(other), x.a.watch(other)
		second.stop()
		second.stop()
		x.b.attach(s.id).destroy().ok()
		first.ends("Destroy on node B, while another has stopped")
		third.ends("Destroy on node B, while another has stopped")
	}},
	{name: "the end of a grace is hinted at", needs: watch, run: func(x *env) {
		s := x.a.session()
		before := x.b.watch(x.b.attach(s.id))
		x.a.suspend(s, x.lease).ok()
		after := x.b.watch(x.b.attach(s.id))
		before.ends("a grace that began while it was watched")
		after.ends("a grace that had begun before it was watched")
	}},
	{name: "the end of a grace by SuspendIf is hinted at", needs: watch | index, run: func(x *env) {
		s := x.a.session(lease(5 * hintPatience))
		h := x.b.watch(x.b.attach(s.id))
		x.a.suspendIf(x.lease, s).ok()
		h.ends("a grace that began by SuspendIf while it was watched")
	}},
	{name: "the end of a lease is hinted at", needs: watch, run: func(x *env) {
		s := x.a.session(lease(x.lease))
		h := x.b.watch(x.b.attach(s.id))
		h.ends("a lease that nobody renews")
	}},
	{name: "Watch refuses Stores that the Backend did not hand out", needs: watch, run: func(x *env) {
		s := x.a.session()
		stop, err := store.Watch(x.a.backend, struct{ store.Store }{s.raw}, func() {})
		if err == nil {
			stop()
		}
		s.result(nil, err, "Watch(a Store of somebody else)").fails(store.ErrForeignStore)
	}},
}
