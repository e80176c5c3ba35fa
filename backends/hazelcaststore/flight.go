package hazelcaststore

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/hazelcast/hazelcast-go-client/hzerrors"
	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/hazelcaststore/internal/document"
)

// Delays between attempts: after losing against another process, which is no
// failure, and after a failed call.
const (
	rivalPause, rivalPauseMost     = 100 * time.Microsecond, 10 * time.Millisecond
	failurePause, failurePauseMost = 20 * time.Millisecond, time.Second
)

// An op is one write of a handle. Those of one life that come while a
// compare-and-swap is under way are carried by the next one together.
type op struct {
	// apply changes the draft, or returns why not and leaves it as it is. It
	// may be called several times, on other drafts. Nil destroys the life.
	apply func(d *document.Draft) error

	err  error // what apply returned last
	done chan error
}

// do carries out o and returns when it is done or when ctx ends.
func (l *life) do(ctx context.Context, o *op) error {
	b := l.backend
	if err := b.keepTime(ctx); err != nil {
		return err
	}
	o.done = make(chan error, 1)
	l.mu.Lock()
	if !l.flying {
		if err := b.begin(); err != nil {
			l.mu.Unlock()
			return err
		}
		l.flying = true
		go l.fly()
	}
	l.queue = append(l.queue, o)
	l.mu.Unlock()
	select {
	case err := <-o.done:
		return err
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.queue, o); i >= 0 {
		l.queue = slices.Delete(l.queue, i, i+1)
		return ctx.Err()
	}
	select {
	case err := <-o.done:
		return err
	default:
		return unknown(ctx.Err())
	}
}

