package store_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
)

func ExampleSessions_Open() {
	ctx := context.Background()
	backend := memstore.New(nil)
	defer backend.Close()
	sessions := newNode(backend, &store.Options{Grace: time.Minute})
	defer sessions.Close(ctx)

	// sameUser lets a client go on with a session of its own only.
	sameUser := func(user string) func(context.Context, *store.Session) error {
		return func(ctx context.Context, s *store.Session) error {
			owner, err := UserID.Get(ctx, s)
			if err == nil && owner != user {
				err = errors.New("this session belongs to somebody else")
			}
			return err
		}
	}
	sess, resumed, err := sessions.Open(ctx, "", sameUser("ann"), UserID.To("ann"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(resumed)
	id := sess.ID() // the client keeps it

	// The connection drops, and the client comes back.
	if err := sess.Release(ctx); err != nil {
		log.Fatal(err)
	}
	sess, resumed, err = sessions.Open(ctx, id, sameUser("ann"), UserID.To("ann"))
	if err != nil {
		log.Fatal(err)
	}
	defer sess.Release(ctx)
	fmt.Println(resumed, sess.ID() == id)

	_, _, err = sessions.Open(ctx, id, sameUser("bob"), UserID.To("bob"))
	fmt.Println(err)
	// Output:
	// false
	// true true
	// store: open: this session belongs to somebody else
}

func ExampleSession_Release() {
	ctx := context.Background()
	sessions := newNode(memstore.New(nil), &store.Options{Grace: time.Minute})
	defer sessions.Close(ctx)
	sess, err := sessions.Create(ctx, store.NewID())
	if err != nil {
		log.Fatal(err)
	}
	for range 2 { // the second time nothing is left to do
		if err := sess.Release(ctx); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(errors.Is(sess.Err(), store.ErrSuspended))
	// Output: true
}

func ExampleSession_Context() {
	sess := newSession(context.Background())
	ctx, cancel := sess.Context(context.Background())
	defer cancel()
	go func() { _ = sess.Destroy(context.Background()) }() // the user logs out, perhaps on another node
	<-ctx.Done()
	fmt.Println(context.Cause(ctx))
	// Output: the session has ended
}

func ExampleSession_AfterEnd() {
	ctx := context.Background()
	sess := newSession(ctx)
	closed := make(chan struct{})
	sess.AfterEnd(func(why error) { // for example: close the connection with a code
		fmt.Println(why)
		close(closed)
	})
	if err := sess.Destroy(ctx); err != nil {
		log.Fatal(err)
	}
	<-closed
	// Output: the session has ended
}

func ExampleSessions_CreateFor() {
	ctx := context.Background()
	backend := memstore.New(nil)
	defer backend.Close()
	sessions := newNode(backend, nil)
	id := store.NewID() // goes into a cookie
	if _, err := sessions.CreateFor(ctx, id, 24*time.Hour, UserID.To("u-42")); err != nil {
		log.Fatal(err)
	}
	if err := sessions.Close(ctx); err != nil { // this process ends; nobody owned the session
		log.Fatal(err)
	}
	next := newNode(backend, nil)
	defer next.Close(ctx)
	sess, err := next.Attach(ctx, id)
	if err != nil {
		log.Fatal(err)
	}
	if err := sess.Extend(ctx, 24*time.Hour); err != nil {
		log.Fatal(err)
	}
	user, err := UserID.Get(ctx, sess)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(user)
	// Output: u-42
}

func ExampleSession_Extend() {
	ctx := context.Background()
	sessions := newNode(memstore.New(nil), nil)
	defer sessions.Close(ctx)
	sess, err := sessions.CreateFor(ctx, store.NewID(), time.Minute)
	if err != nil {
		log.Fatal(err)
	}
	if err := sess.Extend(ctx, time.Hour); err != nil {
		log.Fatal(err)
	}
	fmt.Println(sess.Owned()) // nobody renews it: it ends in an hour
	// Output: false
}

func ExampleSessions_Rotate() {
	ctx := context.Background()
	sessions := newNode(memstore.New(nil), nil)
	defer sessions.Close(ctx)
	guest, err := sessions.Create(ctx, store.NewID(), Tenant.To("acme"))
	if err != nil {
		log.Fatal(err)
	}
	// The guest logs in. An ID that somebody may have seen before is worth nothing afterwards.
	sess, err := sessions.Rotate(ctx, guest, store.NewID(), UserID.To("u-42"))
	if err != nil {
		log.Fatal(err)
	}
	var user, tenant string
	if err := store.Load(ctx, sess, UserID.Into(&user), Tenant.Into(&tenant)); err != nil {
		log.Fatal(err)
	}
	_, err = sessions.Attach(ctx, guest.ID())
	fmt.Println(user, tenant, errors.Is(err, store.ErrNoSession))
	// Output: u-42 acme true
}

func ExampleSessions_Ping() {
	ctx := context.Background()
	sessions := newNode(memstore.New(nil), nil)
	defer sessions.Close(ctx)
	if err := sessions.Ping(ctx); err != nil {
		log.Fatal(err) // not ready to serve
	}
	fmt.Println("ready")
	// Output: ready
}

func ExampleSessions_Stats() {
	ctx := context.Background()
	sessions := newNode(memstore.New(nil), nil)
	defer sessions.Close(ctx)
	for range 3 {
		if _, err := sessions.Create(ctx, store.NewID()); err != nil {
			log.Fatal(err)
		}
	}
	st := sessions.Stats()
	fmt.Println(st.Owned, st.Created, st.Lost)
	// Output: 3 3 0
}

func ExampleKey_Update_remove() {
	ctx := context.Background()
	sess := newSession(ctx)
	if err := Credits.Set(ctx, sess, 1); err != nil {
		log.Fatal(err)
	}
	spend := func(old int, ok bool) (int, error) {
		switch {
		case !ok:
			return 0, store.Keep // nothing to spend
		case old == 1:
			return 0, store.Remove // the last one
		}
		return old - 1, nil
	}
	for range 2 {
		left, err := Credits.Update(ctx, sess, spend)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(left)
	}
	has, err := Credits.Has(ctx, sess)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(has)
	// Output:
	// 0
	// 0
	// false
}
