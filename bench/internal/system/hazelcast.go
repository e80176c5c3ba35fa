package system

import (
	"context"
	"time"

	"github.com/hazelcast/hazelcast-go-client"
	"github.com/hazelcast/hazelcast-go-client/logger"
	"github.com/hazelcast/hazelcast-go-client/types"

	"github.com/sessionkv/store/bench/internal/address"
)

// RawMap is the name of the map of the raw client.
const RawMap = address.Namespace + "-raw"

// openHazelcast is the plain Hazelcast client: one map, an entry per session and key. Nothing is fenced.
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
	return &keyed[T]{
		get: func(ctx context.Context, name, key string) (T, error) {
			v, err := m.Get(ctx, flat(name, key))
			text, ok := v.(string)
			if err == nil && !ok {
				err = ErrAbsent
			}
			return fromText[T](text, err)
		},
		set: func(ctx context.Context, name, key string, value T) error {
			text, err := toText(value)
			if err != nil {
				return err
			}
			return m.SetWithTTL(ctx, flat(name, key), text, rivalLease)
		},
		has:    func(ctx context.Context, name, key string) (bool, error) { return m.ContainsKey(ctx, flat(name, key)) },
		remove: func(ctx context.Context, name, key string) error { return m.Delete(ctx, flat(name, key)) },
		close:  c.Shutdown,
	}, nil
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
