package system

import (
	"context"
	"slices"

	"github.com/maypok86/otter/v2"

	"github.com/sessionkv/store/bench/internal/workload"
)

// otterCache is one otter cache of any for all sessions, bounded far above what
// the run needs, so that nothing is evicted.
type otterCache[T any] struct {
	c    *otter.Cache[string, any]
	copy bool // get hands out claims with a list of their own, as this library does
}

func openOtter[T any](copy bool) (System[T], error) {
	c, err := otter.New(&otter.Options[string, any]{MaximumSize: 1 << 26})
	if err != nil {
		return nil, err
	}
	return flatSystem[T]{otterCache[T]{c, copy}}, nil
}

func (o otterCache[T]) get(_ context.Context, key string) (T, error) {
	t, err := typed[T](o.c.GetIfPresent(key))
	if claims, ok := any(&t).(*workload.Claims); ok && o.copy {
		claims.Scopes = slices.Clone(claims.Scopes)
	}
	return t, err
}

func (o otterCache[T]) set(_ context.Context, key string, value T) error {
	o.c.Set(key, value)
	return nil
}

func (o otterCache[T]) has(_ context.Context, key string) (bool, error) {
	_, ok := o.c.GetIfPresent(key)
	return ok, nil
}

func (o otterCache[T]) remove(_ context.Context, key string) error {
	o.c.Invalidate(key)
	return nil
}

func (o otterCache[T]) close(context.Context) error {
	o.c.StopAllGoroutines()
	return nil
}
