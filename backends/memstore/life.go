package memstore

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sessionkv/store"
)

// A life is one life of one session, and the [store.Store] of it. Its identity is the incarnation.
// A session that lives again is another life, and a handle of the earlier one keeps pointing to the
// life that ended.
type life struct {
	table atomic.Pointer[table] // nil once the life has ended

	mu       sync.Mutex // held by writers and by whoever ends the life; after shard.mu
	deadline int64      // guarded by mu; see expiry.go for the unit
	count    int32      // guarded by mu; keys that have a value
	maxKeys  int32      // 0: no limit

	queued int32        // guarded by shard.mu; place in shard.queue
	fate   atomic.Int32 // how the life has ended
	shard  *shard
	id     string
}

var (
	_ store.Store        = (*life)(nil)
	_ store.ManyGetter   = (*life)(nil)
	_ store.Committer    = (*life)(nil)
	_ store.KeyLister    = (*life)(nil)
	_ store.StableReader = (*life)(nil)

	_ store.ConditionalDestroyer = (*life)(nil)
	_ store.ConditionalDestroyer = (*limited)(nil)

	_ store.ManyGetter   = (*limited)(nil)
	_ store.Committer    = (*limited)(nil)
	_ store.KeyLister    = (*limited)(nil)
	_ store.StableReader = (*limited)(nil)
)

// The fates of a life.
const (
	destroyed int32 = iota
	resumed
	expired
)

// ended returns the error of an operation on a life that has ended.
func (l *life) ended() error {
	switch l.fate.Load() {
	case resumed:
		return store.ErrResumed
	case expired:
		return store.ErrExpired
	}
	return store.ErrDestroyed
}

// limited is a handle whose terms differ from those that the life began with.
type limited struct {
	*life
	maxKeys int32
}

// Set implements [store.Store].
func (h *limited) Set(ctx context.Context, key string, value []byte) error {
	return h.set(ctx, key, value, h.maxKeys)
}

// Commit implements [store.Committer].
func (h *limited) Commit(ctx context.Context, expect, write []store.Entry) ([][]byte, error) {
	current, _, err := h.commit(ctx, expect, write, h.maxKeys)
	return current, err
}

// CommitTimed implements [store.TimedCommitter].
func (h *limited) CommitTimed(ctx context.Context, expect, write []store.Entry) ([][]byte, time.Duration, error) {
	current, deadline, err := h.commit(ctx, expect, write, h.maxKeys)
	return current, h.left(deadline), err
}

// StableReads implements [store.StableReader].
func (l *life) StableReads() bool { return true }

// Get implements [store.Store].
func (l *life) Get(ctx context.Context, key string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if t := l.table.Load(); t != nil {
		if s := t.find(key); s != nil {
			if v := s.val.Load(); v != nil {
				return bytesOf(v), nil
			}
			return nil, store.ErrNotFound
		}
	}
	v, err := l.readMissing(key)
	if err != nil {
		return nil, err
	}
	if v == nil {
		return nil, store.ErrNotFound
	}
	return bytesOf(v), nil
}

// Has implements [store.Store].
func (l *life) Has(ctx context.Context, key string) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if t := l.table.Load(); t != nil {
		if s := t.find(key); s != nil {
			return s.val.Load() != nil, nil
		}
	}
	v, err := l.readMissing(key)
	return v != nil, err
}

// readMissing is what reads do without a slot with that key. The table may be large, the key absent
// or invalid, or the life over.
//
// An invalid key is looked for like any other, for it cannot have been stored;
// so only a miss pays for the check.
func (l *life) readMissing(key string) (value, error) {
	for {
		t := l.table.Load()
		if t == nil {
			return nil, l.gone(key)
		}
		g := t.large()
		if g == nil {
			if s := t.find(key); s != nil {
				return s.val.Load(), nil
			}
			return nil, store.CheckKey(key)
		}
		g.mu.RLock()
		v, over := g.keys[key], g.keys == nil
		g.mu.RUnlock()
		if over {
			continue // there is another table, or none, by now
		}
		if v == nil {
			return nil, store.CheckKey(key)
		}
		return v, nil
	}
}

// gone returns the error of an operation on keys after the life has ended.
func (l *life) gone(keys ...string) error {
	if l.shard.backend.closed.Load() {
		return store.ErrClosed
	}
	for _, key := range keys {
		if err := store.CheckKey(key); err != nil {
			return err
		}
	}
	return l.ended()
}

// Set implements [store.Store].
func (l *life) Set(ctx context.Context, key string, value []byte) error {
	return l.set(ctx, key, value, l.maxKeys)
}

func (l *life) set(ctx context.Context, key string, b []byte, maxKeys int32) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	v := newValue(b)
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.table.Load()
	if t == nil {
		return l.gone(key)
	}
	// A key that has a value is valid and within the limit.
	s := t.find(key)
	if s != nil && s.val.Load() != nil {
		s.val.Store(v)
		return nil
	}
	if g := t.large(); g != nil && g.replace(key, v) {
		return nil
	}
	if err := store.CheckKey(key); err != nil {
		return err
	}
	if maxKeys > 0 && l.count >= maxKeys {
		return store.ErrTooManyKeys
	}
	l.add(t, s, key, v)
	return nil
}

