package redisstore_test

import (
	"context"
	"errors"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore"
)

// An operation is one call of the contract on a session that lives and has the
// key "k" with the value "v".
type operation struct {
	name     string
	writes   bool
	attaches bool // or looks for the session before it does what it is named for
	run      func(ctx context.Context, b *redisstore.Backend, id string, s store.Store) error
}

// operations are all there are. Those that end this life of the session come
// last: Resume, Destroy, and Create after it.
var operations = []operation{
	{"Get", false, false, func(ctx context.Context, _ *redisstore.Backend, _ string, s store.Store) error {
		_, err := s.Get(ctx, "k")
		return err
	}},
	{"GetMany", false, false, func(ctx context.Context, _ *redisstore.Backend, _ string, s store.Store) error {
		_, err := store.GetMany(ctx, s, []string{"k", "absent"})
		return err
	}},
	{"Has", false, false, func(ctx context.Context, _ *redisstore.Backend, _ string, s store.Store) error {
		_, err := s.Has(ctx, "k")
		return err
	}},
	{"Keys", false, false, func(ctx context.Context, _ *redisstore.Backend, _ string, s store.Store) error {
		_, err := store.Keys(ctx, s)
		return err
	}},
	{"Attach", false, false, func(ctx context.Context, b *redisstore.Backend, id string, _ store.Store) error {
		_, err := b.Attach(ctx, id, store.Terms{})
		return err
	}},
	{"Renew with no lease", false, false, func(ctx context.Context, b *redisstore.Backend, _ string, s store.Store) error {
		return errors.Join(b.Renew(ctx, []store.Store{s}, 0)...)
	}},
	{"Renew", true, false, func(ctx context.Context, b *redisstore.Backend, _ string, s store.Store) error {
		return errors.Join(b.Renew(ctx, []store.Store{s}, 2*lease)...)
	}},
	{"Set", true, false, func(ctx context.Context, _ *redisstore.Backend, _ string, s store.Store) error {
		return s.Set(ctx, "k2", []byte("v"))
	}},
	{"Set with MaxKeys", true, true, func(ctx context.Context, b *redisstore.Backend, id string, s store.Store) error {
		limited, err := b.Attach(ctx, id, store.Terms{MaxKeys: 10})
		if err != nil {
			return err
		}
		return limited.Set(ctx, "k3", []byte("v"))
	}},
	{"Commit", true, false, func(ctx context.Context, _ *redisstore.Backend, _ string, s store.Store) error {
		_, err := store.Commit(ctx, s, []store.Entry{{Key: "k", Value: []byte("v")}}, []store.Entry{{Key: "k4", Value: []byte("v")}, {Key: "k2"}})
		return err
	}},
	{"Delete", true, false, func(ctx context.Context, _ *redisstore.Backend, _ string, s store.Store) error {
		return s.Delete(ctx, "k2")
	}},
	{"Suspend", true, false, func(ctx context.Context, b *redisstore.Backend, _ string, s store.Store) error {
		return b.Suspend(ctx, s, time.Minute)
	}},
	{"Resume", true, true, func(ctx context.Context, b *redisstore.Backend, id string, _ store.Store) error {
		_, err := b.Resume(ctx, id, store.Terms{Lease: lease})
		return err
	}},
	{"Destroy", true, true, func(ctx context.Context, b *redisstore.Backend, id string, _ store.Store) error {
		s, err := b.Attach(ctx, id, store.Terms{})
		if err != nil {
			return err
		}
		return s.Destroy(ctx)
	}},
	{"Create", true, false, func(ctx context.Context, b *redisstore.Backend, id string, _ store.Store) error {
		_, err := b.Create(ctx, id, []store.Entry{{Key: "k", Value: []byte("v")}}, store.Terms{Lease: lease})
		return err
	}},
}
