package redisstore

import (
	"context"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// CacheOptions configures the cache of a [Backend] for reads; see Options.Cache. The
// zero value is ready to use. The section on client-side caching in the package
// comment says what may be stale and for how long.
type CacheOptions struct {
	// MaxStaleness is how long what was read serves without asking the server again,
	// should the server's notices of changes be lost. Zero means [DefaultMaxStaleness].
	MaxStaleness time.Duration

	// MaxBytes bounds the memory of the cache. What was not read from the server for
	// the longest time goes first. A session whose values take more than a 256th of it is not
	// kept. Zero means 64 MiB.
	MaxBytes int
}

// DefaultMaxStaleness is how long a cache serves what was read without asking the
// server again, where its options do not say.
const DefaultMaxStaleness = 5 * time.Second

const (
	defaultCacheBytes = 64 << 20
	longestStaleness  = 1 << 61 // nanoseconds: 73 years, so that sums of times do not overflow
)

// A cache keeps what was read of sessions in this process. Reads that find nothing
// there go to the server like all others, through the batcher.
//
//  1. All of a session is in one slot, and a slot is in one of many shards by the
//     session's name. A handle remembers its slot, and a hit takes no lock.
//  2. A read begins with a fetch in the slot, before its command is sent. Whoever
//     wants the same in the next 100 ms waits for it. It ends when nobody waits any more.
//  3. A fetch asks for more than was asked for: for the fields that are in use. A write to a
//     session then costs one read, not one for each key. What is kept is from one fetch.
//  4. A notice of the server, or a write of this process, empties the slot and makes its
//     fetches stale. What a stale fetch brings is not kept, and nobody joins it any more.
//     So it does not matter in which order the reply, on one connection, and the notice,
//     on another, arrive. Of fetches that overlap none is kept, see end.
//  5. Without a connection for notices nothing is kept, and reads ask the server; see tracking.
//  6. What is kept serves for staleness from when its fetch began: a notice that was lost
//     does no harm for longer.
type cache struct {
	staleness int64 // nanoseconds
	shardSize int   // bytes
	seed      maphash.Seed
	read      func(ctx context.Context, name any, fields []any) ([]any, error)

	// epoch is the number of the connection for notices; zero while there is none.
	epoch    atomic.Uint64
	tracking *tracking

	shards [shards]shard
}

const shards = 64

// A shard has a part of the sessions.
type shard struct {
	mu     sync.Mutex
	slots  map[string]*slot // by the session's name
	oldest *slot            // the one that was not filled for the longest time
	newest *slot
	bytes  int
	_      [64]byte
}

func newCache(o CacheOptions) *cache {
	c := &cache{staleness: int64(o.MaxStaleness), shardSize: o.MaxBytes / shards, seed: maphash.MakeSeed()}
	if c.staleness <= 0 {
		c.staleness = int64(DefaultMaxStaleness)
	}
	c.staleness = min(c.staleness, longestStaleness)
	if o.MaxBytes <= 0 {
		c.shardSize = defaultCacheBytes / shards
	}
	for i := range c.shards {
		c.shards[i].slots = map[string]*slot{}
	}
	return c
}

func (c *cache) shardOf(name string) *shard {
	return &c.shards[maphash.String(c.seed, name)%shards]
}

// now is the time of the cache.
func now() int64 { return int64(time.Since(began)) }

// hit returns what is kept of the field called key of s, which may be absent.
func (c *cache) hit(s *handle, key string) (value any, ok bool) {
	slot := s.slot.Load()
	if slot == nil {
		return nil, false
	}
	kept := slot.kept.Load()
	if kept == nil || kept.token != s.token {
		return nil, false
	}
	f := kept.find(key, 0)
	if f == nil || now()-kept.at > c.staleness {
		return nil, false
	}
	f.use()
	return f.value, true
}

// fields returns fields of s, the first of which is the token's. They are from one
// reading of the server.
func (c *cache) fields(ctx context.Context, s *handle, fields []any) ([]any, error) {
	epoch := c.epoch.Load()
	if epoch == 0 {
		c.tracking.start()
	}
	// What is kept has an age for each field, so it cannot answer for none.
	if epoch == 0 || len(fields) < 2 || len(fields) > maxFields {
		return c.read(ctx, s.name, fields)
	}
	at := now()
	slot := c.lock(s, at)
	if values := slot.values(s.token, fields, at-c.staleness); values != nil {
		slot.shard.mu.Unlock()
		return values, nil
	}
	f := slot.join(fields, epoch, at-min(c.staleness, joinFor))
	begun := f == nil
	if begun {
		f = slot.begin(fields, epoch, at)
	}
	f.callers++
	reading := ctx
	if begun && ctx.Done() != nil {
		// Others may wait for it, or come to, when this caller leaves.
		reading, f.cancel = context.WithCancel(context.WithoutCancel(ctx))
	}
	slot.shard.mu.Unlock()
	switch {
	case begun && ctx.Done() == nil:
		c.fetch(ctx, slot, f, s.name)
	case begun:
		go c.fetch(reading, slot, f, s.name)
	}
	select {
	case <-f.done:
	case <-ctx.Done():
		slot.quit(f)
		return nil, ctx.Err()
	}
	if f.err != nil {
		return nil, f.err
	}
	return f.pick(fields), nil
}

// fetch brings what f asks for, and keeps it if it may.
func (c *cache) fetch(ctx context.Context, slot *slot, f *fetch, name any) {
	f.err = errNoReply // for those who wait, should a hook of the client panic
	defer func() {
		sh := slot.shard
		sh.mu.Lock()
		slot.leave(f)
		switch {
		case f.err != nil || f.callers == 0:
		case slot.dead: // what another has been filled with since may be older
			if other := sh.slots[slot.name]; other != nil {
				other.empty()
			}
		case !slot.end(f) || c.epoch.Load() != f.epoch:
			slot.miss(f)
		default:
			c.keep(slot, f)
		}
		sh.mu.Unlock()
		close(f.done)
		if f.cancel != nil {
			f.cancel()
		}
	}()
	f.values, f.err = c.read(ctx, name, f.fields)
}

// keep puts what f has brought into its slot. The shard is locked.
func (c *cache) keep(slot *slot, f *fetch) {
	sh := slot.shard
	if !isToken(f.values[0]) {
		sh.remove(slot) // there is no session
		return
	}
	slot.fill(f)
	if slot.bytes > c.shardSize/4 {
		sh.remove(slot)
		return
	}
	sh.append(slot)
	for sh.bytes > c.shardSize {
		sh.remove(sh.oldest)
	}
}

// lock returns the slot of s, with its shard locked.
func (c *cache) lock(s *handle, at int64) *slot {
	if slot := s.slot.Load(); slot != nil {
		slot.shard.mu.Lock()
		if !slot.dead {
			return slot
		}
		slot.shard.mu.Unlock()
	}
	name := s.name.(string)
	sh := c.shardOf(name)
	sh.mu.Lock()
	got := sh.slots[name]
	if got == nil {
		// What has not served for long makes room, two for each that comes.
		for range 2 {
			if old := sh.oldest; old != nil && old.filled < at-2*c.staleness {
				sh.remove(old)
			}
		}
		got = &slot{shard: sh, name: name, filled: at}
		sh.slots[name] = got
		got.resize()
		sh.append(got)
		// It may never be filled, if reads fail or writes overtake them.
		for sh.bytes > c.shardSize && sh.oldest != got {
			sh.remove(sh.oldest)
		}
	}
	s.slot.Store(got)
	return got
}

// forget drops what was read of s, and keeps reads that are in progress from being
// kept or joined.
func (c *cache) forget(s *handle) {
	if slot := s.slot.Load(); slot != nil {
		slot.shard.mu.Lock()
		dead := slot.dead
		slot.empty()
		slot.shard.mu.Unlock()
		if !dead {
			return
		}
	}
	c.changed(s.name.(string))
}

// changed is forget for the session called name.
func (c *cache) changed(name string) {
	sh := c.shardOf(name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if slot := sh.slots[name]; slot != nil {
		slot.empty()
	}
}

// clear drops everything, and keeps reads that are in progress from being kept.
func (c *cache) clear() {
	for i := range c.shards {
		sh := &c.shards[i]
		sh.mu.Lock()
		for sh.oldest != nil {
			sh.remove(sh.oldest)
		}
		sh.mu.Unlock()
	}
}

// append puts slot behind all others. The shard is locked.
func (sh *shard) append(slot *slot) {
	sh.unlink(slot)
	slot.older = sh.newest
	if sh.newest != nil {
		sh.newest.newer = slot
	} else {
		sh.oldest = slot
	}
	sh.newest = slot
}

func (sh *shard) unlink(slot *slot) {
	if slot.older != nil {
		slot.older.newer = slot.newer
	} else if sh.oldest == slot {
		sh.oldest = slot.newer
	}
	if slot.newer != nil {
		slot.newer.older = slot.older
	} else if sh.newest == slot {
		sh.newest = slot.older
	}
	slot.older, slot.newer = nil, nil
}

// remove drops slot for good. The shard is locked.
func (sh *shard) remove(slot *slot) {
	sh.unlink(slot)
	delete(sh.slots, slot.name)
	slot.dead = true
	slot.kept.Store(nil)
	slot.wanted, slot.fetches = nil, nil
	sh.bytes -= slot.bytes
	slot.bytes = 0
}
