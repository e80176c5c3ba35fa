package hazelcaststore

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hazelcast/hazelcast-go-client"
	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/keyspace"
)

// DefaultTimeout is the zero meaning of [Options].Timeout.
const DefaultTimeout = 10 * time.Second

// Options configures [New]. The zero value is ready to use.
type Options struct {
	// Namespace keeps the sessions of one application apart from those of
	// others on the same cluster: 1 to 64 of the characters A-Z a-z 0-9 _ . -
	// The map is called by the namespace and ":sessions". Empty means "store".
	Namespace string

	// Timeout bounds how long one operation waits for the cluster, the retries
	// of the client included, when its context allows more.
	// Zero or less means [DefaultTimeout].
	Timeout time.Duration

	// NearCache allows reads to be answered from a near cache that the client
	// has for the map. They are then as old as the near cache lets them be: a
	// session that another process destroyed or changed can be read for a
	// while yet. Writes, renewals and this process's own changes are not
	// affected. Without it, New refuses a client that has a near cache there.
	NearCache bool
}

// A Backend keeps sessions in one map of a Hazelcast cluster. Its Stores have all
// abilities except stable reads. Make one with [New]. Every method is safe for
// concurrent use.
type Backend struct {
	namespace  keyspace.Namespace
	timeout    time.Duration
	defaultTTL time.Duration // of the map's entries, as the members are configured
	nearCache  bool
	grid       grid
	running    func() bool // whether the client runs
	clock      clock
	lives      lives

	limit  atomic.Pointer[limit]
	ctx    context.Context // ends on Close
	cancel context.CancelFunc
	gate   sync.RWMutex // held for writing while closed is set
	closed atomic.Bool
	calls  sync.WaitGroup // calls and goroutines under way
}

var _ store.Backend = (*Backend)(nil)

// New returns a Backend on client, which the caller keeps and shuts down, after
// the Backend. A nil opts means defaults.
//
// It asks the cluster how the map is configured, and fails with an error that
// satisfies errors.Is(err, [ErrMapConfig]) and shows the lines to add when
// sessions would not be safe there. It also learns the cluster's time. That takes
// about thirty round trips. An unreachable cluster is an error when ctx or
// Options.Timeout ends.
func New(ctx context.Context, client *hazelcast.Client, opts *Options) (*Backend, error) {
	if client == nil {
		return nil, errClient
	}
	b, err := prepare(opts)
	if err != nil {
		return nil, err
	}
	b.running = client.Running
	m, err := await(b, ctx, func(ctx context.Context) (*hazelcast.Map, error) {
		m, err := client.GetMap(ctx, b.mapName())
		return m, b.describe(b.mapName(), err)
	})
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	b.grid = m
	b.nearCache = !m.LocalMapStats().NearCacheStats.CreationTime.IsZero()
	if b.nearCache && (opts == nil || !opts.NearCache) {
		return nil, errors.Join(errNearCache, b.Close())
	}
	if err := b.start(ctx); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// prepare returns a Backend that knows no map yet.
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
	b := &Backend{namespace: namespace, timeout: o.Timeout, clock: clock{origin: time.Now()}}
	b.lives.init()
	b.ctx, b.cancel = context.WithCancel(context.Background())
	return b, nil
}

// start finds out what the backend needs to know of the cluster.
func (b *Backend) start(ctx context.Context) error {
	_, err := await(b, ctx, func(ctx context.Context) (struct{}, error) {
		err := b.inspect(ctx)
		if err == nil {
			err = b.calibrate(ctx)
		}
		if errors.Is(err, ErrMapConfig) {
			return struct{}{}, err
		}
		return struct{}{}, b.describe(b.mapName(), err)
	})
	return err
}

func (b *Backend) mapName() string { return string(b.namespace) + ":sessions" }

// Namespace implements [store.Backend].
func (b *Backend) Namespace() string { return string(b.namespace) }

// Close ends the calls under way and waits for them, which takes up to about two
// seconds while no member can be reached: so long the client does not look up. It
// does not shut the client down. A write under way fails with
// [store.ErrUnknownOutcome].
func (b *Backend) Close() error {
	b.gate.Lock()
	b.closed.Store(true)
	b.gate.Unlock()
	b.cancel()
	b.calls.Wait()
	return nil
}

// check refuses what no method on a session ID accepts.
func (b *Backend) check(ctx context.Context, id string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if b.closed.Load() {
		return store.ErrClosed
	}
	return store.CheckID(id)
}
