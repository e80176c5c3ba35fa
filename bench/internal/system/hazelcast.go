package system

import (
	"cmp"
	"context"
	"time"

	"github.com/hazelcast/hazelcast-go-client"
	"github.com/hazelcast/hazelcast-go-client/logger"
	"github.com/hazelcast/hazelcast-go-client/types"

	"github.com/sessionkv/store/bench/internal/address"
)

// rawMap is the plain Hazelcast client: one map, an entry per session and key. Nothing is fenced.
type rawMap[T any] struct {
	c *hazelcast.Client
	m *hazelcast.Map
}

// RawMap is the name of the map of the raw client.
const RawMap = address.Namespace + "-raw"

func openHazelcast[T any](ctx context.Context, url string) (System[T], error) {
	c, err := HazelcastClient(ctx, url)
	if err != nil {
		return nil, err
	}
	m, err := c.GetMap(ctx, RawMap)
	if err != nil {
		c.Shutdown(ctx)
		return nil, err
	}
	return flatSystem[T]{rawMap[T]{c, m}}, nil
}

// HazelcastClient connects a plain client.
func HazelcastClient(ctx context.Context, url string) (*hazelcast.Client, error) {
	hosts, cluster, user, password, err := address.Hazelcast(url)
	if err != nil {
		return nil, err
	}
	config := hazelcast.NewConfig()
	config.Cluster.Network.SetAddresses(hosts...)
	config.Cluster.ConnectionStrategy.Timeout = types.Duration(10 * time.Second)
	config.Logger.Level = logger.OffLevel
	if cluster != "" {
		config.Cluster.Name = cluster
	}
	config.Cluster.Security.Credentials.Username = user
	config.Cluster.Security.Credentials.Password = password
	return hazelcast.StartNewClientWithConfig(ctx, config)
}

func (r rawMap[T]) get(ctx context.Context, key string) (T, error) {
	v, err := r.m.Get(ctx, key)
	if text, ok := v.(string); ok && err == nil {
		return fromText[T](text)
	}
	var zero T
	return zero, cmp.Or(err, ErrAbsent)
}

func (r rawMap[T]) set(ctx context.Context, key string, value T) error {
	text, err := toText(value)
	if err != nil {
		return err
	}
	return r.m.SetWithTTL(ctx, key, text, rivalLease)
}

func (r rawMap[T]) has(ctx context.Context, key string) (bool, error) {
	return r.m.ContainsKey(ctx, key)
}

func (r rawMap[T]) remove(ctx context.Context, key string) error { return r.m.Delete(ctx, key) }

func (r rawMap[T]) close(ctx context.Context) error { return r.c.Shutdown(ctx) }
