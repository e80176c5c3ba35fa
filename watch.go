package store

import (
	"context"
	"runtime/debug"
	"slices"
)

// A watch is what waits for the end of a handle. It is made when somebody first
// waits.
type watch struct {
	done  chan struct{} // nil until somebody asks for Done
	hooks []*hook
	stop  func() // ends the watching on the backend; nil without
}

// A hook is called once with the reason of the end. It must not block.
type hook struct{ f func(error) }

// endedWatch is the watch of every handle that has ended.
var endedWatch = &watch{done: make(chan struct{})}

func init() { close(endedWatch.done) }

// wake tells everything that waits. No lock is held meanwhile.
func (w *watch) wake(why error) {
	if w == nil {
		return
	}
	if w.stop != nil {
		w.stop()
	}
	if w.done != nil {
		close(w.done)
	}
	for _, h := range w.hooks {
		h.f(why)
	}
}

// Done returns a channel that is closed once this process has learned that the handle is not usable
// any more. It learns so when a Suspend, Destroy or Release of the handle has run, or an operation
// was refused. It also learns so when the backend hints at an end elsewhere (see [Watcher]; the
// memory backend does so at once). Otherwise it does at the next renewal of leases, which come
// twice per lease. Asking for Done makes a handle from [Sessions.Attach] part of those rounds,
// without renewing the lease. Done of a nil *Session is closed.
func (s *Session) Done() <-chan struct{} {
	var done <-chan struct{}
	s.wait(func(w *watch) {
		if w.done == nil {
			w.done = make(chan struct{})
		}
		done = w.done
	})
	return done
}

// AfterEnd arranges for f to be called, in a goroutine of its own, when the handle has ended, with
// what [Session.Err] says then. When that has happened already, f is called at once. Before the end
// it costs no goroutine. Calling stop keeps f from being called and reports whether it did; false
// means that f has been called or stopped before. A panic in f is logged and goes no further. As
// Done does, AfterEnd lets a handle from [Sessions.Attach] take part in the rounds that find out
// about ends.
func (s *Session) AfterEnd(f func(error)) (stop func() bool) {
	if f == nil {
		return func() bool { return false }
	}
	return s.onEnd(func(err error) { go s.tell(f, err) })
}

// tell calls f, a function of the program for which nobody waits.
func (s *Session) tell(f func(error), why error) {
	defer func() {
		if p := recover(); p != nil {
			logger := s.sessions.faults()
			logger.Error("store: a function given to AfterEnd panicked", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	f(why)
}

// onEnd calls f, which must not block, when the handle has ended.
func (s *Session) onEnd(f func(error)) (stop func() bool) {
	h := &hook{f}
	ended := false
	s.wait(func(w *watch) {
		if ended = w == endedWatch; !ended {
			w.hooks = append(w.hooks, h)
		}
	})
	if ended {
		f(s.Err())
		return func() bool { return false }
	}
	return func() bool {
		sh := s.sessions.registry.shard(s.id)
		sh.mu.Lock()
		defer sh.mu.Unlock()
		i := -1
		if s.watch != endedWatch { // whose hooks are nobody's
			i = slices.Index(s.watch.hooks, h)
		}
		if i < 0 {
			return false
		}
		s.watch.hooks = slices.Delete(s.watch.hooks, i, i+1)
		return true
	}
}

// wait calls f with the watch of s, under the lock that guards it, and arranges that the handle's
// end is noticed.
func (s *Session) wait(f func(*watch)) {
	if s == nil || s.sessions == nil {
		f(endedWatch)
		return
	}
	_ = s.usable() // notices that the Sessions were closed
	sh := s.sessions.registry.shard(s.id)
	sh.mu.Lock()
	listed, refused := false, false
	if s.ended.Load() == nil && !s.listed {
		listed = sh.add(s)
		refused = !listed
	}
	var first *watch
	if s.watch == nil {
		s.watch = new(watch)
		if !refused {
			first = s.watch
		}
	}
	f(s.watch)
	sh.mu.Unlock()
	if listed {
		s.sessions.renewals.start()
	}
	if first != nil {
		s.notify(first)
	}
	if refused { // Close has its list already, and this handle is not on it
		s.end(endClosed)
	}
}

// Context returns a context that carries s, as [NewContext] does, and that ends with the handle or
// with parent. [context.Cause] says why, for the handle what [Session.Err] says. It costs no
// goroutine. Call cancel when the work is done, as with [context.WithCancel].
func (s *Session) Context(parent context.Context) (ctx context.Context, cancel context.CancelFunc) {
	if parent == nil {
		parent = context.Background()
	}
	ctx, end := context.WithCancelCause(NewContext(parent, s))
	stop := s.onEnd(end)
	return ctx, func() {
		stop()
		end(nil)
	}
}
