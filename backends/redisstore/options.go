package redisstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore/internal/batch"
	"github.com/sessionkv/store/internal/keyspace"
)

// Options configures [New]. The zero value is ready to use.
type Options struct {
	// Namespace keeps the sessions of one application apart from all else on the server. It has 1
	// to 64 of the characters A-Z a-z 0-9 _ . - Empty means "store".
	Namespace string

	// DisableBatching sends every operation individually. By default operations
	// that run at the same time share pipelines, which serves many sessions
	// several times faster and costs a lone caller nothing.
	DisableBatching bool

	// WaitReplicas is the number of replicas that must have every write before
	// it counts as done (the command WAIT), except renewals. Where fewer
	// confirm within WaitTimeout, the write fails with
	// [store.ErrUnknownOutcome]: it is on the primary, and a failover may
	// lose it. Such writes are not batched. Zero means none.
	WaitReplicas int

	// WaitTimeout bounds the wait for WaitReplicas. It must be shorter than the
	// client's ReadTimeout. Zero means one second.
	WaitTimeout time.Duration

	// Cache, if not nil, answers Get and GetMany from the memory of this process where it can. See
	// the section on client-side caching in the package comment. It is for a client of a single
	// server, with RESP3, and takes one connection beside its pool.
	Cache *CacheOptions

	// Logger gets what [Backend.Check] finds to be dangerous but not in the way. It also gets why
	// ends of sessions elsewhere are not noticed promptly, where that is so. Nil drops it.
	Logger *slog.Logger
}

const defaultWaitTimeout = time.Second

// New returns a Backend that keeps sessions on the server of client, which the
// caller keeps and closes after the Backend. A nil opts means defaults.
//
// The client may be a *redis.Client, also one of redis.NewFailoverClient (Sentinel), or a
// *redis.ClusterClient that does not read from replicas. Those lag behind, and a session that was
// destroyed would go on living there. A *redis.Ring is refused, because it moves sessions when a
// shard fails.
//
// New does not talk to the server.
func New(client redis.UniversalClient, opts *Options) (*Backend, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	namespace, err := keyspace.Parse(o.Namespace)
	if err != nil {
		return nil, fmt.Errorf("redis: %w", err)
	}
	if o.WaitReplicas < 0 || o.WaitTimeout < 0 {
		return nil, errors.New("redis: WaitReplicas and WaitTimeout must not be negative")
	}
	if o.WaitTimeout == 0 {
		o.WaitTimeout = defaultWaitTimeout
	}
	b := &Backend{client: client, namespace: namespace, logger: o.Logger}
	if b.logger == nil {
		b.logger = slog.New(slog.DiscardHandler)
	}
	var readTimeout time.Duration
	switch c := client.(type) {
	case *redis.Client:
		if c == nil {
			return nil, errNoClient
		}
		readTimeout, b.password = c.Options().ReadTimeout, c.Options().Password
		b.gate = &gate{client: c}
		if o.Cache != nil {
			if c.Options().Protocol == 2 {
				return nil, errCacheProtocol
			}
			b.cache = newCache(*o.Cache)
		}
	case *redis.ClusterClient:
		if c == nil {
			return nil, errNoClient
		}
		if c.Options().ReadOnly {
			return nil, errors.New("redis: this cluster client reads from replicas, which lag behind; create it without ReadOnly, RouteByLatency and RouteRandomly")
		}
		if o.Cache != nil {
			return nil, errCacheCluster
		}
		readTimeout, b.password = c.Options().ReadTimeout, c.Options().Password
		b.nodes = batch.NewNodes(c)
	case nil:
		return nil, errNoClient
	default:
		return nil, fmt.Errorf("redis: %T cannot serve sessions; use *redis.Client or *redis.ClusterClient", client)
	}
	if o.WaitReplicas > 0 && readTimeout > 0 && o.WaitTimeout >= readTimeout {
		return nil, fmt.Errorf("redis: WaitTimeout (%v) must be shorter than the client's ReadTimeout (%v)", o.WaitTimeout, readTimeout)
	}

	var plain executor = direct{client}
	if !o.DisableBatching {
		b.replies = newReplies()
		o := batch.Options{Replies: b.replies, Nodes: b.nodes}
		b.merger = newMerger(func(ctx context.Context) (*redis.Client, error) { return nodeOf(ctx, client, b.nodes, "") })
		if b.nodes == nil {
			o.Merger = b.merger
		}
		b.batcher = batch.New(client, o)
		plain = b.batcher
	}
	b.executors = [...]executor{read: plain, again: plain, once: plain}
	if b.cache != nil {
		b.cache.read = func(ctx context.Context, name any, fields []any) ([]any, error) {
			return b.hmget(ctx, name, fields...)
		}
		b.cache.tracking = &tracking{b: b}
	}
	if o.WaitReplicas > 0 {
		w := &waiter{client: client, nodes: b.nodes, replicas: o.WaitReplicas, timeout: o.WaitTimeout}
		b.executors[again], b.executors[once] = w, w
		b.waits = true
	} else {
		b.native = newNativeOf(client, func() string { return namespace.Session(store.NewID()) })
	}
	b.notices = newNotices(b)
	return b, nil
}

var errNoClient = errors.New("redis: the client is nil; pass the one that you made with the redis package")
