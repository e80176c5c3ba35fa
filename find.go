package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"sync"
	"sync/atomic"
)

// Find returns the living sessions of all nodes whose value is v, in no particular order, as handles of
// [Sessions.Attach]. The key must be one of [Options].Indexes.
//
//	for sess, err := range UserID.Find(ctx, sessions, "u-42") {
//		if err != nil {
//			return err
//		}
//		…
//	}
//
// Every session that has the value from before Find began until it is over is found, whatever its
// owners do meanwhile, also when it gets a new ID; and each one that is found had the value at a moment
// in between. A session whose value cannot be read now is an error without a handle, after which
// the others follow. When the index itself cannot be read, or ctx ends, such an error is the last.
//
// Find reads the index page by page and each session that it names, some of them ahead, and keeps 16 bytes
// for each.
func (k Key[T]) Find(ctx context.Context, ss *Sessions, v T) iter.Seq2[*Session, error] {
	return k.bound().Find(ctx, ss, v)
}

// DestroyAll destroys the sessions that [Key.Find] finds, and returns how many it has ended: it logs a user out
// everywhere. A session that is resumed meanwhile, or gets a new ID, is destroyed as well. After an
// error some may be left, and DestroyAll may be called again.
func (k Key[T]) DestroyAll(ctx context.Context, ss *Sessions, v T) (int, error) {
	return k.bound().DestroyAll(ctx, ss, v)
}

// Count returns how many sessions [Key.Find] finds. It reads each of them.
func (k Key[T]) Count(ctx context.Context, ss *Sessions, v T) (int, error) {
	return k.bound().Count(ctx, ss, v)
}

// Find is [Key.Find].
func (k CodecKey[T]) Find(ctx context.Context, ss *Sessions, v T) iter.Seq2[*Session, error] {
	return func(yield func(*Session, error) bool) {
		q, err := newSearch(ctx, ss, k.name, v)
		if err != nil {
			yield(nil, wrap("find", k.name, err))
			return
		}
		q.run(func(page []found) bool {
			for i := range page {
				if f := &page[i]; f.err != nil {
					if !yield(nil, wrap("find", k.name, f.err)) {
						return false
					}
				} else if !yield(ss.foundHandle(f), nil) {
					return false
				}
			}
			return true
		})
	}
}

// foundHandle returns a handle of a session that was found.
func (ss *Sessions) foundHandle(f *found) *Session {
	s := ss.handle(f.id, false)
	s.bind(f.raw)
	ss.registry.count(s, beganAttach)
	return s
}

// DestroyAll is [Key.DestroyAll].
func (k CodecKey[T]) DestroyAll(ctx context.Context, ss *Sessions, v T) (int, error) {
	q, err := newSearch(ctx, ss, k.name, v)
	if err != nil {
		return 0, wrap("destroy all", k.name, err)
	}
	var ended atomic.Int64
	var failures failures
	q.run(func(page []found) bool {
		together(len(page), func(i int) {
			f := &page[i]
			if f.err == nil {
				var gone bool
				if gone, f.err = q.destroy(f); gone {
					ended.Add(1)
				}
			}
			failures.add(f.err)
		})
		// A session that got a new ID while its old one was destroyed is in the index by now.
		q.again = q.again || len(page) > 0 && failures.first == nil
		return true
	})
	if err := failures.err("sessions could not be destroyed"); err != nil {
		return int(ended.Load()), wrap("destroy all", k.name, err)
	}
	return int(ended.Load()), nil
}

// Count is [Key.Count].
func (k CodecKey[T]) Count(ctx context.Context, ss *Sessions, v T) (int, error) {
	q, err := newSearch(ctx, ss, k.name, v)
	if err != nil {
		return 0, wrap("count", k.name, err)
	}
	n := 0
	var failures failures
	q.run(func(page []found) bool {
		for i := range page {
			if failures.add(page[i].err); page[i].err == nil {
				n++
			}
		}
		return true
	})
	if err := failures.err("sessions could not be read"); err != nil {
		return n, wrap("count", k.name, err)
	}
	return n, nil
}

// failures are those of a call that goes on after each.
type failures struct {
	mu    sync.Mutex
	n     int
	first error
}

func (f *failures) add(err error) {
	if err == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
	if f.first == nil {
		f.first = err
	}
}

func (f *failures) err(what string) error {
	switch f.n {
	case 0:
		return nil
	case 1:
		return f.first
	}
	return fmt.Errorf("%d %s; the first error: %w", f.n, what, f.first)
}

// A search looks for the sessions with one value of an indexed key.
type search struct {
	ctx   context.Context
	ss    *Sessions
	index *Index
	want  []byte // in the form of appendPlain
	lists []string
	seen  map[[16]byte]struct{} // hashes of IDs that were looked at
	again bool                  // there may be sessions that came into the index meanwhile
}

// found is a session that has the value, or an error.
type found struct {
	id    string
	entry IndexEntry
	raw   Store
	err   error
	match bool
	gone  bool // no such session lives
}

