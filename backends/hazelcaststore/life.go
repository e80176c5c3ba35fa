package hazelcaststore

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"weak"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/hazelcaststore/internal/document"
)

// A life is what this backend has seen of one life of a session. All its handles
// share it, so that their writes are combined and none of them disturbs another.
type life struct {
	// What a renewal looks at comes first, in one line of the cache: of most lives there is
	// nothing in it.
	backend  *Backend
	ended    atomic.Bool            // known to have ended; that does not change
	watchers atomic.Int32           // see Watch
	owned    atomic.Uint64          // written under mu; the owner in base, 0 for none
	stays    atomic.Int64           // written under mu; the cluster keeps the entry until then at least
	cohort   atomic.Pointer[cohort] // of the owner here that keeps this life alive, nil for none

	how    atomic.Pointer[error]
	key    string // of the entry
	token  document.Token
	writer uint64 // tells the writes of this life here from all others; another after each of unknown outcome

	mu       sync.Mutex
	base     document.View // guarded by mu; the newest document seen, against which to write
	queue    []*op         // guarded by mu; waiting for the next write, see op
	draining bool          // guarded by mu; drain runs
	drainer  func()        // drain, made once
}

// lives finds the lives that handles exist of. It does not keep them.
type lives struct {
	mu    sync.Mutex
	known map[lifeName]weak.Pointer[life] // guarded by mu
}

type lifeName struct {
	key   string
	token document.Token
}

func (ls *lives) init() { ls.known = make(map[lifeName]weak.Pointer[life]) }

// life returns the life that document v under key belongs to.
func (b *Backend) life(key string, v document.View) *life {
	return b.lifeOf(key, v, rand.Uint64())
}

// lifeOf is life, with the writer that is to be used if the life is new here.
func (b *Backend) lifeOf(key string, v document.View, writer uint64) *life {
	name := lifeName{key, v.Token()}
	ls := &b.lives
	ls.mu.Lock()
	defer ls.mu.Unlock()
	// One that is known to have ended says so for good. When its entry is there
	// again, as after the merge of a split cluster, new handles get a life of their own.
	if l := ls.known[name].Value(); l != nil && !l.ended.Load() {
		l.note(v)
		return l
	}
	l := &life{backend: b, key: key, token: name.token, writer: writer, base: v}
	l.owned.Store(v.Owner())
	l.drainer = l.drain
	ls.known[name] = weak.Make(l)
	runtime.AddCleanup(l, ls.forget, name)
	return l
}

// find returns the life if a handle of it exists.
func (ls *lives) find(name lifeName) *life {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return ls.known[name].Value()
}

// forget drops a life without handles, unless it has come back meanwhile.
func (ls *lives) forget(name lifeName) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.known[name].Value() == nil {
		delete(ls.known, name)
	}
}

// note remembers v if it is newer than what is known.
func (l *life) note(v document.View) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.base.Bytes() == nil || v.Revision() > l.base.Revision() {
		l.base = v
		l.owned.Store(v.Owner())
	}
}

// end remembers that the life has ended.
func (l *life) end() error {
	l.ended.Store(true)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.base = document.View{}
	l.owned.Store(0)
	return store.ErrDestroyed
}

// endAs is end for an end of which why is known.
func (l *life) endAs(why error) error {
	l.how.CompareAndSwap(nil, &why)
	l.end()
	return l.why()
}

// why says how the life ended: ErrDestroyed, or what is known more closely.
func (l *life) why() error {
	if why := l.how.Load(); why != nil {
		return *why
	}
	return store.ErrDestroyed
}

// check refuses what no operation of a handle accepts.
func (l *life) check(ctx context.Context, keys ...string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if l.backend.closed.Load() {
		return store.ErrClosed
	}
	for _, key := range keys {
		if err := store.CheckKey(key); err != nil {
			return err
		}
	}
	if l.ended.Load() {
		return l.why()
	}
	return nil
}

// view reads the document in one round trip.
func (l *life) view(ctx context.Context) (document.View, error) {
	b := l.backend
	if err := b.keepTime(ctx); err != nil {
		return document.View{}, err
	}
	return await(b, ctx, func(ctx context.Context) (document.View, error) {
		if b.nearCache {
			// What a near cache says counts only if it is good news, and
			// no older than what this process has seen already.
			doc, err := b.load(ctx, l.key)
			if err != nil {
				return document.View{}, err
			}
			if v, err := document.Open(doc); err == nil && v.Token() == l.token && v.Revision() >= l.newest() && !b.expired(v) {
				l.note(v)
				return v, nil
			}
		}
		doc, err := b.read(ctx, l.key)
		if err != nil {
			return document.View{}, err
		}
		return l.own(ctx, doc)
	})
}

func (l *life) newest() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.base.Bytes() == nil {
		return 0
	}
	return l.base.Revision()
}

// own returns the View of doc, which was just read, if it is this life's.
func (l *life) own(ctx context.Context, doc []byte) (document.View, error) {
	v, alive, err := l.backend.living(ctx, l.key, doc)
	switch {
	case err != nil:
		return document.View{}, err
	case alive && v.Token() != l.token:
		return document.View{}, l.endAs(store.ErrResumed)
	case !alive && v.Bytes() != nil && v.Token() == l.token:
		return document.View{}, l.endAs(store.ErrExpired)
	case !alive:
		return document.View{}, l.end()
	}
	l.note(v)
	return v, nil
}

// living opens doc, which was just read under key, and reports whether a session
// lives there. One that has outlived its deadline is removed before anybody is told
// that it has ended. So it has ended in every process, whatever the clocks are. v is then what
// was removed here.
func (b *Backend) living(ctx context.Context, key string, doc []byte) (v document.View, alive bool, err error) {
	for n := 1; doc != nil; n++ {
		v, err := document.Open(doc)
		if err != nil && !errors.Is(err, document.ErrNewer) {
			return document.View{}, false, err
		}
		if !b.expired(v) {
			return v, err == nil, err
		}
		var record []byte
		if v.Owner() != 0 {
			var err error
			if _, record, err = b.ownerUntil(ctx, v.Owner()); err != nil {
				return document.View{}, false, err
			}
			if !b.expired(v) {
				continue
			}
		}
		// Nobody is told so on the word of an old clock, or of one that others doubt.
		if err := b.judge(ctx); err != nil {
			return document.View{}, false, err
		}
		if !b.expired(v) {
			continue
		}
		if record != nil { // the owner must not go on
			if err := b.removeRecord(ctx, v.Owner(), record); err != nil {
				return document.View{}, false, err
			}
			if until, _, err := b.ownerUntil(ctx, v.Owner()); err != nil || until != 0 {
				if err != nil {
					return document.View{}, false, err
				}
				continue
			}
		}
		gone, err := b.grid.RemoveIfSame(b.attempt(ctx, n), key, doc)
		if gone && err == nil {
			return v, false, nil
		}
		if err != nil && (b.final(err) || !pause(ctx, n, failurePause, failurePauseMost)) {
			return document.View{}, false, b.describe(key, err)
		}
		if doc, err = b.read(ctx, key); err != nil {
			return document.View{}, false, err
		}
	}
	return document.View{}, false, nil
}

// expired reports whether the deadline of v has passed, and that of its owner as far as
// it is known here.
func (b *Backend) expired(v document.View) bool {
	earliest, _ := b.clock.now()
	return v.Deadline() <= earliest && (v.Owner() == 0 || b.owners.until(v.Owner()) <= earliest)
}
