package system

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store/bench/internal/address"
)

// goRedis is the plain go-redis client: a hash per session, HGET and HSET. Nothing
// is fenced, and the hash's expiry is set once, at its creation.
type goRedis[T any] struct{ c redis.UniversalClient }

// rivalLease ends what a tool that was killed left on a server.
const rivalLease = time.Hour

func openGoRedis[T any](ctx context.Context, url string) (System[T], error) {
	var c redis.UniversalClient
	if address.Cluster(url) {
		o, err := address.RedisCluster(url)
		if err != nil {
			return nil, err
		}
		c = redis.NewClusterClient(o)
	} else {
		o, err := address.Redis(url)
		if err != nil {
			return nil, err
		}
		c = redis.NewClient(o)
	}
	if err := c.Ping(ctx).Err(); err != nil {
		c.Close()
		return nil, err
	}
	return goRedis[T]{c}, nil
}

func (g goRedis[T]) Create(ctx context.Context, id string, keys []string, values []T) (Session[T], error) {
	name := "raw:" + id
	fields := make([]any, 0, 2*len(keys))
	for i, k := range keys {
		text, err := toText(values[i])
		if err != nil {
			return nil, err
		}
		fields = append(fields, k, text)
	}
	p := g.c.TxPipeline()
	p.HSet(ctx, name, fields...)
	p.Expire(ctx, name, rivalLease)
	if _, err := p.Exec(ctx); err != nil {
		return nil, err
	}
	return &goRedisSession[T]{g.c, name}, nil
}

func (g goRedis[T]) Close(context.Context) error { return g.c.Close() }

type goRedisSession[T any] struct {
	c    redis.UniversalClient
	name string
}

func (s *goRedisSession[T]) Get(ctx context.Context, key string) (T, error) {
	text, err := s.c.HGet(ctx, s.name, key).Result()
	if err != nil {
		if errors.Is(err, redis.Nil) {
			err = ErrAbsent
		}
		var zero T
		return zero, err
	}
	return fromText[T](text)
}

func (s *goRedisSession[T]) Set(ctx context.Context, key string, value T) error {
	text, err := toText(value)
	if err != nil {
		return err
	}
	return s.c.HSet(ctx, s.name, key, text).Err()
}

func (s *goRedisSession[T]) Has(ctx context.Context, key string) (bool, error) {
	return s.c.HExists(ctx, s.name, key).Result()
}

func (s *goRedisSession[T]) Delete(ctx context.Context, key string) error {
	return s.c.HDel(ctx, s.name, key).Err()
}

func (s *goRedisSession[T]) Destroy(ctx context.Context) error {
	return s.c.Unlink(ctx, s.name).Err()
}
