package hazelcaststore

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hazelcast/hazelcast-go-client/hzerrors"
	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/hazelcaststore/internal/document"
)

// Delays between attempts: after losing against another process, which does not count as a failure,
// and after a failed call.
const (
	rivalPause, rivalPauseMost     = 400 * time.Microsecond, 10 * time.Millisecond
	failurePause, failurePauseMost = 20 * time.Millisecond, time.Second
)

// An op is one write of a handle. The ops of one life go through its queue:
//
//  1. An op is appended to the queue. If nobody drains that, a goroutine begins to.
//  2. The goroutine takes all that the queue has, lets each op change a draft of the newest
//     document, and writes that with one compare-and-swap.
//  3. If another process has written meanwhile, it reads the document and applies the ops again.
//  4. It tells each op what became of it, takes what has come since, and ends when that is nothing.
//
// What holds at each moment:
//   - One compare-and-swap of a life is in progress in this process at most, so that its own writes
//     never disturb each other.
//   - An op is in the queue, or taken. One whose caller leaves is removed from the queue, and then
//     it was not executed; if it was taken, its outcome is unknown.
//   - While the queue is not empty, draining is true and the goroutine will look at the queue again.
//
// With a compare-and-swap for each op, 63 of 64 callers at once would fail and begin again.
type op struct {
	// apply changes the draft, or returns why not and leaves it as it is. It
	// may be called several times, on other drafts. Nil destroys the life.
	apply func(d *document.Draft) error

	err  error // what apply returned last
	done chan error

	set setting // the write of a Set, whose apply is made once for each op
}

// ops are those of Sets that are done. One whose caller has left is not among them: it
// may be written yet.
var ops = sync.Pool{New: func() any {
	o := &op{done: make(chan error, 1)}
	o.apply = o.set.apply
	return o
}}

// A setting is one value that is to be set.
type setting struct {
	handle *handle
	key    string
	value  []byte
}

// keptValue is the largest value whose memory an op keeps for the next one.
const keptValue = 4 << 10

// apply is op.apply.
func (s *setting) apply(d *document.Draft) error {
	h := s.handle
	if h.maxKeys > 0 && d.Len() >= h.maxKeys && d.Get(s.key) == nil {
		return store.ErrTooManyKeys
	}
	if err := h.life.backend.fits(d, store.Entry{Key: s.key, Value: s.value}); err != nil {
		return err
	}
	d.Put(s.key, s.value)
	return nil
}

// doSet carries out a Set.
func (h *handle) doSet(ctx context.Context, key string, value []byte) error {
	o := ops.Get().(*op)
	o.set.handle, o.set.key = h, key
	o.set.value = append(o.set.value[:0], value...)
	if o.set.value == nil {
		o.set.value = []byte{}
	}
	err, over := h.life.attempt(ctx, o)
	if over {
		o.err = nil
		o.set.handle, o.set.key = nil, ""
		if cap(o.set.value) > keptValue {
			o.set.value = nil
		}
		ops.Put(o)
	}
	return err
}

// do carries out o and returns when it is done or when ctx ends.
func (l *life) do(ctx context.Context, o *op) error {
	o.done = make(chan error, 1)
	err, _ := l.attempt(ctx, o)
	return err
}

// attempt is do. It reports whether nobody has to do with o any more.
func (l *life) attempt(ctx context.Context, o *op) (err error, over bool) {
	b := l.backend
	if err := b.keepTime(ctx); err != nil {
		return err, true
	}
	l.mu.Lock()
	if !l.draining {
		if err := b.begin(); err != nil {
			l.mu.Unlock()
			return err, true
		}
		l.draining = true
		go l.drainer()
	}
	l.queue = append(l.queue, o)
	l.mu.Unlock()
	select {
	case err := <-o.done:
		return err, true
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.queue, o); i >= 0 {
		l.queue = slices.Delete(l.queue, i, i+1)
		return ctx.Err(), true
	}
	select {
	case err := <-o.done:
		return err, true
	default:
		return unknown(ctx.Err()), false
	}
}

