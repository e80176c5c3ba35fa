package system

import (
	"context"
	"encoding/gob"
	"time"

	"github.com/alexedwards/scs/goredisstore"
	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"
	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store/bench/internal/address"
)

// scsManager is the session manager of scs. It is made for HTTP: a request loads
// the whole session and commits it at the end. Each operation is such a request,
// since a realtime server's messages come one by one and to several nodes.
type scsManager[T any] struct {
	m     *scs.SessionManager
	close func() error
}

func openSCSMemory[T any]() (System[T], error) {
	// Without its cleaner, whose start and stop race with each other; nothing expires during a measurement.
	return newSCS[T](memstore.NewWithCleanupInterval(0), func() error { return nil }), nil
}

func openSCSRedis[T any](url string) (System[T], error) {
	o, err := address.RedisServer(url)
	if err != nil {
		return nil, err
	}
	c := redis.NewClient(o)
	return newSCS[T](goredisstore.New(c), c.Close), nil
}

func newSCS[T any](s scs.Store, close func() error) System[T] {
	var v T
	gob.Register(v)
	m := scs.New()
	m.Store = s
	m.Lifetime = time.Hour
	return &scsManager[T]{m, close}
}

func (m *scsManager[T]) Create(ctx context.Context, _ string, keys []string, values []T) (Session[T], error) {
	ctx, err := m.m.Load(ctx, "")
	if err != nil {
		return nil, err
	}
	for i, k := range keys {
		m.m.Put(ctx, k, values[i])
	}
	token, _, err := m.m.Commit(ctx)
	if err != nil {
		return nil, err
	}
	return &scsSession[T]{m.m, token}, nil
}

func (m *scsManager[T]) Close(context.Context) error { return m.close() }

type scsSession[T any] struct {
	m     *scs.SessionManager
	token string
}

// request loads the session, does what a request does with it, and commits it where that changes it.
func (s *scsSession[T]) request(ctx context.Context, changes bool, do func(ctx context.Context)) error {
	ctx, err := s.m.Load(ctx, s.token)
	if err != nil {
		return err
	}
	do(ctx)
	if changes {
		_, _, err = s.m.Commit(ctx)
	}
	return err
}

func (s *scsSession[T]) Get(ctx context.Context, key string) (v T, err error) {
	there := false
	err = s.request(ctx, false, func(ctx context.Context) { v, there = s.m.Get(ctx, key).(T) })
	if err == nil && !there {
		err = ErrAbsent
	}
	return v, err
}

func (s *scsSession[T]) Set(ctx context.Context, key string, value T) error {
	return s.request(ctx, true, func(ctx context.Context) { s.m.Put(ctx, key, value) })
}

func (s *scsSession[T]) Has(ctx context.Context, key string) (has bool, err error) {
	err = s.request(ctx, false, func(ctx context.Context) { has = s.m.Exists(ctx, key) })
	return has, err
}

func (s *scsSession[T]) Delete(ctx context.Context, key string) error {
	return s.request(ctx, true, func(ctx context.Context) { s.m.Remove(ctx, key) })
}

func (s *scsSession[T]) Destroy(ctx context.Context) error {
	ctx, err := s.m.Load(ctx, s.token)
	if err != nil {
		return err
	}
	return s.m.Destroy(ctx)
}
