package memstore

import "github.com/sessionkv/store"

var _ store.Watcher = (*Backend)(nil)

// watched are the lives whose end somebody waits for. A life without such pays nothing.
type watched map[*life]*watcher

// A watcher is one that waits for an end.
type watcher struct {
	hint func()
	next *watcher
}

// hint tells those who watch l that it has ended. Its caller holds the shard's mu.
func (w watched) hint(l *life) {
	if len(w) == 0 {
		return
	}
	for p := w[l]; p != nil; p = p.next {
		p.hint()
	}
	delete(w, l)
}

// Watch implements [store.Watcher]. An end, also by a deadline, is hinted at when it
// happens; nothing gets lost.
func (b *Backend) Watch(session store.Store, hint func()) (stop func(), err error) {
	l, err := b.own(session)
	if err != nil {
		return nil, err
	}
	if b.closed.Load() {
		return nil, store.ErrClosed
	}
	s := l.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.table.Load() == nil { // an end that came before
		hint()
		return func() {}, nil
	}
	if s.watched == nil {
		s.watched = make(watched)
	}
	w := &watcher{hint: hint, next: s.watched[l]}
	s.watched[l] = w
	return func() { s.unwatch(l, w) }, nil
}

// unwatch takes w off the list of l.
func (s *shard) unwatch(l *life, w *watcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	head := s.watched[l]
	switch {
	case head == w && w.next == nil:
		delete(s.watched, l)
	case head == w:
		s.watched[l] = w.next
	default:
		for p := head; p != nil; p = p.next {
			if p.next == w {
				p.next = w.next
				break
			}
		}
	}
}