// Delete implements [store.Store].
func (l *life) Delete(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.table.Load()
	if t == nil {
		return l.gone(key)
	}
	if t.get(key) == nil {
		return store.CheckKey(key)
	}
	l.put(t, key, nil)
	return nil
}

// put stores or removes (v is nil) one key in t, the table of l. The caller
// holds mu.
func (l *life) put(t *table, key string, v value) {
	s := t.find(key)
	had := t.get(key) != nil
	if v != nil && !had {
		l.add(t, s, key, v)
		return
	}
	if g := t.large(); g != nil {
		g.mu.Lock()
		g.put(key, v, nil)
		g.mu.Unlock()
	} else if s != nil {
		s.val.Store(v)
	}
	if v == nil && had {
		l.count--
		l.shrink(t)
	}
}

// shrink gives memory back when most keys of t, the table of l, have been removed. The
// caller holds mu.
func (l *life) shrink(t *table) {
	if next := t.fewer(int(l.count)); next != t {
		l.table.Store(next)
		t.retire()
	}
}

// add stores v under a key that has no value, in t, the table of l, or in a
// larger one that takes its place. The slot s is what t.find(key) returned. The
// caller holds mu.
func (l *life) add(t *table, s *slot, key string, v value) {
	names := &l.shard.backend.names
	g := t.large()
	switch {
	case s != nil:
		s.val.Store(v)
	case g != nil:
		g.mu.Lock()
		g.put(key, v, names)
		g.mu.Unlock()
	case !t.append(key, v, names):
		// Doubling keeps a life that adds one key at a time from copying its
		// table each time; three is what a small session has.
		more := newTable(max(3, int(l.count)+1+int(l.count)/2))
		t.copyTo(more)
		more.put(key, v, names)
		l.table.Store(more)
	}
	l.count++
}

// delta is by how much the number of keys changes.
func delta(had, has bool) int32 {
	switch {
	case has && !had:
		return 1
	case had && !has:
		return -1
	}
	return 0
}

// GetMany implements [store.ManyGetter]. The mutex makes it one instant.
func (l *life) GetMany(ctx context.Context, keys []string) ([][]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	values := make([][]byte, len(keys))
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.table.Load()
	if t == nil {
		return nil, l.gone(keys...)
	}
	for i, key := range keys {
		v := t.get(key)
		if v == nil {
			if err := store.CheckKey(key); err != nil {
				return nil, err
			}
			continue
		}
		values[i] = bytesOf(v)
	}
	return values, nil
}

// Keys implements [store.KeyLister].
func (l *life) Keys(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	keys, err := l.keys()
	slices.Sort(keys)
	return keys, err
}

func (l *life) keys() ([]string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.table.Load()
	if t == nil {
		return nil, l.gone()
	}
	keys := make([]string, 0, l.count)
	t.all(func(key string, _ value) { keys = append(keys, key) })
	return keys, nil
}

// Commit implements [store.Committer]. A key that appears twice in write gets the
// later value.
func (l *life) Commit(ctx context.Context, expect, write []store.Entry) ([][]byte, error) {
	current, _, err := l.commit(ctx, expect, write, l.maxKeys)
	return current, err
}

// CommitTimed implements [store.TimedCommitter].
func (l *life) CommitTimed(ctx context.Context, expect, write []store.Entry) ([][]byte, time.Duration, error) {
	current, deadline, err := l.commit(ctx, expect, write, l.maxKeys)
	return current, l.left(deadline), err
}

// left returns how long it takes until the deadline of a commit, 0 without one.
func (l *life) left(deadline int64) time.Duration {
	if deadline == 0 {
		return 0
	}
	return time.Duration(max(0, deadline-l.shard.backend.now()))
}