func newSearch[T any](ctx context.Context, ss *Sessions, key string, v T) (*search, error) {
	if !ss.valid() {
		return nil, errNoSessions
	}
	index := ss.indexes.of(key)
	if index == nil {
		return nil, ErrNotIndexed
	}
	if t := reflect.TypeFor[T](); t != index.typ {
		return nil, fmt.Errorf("the index is of values of type %v, and this key has type %v", index.typ, t)
	}
	q := &search{ctx: ctx, ss: ss, index: index, want: appendPlain(nil, reflect.ValueOf(&v).Elem()), seen: make(map[[16]byte]struct{})}
	for _, h := range ss.hashes(index, q.want) {
		q.lists = append(q.lists, h.list())
	}
	if len(q.lists) == 0 {
		return nil, errNoHash
	}
	return q, nil
}

// run passes what is found to visit, page by page, until visit returns false. An error that ends the search is the last thing
// that visit gets.
func (q *search) run(visit func([]found) bool) {
	// A session that gets a new ID is in the index under the new one before the old one is dead. So where a
	// session has gone, the index is read once more.
	for q.again = true; q.again; {
		q.again = false
		for _, list := range q.lists {
			for cursor, more := "", true; more; more = cursor != "" {
				var page []found
				var err error
				page, cursor, err = q.page(list, cursor)
				if err != nil {
					visit([]found{{err: err}})
					return
				}
				if len(page) > 0 && !visit(page) {
					return
				}
			}
		}
	}
}

// page returns what a page of the index names and has the value, or cannot be read.
func (q *search) page(list, cursor string) (page []found, next string, err error) {
	if err := q.ctx.Err(); err != nil {
		return nil, "", err
	}
	if err := q.ss.enter(); err != nil {
		return nil, "", err
	}
	defer q.ss.calls.exit()
	members, next, err := q.ss.indexes.backend.Entries(q.ctx, list, cursor)
	if err != nil {
		return nil, "", err
	}
	for _, m := range members {
		id, ok := idOf(m)
		if !ok {
			continue // nobody here has written that
		}
		sum := sha256.Sum256([]byte(id))
		short := [16]byte(sum[:])
		if _, seen := q.seen[short]; seen {
			continue
		}
		q.seen[short] = struct{}{}
		page = append(page, found{id: id, entry: IndexEntry{list, m}})
	}
	together(len(page), func(i int) { q.look(&page[i]) })
	if err := q.ctx.Err(); err != nil {
		return nil, "", err
	}
	left := page[:0]
	for _, f := range page {
		q.again = q.again || f.gone
		if f.match || f.err != nil {
			left = append(left, f)
		}
	}
	return left, next, nil
}

// together calls f(0) … f(n-1), some at a time.
func together(n int, f func(i int)) {
	var (
		next    atomic.Int64
		workers sync.WaitGroup
	)
	for range min(indexWorkers, n) {
		workers.Go(func() {
			for i := next.Add(1) - 1; int(i) < n; i = next.Add(1) - 1 {
				f(int(i))
			}
		})
	}
	workers.Wait()
}

// look finds out whether the session of f has the value.
func (q *search) look(f *found) {
	f.match, f.gone, f.err = false, false, nil
	var retry backoff
	for {
		raw, err := q.ss.backend.Attach(q.ctx, f.id, q.ss.terms(q.ss.lease))
		if errors.Is(err, ErrNoSession) {
			f.gone = true
			return
		}
		if err != nil {
			f.err = err
			return
		}
		value, err := getCurrent(q.ctx, raw, q.index.key)
		switch {
		case errors.Is(err, ErrNotFound):
			return
		case errors.Is(err, ErrDestroyed): // and perhaps resumed: it is looked at again
			if err := retry.wait(q.ctx); err != nil {
				f.err = err
				return
			}
			continue
		case err != nil:
			f.err = err
			return
		}
		s := &Session{sessions: q.ss, id: f.id}
		plain, err := s.plain(q.index, value)
		if err == nil && bytes.Equal(plain, q.want) {
			f.raw, f.match = raw, true
		}
		return
	}
}

// destroy ends the session of f, in whatever life it is by now, and reports whether it has gone.
func (q *search) destroy(f *found) (gone bool, err error) {
	ss := q.ss
	var retry backoff
	for {
		local := ss.registry.others(&Session{sessions: ss, id: f.id})
		if err := f.raw.Destroy(q.ctx); err != nil {
			return false, err
		}
		ss.renewals.verify(q.ctx, local)
		// Destroy says nothing when the session was resumed in between: then it lives on.
		if q.look(f); f.err != nil || f.gone {
			if f.gone {
				ss.renewals.unlist([]IndexEntry{f.entry})
			}
			return f.gone, f.err
		}
		if !f.match {
			return false, nil
		}
		if err := retry.wait(q.ctx); err != nil {
			return false, err
		}
	}
}
