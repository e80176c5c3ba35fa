package backends

import (
	"context"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store/backends/internal/panics"
)

// calm is a hook that turns panics of go-redis into errors. It is also asked for the commands by
// which go-redis makes a connection. It never gives back the place in its pool of one that a panic
// has ended.
type calm struct{}

// calmDown adds calm to client, and to each node of a cluster.
func calmDown(client redis.UniversalClient) {
	if cluster, ok := client.(*redis.ClusterClient); ok {
		cluster.OnNewNode(func(node *redis.Client) { node.AddHook(calm{}) })
		return
	}
	client.AddHook(calm{})
}

// DialHook implements [redis.Hook].
func (calm) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements [redis.Hook].
func (calm) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		return panics.Guard(func() error { return next(ctx, cmd) })
	}
}

// ProcessPipelineHook implements [redis.Hook].
func (calm) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		return panics.Guard(func() error { return next(ctx, cmds) })
	}
}
