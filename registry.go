package store

import (
	"hash/maphash"
	"iter"
	"maps"
	"sync"
	"sync/atomic"
)

// shardCount spreads the handles of a process: for locking, and over time, as the
// leases of some shards are renewed at a time.
const shardCount = 64

// A registry lists the handles that this process must look after: those it owns
// and those on which somebody waits for the end. It keeps the list and changes
// no state; see Session.turn.
type registry struct {
	seed   maphash.Seed
	place  func(id string) uint32 // that shards go by, see Placer; nil: by a hash
	shards [shardCount]shard
}

type shard struct {
	mu      sync.Mutex
	handles map[string]*Session // by ID, further handles of an ID hang on next
	most    int                 // the most handles since the map was made
	closed  bool
	owned   int             // live handles that this process owns
	failing int             // of those, the ones whose latest renewal failed
	loose   int             // listed handles that are loose
	left    int             // owned handles that are loose, listed or not
	began   [begins]uint64  // handles that calls have brought
	ends    [tallies]uint64 // handles that have ended
	// mu guards everything above.

	renewing atomic.Bool // a round of renewals of this shard has not finished
}

// A begin is a way in which handles come about, for the statistics.
type begin uint8

const (
	beganCreate begin = iota
	beganResume
	beganAttach
	beganRotate // not counted: it is the same session
	begins
)

func (r *registry) init(place func(id string) uint32) {
	r.seed, r.place = maphash.MakeSeed(), place
}

func (r *registry) shard(id string) *shard {
	if r.place != nil {
		return &r.shards[uint64(r.place(id))*shardCount>>32]
	}
	return &r.shards[maphash.String(r.seed, id)%shardCount]
}

// add counts the owned handle s, lists it, and reports whether it did: a closed
// registry lists nothing.
func (r *registry) add(s *Session, how begin) bool {
	sh := r.shard(s.id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.began[how]++
	return sh.add(s)
}

// count counts a handle that is not listed.
func (r *registry) count(s *Session, how begin) {
	sh := r.shard(s.id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.began[how]++
}

// countEnd counts the end of a handle whose state did not tell it.
func (r *registry) countEnd(s *Session, how tally) {
	sh := r.shard(s.id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.ends[how]++
}

// add lists the live handle s. Its caller holds mu.
func (sh *shard) add(s *Session) bool {
	if sh.closed {
		return false
	}
	if s.listed {
		return true
	}
	if sh.handles == nil {
		sh.handles = make(map[string]*Session)
	}
	s.listed = true
	s.next = sh.handles[s.id]
	sh.handles[s.id] = s
	sh.most = max(sh.most, len(sh.handles))
	if s.owned {
		sh.owned++
	}
	return true
}

// moved keeps the figures of the shard when the listed handle s changes its state.
// Its caller holds mu.
func (sh *shard) moved(s *Session, from, to *ending) {
	if from == nil && s.owned {
		sh.owned--
	}
	if s.failing {
		s.failing = false
		sh.failing--
	}
	if from != nil && from.phase == loose {
		sh.loose--
	}
	if to.phase == loose {
		sh.loose++
	}
}

// remove takes s off the list. Its caller holds mu.
func (sh *shard) remove(s *Session) {
	if !s.listed {
		return
	}
	s.listed = false
	if e := s.ended.Load(); e != nil && e.phase == loose {
		sh.loose--
	}
	head := sh.handles[s.id]
	switch {
	case head == s && s.next == nil:
		delete(sh.handles, s.id)
		sh.shrink()
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

// shrink makes a smaller map when most of the handles have gone: a map keeps the
// memory of all the entries that it ever had. Its caller holds mu.
func (sh *shard) shrink() {
	const worthwhile, shrinkAt = 64, 4
	if sh.most < worthwhile || len(sh.handles) > sh.most/shrinkAt {
		return
	}
	smaller := make(map[string]*Session, len(sh.handles))
	maps.Copy(smaller, sh.handles)
	sh.handles, sh.most = smaller, len(smaller)
}

// others returns the listed handles with the ID of s apart from s.
func (r *registry) others(s *Session) []*Session {
	sh := r.shard(s.id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	var others []*Session
	for p := sh.handles[s.id]; p != nil; p = p.next {
		if p != s && p.ended.Load() == nil {
			others = append(others, p)
		}
	}
	return others
}

// local returns the newest live handle of id that this process owns.
func (r *registry) local(id string) (*Session, bool) {
	sh := r.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for p := sh.handles[id]; p != nil; p = p.next {
		if p.owned && p.ended.Load() == nil {
			return p, true
		}
	}
	return nil, false
}

func (r *registry) allOwned() iter.Seq[*Session] {
	return func(yield func(*Session) bool) {
		for i := range r.shards {
			for _, s := range r.shards[i].list() {
				if s.owned && s.ended.Load() == nil && !yield(s) {
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
	return sh.all()
}

// all is list for callers that hold mu.
func (sh *shard) all() []*Session {
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
		all = append(all, sh.all()...)
		sh.mu.Unlock()
	}
	return all
}
