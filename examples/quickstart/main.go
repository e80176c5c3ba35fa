// Quickstart declares typed keys, sets and gets them in a session, and shows
// that a destroyed session is gone. Run it with
//
//	go run ./examples/quickstart
//
// and with another backend by its URL, the rest stays the same:
//
//	go run ./examples/quickstart redis://127.0.0.1:6379
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends"
	"github.com/sessionkv/store/codec"
)

// TokenClaims is a value of our own; any type that msgpack can encode will do.
type TokenClaims struct {
	Issuer string
	Admin  bool
}

// Each key is declared once, as a constant that names the value and its type.
const (
	UserID = store.Key[string]("userId")
	Tenant = store.Key[string]("tenant")
	Claims = store.Key[TokenClaims]("tokenClaims")
	Visits = store.Key[int]("visits")
)

func main() {
	url := "memory:"
	if len(os.Args) > 1 {
		url = os.Args[1]
	}
	if err := run(context.Background(), url, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, url string, out io.Writer) error {
	backend, err := backends.Open(ctx, url)
	if err != nil {
		return err
	}
	defer backend.Close()
	sessions, err := store.New(backend, &store.Options{Codec: codec.Msgpack})
	if err != nil {
		return err
	}
	defer sessions.Close(ctx)

	sess, err := sessions.Create(ctx, store.NewID())
	if err != nil {
		return err
	}
	defer sess.Release(ctx) // keeps it for Options.Grace; there is none here, so it destroys

	if err := UserID.Set(ctx, sess, "u-42"); err != nil {
		return err
	}
	id, err := UserID.Get(ctx, sess) // id is a string; no cast, no registration
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "UserID.Get            %q, a %T\n", id, id)

	// Several keys in one atomic step, and back in one round trip.
	if err := store.Save(ctx, sess, Tenant.To("acme"), Claims.To(TokenClaims{Issuer: "login", Admin: true})); err != nil {
		return err
	}
	var tenant string
	var claims TokenClaims
	if err := store.Load(ctx, sess, Tenant.Into(&tenant), Claims.Into(&claims)); err != nil {
		return err
	}
	fmt.Fprintf(out, "store.Load            %q and %+v\n", tenant, claims)

	// A read-modify-write that loses nothing, whoever else writes.
	for range 3 {
		if _, err := Visits.Update(ctx, sess, func(n int, _ bool) (int, error) { return n + 1, nil }); err != nil {
			return err
		}
	}
	visits, err := Visits.GetOr(ctx, sess, 0)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Visits.Update, thrice %d\n", visits)

	if err := Tenant.Delete(ctx, sess); err != nil {
		return err
	}
	_, err = Tenant.Get(ctx, sess)
	fmt.Fprintf(out, "after Tenant.Delete   %v (ErrNotFound: %t)\n", err, errors.Is(err, store.ErrNotFound))

	// The client has gone: its session goes, for every handle on every node.
	if err := sess.Destroy(ctx); err != nil {
		return err
	}
	err = UserID.Set(ctx, sess, "u-43")
	fmt.Fprintf(out, "after sess.Destroy    %v (ErrDestroyed: %t)\n", err, errors.Is(err, store.ErrDestroyed))
	return nil
}
