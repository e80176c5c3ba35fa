package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
	"github.com/sessionkv/store/storetest"
)

// counted counts the Sets of the Store that it embeds.
type counted struct {
	store.Store
	sets *atomic.Int64
}

func (c counted) Set(ctx context.Context, key string, value []byte) error {
	c.sets.Add(1)
	return c.Store.Set(ctx, key, value)
}

func counting(sets *atomic.Int64) func(store.Store) store.Store {
	return func(s store.Store) store.Store { return counted{s, sets} }
}

func TestWrapStoresKeepsAbilitiesAndLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		memory := memstore.New(nil)
		defer memory.Close()
		var sets atomic.Int64
		sessions := newSessions(t, store.WrapStores(store.WrapStores(memory, counting(&sets)), counting(&sets)), &store.Options{Lease: 10 * time.Second})
		s := create(t, sessions, userID.To("u-42"))

		if err := userID.Set(ctx, s, "u-43"); err != nil || sets.Load() != 2 {
			t.Errorf("Set() through two wrappers = %v, counted %d times, want nil and 2", err, sets.Load())
		}
		if _, err := logins.Update(ctx, s, func(n int64, _ bool) (int64, error) { return n + 1, nil }); err != nil {
			t.Errorf("Update() = %v, want nil", err)
		}
		if err := store.Save(ctx, s, userID.To("u-44"), logins.To(7)); err != nil {
			t.Errorf("Save() = %v, want nil", err)
		}
		var id string
		var n int64
		if err := store.Load(ctx, s, userID.Into(&id), logins.Into(&n)); err != nil || id != "u-44" || n != 7 {
			t.Errorf("Load() = %q, %d, %v, want u-44, 7", id, n, err)
		}
		if keys, err := s.Keys(ctx); err != nil || len(keys) != 2 {
			t.Errorf("Keys() = %q, %v, want two", keys, err)
		}
		if !store.StableReads(s.Store()) {
			t.Error("StableReads() of a wrapped memory store = false, want true")
		}
		time.Sleep(time.Minute)
		if got, err := userID.Get(ctx, s); got != "u-44" || err != nil {
			t.Errorf("Get() six leases later = %q, %v, want u-44", got, err)
		}
		if err := s.Suspend(ctx, time.Minute); err != nil {
			t.Errorf("Suspend() = %v, want nil", err)
		}
		if _, err := sessions.Resume(ctx, s.ID()); err != nil {
			t.Errorf("Resume() = %v, want nil", err)
		}
		if err := sessions.Close(ctx); err != nil {
			t.Errorf("Close() = %v, want nil", err)
		}
	})
}

func TestWrappedBackendKeepsTheContract(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		Open: func(testing.TB) store.Backend {
			return store.WrapStores(memstore.New(nil), counting(new(atomic.Int64)))
		},
		Synctest: true,
	})
}

// embedding wraps the Stores of the Backend that it embeds, and forgets Renew.
type embedding struct{ store.Backend }

func (b embedding) Create(ctx context.Context, id string, initial []store.Entry, t store.Terms) (store.Store, error) {
	s, err := b.Backend.Create(ctx, id, initial, t)
	return counted{s, new(atomic.Int64)}, err
}

func (b embedding) Resume(ctx context.Context, id string, t store.Terms) (store.Store, error) {
	s, err := b.Backend.Resume(ctx, id, t)
	return counted{s, new(atomic.Int64)}, err
}

func TestEmbeddedBackendIsRefused(t *testing.T) {
	ctx := t.Context()
	memory := memstore.New(nil)
	defer memory.Close()
	right := newSessions(t, memory, nil)
	wrong := newSessions(t, embedding{memory}, nil)
	defer right.Close(ctx)
	defer wrong.Close(ctx)

	id := store.NewID()
	_, err := wrong.Create(ctx, id)
	wantErr(t, "Create()", err, store.ErrForeignStore)
	if !strings.Contains(err.Error(), "WrapStores") || strings.Contains(err.Error(), "\n") {
		t.Errorf("Create() = %q, want one line that names WrapStores", err)
	}
	_, err = right.Attach(ctx, id)
	wantErr(t, "Attach() to what the refused Create began", err, store.ErrNoSession)

	s := create(t, right)
	_, err = wrong.Resume(ctx, s.ID())
	wantErr(t, "Resume()", err, store.ErrForeignStore)
	if _, err := right.Attach(ctx, s.ID()); err != nil {
		t.Errorf("Attach() after the refused Resume = %v, want nil: the session was there before", err)
	}
}

