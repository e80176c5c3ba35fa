package system

import (
	"context"
	"time"

	"github.com/redis/rueidis"

	"github.com/sessionkv/store/bench/internal/address"
)

// rueidisClient is rueidis with its defaults, pipelined by the client itself. With cached set, reads go through its client-side
// cache, so they may be as old as an invalidation takes to arrive.
type rueidisClient struct {
	rueidis.Client
	cached bool
}

func openRueidis(url string, cached bool) (hashes, error) {
	o, err := address.Redis(url)
	if err != nil {
		return nil, err
	}
	c, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: o.Addrs, Username: o.Username, Password: o.Password, SelectDB: o.DB, ForceSingleClient: !o.IsClusterMode,
	})
	return rueidisClient{c, cached}, err
}

func (r rueidisClient) create(ctx context.Context, name string, fieldsAndValues []string) error {
	set := r.B().Hset().Key(name).FieldValue()
	for i := 0; i < len(fieldsAndValues); i += 2 {
		set = set.FieldValue(fieldsAndValues[i], fieldsAndValues[i+1])
	}
	for _, reply := range r.DoMulti(ctx, set.Build(), r.B().Expire().Key(name).Seconds(int64(rivalLease/time.Second)).Build()) {
		if err := reply.Error(); err != nil {
			return err
		}
	}
	return nil
}

func (r rueidisClient) get(ctx context.Context, name, field string) (string, error) {
	var reply rueidis.RedisResult
	if command := r.B().Hget().Key(name).Field(field); r.cached {
		reply = r.DoCache(ctx, command.Cache(), time.Minute)
	} else {
		reply = r.Do(ctx, command.Build())
	}
	text, err := reply.ToString()
	if rueidis.IsRedisNil(err) {
		err = ErrAbsent
	}
	return text, err
}

func (r rueidisClient) set(ctx context.Context, name, field, value string) error {
	return r.Do(ctx, r.B().Hset().Key(name).FieldValue().FieldValue(field, value).Build()).Error()
}

func (r rueidisClient) has(ctx context.Context, name, field string) (bool, error) {
	return r.Do(ctx, r.B().Hexists().Key(name).Field(field).Build()).AsBool()
}

func (r rueidisClient) remove(ctx context.Context, name, field string) error {
	return r.Do(ctx, r.B().Hdel().Key(name).Field(field).Build()).Error()
}

func (r rueidisClient) destroy(ctx context.Context, name string) error {
	return r.Do(ctx, r.B().Unlink().Key(name).Build()).Error()
}

func (r rueidisClient) close() error {
	r.Close()
	return nil
}
