package backends

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hazelcast/hazelcast-go-client"
	"github.com/hazelcast/hazelcast-go-client/cluster"
	"github.com/hazelcast/hazelcast-go-client/logger"
	"github.com/hazelcast/hazelcast-go-client/types"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/hazelcaststore"
)

const (
	hazelcastPort = "5701"

	// hazelcastShutdownTimeout bounds the shutting down of a client.
	hazelcastShutdownTimeout = 10 * time.Second
)

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
	namespace := p.text("namespace", "")
	timeout := p.duration("timeout")
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
	// The client would log addresses and keys of its own accord.
	config.Logger.Level = logger.OffLevel

	return func(ctx context.Context) (store.Backend, error) {
		client, err := hazelcast.StartNewClientWithConfig(ctx, config)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", noHazelcast, err)
		}
		shutdown := func() error { return shutdownHazelcast(client) }
		b, err := hazelcaststore.New(ctx, client, &hazelcaststore.Options{Namespace: namespace, Timeout: timeout})
		if err != nil {
			shutdown()
			return nil, err
		}
		return &owning{Backend: b, closeClient: shutdown}, nil
	}, nil
}

// shutdownHazelcast shuts a client down. One that is about to reconnect can hang
// there for minutes, whatever its context says, so it is left to itself then.
func shutdownHazelcast(client *hazelcast.Client) error {
	done := make(chan error, 1)
	go func() { done <- client.Shutdown(context.Background()) }()
	select {
	case err := <-done:
		return err
	case <-time.After(hazelcastShutdownTimeout):
		return errors.New("backends: hazelcast: the client does not shut down; it is left to end by itself")
	}
}
