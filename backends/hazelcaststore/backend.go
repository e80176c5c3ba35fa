package hazelcaststore

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hazelcast/hazelcast-go-client"
	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/keyspace"
)

// DefaultTimeout is the zero meaning of [Options].Timeout.
const DefaultTimeout = 10 * time.Second

// DefaultDocumentSize is the zero meaning of [Options].DocumentSize: one value of
// [store.DefaultValueSize] and something beside it.
const DefaultDocumentSize = store.DefaultValueSize + 64<<10

// Options configures [New]. The zero value is ready to use.
type Options struct {
	// Namespace keeps the sessions of one application apart from those of others on the same
	// cluster. It has 1 to 64 of the characters A-Z a-z 0-9 _ . - The map's name is the namespace
	// and ":sessions". Empty means "store".
	Namespace string

	// Timeout bounds how long one operation waits for the cluster, the retries
	// of the client included, when its context allows more.
	// Zero or less means [DefaultTimeout].
	Timeout time.Duration

	// DocumentSize is the most bytes that all keys and values of a session may
	// take together. What would make it more fails with [store.ErrTooLarge]. Every
	// operation moves the whole document, and while a large one moves, others
	// wait. Zero means [DefaultDocumentSize], and a negative number no limit.
	DocumentSize int

	// NearCache allows reads to be answered from a near cache that the client has for the map. They
	// are then as old as the near cache lets them be. A session that another process destroyed or
	// changed can be read for a while yet. Writes, renewals and this process's own changes are not
	// affected. Without it, New refuses a client that has a near cache there.
	NearCache bool

	// Logger gets why ends of sessions elsewhere do not come to notice promptly, where
	// that is so. Nil drops it.
	Logger *slog.Logger
}

// A Backend keeps sessions in one map of a Hazelcast cluster. Its Stores have all
// abilities except stable reads. Make one with [New]. Every method is safe for
// concurrent use.
type Backend struct {
	namespace    keyspace.Namespace
	timeout      time.Duration
	nearCache    bool
	documentSize int // zero or less: no limit
	grid         grid
	wire         wire
	client       atomic.Pointer[hazelcast.Client]
	own          atomic.Pointer[ownClient] // nil where the caller keeps the client
	running      func() bool               // whether the client runs
	clock        clock
	lives        lives
	owners       owners
	notices      *notices
	logger       *slog.Logger

	entriesStay      atomic.Int64          // the default time to live of the map's entries, as the members are configured
	misconfiguration atomic.Pointer[error] // nil while all members are configured well

	limit    limit           // of whole operations
	attempts [5]limit        // of the attempts at them
	ctx      context.Context // ends on Close
	cancel   context.CancelFunc
	gate     sync.RWMutex // held for writing while closed is set
	closed   atomic.Bool
	calls    sync.WaitGroup // calls and goroutines in progress
}

var _ store.Backend = (*Backend)(nil)

// New returns a Backend on client, which the caller keeps and shuts down, after
// the Backend. A nil opts means defaults.
//
// It asks the cluster how the map is configured. If sessions would not be safe there, it fails with
// an error that satisfies errors.Is(err, [ErrMapConfig]) and shows the lines to add. It also learns
// the cluster's time. That takes some six hundred small calls, sixteen at once. An unreachable
// cluster is an error when ctx or Options.Timeout ends.
func New(ctx context.Context, client *hazelcast.Client, opts *Options) (*Backend, error) {
	if client == nil {
		return nil, errClient
	}
	b, err := prepare(opts)
	if err != nil {
		return nil, err
	}
	b.client.Store(client)
	b.running = func() bool { return b.client.Load().Running() }
	m, err := await(b, ctx, func(ctx context.Context) (*hazelcast.Map, error) {
		m, err := client.GetMap(ctx, b.mapName())
		return m, b.describe(b.mapName(), err)
	})
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	if err := b.follow(client); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	b.wire.current.Store(m)
	b.grid = &b.wire
	b.nearCache = !m.LocalMapStats().NearCacheStats.CreationTime.IsZero()
	if b.nearCache && (opts == nil || !opts.NearCache) {
		return nil, errors.Join(errNearCache, b.Close())
	}
	if err := b.start(ctx); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// prepare returns a Backend without a map.
func prepare(opts *Options) (*Backend, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	namespace, err := keyspace.Parse(o.Namespace)
	if err != nil {
		return nil, err
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.DocumentSize == 0 {
		o.DocumentSize = DefaultDocumentSize
	}
	b := &Backend{namespace: namespace, timeout: o.Timeout, documentSize: o.DocumentSize, clock: clock{origin: time.Now(), busy: make(chan struct{}, 1)}}
	b.clock.due.Store(true)
	b.notices = newNotices(b)
	if b.logger = o.Logger; b.logger == nil {
		b.logger = slog.New(slog.DiscardHandler)
	}
	b.lives.init()
	b.owners.init()
	b.ctx, b.cancel = context.WithCancel(context.Background())
	return b, nil
}

// start reads what the backend needs of the cluster.
func (b *Backend) start(ctx context.Context) error {
	_, err := await(b, ctx, func(ctx context.Context) (struct{}, error) {
		err := b.recalibrate(ctx, calibrationLife)
		if err == nil {
			err = b.clock.bounds.Load().disputed
		}
		return struct{}{}, err
	})
	return err
}

// defaultTTL returns the shortest time to live that members give to an entry which is
// replaced, 0 when some member gives none.
func (b *Backend) defaultTTL() time.Duration { return time.Duration(b.entriesStay.Load()) }

func (b *Backend) setDefaultTTL(d time.Duration) { b.entriesStay.Store(int64(d)) }

func (b *Backend) mapName() string { return string(b.namespace) + ":sessions" }

// Namespace implements [store.Backend].
func (b *Backend) Namespace() string {
	if !b.made() {
		return ""
	}
	return string(b.namespace)
}

// made reports whether b was made by New or Open.
func (b *Backend) made() bool { return b != nil && b.ctx != nil }

// Close ends the calls in progress and waits for them. While no member can be reached, that takes
// up to about two seconds, the longest pause of the client between attempts. It shuts the client down only if
// [Open] started it. A write in progress fails with [store.ErrUnknownOutcome].
func (b *Backend) Close() error {
	if !b.made() {
		return nil
	}
	b.gate.Lock()
	b.closed.Store(true)
	b.gate.Unlock()
	b.notices.close()
	b.cancel()
	b.calls.Wait()
	return b.closeClient()
}

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
	return nil
}

// check refuses what no method on a session ID accepts.
func (b *Backend) check(ctx context.Context, id string) error {
	if err := b.usable(ctx); err != nil {
		return err
	}
	return store.CheckID(id)
}
