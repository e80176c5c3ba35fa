package store_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
	"github.com/sessionkv/store/live"
)

// A WebSocket server that counts what each client says, and a client that goes on counting after it
// lost its connection. The functions accept and dial represent the WebSocket library of your
// choice.
func Example_webSocket() {
	backend := memstore.New(nil) // or backends.Open(ctx, "redis://…")
	defer backend.Close()
	sessions, err := store.New(backend, nil)
	if err != nil {
		log.Fatal(err)
	}
	conns := live.New(sessions, live.Options{Grace: 30 * time.Second, ID: live.Query("session")})
	server := httptest.NewServer(conns.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context() // ends with the connection, and with the session
		sess, _ := store.FromContext(ctx)
		ws, err := accept(w, r)
		if err != nil {
			return // the client has its answer
		}
		defer ws.Close()
		err = ws.Write(sess.ID()) // a credential, for this client alone
		for err == nil {
			var n int
			if _, err = ws.Read(); err == nil {
				n, err = Credits.Update(ctx, sess, func(n int, _ bool) (int, error) { return n + 1, nil })
			}
			if err == nil {
				err = ws.Write(fmt.Sprint("message ", n))
			}
		}
	})))
	defer server.Close()

	id := "" // the client has no session yet
	for range 2 {
		if id, err = talk(server.URL, id); err != nil {
			log.Fatal(err)
		}
	}
	if err := conns.Stop(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// message 1
	// message 2
	// message 3
	// message 4
}

// talk connects as the client with that session, says two things, prints the
// answers, and loses the connection.
func talk(url, id string) (newID string, err error) {
	ws, err := dial(url + "/?session=" + id)
	if err != nil {
		return "", err
	}
	defer ws.Close()
	if newID, err = ws.Read(); err != nil {
		return "", err
	}
	for _, text := range []string{"hello", "is anybody there?"} {
		if err := ws.Write(text); err != nil {
			return "", err
		}
		answer, err := ws.Read()
		if err != nil {
			return "", err
		}
		fmt.Println(answer)
	}
	return newID, nil
}

func ExampleNew() {
	ctx := context.Background()
	backend := memstore.New(nil) // or backends.Open(ctx, "redis://…")
	defer backend.Close()
	sessions, err := store.New(backend, &store.Options{
		Lease:  time.Minute,                          // how long sessions outlive a process that dies
		Grace:  30 * time.Second,                     // and a client that goes
		Limits: store.Limits{ValueSize: 64, Keys: 8}, // of each session
		OnRenewError: func(err error) {
			log.Print("leases were not renewed: ", err)
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer sessions.Close(ctx)

	sess, _, err := sessions.Open(ctx, "", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer sess.Release(ctx)
	err = UserID.Set(ctx, sess, strings.Repeat("x", 100))
	fmt.Println(errors.Is(err, store.ErrTooLarge))

	_, err = store.New(backend, &store.Options{Lease: time.Nanosecond})
	fmt.Println(err)
	// Output:
	// true
	// store: new: option Lease is 1ns; the shortest is 1s (tests may set AllowShortTimes)
}

// A key is replaced while values that it sealed are read: the new one comes in
// front of it.
func ExampleNewKeyRing() {
	ctx := context.Background()
	backend := memstore.New(nil)
	defer backend.Close()
	secret := func(b byte) []byte { return []byte(strings.Repeat(string(b), 32)) } // from a secret manager
	older := store.SealingKey{ID: 1, Secret: secret('a')}
	newer := store.SealingKey{ID: 2, Secret: secret('b')}

	before, err := store.NewKeyRing(older)
	if err != nil {
		log.Fatal(err)
	}
	node := newNode(backend, &store.Options{Sealer: before, Grace: time.Minute})
	sess, err := node.Create(ctx, store.NewID(), UserID.To("u-42"))
	if err != nil {
		log.Fatal(err)
	}
	if err := node.Close(ctx); err != nil { // the next version of the program takes over
		log.Fatal(err)
	}

	after, err := store.NewKeyRing(newer, older)
	if err != nil {
		log.Fatal(err)
	}
	node = newNode(backend, &store.Options{Sealer: after})
	defer node.Close(ctx)
	if sess, err = node.Resume(ctx, sess.ID()); err != nil {
		log.Fatal(err)
	}
	id, err := UserID.Get(ctx, sess) // sealed with the older key
	if err != nil {
		log.Fatal(err)
	}
	if err := UserID.Set(ctx, sess, id); err != nil { // sealed with the newer one from now on
		log.Fatal(err)
	}
	fmt.Println(id)

	_, err = store.NewKeyRing(store.SealingKey{ID: 3, Secret: []byte("too short")})
	fmt.Println(err)
	// Output:
	// u-42
	// store: sealing key 3 has 9 bytes; AES-256 takes 32
}
