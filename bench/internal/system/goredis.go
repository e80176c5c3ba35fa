package system

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store/bench/internal/address"
)

// goRedis is the plain go-redis client.
type goRedis struct{ c redis.UniversalClient }

func openGoRedis(ctx context.Context, url string) (hashes, error) {
	o, err := address.Redis(url)
	if err != nil {
		return nil, err
	}
	c := redis.NewUniversalClient(o)
	if err := c.Ping(ctx).Err(); err != nil {
		c.Close()
		return nil, err
	}
	return goRedis{c}, nil
}

func (g goRedis) create(ctx context.Context, name string, fieldsAndValues []string) error {
	p := g.c.TxPipeline()
	p.HSet(ctx, name, fieldsAndValues)
	p.Expire(ctx, name, rivalLease)
	_, err := p.Exec(ctx)
	return err
}

func (g goRedis) get(ctx context.Context, name, field string) (string, error) {
	text, err := g.c.HGet(ctx, name, field).Result()
	if errors.Is(err, redis.Nil) {
		err = ErrAbsent
	}
	return text, err
}

func (g goRedis) set(ctx context.Context, name, field, value string) error {
	return g.c.HSet(ctx, name, field, value).Err()
}

func (g goRedis) has(ctx context.Context, name, field string) (bool, error) {
	return g.c.HExists(ctx, name, field).Result()
}

func (g goRedis) remove(ctx context.Context, name, field string) error {
	return g.c.HDel(ctx, name, field).Err()
}

func (g goRedis) destroy(ctx context.Context, name string) error { return g.c.Unlink(ctx, name).Err() }

func (g goRedis) close() error { return g.c.Close() }
