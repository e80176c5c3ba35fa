package system

import (
	"context"
	"errors"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends"
	"github.com/sessionkv/store/bench/internal/address"
	"github.com/sessionkv/store/codec"
)

// ownStore is this library, through its typed keys: encoded values, leases renewed, writes fenced.
type ownStore[T any] struct {
	backend  store.Backend
	sessions *store.Sessions
}

func openStore[T any](ctx context.Context, url, codecName string) (System[T], error) {
	c := codec.Msgpack
	if codecName == "json" {
		c = codec.JSON
	}
	b, err := backends.Open(ctx, address.Own(url))
	if err != nil {
		return nil, err
	}
	// Sessions of a tool that was killed end after the default lease.
	ss, err := store.New(b, &store.Options{Codec: c})
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return &ownStore[T]{b, ss}, nil
}

func (o *ownStore[T]) Create(ctx context.Context, id string, keys []string, values []T) (Session[T], error) {
	initial := make([]store.Change, len(keys))
	for i, k := range keys {
		initial[i] = store.Key[T](k).To(values[i])
	}
	s, err := o.sessions.Create(ctx, id, initial...)
	if err != nil {
		return nil, err
	}
	return (*ownSession[T])(s), nil
}

func (o *ownStore[T]) Close(ctx context.Context) error {
	return errors.Join(o.sessions.Close(ctx), o.backend.Close())
}

type ownSession[T any] store.Session

func (s *ownSession[T]) session() *store.Session { return (*store.Session)(s) }

func (s *ownSession[T]) Get(ctx context.Context, key string) (T, error) {
	v, err := store.Key[T](key).Get(ctx, s.session())
	if err != nil && errors.Is(err, store.ErrNotFound) {
		err = ErrAbsent
	}
	return v, err
}

func (s *ownSession[T]) Set(ctx context.Context, key string, value T) error {
	return store.Key[T](key).Set(ctx, s.session(), value)
}

func (s *ownSession[T]) Has(ctx context.Context, key string) (bool, error) {
	return store.Key[T](key).Has(ctx, s.session())
}

func (s *ownSession[T]) Delete(ctx context.Context, key string) error {
	return store.Key[T](key).Delete(ctx, s.session())
}

func (s *ownSession[T]) Update(ctx context.Context, key string, change func(T) T) error {
	_, err := store.Key[T](key).Update(ctx, s.session(), func(old T, _ bool) (T, error) { return change(old), nil })
	return err
}

func (s *ownSession[T]) Destroy(ctx context.Context) error { return s.session().Destroy(ctx) }
