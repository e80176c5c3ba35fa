package memstore_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
)

func Example() {
	ctx := context.Background()
	backend := memstore.New(nil)
	defer backend.Close()

	raw, err := backend.Create(ctx, store.NewID(), nil, store.Terms{Lease: time.Minute})
	if err != nil {
		log.Panic(err)
	}
	if err := raw.Set(ctx, "userId", []byte("u-42")); err != nil {
		log.Panic(err)
	}
	value, err := raw.Get(ctx, "userId")
	if err != nil {
		log.Panic(err)
	}
	fmt.Printf("%s\n", value)

	if err := raw.Destroy(ctx); err != nil {
		log.Panic(err)
	}
	_, err = raw.Get(ctx, "userId")
	fmt.Println(errors.Is(err, store.ErrDestroyed))
	// Output:
	// u-42
	// true
}

func ExampleNew() {
	backend := memstore.New(&memstore.Options{Namespace: "chat"})
	defer backend.Close()
	fmt.Println(backend.Namespace())
	// Output: chat
}

func ExampleBackend_Create() {
	ctx := context.Background()
	backend := memstore.New(nil)
	defer backend.Close()

	terms := store.Terms{Lease: time.Minute, MaxKeys: 2}
	initial := []store.Entry{{Key: "tenant", Value: []byte("acme")}}
	raw, err := backend.Create(ctx, "an ID that nobody guesses", initial, terms)
	if err != nil {
		log.Panic(err)
	}
	if err := raw.Set(ctx, "userId", []byte("u-42")); err != nil {
		log.Panic(err)
	}
	fmt.Println(raw.Set(ctx, "rooms", []byte("lobby")))

	keys, err := store.Keys(ctx, raw)
	if err != nil {
		log.Panic(err)
	}
	fmt.Println(keys)
	// Output:
	// too many keys in this session
	// [tenant userId]
}

func ExampleBackend_Attach() {
	ctx := context.Background()
	backend := memstore.New(nil)
	defer backend.Close()
	terms := store.Terms{Lease: time.Minute}

	_, err := backend.Attach(ctx, "id", terms)
	fmt.Println(err)

	owner, err := backend.Create(ctx, "id", nil, terms)
	if err != nil {
		log.Panic(err)
	}
	other, err := backend.Attach(ctx, "id", terms)
	if err != nil {
		log.Panic(err)
	}
	if err := other.Set(ctx, "seen", []byte("yes")); err != nil {
		log.Panic(err)
	}
	seen, err := owner.Has(ctx, "seen")
	if err != nil {
		log.Panic(err)
	}
	fmt.Println(seen)
	// Output:
	// no session with this ID lives
	// true
}

func ExampleBackend_Resume() {
	ctx := context.Background()
	backend := memstore.New(nil)
	defer backend.Close()
	terms := store.Terms{Lease: time.Minute}

	before, err := backend.Create(ctx, "id", []store.Entry{{Key: "seen", Value: []byte("yes")}}, terms)
	if err != nil {
		log.Panic(err)
	}
	if err := backend.Suspend(ctx, before, time.Hour); err != nil { // the client lost its connection
		log.Panic(err)
	}
	after, err := backend.Resume(ctx, "id", terms) // and is back
	if err != nil {
		log.Panic(err)
	}
	seen, err := after.Has(ctx, "seen")
	if err != nil {
		log.Panic(err)
	}
	fmt.Println(seen)
	fmt.Println(before.Set(ctx, "seen", nil))
	// Output:
	// true
	// the session goes on elsewhere: another handle resumed it
}

func ExampleBackend_Renew() {
	ctx := context.Background()
	backend := memstore.New(nil)
	defer backend.Close()
	terms := store.Terms{Lease: time.Minute}

	var owned []store.Store
	for _, id := range []string{"a", "b"} {
		raw, err := backend.Create(ctx, id, nil, terms)
		if err != nil {
			log.Panic(err)
		}
		owned = append(owned, raw)
	}
	if err := owned[1].Destroy(ctx); err != nil {
		log.Panic(err)
	}
	// The result has an error for each session, or is nil when all were renewed.
	for i, err := range backend.Renew(ctx, owned, time.Minute) {
		if err != nil {
			fmt.Println(i, err)
		}
	}
	// Output: 1 the session has ended
}

func ExampleBackend_Suspend() {
	ctx := context.Background()
	backend := memstore.New(nil)
	defer backend.Close()
	terms := store.Terms{Lease: time.Minute}

	raw, err := backend.Create(ctx, "id", nil, terms)
	if err != nil {
		log.Panic(err)
	}
	if err := backend.Suspend(ctx, raw, 5*time.Minute); err != nil {
		log.Panic(err)
	}
	_, err = backend.Resume(ctx, "id", terms) // within five minutes
	fmt.Println(err == nil)
	// Output: true
}

func ExampleBackend_Namespace() {
	backend := memstore.New(nil)
	defer backend.Close()
	fmt.Println(backend.Namespace())
	// Output: store
}

func ExampleBackend_Close() {
	ctx := context.Background()
	backend := memstore.New(nil)
	raw, err := backend.Create(ctx, "id", nil, store.Terms{Lease: time.Minute})
	if err != nil {
		log.Panic(err)
	}
	if err := backend.Close(); err != nil {
		log.Panic(err)
	}
	fmt.Println(raw.Set(ctx, "userId", []byte("u-42")))
	// Output: store is closed
}