// fly carries the queue, batch by batch, until it is empty.
func (l *life) fly() {
	defer l.backend.calls.Done()
	for {
		l.mu.Lock()
		ops, base := l.queue, l.base
		l.queue = nil
		if len(ops) == 0 {
			l.flying = false
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		ctx := l.backend.limited()
		if slices.ContainsFunc(ops, func(o *op) bool { return o.apply == nil }) {
			l.carryDestroy(ctx, ops, base)
		} else {
			l.carry(ctx, ops, base)
		}
	}
}

// finish tells all ops the same.
func finish(ops []*op, err error) {
	for _, o := range ops {
		o.done <- err
	}
}

// carry writes what ops change, against base if that is known.
func (l *life) carry(ctx context.Context, ops []*op, base document.View) {
	b := l.backend
	unlock := func() {}
	defer func() { unlock() }()
	var doc []byte // just read; nil when the cluster is yet to be asked
	for lost := 0; ; {
		fresh := false // base is what the cluster had after ops began
		if base.Bytes() == nil || b.expired(base) {
			var err error
			if doc == nil {
				doc, err = b.read(ctx, l.key)
			}
			if err == nil {
				base, err = l.own(ctx, doc)
			}
			if err != nil {
				finish(ops, err)
				return
			}
			fresh = true
		}
		doc = nil
		draft := base.Draft()
		for _, o := range ops {
			o.err = o.apply(draft)
		}
		if !draft.Changed() {
			if fresh {
				for _, o := range ops {
					o.done <- o.err
				}
				return
			}
			base = document.View{} // a refusal must not rest on old bytes
			continue
		}
		next := draft.Encode(l.writer)
		asked, _ := b.clock.now()
		done, current, err := b.replace(ctx, l.key, base, next, l.writer)
		switch {
		case err != nil:
			// The members may carry it out yet. Whoever finds it then must not
			// take it for the next write, which is another writer's therefore.
			l.writer = rand.Uint64()
			l.fail(ops, err)
			return
		case done:
			l.note(next)
			l.keptFrom(asked)
			unlock() // the time to live cannot be set in a lock, not even in one's own
			unlock = func() {}
			l.succeed(ops, next, b.stretch(ctx, l.key, next))
			return
		case current == nil:
			finish(ops, l.end())
			return
		}
		doc, base = current, document.View{}
		if lost++; lost == patience {
			ctx, unlock = b.lock(ctx, l.key)
			doc = nil
		} else if lost > patience && !pause(ctx, lost-patience, rivalPause, rivalPauseMost) {
			finish(ops, b.describe(l.key, ctx.Err()))
			return
		}
	}
}

// succeed tells ops that their write took effect, unless the entry could not be
// told to stay as long as the session lives: then nobody gets to hear that all went
// well, and somebody goes on trying.
func (l *life) succeed(ops []*op, next document.View, stretched error) {
	for _, o := range ops {
		if o.err == nil && stretched != nil {
			o.err = unknown(stretched)
		}
		o.done <- o.err
	}
	if stretched != nil {
		l.backend.keepStretching(l.key, next)
	}
}

// fail tells ops that their write came to err. The outcome of those that would
// have been refused anyway is known: they changed nothing.
func (l *life) fail(ops []*op, err error) {
	var u *unknownError
	for _, o := range ops {
		if o.err != nil && errors.As(err, &u) {
			o.done <- u.cause
			continue
		}
		o.done <- err
	}
}

// carryDestroy ends the life. The other ops come too late.
func (l *life) carryDestroy(ctx context.Context, ops []*op, base document.View) {
	err := l.remove(ctx, base.Bytes())
	if err == nil {
		l.end()
	}
	for _, o := range ops {
		switch {
		case err == nil && o.apply != nil:
			o.err = store.ErrDestroyed
		case o.apply != nil:
			o.err = err
			if u, ok := errors.AsType[*unknownError](err); ok {
				o.err = u.cause
			}
		default:
			o.err = err
		}
		o.done <- o.err
	}
}

// remove removes this life's entry, beginning with the assumption that it holds
// doc unless that is nil.
func (l *life) remove(ctx context.Context, doc []byte) error {
	b := l.backend
	var failure error
	for n := 1; ; n++ {
		if doc == nil {
			var err error
			if doc, err = b.read(ctx, l.key); err != nil {
				if failure != nil {
					err = unknown(err)
				}
				return err
			}
			if doc == nil {
				return nil
			}
			switch v, err := document.Open(doc); {
			case err != nil && !errors.Is(err, document.ErrNewer):
				return err
			case v.Token() != l.token:
				return nil
			}
		}
		gone, err := b.grid.RemoveIfSame(b.attempt(ctx, n), l.key, doc)
		if gone && err == nil {
			if v, err := document.Open(doc); err == nil {
				b.tell(ctx, v)
			}
			return nil
		}
		doc = nil
		most := rivalPauseMost
		if err != nil {
			if failure == nil && b.final(err) {
				return b.describe(l.key, err)
			}
			failure, most = err, failurePauseMost
			b.failed()
		}
		if n == patience {
			var unlock func()
			ctx, unlock = b.lock(ctx, l.key)
			defer unlock()
		} else if n > patience && !pause(ctx, n-patience, rivalPause, most) {
			if failure == nil {
				return b.describe(l.key, ctx.Err())
			}
			return unknown(b.describe(l.key, failure))
		}
	}
}

// final reports whether the call that failed with err had no effect and will have
// none, nor would the next one. (A client that was exchanged is not active, but its
// successor is.)
func (b *Backend) final(err error) bool {
	return rejected(err) || errors.Is(err, hzerrors.ErrClientNotActive) && !b.running()
}

var errForgotten = errors.New("the reply was lost, and too many others have written since to tell")

// replace puts next, by writer, in the place of base. It reports whether it did and
// otherwise returns the document that stands there instead, nil for none. The same
// bytes never recur under one key, so that it may try again and again after a lost
// reply: next is put in place once at most.
func (b *Backend) replace(ctx context.Context, key string, base, next document.View, writer uint64) (done bool, current []byte, err error) {
	lost := false
	for n := 1; ; n++ {
		done, err = b.grid.ReplaceIfSame(b.attempt(ctx, n), key, base.Bytes(), next.Bytes())
		switch {
		case err == nil && done:
			b.succeeded()
			return true, nil, nil
		case err == nil:
			if current, err = b.read(ctx, key); err == nil && !bytes.Equal(current, base.Bytes()) {
				done, sure := wrote(current, base, writer, lost)
				if !sure {
					return false, nil, unknown(errForgotten)
				}
				return done, current, nil
			}
		case !lost && b.final(err):
			return false, nil, b.describe(key, err)
		default:
			lost = true
			b.failed()
		}
		if b.closed.Load() || !b.running() || !pause(ctx, n, failurePause, failurePauseMost) {
			if err == nil {
				err = ctx.Err()
			}
			return false, nil, unknown(b.describe(key, err))
		}
	}
}

// wrote reports whether writer has replaced base, going by what stands there now,
// and whether that is sure. It holds only for a writer of whose earlier writes the
// outcome is known: a later revision by it is then the attempt in question. lost says that a reply was lost: without that, the
// refusal that was received is true when the document does not know better. (The
// client repeats calls by itself, so that one whose first reply was lost can be
// refused the second time.)
func wrote(current []byte, base document.View, writer uint64, lost bool) (done, sure bool) {
	v, err := document.Open(current)
	if err != nil {
		return false, !lost
	}
	if revision, ok := v.Wrote(writer); ok {
		return revision > base.Revision(), true
	}
	remembered := v.Token() == base.Token() && v.Revision()-base.Revision() <= document.MaxWriters
	return false, !lost || remembered
}
