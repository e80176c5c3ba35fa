package system

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/eko/gocache/lib/v4/cache"
	"github.com/eko/gocache/lib/v4/marshaler"
	"github.com/eko/gocache/lib/v4/store"
	"github.com/eko/gocache/store/go_cache/v4"
	"github.com/maypok86/otter/v2"
	gocache "github.com/patrickmn/go-cache"
	"github.com/philippgille/gokv"
	"github.com/philippgille/gokv/redis"

	"github.com/sessionkv/store/bench/internal/address"
	"github.com/sessionkv/store/bench/internal/workload"
)

// openOtter is one otter cache of any for all sessions, bounded far above what the run needs, so that nothing is evicted. With
// copied it hands out claims with a list of their own, as this library does.
func openOtter[T any](copied bool) (System[T], error) {
	c, err := otter.New(&otter.Options[string, any]{MaximumSize: 1 << 26})
	if err != nil {
		return nil, err
	}
	return &keyed[T]{
		get: func(_ context.Context, name, key string) (T, error) {
			t, err := typed[T](c.GetIfPresent(flat(name, key)))
			if claims, ok := any(&t).(*workload.Claims); ok && copied {
				claims.Scopes = slices.Clone(claims.Scopes)
			}
			return t, err
		},
		set: func(_ context.Context, name, key string, value T) error { c.Set(flat(name, key), value); return nil },
		has: func(_ context.Context, name, key string) (bool, error) {
			_, ok := c.GetIfPresent(flat(name, key))
			return ok, nil
		},
		remove: func(_ context.Context, name, key string) error { c.Invalidate(flat(name, key)); return nil },
		close:  func(context.Context) error { c.StopAllGoroutines(); return nil },
	}, nil
}

// openGocache is gocache over its go-cache store, with its marshaler (msgpack) for typed values, as its README has it.
func openGocache[T any]() System[T] {
	m := marshaler.New(cache.New[any](go_cache.NewGoCache(gocache.New(time.Hour, 10*time.Minute))))
	return &keyed[T]{
		get: func(ctx context.Context, name, key string) (v T, err error) {
			if _, err = m.Get(ctx, flat(name, key), &v); errors.Is(err, store.NotFound{}) {
				err = ErrAbsent
			}
			return v, err
		},
		set:    func(ctx context.Context, name, key string, value T) error { return m.Set(ctx, flat(name, key), value) },
		remove: func(ctx context.Context, name, key string) error { return m.Delete(ctx, flat(name, key)) },
		close:  m.Clear,
	}
}

// openGokv is a gokv store with its default codec, JSON. Its entries never expire.
func openGokv[T any](s gokv.Store) System[T] {
	return &keyed[T]{
		get: func(_ context.Context, name, key string) (v T, err error) {
			ok, err := s.Get(flat(name, key), &v)
			if err == nil && !ok {
				err = ErrAbsent
			}
			return v, err
		},
		set:    func(_ context.Context, name, key string, value T) error { return s.Set(flat(name, key), value) },
		remove: func(_ context.Context, name, key string) error { return s.Delete(flat(name, key)) },
		close:  func(context.Context) error { return s.Close() },
	}
}

func openGokvRedis[T any](url string) (System[T], error) {
	o, err := address.RedisServer(url)
	if err != nil {
		return nil, err
	}
	c, err := redis.NewClient(redis.Options{Address: o.Addr, Password: o.Password, DB: o.DB})
	if err != nil {
		return nil, err
	}
	return openGokv[T](c), nil
}
