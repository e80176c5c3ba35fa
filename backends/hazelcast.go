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

	// hazelcastConnectTimeout bounds the connecting where the context allows
	// more: left alone, the client tries for two minutes.
	hazelcastConnectTimeout = 10 * time.Second
)

// openHazelcast opens a Hazelcast cluster from any of its members.
func openHazelcast(ctx context.Context, a *address) (store.Backend, error) {
	hosts, err := a.withPort(hazelcastPort)
	if err != nil {
		return nil, err
	}
	p := &a.params
	namespace := p.text("namespace", "")
	connect := p.duration("connect_timeout")
	if connect == 0 {
		connect = hazelcastConnectTimeout
	}
	timeout := p.duration("timeout")
	if err := p.done(); err != nil {
		return nil, err
	}

	config := hazelcast.NewConfig()
	config.Cluster.Network.SetAddresses(hosts...)
	config.Cluster.Network.ConnectionTimeout = types.Duration(connect)
	if a.path != "" {
		config.Cluster.Name = a.path
	}
	if a.user != "" || a.password != "" {
		config.Cluster.Security.Credentials.Username = a.user
		config.Cluster.Security.Credentials.Password = a.password
	}
	config.Cluster.ConnectionStrategy.ReconnectMode = cluster.ReconnectModeOn
	config.Cluster.ConnectionStrategy.Timeout = types.Duration(connect)
	// The client would log addresses and keys of its own accord.
	config.Logger.Level = logger.OffLevel

	client, err := startHazelcast(ctx, connect, config)
	if err != nil {
		return nil, err
	}
	shutdown := func() error { return shutdownHazelcast(client) }
	b, err := hazelcaststore.New(ctx, client, &hazelcaststore.Options{Namespace: namespace, Timeout: timeout})
	if err != nil {
		shutdown()
		return nil, err
	}
	return &owning{Backend: b, closeClient: shutdown}, nil
}

// startHazelcast connects a client. The client's own connecting may outlast its
// context, so it runs aside: whatever comes of it later is shut down.
func startHazelcast(ctx context.Context, connect time.Duration, config hazelcast.Config) (*hazelcast.Client, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, connect, errors.New("connect_timeout has passed"))
	defer cancel()
	type result struct {
		client *hazelcast.Client
		err    error
	}
	started := make(chan result, 1)
	go func() {
		c, err := hazelcast.StartNewClientWithConfig(ctx, config)
		started <- result{c, err}
	}()
	const advice = "the cluster cannot be reached; check the addresses and the cluster name"
	select {
	case r := <-started:
		if r.err != nil {
			if cause := context.Cause(ctx); cause != nil {
				return nil, fmt.Errorf("%s: %w: %w", advice, cause, r.err)
			}
			return nil, fmt.Errorf("%s: %w", advice, r.err)
		}
		return r.client, nil
	case <-ctx.Done():
		go func() {
			if r := <-started; r.client != nil {
				shutdownHazelcast(r.client)
			}
		}()
		return nil, fmt.Errorf("%s: %w", advice, context.Cause(ctx))
	}
}

// shutdownHazelcast shuts a client down. One that is about to reconnect can hang
// there for minutes, whatever its context says, so it is left to itself then.
func shutdownHazelcast(client *hazelcast.Client) error {
	done := make(chan error, 1)
	go func() { done <- client.Shutdown(context.Background()) }()
	select {
	case err := <-done:
		return err
	case <-time.After(hazelcastConnectTimeout):
		return errors.New("backends: hazelcast: the client does not shut down; it is left to end by itself")
	}
}
