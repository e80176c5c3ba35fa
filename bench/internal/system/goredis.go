package system

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store/bench/internal/address"
)

// openGoRedis is the plain go-redis client: a hash per session, HGET and HSET. Nothing is fenced, and the hash's expiry is set
// once, at its creation.
func openGoRedis[T any](ctx context.Context, url string) (System[T], error) {
	o, err := address.Redis(url)
	if err != nil {
		return nil, err
	}
	c := redis.NewUniversalClient(o)
	if err := c.Ping(ctx).Err(); err != nil {
		c.Close()
		return nil, err
	}
	return &keyed[T]{
		create: func(ctx context.Context, id string, keys []string, values []T) (string, error) {
			fields, err := fields(keys, values)
			if err != nil {
				return "", err
			}
			name := "raw:" + id
			p := c.TxPipeline()
			p.HSet(ctx, name, fields)
			p.Expire(ctx, name, rivalLease)
			_, err = p.Exec(ctx)
			return name, err
		},
		get: func(ctx context.Context, name, key string) (T, error) {
			text, err := c.HGet(ctx, name, key).Result()
			if errors.Is(err, redis.Nil) {
				err = ErrAbsent
			}
			return fromText[T](text, err)
		},
		set: func(ctx context.Context, name, key string, value T) error {
			text, err := toText(value)
			if err != nil {
				return err
			}
			return c.HSet(ctx, name, key, text).Err()
		},
		has:     func(ctx context.Context, name, key string) (bool, error) { return c.HExists(ctx, name, key).Result() },
		remove:  func(ctx context.Context, name, key string) error { return c.HDel(ctx, name, key).Err() },
		destroy: func(ctx context.Context, name string) error { return c.Unlink(ctx, name).Err() },
		close:   func(context.Context) error { return c.Close() },
	}, nil
}
