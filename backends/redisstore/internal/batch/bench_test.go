package batch

import (
	"context"
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"
)

// The commands are made beforehand, so that only the cost of the way counts.
func BenchmarkProcess(b *testing.B) {
	client := newClient(b, redis.Options{Addr: startRedis(b)})
	client.HSet(b.Context(), "hash", "f", "v")
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	batcher := New(client, Options{})
	for _, way := range []struct {
		name    string
		process func(context.Context, redis.Cmder) error
	}{{"client", client.Process}, {"batcher", batcher.Process}} {
		for _, parallel := range []int{0, 8, 128, 1024} {
			b.Run(fmt.Sprintf("%s/parallelism=%d", way.name, parallel), func(b *testing.B) {
				b.ReportAllocs()
				if parallel == 0 {
					cmd := again("hget", "hash", "f")
					for b.Loop() {
						if err := way.process(ctx, cmd); err != nil {
							b.Fatal(err)
						}
					}
					return
				}
				b.SetParallelism(parallel)
				b.RunParallel(func(pb *testing.PB) {
					cmd := again("hget", "hash", "f")
					for pb.Next() {
						if err := way.process(ctx, cmd); err != nil {
							b.Error(err)
							return
						}
					}
				})
			})
		}
	}
	if err := batcher.Close(context.Background()); err != nil {
		b.Errorf("Close() = %v, want nil", err)
	}
}
