package hazelcaststore_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/hazelcast/hazelcast-go-client"
	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/hazelcaststore"
)

var userID = store.Key[string]("userId")

// It needs a running cluster, and therefore has no output to be checked.
func ExampleNew() {
	ctx := context.Background()
	config := hazelcast.NewConfig()
	config.Cluster.Name = "dev"
	config.Cluster.Network.SetAddresses("10.0.0.1:5701", "10.0.0.2:5701")
	client, err := hazelcast.StartNewClientWithConfig(ctx, config)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Shutdown(ctx)
	backend, err := hazelcaststore.New(ctx, client, &hazelcaststore.Options{Namespace: "chat"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer backend.Close()
	sessions, err := store.New(backend, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer sessions.Close(ctx)

	sess, err := sessions.Create(ctx, store.NewID())
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := userID.Set(ctx, sess, "u-42"); err != nil {
		fmt.Println(err)
	}
}

// An error of New that the administrator of the members has to deal with can be told
// from others.
func ExampleErrMapConfig() {
	err := fmt.Errorf("opening the store: %w", hazelcaststore.ErrMapConfig)
	if errors.Is(err, hazelcaststore.ErrMapConfig) {
		fmt.Println("show this to whoever runs Hazelcast:", err)
	}
	// Output:
	// show this to whoever runs Hazelcast: opening the store: the Hazelcast map is not configured for sessions
}
