// Package system has the things that are compared: this library on its backends,
// and what people use instead, each behind the same small interface.
package system

import (
	"context"
	"errors"
)

// A System keeps values of type T for sessions.
type System[T any] interface {
	// Create begins a session with values under keys.
	Create(ctx context.Context, id string, keys []string, values []T) (Session[T], error)

	// Close removes what the System made and lets go of its clients.
	Close(ctx context.Context) error
}

// A Session holds the values of one client.
type Session[T any] interface {
	// Get returns ErrAbsent when there is no value.
	Get(ctx context.Context, key string) (T, error)
	Set(ctx context.Context, key string, value T) error
	Has(ctx context.Context, key string) (bool, error)
	Delete(ctx context.Context, key string) error
	Destroy(ctx context.Context) error
}

// An Updater is a Session with an atomic read-modify-write. For others it is a
// Get and a Set, which can lose another writer's value.
type Updater[T any] interface {
	Update(ctx context.Context, key string, change func(T) T) error
}

// ErrAbsent says that a key has no value.
var ErrAbsent = errors.New("absent")

// typed returns v as a T.
func typed[T any](v any, ok bool) (t T, err error) {
	if !ok {
		return t, ErrAbsent
	}
	return v.(T), nil
}

// A Spec names a system and what it works on.
type Spec struct {
	Name  string // "store" or the name of a rival
	URL   string // of the server, "memory:" for those in the process
	Codec string // "msgpack" or "json" for the store, "" for rivals
}