// commit is Commit for a handle with that limit, and returns the deadline of the life where it took effect.
func (l *life) commit(ctx context.Context, expect, write []store.Entry, maxKeys int32) (now [][]byte, deadline int64, err error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	if l.shard.backend.closed.Load() {
		return nil, 0, store.ErrClosed
	}
	if err := checkKeys(expect); err != nil {
		return nil, 0, err
	}
	if err := checkKeys(write); err != nil {
		return nil, 0, err
	}
	var few [8]value // spares an allocation
	values := few[:0]
	for i := range write {
		var v value
		if write[i].Value != nil {
			v = newValue(write[i].Value)
		}
		values = append(values, v)
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.table.Load()
	if t == nil {
		return nil, 0, l.gone()
	}
	for i := range expect {
		now, want := orNil(t.get(expect[i].Key)), expect[i].Value
		if (now == nil) != (want == nil) || !bytes.Equal(now, want) {
			return current(t, expect), 0, store.ErrConflict
		}
	}
	var added, change int32
	for i := range write {
		d := delta(t.get(write[i].Key) != nil, values[i] != nil)
		added += max(d, 0)
		change += d
	}
	if maxKeys > 0 && added > 0 && l.count+change > maxKeys {
		return nil, 0, store.ErrTooManyKeys
	}
	switch len(write) {
	case 0:
	case 1:
		l.put(t, write[0].Key, values[0])
	default:
		l.putAll(t, write, values, int(added))
	}
	return nil, l.deadline, nil
}

// putAll stores values under the keys of write in one step for readers: it
// changes a copy of t and publishes that. The caller holds mu.
func (l *life) putAll(t *table, write []store.Entry, values []value, added int) {
	names := &l.shard.backend.names
	if g := t.large(); g != nil {
		g.mu.Lock()
		for i := range write {
			g.put(write[i].Key, values[i], names)
		}
		l.count = int32(len(g.keys))
		g.mu.Unlock()
		l.shrink(t)
		return
	}
	next := newTable(int(l.count) + added)
	t.copyTo(next)
	for i := range write {
		l.count += delta(next.get(write[i].Key) != nil, values[i] != nil)
		next.put(write[i].Key, values[i], names)
	}
	l.table.Store(next)
}

func current(t *table, expect []store.Entry) [][]byte {
	values := make([][]byte, len(expect))
	for i := range expect {
		values[i] = orNil(t.get(expect[i].Key))
	}
	return values
}

func checkKeys(entries []store.Entry) error {
	for i := range entries {
		if err := store.CheckKey(entries[i].Key); err != nil {
			return err
		}
	}
	return nil
}

// fill gives a life that is not published yet its initial values.
func (l *life) fill(initial []store.Entry, names *names) error {
	if err := checkKeys(initial); err != nil {
		return err
	}
	t := newTable(len(initial))
	for i := range initial {
		if initial[i].Value == nil {
			continue
		}
		l.count += delta(t.get(initial[i].Key) != nil, true)
		t.put(initial[i].Key, newValue(initial[i].Value), names)
	}
	if l.maxKeys > 0 && l.count > l.maxKeys {
		return store.ErrTooManyKeys
	}
	l.table.Store(t)
	return nil
}

// Destroy implements [store.Store].
func (l *life) Destroy(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if l.shard.backend.closed.Load() {
		return store.ErrClosed
	}
	l.shard.destroy(l)
	return nil
}

// DestroyIf implements [store.ConditionalDestroyer].
func (l *life) DestroyIf(ctx context.Context, values []store.Entry) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if l.shard.backend.closed.Load() {
		return store.ErrClosed
	}
	if err := checkKeys(values); err != nil {
		return err
	}
	return l.shard.destroyIf(l, values)
}

// holds reports whether values are all that l, whose table is t, has. The caller
// holds mu.
func (l *life) holds(t *table, values []store.Entry) bool {
	present := int32(0)
	for i := range values {
		now, want := orNil(t.get(values[i].Key)), values[i].Value
		if (now == nil) != (want == nil) || !bytes.Equal(now, want) {
			return false
		}
		if want != nil {
			present++
		}
	}
	return present == l.count
}

// renew moves the deadline to lease after now, if that is later. The entry in
// the queue stays where it is; it is put right when it comes up. Where l does not have the values of
// expect, it changes nothing.
func (l *life) renew(now int64, expect []store.Entry, lease time.Duration) error {
	l.mu.Lock()
	t := l.table.Load()
	if t != nil && l.deadline > now {
		defer l.mu.Unlock()
		if !l.has(t, expect) {
			return store.ErrConflict
		}
		if lease > 0 {
			l.deadline = max(l.deadline, after(now, lease))
		}
		return nil
	}
	l.mu.Unlock()
	if t != nil {
		// The timer is late. Nobody may see this life again once we say that
		// it has ended.
		l.shard.expire(l)
	}
	return l.gone()
}

// end ends the life in the way of fate. If heir is not nil, it takes over the values, in a table of
// its own. A late reader of this life must not see what the heir writes. The caller holds shard.mu.
func (l *life) end(fate int32, heir *life) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.finish(fate, heir)
}

// finish is end for callers that hold mu as well.
func (l *life) finish(fate int32, heir *life) {
	l.fate.Store(fate) // before the table goes: whoever finds none looks here
	t := l.table.Swap(nil)
	g := t.large()
	if g != nil {
		g.mu.Lock()
		keys := g.keys
		g.keys = nil
		g.mu.Unlock()
		g = &large{keys: keys, peak: g.peak}
		g.room = isLarge
	}
	if heir == nil {
		return
	}
	next := newTable(0)
	if g != nil {
		next = &g.table
	} else if l.count > 0 {
		next = newTable(int(l.count))
		t.copyTo(next)
	}
	heir.count = l.count
	heir.table.Store(next)
}
