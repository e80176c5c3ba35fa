package system

import (
	"context"
	"sync"
)

// syncMaps is one sync.Map of any per session, which the server's code holds on to: no IDs are looked up, nothing is encoded,
// nothing expires.
type syncMaps[T any] struct{}

func (syncMaps[T]) Create(_ context.Context, _ string, keys []string, values []T) (Session[T], error) {
	s := &syncMapSession[T]{}
	for i, k := range keys {
		s.m.Store(k, values[i])
	}
	return s, nil
}

func (syncMaps[T]) Close(context.Context) error { return nil }

type syncMapSession[T any] struct{ m sync.Map }

func (s *syncMapSession[T]) Get(_ context.Context, key string) (T, error) {
	return typed[T](s.m.Load(key))
}

func (s *syncMapSession[T]) Set(_ context.Context, key string, value T) error {
	s.m.Store(key, value)
	return nil
}

func (s *syncMapSession[T]) Has(_ context.Context, key string) (bool, error) {
	_, ok := s.m.Load(key)
	return ok, nil
}

func (s *syncMapSession[T]) Delete(_ context.Context, key string) error {
	s.m.Delete(key)
	return nil
}

func (s *syncMapSession[T]) Destroy(context.Context) error {
	s.m.Clear()
	return nil
}

// rwMaps is one map[string]any with a sync.RWMutex per session, which the server's code holds on to.
type rwMaps[T any] struct{}

func (rwMaps[T]) Create(_ context.Context, _ string, keys []string, values []T) (Session[T], error) {
	s := &rwMapSession[T]{m: make(map[string]any, len(keys))}
	for i, k := range keys {
		s.m[k] = values[i]
	}
	return s, nil
}

func (rwMaps[T]) Close(context.Context) error { return nil }

type rwMapSession[T any] struct {
	mu sync.RWMutex
	m  map[string]any
}

func (s *rwMapSession[T]) Get(_ context.Context, key string) (T, error) {
	s.mu.RLock()
	v, ok := s.m[key]
	s.mu.RUnlock()
	return typed[T](v, ok)
}

func (s *rwMapSession[T]) Set(_ context.Context, key string, value T) error {
	s.mu.Lock()
	s.m[key] = value
	s.mu.Unlock()
	return nil
}

func (s *rwMapSession[T]) Has(_ context.Context, key string) (bool, error) {
	s.mu.RLock()
	_, ok := s.m[key]
	s.mu.RUnlock()
	return ok, nil
}

func (s *rwMapSession[T]) Delete(_ context.Context, key string) error {
	s.mu.Lock()
	delete(s.m, key)
	s.mu.Unlock()
	return nil
}

func (s *rwMapSession[T]) Destroy(context.Context) error {
	s.mu.Lock()
	clear(s.m)
	s.mu.Unlock()
	return nil
}
