package memstore

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/keyspace"
)

// Options configures [New]. The zero value is ready to use.
type Options struct {
	// Namespace is what [Backend.Namespace] returns. Two Backends share nothing, whatever their
	// namespaces, but sealed values are bound to it, as they are on a server. Empty means "store".
	// It consists of 1 to 64 of the characters A-Z a-z 0-9 _ . - as with every backend. With any
	// other, every method of the Backend fails.
	Namespace string
}

// shardCount is a power of two well above the number of cores, so that two cores seldom use the
// same shard.
const shardCount = 256

// A Backend is an in-process [store.Backend] whose Stores have all abilities
// and stable reads. Make one with [New]. Every method is safe for concurrent
// use.
type Backend struct {
	namespace string
	invalid   error     // why the options cannot be used
	born      time.Time // all deadlines count from here
	seed      maphash.Seed
	closed    atomic.Bool
	names     names
	alarm     alarm
	shards    [shardCount]shard
	lists     [listShards]listShard
}

var _ store.Backend = (*Backend)(nil)

var (
	errLease   = errors.New("the lease must be positive; give the time that the session lives without a renewal")
	errGrace   = errors.New("the grace period must be positive; to end a session now, destroy it")
	errForeign = fmt.Errorf("%w; renew and suspend it through its own", store.ErrForeignStore)
)

// New returns an empty Backend. A nil opts means defaults. The caller closes it,
// which ends its sessions and stops its timer.
func New(opts *Options) *Backend {
	b := &Backend{
		namespace: keyspace.DefaultNamespace,
		born:      time.Now(),
		seed:      maphash.MakeSeed(),
	}
	if opts != nil {
		ns, err := keyspace.Parse(opts.Namespace)
		b.namespace, b.invalid = string(ns), err
	}
	b.names.seed = maphash.MakeSeed()
	b.alarm.at.Store(never)
	for i := range b.shards {
		b.shards[i].backend = b
		b.shards[i].due.Store(never)
	}
	for i := range b.lists {
		b.lists[i].backend = b
		b.lists[i].due.Store(never)
	}
	return b
}

// Namespace implements [store.Backend].
func (b *Backend) Namespace() string {
	if b == nil {
		return ""
	}
	return b.namespace
}

// Create implements [store.Backend]. A key that appears twice in initial gets
// the later value.
func (b *Backend) Create(ctx context.Context, id string, initial []store.Entry, t store.Terms) (store.Store, error) {
	if err := b.check(ctx, id); err != nil {
		return nil, err
	}
	if t.Lease <= 0 {
		return nil, errLease
	}
	l := &life{id: strings.Clone(id), maxKeys: limit(t.MaxKeys)}
	if err := l.fill(initial, &b.names); err != nil {
		return nil, err
	}
	s := b.shard(id)
	if err := s.create(l, t.Lease); err != nil {
		return nil, err
	}
	return l, nil
}

// Attach implements [store.Backend].
func (b *Backend) Attach(ctx context.Context, id string, t store.Terms) (store.Store, error) {
	if err := b.check(ctx, id); err != nil {
		return nil, err
	}
	l, err := b.shard(id).attach(id)
	if err != nil {
		return nil, err
	}
	if max := limit(t.MaxKeys); max != l.maxKeys {
		return &limited{l, max}, nil
	}
	return l, nil
}

// Resume implements [store.Backend].
func (b *Backend) Resume(ctx context.Context, id string, t store.Terms) (store.Store, error) {
	if err := b.check(ctx, id); err != nil {
		return nil, err
	}
	if t.Lease <= 0 {
		return nil, errLease
	}
	l, err := b.shard(id).resume(id, t.Lease, limit(t.MaxKeys))
	if err != nil {
		return nil, err
	}
	return l, nil
}

// Renew implements [store.Backend].
func (b *Backend) Renew(ctx context.Context, sessions []store.Store, lease time.Duration) []error {
	var errs []error // made at the first failure: there is hardly ever one
	fail := func(i int, err error) {
		if errs == nil {
			errs = make([]error, len(sessions))
		}
		errs[i] = err
	}
	every := ctx.Err()
	var now int64
	if b.made() {
		if every == nil && b.closed.Load() {
			every = store.ErrClosed
		}
		now = b.now()
	}
	for i, s := range sessions {
		l, err := b.own(s)
		switch {
		case err != nil:
		case every != nil:
			err = every
		default:
			err = l.renew(now, nil, lease)
		}
		if err != nil {
			fail(i, err)
		}
	}
	return errs
}

// Suspend implements [store.Backend]. The grace period must be positive.
func (b *Backend) Suspend(ctx context.Context, session store.Store, grace time.Duration) error {
	l, err := b.suspendable(ctx, session, grace)
	if err != nil {
		return err
	}
	return l.shard.suspend(l, nil, grace)
}

// suspendable returns the life of session if it may be suspended for grace now.
func (b *Backend) suspendable(ctx context.Context, session store.Store, grace time.Duration) (*life, error) {
	l, err := b.own(session)
	switch {
	case err != nil:
		return nil, err
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case b.closed.Load():
		return nil, store.ErrClosed
	case grace <= 0:
		return nil, errGrace
	}
	return l, nil
}

// Close ends all sessions, releases their values and stops the timer. Closing
// twice is harmless.
func (b *Backend) Close() error {
	if !b.made() {
		return nil
	}
	b.closed.Store(true)
	b.alarm.stop()
	for i := range b.shards {
		b.shards[i].clear()
	}
	for i := range b.lists {
		b.lists[i].clear()
	}
	return nil
}

// errNotMade refuses a Backend that New did not make.
var errNotMade = errors.New("memstore: this Backend is nil or was not made by New")

// made reports whether b was made by New.
func (b *Backend) made() bool { return b != nil && b.seed != (maphash.Seed{}) }

// usable returns nil, or why no call can succeed.
func (b *Backend) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !b.made() {
		return errNotMade
	}
	if b.closed.Load() {
		return store.ErrClosed
	}
	return b.invalid
}

// check refuses what no method on a session ID accepts.
func (b *Backend) check(ctx context.Context, id string) error {
	if err := b.usable(ctx); err != nil {
		return err
	}
	return store.CheckID(id)
}

// own returns the life behind a Store that this Backend handed out.
func (b *Backend) own(s store.Store) (*life, error) {
	var l *life
	switch s := s.(type) {
	case *life:
		l = s
	case *limited:
		if s != nil {
			l = s.life
		}
	}
	if l == nil || l.shard.backend != b {
		return nil, errForeign
	}
	return l, nil
}

func (b *Backend) shard(id string) *shard {
	return &b.shards[maphash.String(b.seed, id)%shardCount]
}

// limit maps MaxKeys to the form that a life keeps; 0 means no limit.
func limit(maxKeys int) int32 {
	if maxKeys <= 0 || maxKeys > math.MaxInt32 {
		return 0
	}
	return int32(maxKeys)
}
