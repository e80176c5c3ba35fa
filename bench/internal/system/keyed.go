package system

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// rivalLease ends what a tool that was killed left on a server.
const rivalLease = time.Hour

// keyed is a system that finds a session by a name. Its functions say what a library does for one operation.
type keyed[T any] struct {
	create  func(ctx context.Context, id string, keys []string, values []T) (name string, err error) // nil: the ID is the name, each value is set
	get     func(ctx context.Context, name, key string) (T, error)
	set     func(ctx context.Context, name, key string, value T) error
	has     func(ctx context.Context, name, key string) (bool, error) // nil where it can only tell that a value is there by reading it
	remove  func(ctx context.Context, name, key string) error
	destroy func(ctx context.Context, name string) error // nil: each key is removed
	close   func(ctx context.Context) error
}

func (k *keyed[T]) Create(ctx context.Context, id string, keys []string, values []T) (Session[T], error) {
	s := &keyedSession[T]{k, id, keys}
	if k.create != nil {
		var err error
		s.name, err = k.create(ctx, id, keys, values)
		return s, err
	}
	for i, key := range keys {
		if err := s.Set(ctx, key, values[i]); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (k *keyed[T]) Close(ctx context.Context) error { return k.close(ctx) }

type keyedSession[T any] struct {
	*keyed[T]
	name string
	keys []string
}

func (s *keyedSession[T]) Get(ctx context.Context, key string) (T, error) {
	return s.get(ctx, s.name, key)
}

func (s *keyedSession[T]) Set(ctx context.Context, key string, value T) error {
	return s.set(ctx, s.name, key, value)
}

func (s *keyedSession[T]) Has(ctx context.Context, key string) (bool, error) {
	if s.has != nil {
		return s.has(ctx, s.name, key)
	}
	_, err := s.get(ctx, s.name, key)
	if errors.Is(err, ErrAbsent) {
		return false, nil
	}
	return err == nil, err
}

func (s *keyedSession[T]) Delete(ctx context.Context, key string) error {
	return s.remove(ctx, s.name, key)
}

func (s *keyedSession[T]) Destroy(ctx context.Context) error {
	if s.destroy != nil {
		return s.destroy(ctx, s.name)
	}
	for _, k := range s.keys {
		if err := s.Delete(ctx, k); err != nil {
			return err
		}
	}
	return nil
}

// flat is the key of a library that has one space of keys and no sessions: a session is a prefix, the way its users build one.
func flat(name, key string) string { return name + ":" + key }

// toText returns what raw clients take: a string as it is, any other value as JSON, as the clients' documentation does it.
func toText[T any](v T) (string, error) {
	if s, ok := any(v).(string); ok {
		return s, nil
	}
	b, err := json.Marshal(v)
	return string(b), err
}

// fields returns keys and values in turn, as texts.
func fields[T any](keys []string, values []T) ([]string, error) {
	all := make([]string, 0, 2*len(keys))
	for i, k := range keys {
		text, err := toText(values[i])
		if err != nil {
			return nil, err
		}
		all = append(all, k, text)
	}
	return all, nil
}

// fromText returns the value of a text that was read without an error.
func fromText[T any](text string, err error) (v T, _ error) {
	if err != nil {
		return v, err
	}
	if s, ok := any(&v).(*string); ok {
		*s = text
		return v, nil
	}
	err = json.Unmarshal([]byte(text), &v)
	return v, err
}
