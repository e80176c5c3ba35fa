package redisstore

import (
	"context"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// A Cache is a client-side cache for reads. Give it to a client, and a Backend
// over that client reads through it:
//
//	client := redis.NewClient(&redis.Options{
//		Addr:            addr,
//		ClientSideCache: redisstore.NewCache(redis.CacheConfig{}),
//	})
//	backend, err := redisstore.New(client, nil)
//
// See the section on client-side caching in the package comment for what may be
// stale and for how long. A Cache belongs to one client. All methods are safe
// for concurrent use; only go-redis calls them.
type Cache struct{ *redis.LocalCache }

// DefaultMaxStaleness is how long a [Cache] serves an entry without asking the
// server again, where its configuration does not say.
const DefaultMaxStaleness = 5 * time.Second

// NewCache returns an empty cache. The zero MaxStaleness of config means
// [DefaultMaxStaleness], everything else is as go-redis documents it.
func NewCache(config redis.CacheConfig) *Cache {
	if config.MaxStaleness <= 0 {
		config.MaxStaleness = DefaultMaxStaleness
	}
	return &Cache{LocalCache: redis.NewLocalCache(config)}
}

// Reserve implements [redis.Cache]. go-redis puts the database and the user
// before a name, in a form of its own, which ends with NUL. The bare name is
// added, so that forget does not depend on that form.
func (c *Cache) Reserve(cacheKey string, redisKeys []string) (token uint64, shouldFetch bool) {
	keys := make([]string, 0, 2*len(redisKeys))
	for _, key := range redisKeys {
		keys = append(keys, key, key[strings.LastIndexByte(key, 0)+1:])
	}
	return c.LocalCache.Reserve(cacheKey, keys)
}

// forget drops everything that was read from name, and keeps reads that are
// in progress from being remembered.
func (c *Cache) forget(name string) { c.LocalCache.DeleteByRedisKey(name) }

// A cachedReader reads through the client's cache. Only commands that go-redis
// may repeat are answered from there.
type cachedReader struct{ direct }

func (r cachedReader) Process(ctx context.Context, cmd redis.Cmder) error {
	if c, ok := cmd.(*command); ok {
		c.retryable = true
	}
	return r.direct.Process(ctx, cmd)
}
