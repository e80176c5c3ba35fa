package system

import (
	"context"
	"encoding/gob"
	"time"

	"github.com/alexedwards/scs/goredisstore"
	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"
	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store/bench/internal/address"
)

func openSCSMemory[T any]() System[T] {
	// Without its cleaner, whose start and stop race with each other; nothing expires during a measurement.
	return newSCS[T](memstore.NewWithCleanupInterval(0), func() error { return nil })
}

func openSCSRedis[T any](url string) (System[T], error) {
	o, err := address.RedisServer(url)
	if err != nil {
		return nil, err
	}
	c := redis.NewClient(o)
	return newSCS[T](goredisstore.New(c), c.Close), nil
}

// newSCS is the session manager of scs. It is made for HTTP: a request loads the whole session and commits it at the end. Each
// operation is such a request, since a realtime server's messages come one by one and to several nodes.
func newSCS[T any](s scs.Store, end func() error) System[T] {
	var v T
	gob.Register(v)
	m := scs.New()
	m.Store = s
	m.Lifetime = time.Hour
	write := func(ctx context.Context, name string, do func(ctx context.Context)) (string, error) {
		ctx, err := m.Load(ctx, name)
		if err != nil {
			return "", err
		}
		do(ctx)
		token, _, err := m.Commit(ctx)
		return token, err
	}
	return &keyed[T]{
		create: func(ctx context.Context, _ string, keys []string, values []T) (string, error) {
			return write(ctx, "", func(ctx context.Context) {
				for i, k := range keys {
					m.Put(ctx, k, values[i])
				}
			})
		},
		get: func(ctx context.Context, name, key string) (v T, err error) {
			ctx, err = m.Load(ctx, name)
			if err != nil {
				return v, err
			}
			v, ok := m.Get(ctx, key).(T)
			if !ok {
				err = ErrAbsent
			}
			return v, err
		},
		set: func(ctx context.Context, name, key string, value T) error {
			_, err := write(ctx, name, func(ctx context.Context) { m.Put(ctx, key, value) })
			return err
		},
		has: func(ctx context.Context, name, key string) (bool, error) {
			ctx, err := m.Load(ctx, name)
			return err == nil && m.Exists(ctx, key), err
		},
		remove: func(ctx context.Context, name, key string) error {
			_, err := write(ctx, name, func(ctx context.Context) { m.Remove(ctx, key) })
			return err
		},
		destroy: func(ctx context.Context, name string) error {
			ctx, err := m.Load(ctx, name)
			if err != nil {
				return err
			}
			return m.Destroy(ctx)
		},
		close: func(context.Context) error { return end() },
	}
}