func TestWrapStoresWithNothing(t *testing.T) {
	ctx := t.Context()
	memory := memstore.New(nil)
	defer memory.Close()
	if got := store.WrapStores(nil, counting(nil)); got != nil {
		t.Errorf("WrapStores(nil, wrap) = %v, want nil", got)
	}
	if got := store.WrapStores(memory, nil); got != store.Backend(memory) {
		t.Errorf("WrapStores(backend, nil) = %v, want the backend", got)
	}
	nothing := store.WrapStores(memory, func(store.Store) store.Store { return nil })
	id := store.NewID()
	if s, err := nothing.Create(ctx, id, nil, store.Terms{Lease: time.Minute}); err == nil || s != nil {
		t.Errorf("Create() with a wrapper that returns nil = %v, %v, want an error", s, err)
	}
	_, err := memory.Attach(ctx, id, store.Terms{})
	wantErr(t, "Attach() to what it began", err, store.ErrNoSession)
}

// A wrapper that changes what is stored does so in every method that sees values.
type shouting struct{ store.Store }

func (s shouting) Set(ctx context.Context, key string, value []byte) error {
	return s.Store.Set(ctx, strings.ToUpper(key), value)
}

func (s shouting) Get(ctx context.Context, key string) ([]byte, error) {
	return s.Store.Get(ctx, strings.ToUpper(key))
}

func (s shouting) Commit(context.Context, []store.Entry, []store.Entry) ([][]byte, error) {
	return nil, errors.ErrUnsupported
}

func TestAbilitiesOfTheWrapperComeFirst(t *testing.T) {
	ctx := t.Context()
	memory := memstore.New(nil)
	defer memory.Close()
	sessions := newSessions(t, store.WrapStores(memory, func(s store.Store) store.Store { return shouting{s} }), nil)
	defer sessions.Close(ctx)
	s := create(t, sessions)
	if err := userID.Set(ctx, s, "u-42"); err != nil {
		t.Fatalf("Set() = %v", err)
	}
	if got, err := userID.Get(ctx, s); got != "u-42" || err != nil {
		t.Errorf("Get() = %q, %v, want u-42", got, err)
	}
	if keys, err := s.Keys(ctx); err != nil || len(keys) != 1 || keys[0] != strings.ToUpper(string(userID)) {
		t.Errorf("Keys() = %q, %v, want the name as the wrapper stored it", keys, err)
	}
	wantErr(t, "Save()", store.Save(ctx, s, userID.To("u-43")), errors.ErrUnsupported)
}

func ExampleWrapStores() {
	ctx := context.Background()
	memory := memstore.New(nil)
	defer memory.Close()
	var sets atomic.Int64
	backend := store.WrapStores(memory, func(s store.Store) store.Store { return counted{s, &sets} })
	sessions, err := store.New(backend, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer sessions.Close(ctx)
	s, err := sessions.Create(ctx, store.NewID())
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, id := range []string{"u-42", "u-43"} {
		if err := userID.Set(ctx, s, id); err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Println(sets.Load(), "sets")
	// Output: 2 sets
}

// behindCache is a Store whose Get answers from a cache that has nothing.
type behindCache struct{ store.Store }

func (behindCache) Get(context.Context, string) ([]byte, error) { return nil, store.ErrNotFound }

func (b behindCache) GetCurrent(ctx context.Context, key string) ([]byte, error) {
	return b.Store.Get(ctx, key)
}

// TestWrapStoresPassesGetCurrentOn: what a write depends on is not read from a cache, through two wrappers.
func TestWrapStoresPassesGetCurrentOn(t *testing.T) {
	ctx := t.Context()
	memory := memstore.New(nil)
	defer memory.Close()
	var sets atomic.Int64
	cached := store.WrapStores(memory, func(s store.Store) store.Store { return behindCache{s} })
	again := store.WrapStores(cached, func(s store.Store) store.Store { return passing{behindCache{s}, s} })
	for name, b := range map[string]store.Backend{"one wrapper": cached, "two": again, "one that hides it": store.WrapStores(cached, counting(&sets))} {
		s := create(t, newSessions(t, b, nil), logins.To(7))
		value, err := logins.Take(ctx, s)
		if hidden := name == "one that hides it"; hidden != errors.Is(err, store.ErrNotFound) || !hidden && (err != nil || value != 7) {
			t.Errorf("%s: Take = %d, %v, want 7 where GetCurrent is passed on", name, value, err)
		}
	}
}

// passing asks its inner Store for the current value.
type passing struct {
	behindCache
	inner store.Store
}

func (p passing) GetCurrent(ctx context.Context, key string) ([]byte, error) {
	return p.inner.(interface {
		GetCurrent(ctx context.Context, key string) ([]byte, error)
	}).GetCurrent(ctx, key)
}
