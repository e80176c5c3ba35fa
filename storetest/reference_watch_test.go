package storetest_test

import (
	"sync"
	"time"

	"github.com/sessionkv/store"
)

// Watch looks again and again whether the life has ended.
func (b *reference) Watch(session store.Store, hint func()) (stop func(), err error) {
	s, ok := session.(*refStore)
	switch {
	case ok && s.b == b:
	case b.has("foreign Stores are watched"):
		return func() {}, nil
	default:
		return nil, errForeign
	}
	stopped := make(chan struct{})
	var seen life
	b.quiet(s, &seen)
	go func() {
		const every = 5 * time.Millisecond
		for b.quiet(s, &seen) {
			select {
			case <-stopped:
				return
			case <-time.After(every):
			}
		}
		select {
		case <-stopped:
		default:
			hint()
		}
	}()
	if b.has("one watcher hides the others") {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.watched == nil {
			b.watched = make(map[string]func())
		}
		if before := b.watched[s.id]; before != nil {
			before()
		}
		b.watched[s.id] = sync.OnceFunc(func() { close(stopped) })
		return b.watched[s.id], nil
	}
	return sync.OnceFunc(func() { close(stopped) }), nil
}

// quiet reports whether there is nothing to hint at. It notes in seen how the life
// was.
func (b *reference) quiet(s *refStore, seen *life) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	if l := s.life(); l != nil {
		*seen = *l
		return true
	}
	resumed := b.alive(s.id) != nil
	expired := !resumed && !time.Now().Before(seen.until)
	switch b.bug {
	case "Destroy hints at nobody":
		return !resumed && !expired
	case "Resume hints at nobody":
		return resumed
	case "the end of a lease hints at nobody":
		return expired && !seen.suspended
	case "the end of a grace hints at nobody":
		return expired && seen.suspended
	}
	return false
}
