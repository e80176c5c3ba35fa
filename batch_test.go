package store_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/sessionkv/store"
)

// A Target has no memory of the Loads before.
func TestTargetsCanBeUsedAgain(t *testing.T) {
	ctx := t.Context()
	s := create(t, open(t, nil), userID.To("u-1"), claims.To(sampleClaims))
	var (
		id   string
		c    tokenClaims
		want tokenClaims
	)
	into, intoOr := userID.Into(&id), claims.IntoOr(&c, want)
	if err := store.Load(ctx, s, into, intoOr); id != "u-1" || c != sampleClaims || err != nil {
		t.Fatalf("Load() = %v with %q, %v, want both values", err, id, c)
	}
	if err := claims.Delete(ctx, s); err != nil {
		t.Fatal(err)
	}
	if err := store.Load(ctx, s, into, intoOr); c != want || err != nil {
		t.Errorf("Load() after Delete = %v with %v, want the fallback %v", err, c, want)
	}
	// A Load that fails leaves nothing for the next.
	if err := store.Save(ctx, s, userID.Unset(), claims.To(sampleClaims)); err != nil {
		t.Fatal(err)
	}
	id = "before"
	wantErr(t, "Load()", store.Load(ctx, s, intoOr, into), store.ErrNotFound)
	if id != "before" || c != want {
		t.Errorf("a Load that failed set %q and %v, want %q and %v as before", id, c, "before", want)
	}
	if err := claims.Delete(ctx, s); err != nil {
		t.Fatal(err)
	}
	if err := store.Load(ctx, s, intoOr); c != want || err != nil {
		t.Errorf("Load() after one that failed = %v with %v, want the fallback %v", err, c, want)
	}
	// One Target twice in a Load, and for two sessions.
	other := create(t, open(t, nil), userID.To("u-2"))
	if err := store.Load(ctx, other, into, into); id != "u-2" || err != nil {
		t.Errorf("Load() of one target twice = %v with %q, want %q", err, id, "u-2")
	}
}

// Targets and Changes that goroutines share do not race; run with -race.
func TestTargetsAndChangesCanBeShared(t *testing.T) {
	ctx := t.Context()
	sessions := open(t, nil)
	var (
		id   string
		c    tokenClaims
		wg   sync.WaitGroup
		into = []store.Target{userID.Into(&id), claims.IntoOr(&c, tokenClaims{})}
		to   = []store.Change{userID.To("u-1"), claims.To(sampleClaims)}
	)
	for range 4 {
		s := create(t, sessions, userID.To("u-1"))
		wg.Go(func() {
			for range 100 {
				if err := store.Save(ctx, s, to...); err != nil {
					t.Errorf("Save() = %v, want nil", err)
				}
				if err := store.Load(ctx, s, into...); err != nil {
					t.Errorf("Load() = %v, want nil", err)
				}
			}
		})
	}
	wg.Wait()
	if id != "u-1" || c != sampleClaims {
		t.Errorf("Load() by many set %q and %v, want %q and %v", id, c, "u-1", sampleClaims)
	}
}

// Transactions see their own writes and reads, whatever their number.
func TestTransactionsOverManyKeys(t *testing.T) {
	ctx := t.Context()
	s := create(t, open(t, nil))
	const n = 100 // more than are compared one by one
	key := func(i int) store.Key[int] { return store.Key[int](fmt.Sprint("n", i)) }
	runs := 0
	err := s.Update(ctx, func(tx *store.Tx) error {
		runs++
		for round := range 3 {
			for i := range n {
				want, has := i+round-1, round > 0
				if round == 0 && i == n-1 && runs == 2 {
					want, has = 7, true
				}
				v, ok, err := key(i).In(tx).Lookup()
				if err != nil || ok != has || ok && v != want {
					return fmt.Errorf("run %d, round %d: Lookup(%d) = %d, %t, %v, want %d, %t", runs, round, i, v, ok, err, want, has)
				}
				if err := key(i).In(tx).Set(i + round); err != nil {
					return err
				}
			}
		}
		if runs == 1 {
			return key(n-1).Set(ctx, s, 7) // another writer comes first
		}
		return key(0).In(tx).Delete()
	})
	if err != nil || runs != 2 {
		t.Fatalf("Update() = %v after %d runs, want nil after 2", err, runs)
	}
	for i := range n {
		v, ok, err := key(i).Lookup(ctx, s)
		if want := i + 2; ok != (i > 0) || ok && v != want || err != nil {
			t.Errorf("Lookup(%d) after the transaction = %d, %t, %v, want %d, %t", i, v, ok, err, want, i > 0)
		}
	}
}

// BenchmarkTransaction reads and writes n keys; the time per key must not grow with n.
func BenchmarkTransaction(b *testing.B) {
	for _, n := range []int{8, 500, 4000} {
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			ctx := context.Background()
			s := create(b, open(b, &store.Options{Limits: store.Limits{Keys: -1}}))
			keys := make([]store.Key[int], n)
			for i := range keys {
				keys[i] = store.Key[int](fmt.Sprint("n", i))
			}
			start := time.Now()
			b.ReportAllocs()
			for b.Loop() {
				err := s.Update(ctx, func(tx *store.Tx) error {
					for _, k := range keys {
						v, err := k.In(tx).GetOr(0)
						if err != nil {
							return err
						}
						if err := k.In(tx).Set(v + 1); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(time.Since(start).Nanoseconds())/float64(b.N*n), "ns/key")
		})
	}
}
