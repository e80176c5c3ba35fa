package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/internal/testserver"
)

// impossible is the beginning of a reply so long that the client panics when it
// makes room for it.
const impossible = "$9223372036854775807\r\n"

// A reply that makes the client panic ends what asked for it, and nothing else. It
// does not matter who asks: an operation, Check, or one of the questions that are
// asked aside.
func TestRepliesThatPanic(t *testing.T) {
	server := testserver.SharedRedis(t)
	for _, name := range []string{"role", "info", "hmget", "eval", "evalsha", "hsetex", "wait"} {
		for _, cache := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s,cache=%t", name, cache), func(t *testing.T) {
				t.Parallel()
				both(t, func(t *testing.T, o redisstore.Options) {
					w := new(wire)
					client := dial(t, server.URL, func(r *redis.Options) {
						r.Dialer, r.PoolSize, r.PipelinePoolSize = w.dial, 4, 2
						if name == "role" {
							r.OnConnect = redisstore.RefuseReplica
						}
					})
					o.Namespace = namespace(t)
					if cache {
						o.Cache = cached.Cache
					}
					if name == "wait" {
						o.WaitReplicas = 1
					}
					b, err := redisstore.New(client, &o)
					if err != nil {
						t.Fatal(err)
					}
					defer b.Close()
					w.answer(name, impossible)
					spoiled := b.Check(t.Context())
					var wg sync.WaitGroup
					for range 16 {
						wg.Go(func() { _ = useOnce(t.Context(), b) })
					}
					wg.Wait()
					w.set(none, "")
					w.cut()
					ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
					defer cancel()
					for err = errors.New("not tried"); err != nil && ctx.Err() == nil; {
						if err = useOnce(ctx, b); name == "wait" && err != nil && strings.Contains(err.Error(), "0 of 1 replicas") {
							err = nil // WAIT is answered again
						}
					}
					if err != nil {
						t.Errorf("after replies to %s that make the client panic (Check() = %v) = %v", name, spoiled, err)
					}
				})
			})
		}
	}
}

// useOnce does with a new session what sessions do.
func useOnce(ctx context.Context, b *redisstore.Backend) error {
	id, terms := store.NewID(), store.Terms{Lease: lease}
	s, err := b.Create(ctx, id, []store.Entry{{Key: "k", Value: []byte("v")}}, terms)
	if err != nil {
		return err
	}
	for range 3 {
		if err := s.Set(ctx, "k", []byte("w")); err != nil {
			return err
		}
	}
	if _, err := s.Get(ctx, "k"); err != nil {
		return err
	}
	if err := errors.Join(b.Renew(ctx, []store.Store{s}, lease)...); err != nil {
		return err
	}
	return s.Destroy(ctx)
}
