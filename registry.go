package store

import (
	"hash/maphash"
	"iter"
	"sync"
	"sync/atomic"
)

// shardCount spreads the handles of a process: for locking, and over time, as
// one shard's leases are renewed at a time.
const shardCount = 64

// A registry lists the handles that this process must look after: those it owns
// and those on which somebody waits for Done.
type registry struct {
	seed   maphash.Seed
	shards [shardCount]shard
}

type shard struct {
	mu      sync.Mutex
	handles map[string]*Session // guarded by mu; by ID, further handles of an ID hang on next
	closed  bool                // guarded by mu

	renewing atomic.Bool // a round of renewals of this shard is under way
}

func (r *registry) init() {
	r.seed = maphash.MakeSeed()
}

func (r *registry) shard(id string) *shard {
	return &r.shards[maphash.String(r.seed, id)%shardCount]
}

// add lists s and reports whether it did: a closed registry takes nothing.
func (r *registry) add(s *Session) bool {
	sh := r.shard(s.id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.add(s)
}

// add lists s. Its caller holds mu.
func (sh *shard) add(s *Session) bool {
	if sh.closed {
		return false
	}
	if !s.listed {
		if sh.handles == nil {
			sh.handles = make(map[string]*Session)
		}
		s.listed = true
		s.next = sh.handles[s.id]
		sh.handles[s.id] = s
	}
	return true
}

// remove takes s off the list. Its caller holds mu.
func (sh *shard) remove(s *Session) {
	if !s.listed {
		return
	}
	s.listed = false
	head := sh.handles[s.id]
	switch {
	case head == s && s.next == nil:
		delete(sh.handles, s.id)
	case head == s:
		sh.handles[s.id] = s.next
	default:
		for p := head; p != nil; p = p.next {
			if p.next == s {
				p.next = s.next
				break
			}
		}
	}
	s.next = nil
}

// end marks s as ended for the first reason given, wakes those who wait for it
// and takes it off the list.
func (r *registry) end(s *Session, why *ending) {
	sh := r.shard(s.id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if s.ended.CompareAndSwap(nil, why) {
		s.memo.Store(nil)
		if s.done != nil {
			close(s.done)
		}
	}
	sh.remove(s)
}

// done returns the channel that end closes.
func (r *registry) done(s *Session) (done <-chan struct{}, listed bool) {
	sh := r.shard(s.id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if s.done == nil {
		s.done = make(chan struct{})
		if s.ended.Load() != nil {
			close(s.done)
		}
	}
	if s.ended.Load() == nil {
		listed = sh.add(s)
	}
	return s.done, listed
}

// others returns the listed handles with the ID of s apart from s.
func (r *registry) others(s *Session) []*Session {
	sh := r.shard(s.id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	var others []*Session
	for p := sh.handles[s.id]; p != nil; p = p.next {
		if p != s {
			others = append(others, p)
		}
	}
	return others
}

// owned returns the newest handle of id that this process owns.
func (r *registry) owned(id string) (*Session, bool) {
	sh := r.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for p := sh.handles[id]; p != nil; p = p.next {
		if p.owned {
			return p, true
		}
	}
	return nil, false
}

func (r *registry) allOwned() iter.Seq[*Session] {
	return func(yield func(*Session) bool) {
		for i := range r.shards {
			for _, s := range r.shards[i].list() {
				if s.owned && !yield(s) {
					return
				}
			}
		}
	}
}

// list returns all handles of the shard.
func (sh *shard) list() []*Session {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	all := make([]*Session, 0, len(sh.handles))
	for _, s := range sh.handles {
		for ; s != nil; s = s.next {
			all = append(all, s)
		}
	}
	return all
}

// empty reports whether no handle is listed.
func (r *registry) empty() bool {
	for i := range r.shards {
		sh := &r.shards[i]
		sh.mu.Lock()
		n := len(sh.handles)
		sh.mu.Unlock()
		if n > 0 {
			return false
		}
	}
	return true
}

// close refuses further handles and returns those that are listed.
func (r *registry) close() []*Session {
	var all []*Session
	for i := range r.shards {
		sh := &r.shards[i]
		sh.mu.Lock()
		sh.closed = true
		sh.mu.Unlock()
		all = append(all, sh.list()...)
	}
	return all
}
