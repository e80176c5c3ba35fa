package system

import "context"

// A flat store has one space of keys and no sessions. A session is then a prefix, the way such libraries' users
// build one, and its end is the deletion of its keys, one after the other.
type flat[T any] interface {
	get(ctx context.Context, key string) (T, error)
	set(ctx context.Context, key string, value T) error
	has(ctx context.Context, key string) (bool, error)
	remove(ctx context.Context, key string) error
	close(ctx context.Context) error
}

type flatSystem[T any] struct{ flat[T] }

func (f flatSystem[T]) Create(ctx context.Context, id string, keys []string, values []T) (Session[T], error) {
	s := &flatSession[T]{f.flat, id + ":", keys}
	for i, k := range keys {
		if err := s.Set(ctx, k, values[i]); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (f flatSystem[T]) Close(ctx context.Context) error { return f.close(ctx) }

type flatSession[T any] struct {
	flat   flat[T]
	prefix string
	keys   []string
}

func (s *flatSession[T]) Get(ctx context.Context, key string) (T, error) {
	return s.flat.get(ctx, s.prefix+key)
}

func (s *flatSession[T]) Set(ctx context.Context, key string, value T) error {
	return s.flat.set(ctx, s.prefix+key, value)
}

func (s *flatSession[T]) Has(ctx context.Context, key string) (bool, error) {
	return s.flat.has(ctx, s.prefix+key)
}

func (s *flatSession[T]) Delete(ctx context.Context, key string) error {
	return s.flat.remove(ctx, s.prefix+key)
}

func (s *flatSession[T]) Destroy(ctx context.Context) error {
	for _, k := range s.keys {
		if err := s.Delete(ctx, k); err != nil {
			return err
		}
	}
	return nil
}
