package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
)

// tripping counts what would be round trips over a network.
type tripping struct {
	store.Store
	trips *atomic.Int64
}

func (c tripping) Get(ctx context.Context, key string) ([]byte, error) {
	c.trips.Add(1)
	return c.Store.Get(ctx, key)
}

func (c tripping) GetMany(ctx context.Context, keys []string) ([][]byte, error) {
	c.trips.Add(1)
	return store.GetMany(ctx, c.Store, keys)
}

func (c tripping) Commit(ctx context.Context, expect, write []store.Entry) ([][]byte, error) {
	c.trips.Add(1)
	return store.Commit(ctx, c.Store, expect, write)
}

func TestTxLoadIsOneTrip(t *testing.T) {
	ctx := t.Context()
	memory := memstore.New(nil)
	defer memory.Close()
	var trips atomic.Int64
	sessions := newSessions(t, store.WrapStores(memory, func(s store.Store) store.Store { return tripping{s, &trips} }), nil)
	const n = 20
	var keys [n]store.Key[int]
	var initial []store.Change
	for i := range keys {
		keys[i] = store.Key[int](fmt.Sprint("key", i))
		if i%2 == 0 {
			initial = append(initial, keys[i].To(i))
		}
	}
	s := create(t, sessions, initial...)
	other, err := sessions.Attach(ctx, s.ID())
	if err != nil {
		t.Fatal(err)
	}
	for name, disturbed := range map[string]bool{"alone": false, "disturbed": true} {
		t.Run(name, func(t *testing.T) {
			trips.Store(0)
			runs, want := 0, int64(2) // the Load and the commit
			err := s.Update(ctx, func(tx *store.Tx) error {
				runs++
				var got [n]int
				var targets []store.Target
				for i := range keys {
					targets = append(targets, keys[i].IntoOr(&got[i], -1))
				}
				if err := tx.Load(targets...); err != nil {
					return err
				}
				for i := range got {
					if want := map[bool]int{true: i, false: -1}[i%2 == 0]; i > 0 && got[i] != want {
						t.Errorf("tx.Load() of key %d = %d, want %d", i, got[i], want)
					}
				}
				if disturbed && runs == 1 {
					before := trips.Load()
					if err := keys[0].Set(ctx, other, 70); err != nil {
						t.Error(err)
					}
					trips.Store(before)
				} else if disturbed && got[0] != 70 {
					t.Errorf("tx.Load() in the second run = %d, want 70", got[0])
				}
				return keys[1].In(tx).Delete()
			})
			if disturbed {
				want = 3 // the second run has its values from the refusal
			}
			if err != nil || trips.Load() != want {
				t.Errorf("Update() over %d keys = %v in %d trips, want nil in %d", n, err, trips.Load(), want)
			}
		})
	}
}

func TestTxLoad(t *testing.T) {
	ctx := t.Context()
	a, b := store.Key[int]("a"), store.Key[string]("b")
	s := create(t, open(t, nil), a.To(1), b.To("stored"))
	err := s.Update(ctx, func(tx *store.Tx) error {
		if err := b.In(tx).Set("written"); err != nil {
			return err
		}
		var n, again int
		var text string
		if err := tx.Load(a.Into(&n), b.Into(&text), a.Into(&again)); err != nil || n != 1 || again != 1 || text != "written" {
			t.Errorf("tx.Load() = %d, %q, %d, %v, want 1, what the transaction has written, and 1", n, text, again, err)
		}
		n = 5
		if err := tx.Load(a.Into(&n), store.Key[int]("absent").Into(&again)); !errors.Is(err, store.ErrNotFound) || n != 5 {
			t.Errorf("tx.Load() of an absent key = %v and set another destination to %d, want ErrNotFound and none set", err, n)
		}
		wantErr(t, "tx.Load(a bad key)", tx.Load(store.Key[int]("").Into(&n)), store.ErrInvalidKey)
		if err := tx.Load(nil); err == nil {
			t.Error("tx.Load(nil) = nil, want an error")
		}
		return tx.Load()
	})
	if err != nil {
		t.Errorf("Update() = %v, want nil", err)
	}
	var n int
	for name, tx := range map[string]*store.Tx{"nil": nil, "zero": new(store.Tx)} {
		if err := tx.Load(); err == nil {
			t.Errorf("Load() of a %s Tx = nil, want an error", name)
		}
		if err := tx.Load(a.Into(&n)); err == nil {
			t.Errorf("Load(a) of a %s Tx = nil, want an error", name)
		}
	}
}

// A value that does not decode is removed by the transaction, or not at all.
func TestTxLoadDropsWithTheTransaction(t *testing.T) {
	ctx := t.Context()
	bad, good := store.Key[int]("bad"), store.Key[int]("good")
	s := create(t, open(t, &store.Options{Undecodable: store.Drop}), store.Key[string]("bad").To("no number"), good.To(1))
	errStop := errors.New("stop")
	for _, stop := range []error{errStop, nil} {
		err := s.Update(ctx, func(tx *store.Tx) error {
			n, m := 0, 0
			if err := tx.Load(bad.IntoOr(&n, -1), good.Into(&m)); err != nil || n != -1 || m != 1 {
				t.Errorf("tx.Load() = %d, %d, %v, want the fallback -1, and 1", n, m, err)
			}
			return stop
		})
		wantErr(t, "Update()", err, stop)
		has, err := bad.Has(ctx, s)
		if err != nil || has != (stop != nil) {
			t.Errorf("Has() after Update() = %v is %t, %v, want %t", stop, has, err, stop != nil)
		}
	}
}
