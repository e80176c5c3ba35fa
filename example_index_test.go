package store_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
)

const User = store.Key[string]("user")

// A user changes the password, and is logged out on every device.
func ExampleKey_DestroyAll() {
	if err := logOutEverywhere(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// sessions of u-42: 2
	// ended: 2
	// the laptop: the session has ended
}

func logOutEverywhere(ctx context.Context) error {
	backend := memstore.New(nil)
	defer backend.Close()
	sessions, err := store.New(backend, &store.Options{Indexes: []store.Index{User.Index()}})
	if err != nil {
		return err
	}
	defer sessions.Close(ctx)

	laptop, err := sessions.Create(ctx, store.NewID(), User.To("u-42"))
	if err != nil {
		return err
	}
	if _, err := sessions.Create(ctx, store.NewID(), User.To("u-42")); err != nil {
		return err
	}
	if _, err := sessions.Create(ctx, store.NewID(), User.To("u-43")); err != nil {
		return err
	}

	n, err := User.Count(ctx, sessions, "u-42")
	if err != nil {
		return err
	}
	fmt.Println("sessions of u-42:", n)
	if n, err = User.DestroyAll(ctx, sessions, "u-42"); err != nil {
		return err
	}
	fmt.Println("ended:", n)
	fmt.Println("the laptop:", laptop.Err())
	return nil
}

var errTooManyDevices = errors.New("this user has three devices already")

// logIn begins a session, unless the user has three. It counts with its own session, so that two logins at
// once cannot both be the third: one or both of them are refused.
func logIn(ctx context.Context, sessions *store.Sessions, user string) (*store.Session, error) {
	const most = 3
	s, err := sessions.Create(ctx, store.NewID(), User.To(user))
	if err != nil {
		return nil, err
	}
	n, err := User.Count(ctx, sessions, user)
	if err == nil && n > most {
		err = errTooManyDevices
	}
	if err != nil {
		return nil, errors.Join(err, s.Destroy(ctx))
	}
	return s, nil
}

// A user may be logged in on three devices.
func ExampleKey_Count() {
	ctx := context.Background()
	backend := memstore.New(nil)
	defer backend.Close()
	sessions, err := store.New(backend, &store.Options{Indexes: []store.Index{User.Index()}})
	if err != nil {
		log.Fatal(err)
	}
	defer sessions.Close(ctx)

	for device := 1; device <= 4; device++ {
		_, err := logIn(ctx, sessions, "u-42")
		fmt.Printf("device %d: %v\n", device, err)
	}
	// Output:
	// device 1: <nil>
	// device 2: <nil>
	// device 3: <nil>
	// device 4: this user has three devices already
}

// A message goes to all sessions of a user, on whatever node.
func ExampleKey_Find() {
	ctx := context.Background()
	const notice = store.Key[string]("notice")
	backend := memstore.New(nil)
	defer backend.Close()
	sessions, err := store.New(backend, &store.Options{Indexes: []store.Index{User.Index()}})
	if err != nil {
		log.Fatal(err)
	}
	defer sessions.Close(ctx)
	phone, err := sessions.Create(ctx, store.NewID(), User.To("u-42"))
	if err != nil {
		log.Fatal(err)
	}

	for s, err := range User.Find(ctx, sessions, "u-42") {
		if err != nil {
			log.Fatal(err)
		}
		if err := notice.Set(ctx, s, "your password was changed"); err != nil && !errors.Is(err, store.ErrDestroyed) {
			log.Fatal(err)
		}
	}
	text, err := notice.Get(ctx, phone)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(text)
	// Output:
	// your password was changed
}
