package system

import (
	"context"
	"encoding/json"
	"time"
)

// hashes is a plain client of Redis with a hash for each session. Nothing is fenced, and a hash's expiry is set once, at its
// creation. Values are texts.
type hashes interface {
	create(ctx context.Context, name string, fieldsAndValues []string) error
	get(ctx context.Context, name, field string) (string, error)
	set(ctx context.Context, name, field, value string) error
	has(ctx context.Context, name, field string) (bool, error)
	remove(ctx context.Context, name, field string) error
	destroy(ctx context.Context, name string) error
	close() error
}

// rivalLease ends what a tool that was killed left on a server.
const rivalLease = time.Hour

type hashSystem[T any] struct{ c hashes }

func hashed[T any](c hashes, err error) (System[T], error) {
	if err != nil {
		return nil, err
	}
	return hashSystem[T]{c}, nil
}

func (s hashSystem[T]) Create(ctx context.Context, id string, keys []string, values []T) (Session[T], error) {
	fields := make([]string, 0, 2*len(keys))
	for i, k := range keys {
		text, err := toText(values[i])
		if err != nil {
			return nil, err
		}
		fields = append(fields, k, text)
	}
	name := "raw:" + id
	return &hashSession[T]{s.c, name}, s.c.create(ctx, name, fields)
}

func (s hashSystem[T]) Close(context.Context) error { return s.c.close() }

type hashSession[T any] struct {
	c    hashes
	name string
}

func (s *hashSession[T]) Get(ctx context.Context, key string) (T, error) {
	text, err := s.c.get(ctx, s.name, key)
	if err != nil {
		var zero T
		return zero, err
	}
	return fromText[T](text)
}

func (s *hashSession[T]) Set(ctx context.Context, key string, value T) error {
	text, err := toText(value)
	if err != nil {
		return err
	}
	return s.c.set(ctx, s.name, key, text)
}

func (s *hashSession[T]) Has(ctx context.Context, key string) (bool, error) {
	return s.c.has(ctx, s.name, key)
}

func (s *hashSession[T]) Delete(ctx context.Context, key string) error {
	return s.c.remove(ctx, s.name, key)
}

func (s *hashSession[T]) Destroy(ctx context.Context) error { return s.c.destroy(ctx, s.name) }

// toText returns what raw clients take: a string as it is, any other value as JSON, as the clients' documentation does it.
func toText[T any](v T) (string, error) {
	if s, ok := any(v).(string); ok {
		return s, nil
	}
	b, err := json.Marshal(v)
	return string(b), err
}

func fromText[T any](text string) (T, error) {
	var v T
	if s, ok := any(&v).(*string); ok {
		*s = text
		return v, nil
	}
	err := json.Unmarshal([]byte(text), &v)
	return v, err
}
