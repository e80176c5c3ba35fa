package redisstore_test

import (
	"context"
	"fmt"
	"log"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/internal/testserver"
)

// addr is the server of the examples.
var addr = "localhost:6379"

// The examples need a server, so this runs them.
func TestExamples(t *testing.T) {
	addr = testserver.SharedRedis(t).Addr
	ExampleNew()
	ExampleCacheOptions()
	ExampleBackend()
	ExampleBackend_Create()
}

func ExampleNew() {
	ctx := context.Background()
	client := redis.NewClient(&redis.Options{Addr: addr})
	defer client.Close()
	backend, err := redisstore.New(client, &redisstore.Options{Namespace: "chat"})
	if err != nil {
		log.Panic(err)
	}
	defer backend.Close()

	sessions, err := store.New(backend, nil)
	if err != nil {
		log.Panic(err)
	}
	defer sessions.Close(ctx)
	sess, err := sessions.Create(ctx, store.NewID())
	if err != nil {
		log.Panic(err)
	}
	defer sess.Destroy(ctx)

	const UserID = store.Key[string]("userId")
	if err := UserID.Set(ctx, sess, "u-42"); err != nil {
		log.Panic(err)
	}
	id, err := UserID.Get(ctx, sess)
	if err != nil {
		log.Panic(err)
	}
	fmt.Println(id) // u-42
}

func ExampleCacheOptions() {
	client := redis.NewClient(&redis.Options{Addr: addr})
	defer client.Close()
	backend, err := redisstore.New(client, &redisstore.Options{Cache: &redisstore.CacheOptions{MaxStaleness: 2 * time.Second}})
	if err != nil {
		log.Panic(err)
	}
	defer backend.Close()
}

func ExampleBackend() {
	ctx := context.Background()
	client := redis.NewClient(&redis.Options{Addr: addr})
	defer client.Close()
	backend, err := redisstore.New(client, nil)
	if err != nil {
		log.Panic(err)
	}
	defer backend.Close()

	id := store.NewID()
	first, err := backend.Create(ctx, id, nil, store.Terms{Lease: time.Minute})
	if err != nil {
		log.Panic(err)
	}
	if err := backend.Suspend(ctx, first, 10*time.Second); err != nil {
		log.Panic(err)
	}
	second, err := backend.Resume(ctx, id, store.Terms{Lease: time.Minute})
	if err != nil {
		log.Panic(err)
	}
	defer second.Destroy(ctx)
	fmt.Println(first.Set(ctx, "k", nil)) // the session has ended
}

func ExampleBackend_Create() {
	ctx := context.Background()
	client := redis.NewClient(&redis.Options{Addr: addr})
	defer client.Close()
	backend, err := redisstore.New(client, nil)
	if err != nil {
		log.Panic(err)
	}
	defer backend.Close()
	s, err := backend.Create(ctx, store.NewID(), nil, store.Terms{Lease: time.Minute})
	if err != nil {
		log.Panic(err)
	}
	defer s.Destroy(ctx)

	absent := []store.Entry{{Key: "seat"}}
	mine := []store.Entry{{Key: "seat", Value: []byte("12A")}}
	if _, err := store.Commit(ctx, s, absent, mine); err != nil {
		log.Panic(err)
	}
	current, err := store.Commit(ctx, s, absent, mine)
	fmt.Printf("%v: %s\n", err, current[0]) // the values changed in the meantime: 12A
}

// batchSizes is a hook that reports how many operations share each pipeline.
type batchSizes struct{ report func(operations int) }

func (batchSizes) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (batchSizes) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (b batchSizes) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		operations := 0
		for _, cmd := range cmds {
			for range redisstore.Callers(cmd) { // their contexts, with their traces
				operations++
			}
		}
		b.report(operations)
		return next(ctx, cmds)
	}
}

func ExampleCallers() {
	client := redis.NewClient(&redis.Options{Addr: addr})
	defer client.Close()
	client.AddHook(batchSizes{func(operations int) { log.Println(operations, "operations share a pipeline") }})
	backend, err := redisstore.New(client, nil)
	if err != nil {
		log.Panic(err)
	}
	defer backend.Close()
}
