package system

import (
	"context"

	"github.com/philippgille/gokv"
	"github.com/philippgille/gokv/redis"
	"github.com/philippgille/gokv/syncmap"

	"github.com/sessionkv/store/bench/internal/address"
)

// gokvStore is a gokv store with its default codec, JSON. gokv can only tell that
// a value is there by reading it, and its entries never expire.
type gokvStore[T any] struct{ s gokv.Store }

func openGokvSyncmap[T any]() (System[T], error) {
	return flatSystem[T]{gokvStore[T]{syncmap.NewStore(syncmap.DefaultOptions)}}, nil
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
	return flatSystem[T]{gokvStore[T]{c}}, nil
}

func (g gokvStore[T]) get(_ context.Context, key string) (T, error) {
	var v T
	ok, err := g.s.Get(key, &v)
	if err == nil && !ok {
		err = ErrAbsent
	}
	return v, err
}

func (g gokvStore[T]) set(_ context.Context, key string, value T) error { return g.s.Set(key, value) }

func (g gokvStore[T]) has(_ context.Context, key string) (bool, error) {
	var v T
	return g.s.Get(key, &v)
}

func (g gokvStore[T]) remove(_ context.Context, key string) error { return g.s.Delete(key) }

func (g gokvStore[T]) close(context.Context) error { return g.s.Close() }