// drain writes what is in the queue, batch by batch, until it is empty.
func (l *life) drain() {
	defer l.backend.calls.Done()
	const few = 4
	var room [few]*op
	for {
		l.mu.Lock()
		ops, base := l.queue, l.base
		if len(ops) <= few { // the queue keeps its memory for the next write
			ops = append(room[:0], ops...)
			clear(l.queue)
			l.queue = l.queue[:0]
		} else {
			l.queue = nil
		}
		if len(ops) == 0 {
			l.draining = false
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		ctx := l.backend.limited()
		if slices.ContainsFunc(ops, func(o *op) bool { return o.apply == nil }) {
			l.writeDestroy(ctx, ops, base)
		} else {
			l.write(ctx, ops, base)
		}
	}
}

// finish tells all ops the same.
func finish(ops []*op, err error) {
	for _, o := range ops {
		o.done <- err
	}
}

// write writes what ops change, against base if that is known.
func (l *life) write(ctx context.Context, ops []*op, base document.View) {
	b := l.backend
	rivals := contest{b: b, key: l.key}
	defer rivals.over()
	for {
		fresh := false // base is what the cluster had after ops began
		if base.Bytes() == nil || b.expired(base) {
			doc, err := b.read(ctx, l.key)
			if err == nil {
				base, err = l.own(ctx, doc)
			}
			if err != nil {
				finish(ops, err)
				return
			}
			fresh = true
		}
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
			b.stretchUnknown(l.key, next, err)
			return
		case done:
			l.note(next)
			l.keptFrom(asked)
			rivals.over() // the time to live cannot be set in a lock, not even in one's own
			l.succeed(ops, next, b.stretch(ctx, l.key, next))
			return
		case current == nil:
			finish(ops, l.end())
			return
		}
		base = document.View{} // and current is old after the pause
		if !rivals.lose(&ctx, rivalPauseMost) {
			finish(ops, b.describe(l.key, ctx.Err()))
			return
		}
	}
}

// succeed tells ops that their write took effect, unless the entry could not be told to stay as
// long as the session lives. Then no caller gets success, and the backend goes on trying.
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

// writeDestroy ends the life. The other ops come too late.
func (l *life) writeDestroy(ctx context.Context, ops []*op, base document.View) {
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
	rivals := contest{b: b, key: l.key}
	defer rivals.over()
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
		if !rivals.lose(&ctx, most) {
			if failure == nil {
				return b.describe(l.key, ctx.Err())
			}
			return unknown(b.describe(l.key, failure))
		}
	}
}

var errPerhapsOwn = errors.New("the entry has gone, and whether this call removed it cannot be told")

// removeIf removes this life's entry if values are all that it has. It sets sent before
// the first attempt.
func (l *life) removeIf(ctx context.Context, values []store.Entry, sent *atomic.Bool) error {
	b := l.backend
	for n := 1; ; n++ {
		doc, err := b.read(ctx, l.key)
		if err != nil {
			return err
		}
		if doc == nil && n > 1 {
			// The client repeats calls whose replies were lost, and the second one
			// is refused when the first has removed the entry.
			l.end()
			return unknown(errPerhapsOwn)
		}
		v, err := l.own(ctx, doc)
		if err != nil {
			return err
		}
		if !holds(v, values) {
			return store.ErrConflict
		}
		sent.Store(true)
		gone, err := b.grid.RemoveIfSame(b.attempt(ctx, n), l.key, doc)
		switch {
		case err != nil && b.final(err):
			return b.describe(l.key, err)
		case err != nil:
			b.failed()
			return unknown(b.describe(l.key, err))
		case gone:
			b.tell(ctx, v)
			l.end()
			return nil
		}
		// Somebody has written. Only what was removed and not put back is in doubt.
		if !pause(ctx, n, rivalPause, rivalPauseMost) {
			return b.describe(l.key, ctx.Err())
		}
	}
}

// holds reports whether values are all that v has.
func holds(v document.View, values []store.Entry) bool {
	present := 0
	for _, e := range values {
		now := v.Get(e.Key)
		if (now == nil) != (e.Value == nil) || !bytes.Equal(now, e.Value) {
			return false
		}
		if e.Value != nil {
			present++
		}
	}
	return present == v.Len()
}

// final reports whether the call that failed with err had no effect and will have
// none, nor would the next one. (A client that was exchanged is not active, but its
// successor is.)
func (b *Backend) final(err error) bool {
	return rejected(err) || errors.Is(err, hzerrors.ErrClientNotActive) && !b.running()
}

var errForgotten = errors.New("the reply was lost, and too many others have written since to tell")

// replace puts next, by writer, in the place of base. It reports whether it did and otherwise
// returns the document that is there instead, nil for none. The same bytes never recur under one
// key. So it may try again and again after a lost reply: next is put in place once at most.
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

// wrote reports whether writer has replaced base, going by what is there now, and whether that is sure. It holds only for a
// writer of whose earlier writes the outcome is known. A later revision by it is then the attempt in question. Unless lost
// says that a reply was lost, the refusal that was received is true, provided that the document does not say otherwise. (The
// client itself repeats calls, so that one whose first reply was lost can be refused the second time.)
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
