package system

import (
	"context"
	"errors"
	"time"

	"github.com/eko/gocache/lib/v4/cache"
	"github.com/eko/gocache/lib/v4/marshaler"
	"github.com/eko/gocache/lib/v4/store"
	"github.com/eko/gocache/store/go_cache/v4"
	gocache "github.com/patrickmn/go-cache"
)

// goCache is gocache over its go-cache store, with its marshaler (msgpack) for typed values, as its README has it.
// It can only tell that a value is there by reading it.
type goCache[T any] struct{ m *marshaler.Marshaler }

func openGocache[T any]() (System[T], error) {
	s := go_cache.NewGoCache(gocache.New(time.Hour, 10*time.Minute))
	return flatSystem[T]{goCache[T]{marshaler.New(cache.New[any](s))}}, nil
}

func (g goCache[T]) get(ctx context.Context, key string) (T, error) {
	var v T
	_, err := g.m.Get(ctx, key, &v)
	if err != nil && errors.Is(err, store.NotFound{}) {
		err = ErrAbsent
	}
	return v, err
}

func (g goCache[T]) set(ctx context.Context, key string, value T) error {
	return g.m.Set(ctx, key, value)
}

func (g goCache[T]) has(ctx context.Context, key string) (bool, error) {
	_, err := g.get(ctx, key)
	if errors.Is(err, ErrAbsent) {
		return false, nil
	}
	return err == nil, err
}

func (g goCache[T]) remove(ctx context.Context, key string) error { return g.m.Delete(ctx, key) }

func (g goCache[T]) close(ctx context.Context) error { return g.m.Clear(ctx) }
