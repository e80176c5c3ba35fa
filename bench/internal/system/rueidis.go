package system

import (
	"context"
	"time"

	"github.com/redis/rueidis"

	"github.com/sessionkv/store/bench/internal/address"
)

// rueidisClient is rueidis with its defaults: a hash per session, HGET and HSET,
// pipelined by the client itself. With cached set, reads go through its
// client-side cache, so they may be as old as an invalidation takes to arrive.
type rueidisClient[T any] struct {
	c      rueidis.Client
	cached bool
}

func openRueidis[T any](url string, cached bool) (System[T], error) {
	var option rueidis.ClientOption
	if address.Cluster(url) {
		o, err := address.RedisCluster(url)
		if err != nil {
			return nil, err
		}
		option = rueidis.ClientOption{InitAddress: o.Addrs, Username: o.Username, Password: o.Password}
	} else {
		o, err := address.Redis(url)
		if err != nil {
			return nil, err
		}
		option = rueidis.ClientOption{InitAddress: []string{o.Addr}, Username: o.Username, Password: o.Password, SelectDB: o.DB, ForceSingleClient: true}
	}
	c, err := rueidis.NewClient(option)
	if err != nil {
		return nil, err
	}
	return rueidisClient[T]{c, cached}, nil
}

func (r rueidisClient[T]) Create(ctx context.Context, id string, keys []string, values []T) (Session[T], error) {
	s := &rueidisSession[T]{r.c, "raw:" + id, r.cached}
	set := r.c.B().Hset().Key(s.name).FieldValue()
	for i, k := range keys {
		text, err := toText(values[i])
		if err != nil {
			return nil, err
		}
		set = set.FieldValue(k, text)
	}
	for _, reply := range r.c.DoMulti(ctx, set.Build(), r.c.B().Expire().Key(s.name).Seconds(int64(rivalLease/time.Second)).Build()) {
		if err := reply.Error(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (r rueidisClient[T]) Close(context.Context) error {
	r.c.Close()
	return nil
}

type rueidisSession[T any] struct {
	c      rueidis.Client
	name   string
	cached bool
}

func (s *rueidisSession[T]) Get(ctx context.Context, key string) (T, error) {
	var reply rueidis.RedisResult
	if s.cached {
		reply = s.c.DoCache(ctx, s.c.B().Hget().Key(s.name).Field(key).Cache(), time.Minute)
	} else {
		reply = s.c.Do(ctx, s.c.B().Hget().Key(s.name).Field(key).Build())
	}
	text, err := reply.ToString()
	if err != nil {
		if rueidis.IsRedisNil(err) {
			err = ErrAbsent
		}
		var zero T
		return zero, err
	}
	return fromText[T](text)
}

func (s *rueidisSession[T]) Set(ctx context.Context, key string, value T) error {
	text, err := toText(value)
	if err != nil {
		return err
	}
	return s.c.Do(ctx, s.c.B().Hset().Key(s.name).FieldValue().FieldValue(key, text).Build()).Error()
}

func (s *rueidisSession[T]) Has(ctx context.Context, key string) (bool, error) {
	return s.c.Do(ctx, s.c.B().Hexists().Key(s.name).Field(key).Build()).AsBool()
}

func (s *rueidisSession[T]) Delete(ctx context.Context, key string) error {
	return s.c.Do(ctx, s.c.B().Hdel().Key(s.name).Field(key).Build()).Error()
}

func (s *rueidisSession[T]) Destroy(ctx context.Context) error {
	return s.c.Do(ctx, s.c.B().Unlink().Key(s.name).Build()).Error()
}
