package backends

import (
	"context"
	"fmt"

	"github.com/hazelcast/hazelcast-go-client"
	"github.com/hazelcast/hazelcast-go-client/cluster"
	"github.com/hazelcast/hazelcast-go-client/types"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/hazelcaststore"
)

const hazelcastPort = "5701"

// openHazelcast opens a Hazelcast cluster from any of its members.
func openHazelcast(a *address, o *Options) (dial, error) {
	if o.Credentials != nil {
		return nil, errNoCredentials
	}
	hosts, err := a.withPort(hazelcastPort)
	if err != nil {
		return nil, err
	}
	p := &a.params
	opts := hazelcaststore.Options{
		Namespace:    p.text("namespace"),
		Timeout:      p.duration("timeout"),
		DocumentSize: p.number("document_size", 0, 1<<10, 1<<30),
		Logger:       o.Logger,
	}
	if err := p.done(); err != nil {
		return nil, err
	}

	config := hazelcast.NewConfig()
	config.Cluster.Network.SetAddresses(hosts...)
	config.Cluster.Network.ConnectionTimeout = types.Duration(a.connect)
	if a.path != "" {
		config.Cluster.Name = a.path
	}
	if a.user != "" || a.password != "" {
		config.Cluster.Security.Credentials.Username = a.user
		config.Cluster.Security.Credentials.Password = a.password
	}
	config.Cluster.ConnectionStrategy.ReconnectMode = cluster.ReconnectModeOn
	config.Cluster.ConnectionStrategy.Timeout = types.Duration(a.connect)

	return func(ctx context.Context) (store.Backend, error) {
		b, err := hazelcaststore.Open(ctx, config, &opts)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", noHazelcast, err)
		}
		return b, nil
	}, nil
}
