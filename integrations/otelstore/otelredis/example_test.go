package otelredis_test

import (
	"log"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/integrations/otelstore"
	"github.com/sessionkv/store/integrations/otelstore/otelredis"
)

// With the global providers, set before, nil does for the options.
func ExampleInstrument() {
	client := redis.NewClient(&redis.Options{Addr: "localhost:6379"})
	defer client.Close()
	if err := otelredis.Instrument(client, nil); err != nil {
		log.Panic(err)
	}
	backend, err := redisstore.New(client, nil)
	if err != nil {
		log.Panic(err)
	}
	defer backend.Close()
	sessions, err := store.New(otelstore.Wrap(backend, nil), nil)
	if err != nil {
		log.Panic(err)
	}
	log.Println(sessions.Owned())
}
