package system

import (
	"context"
	"errors"
)

// flat is a store with one space of keys and no sessions. A session is then a prefix, the way such libraries' users build one, and
// its end is the deletion of its keys, one after the other.
type flat[T any] struct {
	get    func(ctx context.Context, key string) (T, error)
	set    func(ctx context.Context, key string, value T) error
	has    func(ctx context.Context, key string) (bool, error) // nil where it can only tell that a value is there by reading it
	remove func(ctx context.Context, key string) error
	close  func(ctx context.Context) error
}

func (f *flat[T]) Create(ctx context.Context, id string, keys []string, values []T) (Session[T], error) {
	s := &flatSession[T]{f, id + ":", keys}
	for i, k := range keys {
		if err := s.Set(ctx, k, values[i]); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (f *flat[T]) Close(ctx context.Context) error { return f.close(ctx) }

type flatSession[T any] struct {
	*flat[T]
	prefix string
	keys   []string
}

func (s *flatSession[T]) Get(ctx context.Context, key string) (T, error) {
	return s.get(ctx, s.prefix+key)
}

func (s *flatSession[T]) Set(ctx context.Context, key string, value T) error {
	return s.set(ctx, s.prefix+key, value)
}

func (s *flatSession[T]) Has(ctx context.Context, key string) (bool, error) {
	if s.has != nil {
		return s.has(ctx, s.prefix+key)
	}
	_, err := s.get(ctx, s.prefix+key)
	if errors.Is(err, ErrAbsent) {
		return false, nil
	}
	return err == nil, err
}

func (s *flatSession[T]) Delete(ctx context.Context, key string) error {
	return s.remove(ctx, s.prefix+key)
}

func (s *flatSession[T]) Destroy(ctx context.Context) error {
	for _, k := range s.keys {
		if err := s.Delete(ctx, k); err != nil {
			return err
		}
	}
	return nil
}
