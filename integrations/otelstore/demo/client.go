package main

import (
	"context"
	"errors"
	"log"
	"math/rand/v2"
	"time"

	"github.com/sessionkv/store"
)

const (
	name  = store.Key[string]("name")
	said  = store.Key[int]("said")
	total = store.Key[int]("total")    // of the lobby: all clients count in it
	alien = store.Key[string]("alien") // has what no codec of this program reads
)

// pause waits for a time up to most, or until ctx ends.
func pause(ctx context.Context, most time.Duration) {
	select {
	case <-time.After(rand.N(most)):
	case <-ctx.Done():
	}
}

// client is one client after the other, until ctx ends.
func client(ctx context.Context, sessions *store.Sessions, lobby string) {
	id := "" // of the session that the client claims
	for ctx.Err() == nil {
		next, err := connect(ctx, sessions, id, lobby)
		if err != nil && ctx.Err() == nil {
			log.Printf("a client: %v", err)
			pause(ctx, 5*time.Second)
		}
		id = next
		pause(ctx, 2*time.Second)
	}
}

// connect is one connection of a client. It returns the session that the client claims when it comes again, "" when it
// has left.
func connect(ctx context.Context, sessions *store.Sessions, id, lobby string) (next string, err error) {
	sess, resumed, err := sessions.Open(ctx, id, nil, name.To("Ada"))
	if err != nil {
		return id, err
	}
	lost := rand.N(20) == 0 // nobody notices that the connection is gone, until the client has come back
	if !lost {
		defer func() { err = errors.Join(err, sess.Release(ctx)) }()
	}
	if !resumed {
		if err := said.Set(ctx, sess, 0); err != nil {
			return sess.ID(), err
		}
	}
	for range 1 + rand.N(20) {
		if err := talk(ctx, sessions, sess, lobby); err != nil {
			return sess.ID(), err
		}
		pause(ctx, time.Second)
	}
	if !lost && rand.N(5) == 0 { // it leaves
		return "", sess.Destroy(ctx)
	}
	return sess.ID(), nil
}

// talk is what a client does with its session.
func talk(ctx context.Context, sessions *store.Sessions, sess *store.Session, lobby string) error {
	var who string
	var n int
	if err := store.Load(ctx, sess, name.Into(&who), said.IntoOr(&n, 0)); err != nil {
		return err
	}
	if _, err := said.Update(ctx, sess, func(n int, _ bool) (int, error) { return n + 1, nil }); err != nil {
		return err
	}
	switch rand.N(10) {
	case 0:
		all, err := sessions.Attach(ctx, lobby)
		if err != nil {
			return err
		}
		_, err = total.Update(ctx, all, func(n int, _ bool) (int, error) { return n + 1, nil })
		return err
	case 1:
		if err := sess.Store().Set(ctx, string(alien), []byte{0xc1}); err != nil {
			return err
		}
		if _, err := alien.Get(ctx, sess); !errors.Is(err, store.ErrDecode) {
			return err
		}
	}
	return nil
}
