package memstore_test

import (
	"context"
	"errors"
	"fmt"
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
		fmt.Println(err)
		return
	}
	raw.Set(ctx, "userId", []byte("u-42"))
	value, err := raw.Get(ctx, "userId")
	fmt.Printf("%s %v\n", value, err)

	raw.Destroy(ctx)
	_, err = raw.Get(ctx, "userId")
	fmt.Println(errors.Is(err, store.ErrDestroyed))
	// Output:
	// u-42 <nil>
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
	raw, _ := backend.Create(ctx, "an ID that nobody guesses", initial, terms)

	fmt.Println(raw.Set(ctx, "userId", []byte("u-42")))
	fmt.Println(raw.Set(ctx, "rooms", []byte("lobby")))
	fmt.Println(store.Keys(ctx, raw))
	// Output:
	// <nil>
	// too many keys in this session
	// [tenant userId] <nil>
}

func ExampleBackend_Attach() {
	ctx := context.Background()
	backend := memstore.New(nil)
	defer backend.Close()
	terms := store.Terms{Lease: time.Minute}

	_, err := backend.Attach(ctx, "id", terms)
	fmt.Println(err)

	owner, _ := backend.Create(ctx, "id", nil, terms)
	other, _ := backend.Attach(ctx, "id", terms)
	other.Set(ctx, "seen", []byte("yes"))
	fmt.Println(owner.Has(ctx, "seen"))
	// Output:
	// no session with this ID lives
	// true <nil>
}

func ExampleBackend_Resume() {
	ctx := context.Background()
	backend := memstore.New(nil)
	defer backend.Close()
	terms := store.Terms{Lease: time.Minute}

	before, _ := backend.Create(ctx, "id", []store.Entry{{Key: "seen", Value: []byte("yes")}}, terms)
	backend.Suspend(ctx, before, time.Hour) // the client dropped its connection

	after, _ := backend.Resume(ctx, "id", terms) // and is back
	fmt.Println(after.Has(ctx, "seen"))
	fmt.Println(before.Set(ctx, "seen", nil))
	// Output:
	// true <nil>
	// the session goes on elsewhere: another handle resumed it
}

func ExampleBackend_Renew() {
	ctx := context.Background()
	backend := memstore.New(nil)
	defer backend.Close()
	terms := store.Terms{Lease: time.Minute}

	a, _ := backend.Create(ctx, "a", nil, terms)
	b, _ := backend.Create(ctx, "b", nil, terms)
	fmt.Println(backend.Renew(ctx, []store.Store{a, b}, time.Minute) == nil)

	b.Destroy(ctx)
	fmt.Println(backend.Renew(ctx, []store.Store{a, b}, time.Minute))
	// Output:
	// true
	// [<nil> the session has ended]
}

func ExampleBackend_Suspend() {
	ctx := context.Background()
	backend := memstore.New(nil)
	defer backend.Close()

	raw, _ := backend.Create(ctx, "id", nil, store.Terms{Lease: time.Minute})
	fmt.Println(backend.Suspend(ctx, raw, 5*time.Minute))
	// Output: <nil>
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
	raw, _ := backend.Create(ctx, "id", nil, store.Terms{Lease: time.Minute})

	fmt.Println(backend.Close())
	fmt.Println(raw.Set(ctx, "userId", []byte("u-42")))
	// Output:
	// <nil>
	// store is closed
}
