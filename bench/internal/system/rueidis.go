package system

import (
	"context"
	"time"

	"github.com/redis/rueidis"

	"github.com/sessionkv/store/bench/internal/address"
)

// openRueidis is rueidis with its defaults: a hash per session as with go-redis, pipelined by the client itself. With cached,
// reads go through its client-side cache, so they may be as old as an invalidation takes to arrive.
func openRueidis[T any](url string, cached bool) (System[T], error) {
	o, err := address.Redis(url)
	if err != nil {
		return nil, err
	}
	c, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: o.Addrs, Username: o.Username, Password: o.Password, SelectDB: o.DB, ForceSingleClient: !o.IsClusterMode,
	})
	if err != nil {
		return nil, err
	}
	do := func(ctx context.Context, command rueidis.Completed) error { return c.Do(ctx, command).Error() }
	return &keyed[T]{
		create: func(ctx context.Context, id string, keys []string, values []T) (string, error) {
			fields, err := fields(keys, values)
			if err != nil {
				return "", err
			}
			name := "raw:" + id
			set := c.B().Hset().Key(name).FieldValue()
			for i := 0; i < len(fields); i += 2 {
				set = set.FieldValue(fields[i], fields[i+1])
			}
			for _, reply := range c.DoMulti(ctx, set.Build(), c.B().Expire().Key(name).Seconds(int64(rivalLease/time.Second)).Build()) {
				if err := reply.Error(); err != nil {
					return "", err
				}
			}
			return name, nil
		},
		get: func(ctx context.Context, name, key string) (T, error) {
			var reply rueidis.RedisResult
			if command := c.B().Hget().Key(name).Field(key); cached {
				reply = c.DoCache(ctx, command.Cache(), time.Minute)
			} else {
				reply = c.Do(ctx, command.Build())
			}
			text, err := reply.ToString()
			if rueidis.IsRedisNil(err) {
				err = ErrAbsent
			}
			return fromText[T](text, err)
		},
		set: func(ctx context.Context, name, key string, value T) error {
			text, err := toText(value)
			if err != nil {
				return err
			}
			return do(ctx, c.B().Hset().Key(name).FieldValue().FieldValue(key, text).Build())
		},
		has: func(ctx context.Context, name, key string) (bool, error) {
			return c.Do(ctx, c.B().Hexists().Key(name).Field(key).Build()).AsBool()
		},
		remove: func(ctx context.Context, name, key string) error {
			return do(ctx, c.B().Hdel().Key(name).Field(key).Build())
		},
		destroy: func(ctx context.Context, name string) error { return do(ctx, c.B().Unlink().Key(name).Build()) },
		close:   func(context.Context) error { c.Close(); return nil },
	}, nil
}
