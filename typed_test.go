package store_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/codec"
)

type role string

type profile struct {
	Name  string
	Tags  []string
	Extra map[string]int
	Next  *profile
}

// checkRoundTrip sets, reads, and removes want through every door of a key.
func checkRoundTrip[T any](t *testing.T, s *store.Session, name string, want T) {
	t.Helper()
	ctx := t.Context()
	for _, key := range []interface {
		Get(context.Context, *store.Session) (T, error)
		Set(context.Context, *store.Session, T) error
		Lookup(context.Context, *store.Session) (T, bool, error)
		Has(context.Context, *store.Session) (bool, error)
		Delete(context.Context, *store.Session) error
		Take(context.Context, *store.Session) (T, error)
		GetOr(context.Context, *store.Session, T) (T, error)
		Into(*T) store.Target
		To(T) store.Change
	}{store.Key[T](name), store.Key[T](name).With(codec.JSON)} {
		if err := key.Set(ctx, s, want); err != nil {
			t.Fatalf("%T.Set(%v) = %v, want nil", key, want, err)
		}
		for range 2 { // the second read may come from the memo
			got, err := key.Get(ctx, s)
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("%T.Get() = %v, %v, want %v", key, got, err, want)
			}
		}
		if got, ok, err := key.Lookup(ctx, s); !cmp.Equal(got, want) || !ok || err != nil {
			t.Errorf("%T.Lookup() = %v, %t, %v, want %v", key, got, ok, err, want)
		}
		if ok, err := key.Has(ctx, s); !ok || err != nil {
			t.Errorf("%T.Has() = %t, %v, want true", key, ok, err)
		}
		if got, err := key.Take(ctx, s); !cmp.Equal(got, want) || err != nil {
			t.Errorf("%T.Take() = %v, %v, want %v", key, got, err, want)
		}
		if ok, err := key.Has(ctx, s); ok || err != nil {
			t.Errorf("%T.Has() after Take = %t, %v, want false", key, ok, err)
		}
		_, err := key.Take(ctx, s)
		wantErr(t, "Take() of an absent value", err, store.ErrNotFound)
		if err := store.Save(ctx, s, key.To(want)); err != nil {
			t.Errorf("Save(%v) = %v, want nil", want, err)
		}
		var got T
		if err := store.Load(ctx, s, key.Into(&got)); !cmp.Equal(got, want) || err != nil {
			t.Errorf("Load() = %v with %v, want %v", err, got, want)
		}
		if err := key.Delete(ctx, s); err != nil {
			t.Errorf("%T.Delete() = %v, want nil", key, err)
		}
		if got, ok, err := key.Lookup(ctx, s); ok || err != nil {
			t.Errorf("%T.Lookup() of an absent value = %v, %t, %v, want false", key, got, ok, err)
		}
		if got, err := key.GetOr(ctx, s, want); !cmp.Equal(got, want) || err != nil {
			t.Errorf("%T.GetOr() of an absent value = %v, %v, want the fallback %v", key, got, err, want)
		}
		wantErr(t, "Load() of an absent value", store.Load(ctx, s, key.Into(&got)), store.ErrNotFound)
	}
}

func TestRoundTrips(t *testing.T) {
	s := create(t, open(t, nil))
	checkRoundTrip(t, s, "string", "grüße \x00 <&>")
	checkRoundTrip(t, s, "empty string", "")
	checkRoundTrip(t, s, "bool", true)
	checkRoundTrip(t, s, "int", -1)
	checkRoundTrip(t, s, "int8", int8(math.MinInt8))
	checkRoundTrip(t, s, "int16", int16(math.MinInt16))
	checkRoundTrip(t, s, "int32", int32(math.MaxInt32))
	checkRoundTrip(t, s, "int64", int64(math.MinInt64))
	checkRoundTrip(t, s, "uint", uint(7))
	checkRoundTrip(t, s, "uint8", uint8(255))
	checkRoundTrip(t, s, "uint16", uint16(65535))
	checkRoundTrip(t, s, "uint32", uint32(math.MaxUint32))
	checkRoundTrip(t, s, "uint64", uint64(math.MaxUint64))
	checkRoundTrip(t, s, "float32", float32(0.1))
	checkRoundTrip(t, s, "float64", math.Pi)
	checkRoundTrip(t, s, "bytes", []byte{0, 1, 255})
	checkRoundTrip(t, s, "time", time.Date(2026, 5, 17, 8, 30, 0, 123, time.UTC))
	checkRoundTrip(t, s, "named", role("admin"))
	checkRoundTrip(t, s, "claims", tokenClaims{"u-42", "acme", true, 1 << 40, 3})
	checkRoundTrip(t, s, "strings", []string{"a", "", "c"})
	checkRoundTrip(t, s, "map", map[string]int{"a": 1})
	checkRoundTrip(t, s, "pointer", &tokenClaims{Subject: "u-1"})
	checkRoundTrip(t, s, "profile", profile{"n", []string{"x"}, map[string]int{"y": 2}, &profile{Name: "m"}})
	checkRoundTrip(t, s, "array", [3]int{1, 2, 3})
	checkRoundTrip(t, s, "any", any("text"))
}

// A value that was handed out belongs to the caller, whatever the memo keeps.
func TestValuesAreNotShared(t *testing.T) {
	ctx := t.Context()
	s := create(t, open(t, nil))
	const key = store.Key[profile]("profile")
	in := profile{"n", []string{"x"}, map[string]int{"y": 1}, &profile{Name: "m"}}
	if err := key.Set(ctx, s, in); err != nil {
		t.Fatal(err)
	}
	in.Tags[0], in.Extra["y"], in.Next.Name = "changed", 9, "changed"
	want := profile{"n", []string{"x"}, map[string]int{"y": 1}, &profile{Name: "m"}}
	for range 3 {
		got, err := key.Get(ctx, s)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Fatalf("Get() = %v, %v, want %v", got, err, want)
		}
		got.Tags[0], got.Extra["y"], got.Next.Name = "changed", 9, "changed"
	}
	const blob = store.Key[[]byte]("blob")
	if err := blob.Set(ctx, s, []byte("abc")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		got, err := blob.Get(ctx, s)
		if string(got) != "abc" || err != nil {
			t.Fatalf("Get() = %q, %v, want %q", got, err, "abc")
		}
		got[0] = 'X'
	}
}

// The memo must follow every way in which a value can change.
func TestMemoFollowsTheValue(t *testing.T) {
	ctx := t.Context()
	sessions := open(t, nil)
	s := create(t, sessions)
	other, err := sessions.Attach(ctx, s.ID())
	if err != nil {
		t.Fatal(err)
	}
	check := func(step string, want int) {
		t.Helper()
		for range 3 {
			if got, err := claims.Get(ctx, s); got.Level != want || err != nil {
				t.Fatalf("Get() after %s = level %d, %v, want %d", step, got.Level, err, want)
			}
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(claims.Set(ctx, s, tokenClaims{Level: 1}))
	check("Set", 1)
	must(claims.Set(ctx, other, tokenClaims{Level: 2}))
	check("Set by another handle", 2)
	must(store.Save(ctx, other, claims.To(tokenClaims{Level: 3}), userID.To("u")))
	check("Save by another handle", 3)
	must(claims.Delete(ctx, other))
	_, err = claims.Get(ctx, s)
	wantErr(t, "Get() after Delete by another handle", err, store.ErrNotFound)
	must(claims.Set(ctx, s, tokenClaims{Level: 4}))
	check("Set", 4)

	// The same bytes read with another codec or as another type are not the
	// remembered value.
	_, err = claims.With(codec.JSON).Get(ctx, s)
	wantErr(t, "Get() with another codec", err, store.ErrDecode)
	_, err = store.Key[[3]int]("tokenClaims").Get(ctx, s)
	wantErr(t, "Get() as another type", err, store.ErrDecode)
	check("reads with another codec and type", 4)

	// More keys than the memo holds.
	for round := range 2 {
		for i := range 50 {
			key := store.Key[tokenClaims](fmt.Sprint("claims", i))
			if round == 0 {
				must(key.Set(ctx, s, tokenClaims{Level: i}))
			}
			if got, err := key.Get(ctx, s); got.Level != i || err != nil {
				t.Fatalf("%q.Get() = level %d, %v, want %d", key, got.Level, err, i)
			}
		}
	}
}

func TestWrongTypeIsErrDecode(t *testing.T) {
	ctx := t.Context()
	for _, c := range []codec.Codec{codec.Msgpack, codec.JSON} {
		s := create(t, open(t, &store.Options{Codec: c}))
		if err := userID.Set(ctx, s, "not a number"); err != nil {
			t.Fatal(err)
		}
		_, err := store.Key[int64]("userId").Get(ctx, s)
		wantErr(t, "Get() as int64", err, store.ErrDecode)
		if err == nil {
			continue
		}
		for _, part := range []string{"userId", "int64"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: Get() as int64 = %q, want it to name %q", c.Name(), err, part)
			}
		}
		if strings.Contains(err.Error(), "not a number") {
			t.Errorf("%s: Get() as int64 = %q, which shows the value", c.Name(), err)
		}
		if _, err := store.Key[int64]("userId").Take(ctx, s); !errors.Is(err, store.ErrDecode) {
			t.Errorf("%s: Take() as int64 = %v, want ErrDecode", c.Name(), err)
		}
		if got, err := userID.Get(ctx, s); got != "not a number" || err != nil {
			t.Errorf("%s: Get() after a Take that could not decode = %q, %v, want the value", c.Name(), got, err)
		}
	}
}

// A number must come back as it was written or not at all.
func TestNumbersAreNotCutOff(t *testing.T) {
	ctx := t.Context()
	for _, c := range []codec.Codec{codec.Msgpack, codec.JSON} {
		s := create(t, open(t, &store.Options{Codec: c}), logins.To(300))
		_, err := store.Key[int8]("logins").Get(ctx, s)
		wantErr(t, c.Name()+": Get(300 as int8)", err, store.ErrDecode)
		if got, err := store.Key[uint16]("logins").Get(ctx, s); got != 300 || err != nil {
			t.Errorf("%s: Get(300 as uint16) = %d, %v, want 300", c.Name(), got, err)
		}
		if err := logins.Set(ctx, s, -1); err != nil {
			t.Fatal(err)
		}
		_, err = store.Key[uint64]("logins").Get(ctx, s)
		wantErr(t, c.Name()+": Get(-1 as uint64)", err, store.ErrDecode)
	}
}

func TestNilIsRefused(t *testing.T) {
	ctx := t.Context()
	s := create(t, open(t, nil))
	const ptr = store.Key[*tokenClaims]("ptr")
	const iface = store.Key[any]("iface")
	wantErr(t, "Set(nil pointer)", ptr.Set(ctx, s, nil), store.ErrNilValue)
	wantErr(t, "Set(nil interface)", iface.Set(ctx, s, nil), store.ErrNilValue)
	wantErr(t, "Save(nil pointer)", store.Save(ctx, s, userID.To("u"), ptr.To(nil)), store.ErrNilValue)
	_, err := ptr.SetIfAbsent(ctx, s, nil)
	wantErr(t, "SetIfAbsent(nil pointer)", err, store.ErrNilValue)
	_, err = ptr.Update(ctx, s, func(*tokenClaims, bool) (*tokenClaims, error) { return nil, nil })
	wantErr(t, "Update to nil", err, store.ErrNilValue)
	wantErr(t, "Tx Set(nil)", s.Update(ctx, func(tx *store.Tx) error { return ptr.In(tx).Set(nil) }), store.ErrNilValue)
	if keys, err := s.Keys(ctx); len(keys) > 0 || err != nil {
		t.Errorf("Keys() after refused writes = %q, %v, want none", keys, err)
	}
}

func TestErrorsNameOperationAndKey(t *testing.T) {
	ctx := t.Context()
	s := create(t, open(t, nil))
	_, err := userID.Get(ctx, s)
	var e *store.Error
	if !errors.As(err, &e) || e.Op != "get" || e.Key != "userId" || !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get() = %#v, want an *Error{get, userId, ErrNotFound}", err)
	}
	if want := `store: get "userId": no value under this key`; err.Error() != want {
		t.Errorf("Get() = %q, want %q", err, want)
	}
}

func TestLimits(t *testing.T) {
	ctx := t.Context()
	sessions := open(t, &store.Options{Limits: store.Limits{ValueSize: 10, Keys: 2, KeyLength: 8}})
	s := create(t, sessions)
	wantErr(t, "Set(10 bytes encoded)", userID.Set(ctx, s, strings.Repeat("x", 9)), nil)
	wantErr(t, "Set(11 bytes encoded)", userID.Set(ctx, s, strings.Repeat("x", 10)), store.ErrTooLarge)
	if got, err := userID.Get(ctx, s); got != strings.Repeat("x", 9) || err != nil {
		t.Errorf("Get() after a refused Set = %q, %v, want the old value", got, err)
	}
	long := store.Key[int64]("ninebytes")
	wantErr(t, "Set(long key)", long.Set(ctx, s, 1), store.ErrInvalidKey)
	wantErr(t, "Get(long key)", second(long.Get(ctx, s)), store.ErrInvalidKey)
	for _, bad := range []store.Key[int64]{"", "a\x00b", "\xff"} {
		wantErr(t, fmt.Sprintf("Set(key %q)", bad), bad.Set(ctx, s, 1), store.ErrInvalidKey)
		wantErr(t, fmt.Sprintf("Get(key %q)", bad), second(bad.Get(ctx, s)), store.ErrInvalidKey)
		wantErr(t, fmt.Sprintf("Save(key %q)", bad), store.Save(ctx, s, bad.To(1), logins.To(1)), store.ErrInvalidKey)
	}
	wantErr(t, "Set(second key)", logins.Set(ctx, s, 1), nil)
	wantErr(t, "Set(third key)", store.Key[bool]("third").Set(ctx, s, true), store.ErrTooManyKeys)
	wantErr(t, "Set(existing key at the limit)", logins.Set(ctx, s, 2), nil)
	wantErr(t, "Save(same key twice)", store.Save(ctx, s, logins.To(1), logins.To(2)), store.ErrInvalidKey)
	_, err := sessions.Create(ctx, store.NewID(), store.Key[int]("a").To(1), store.Key[int]("b").To(1), store.Key[int]("c").To(1))
	wantErr(t, "Create(three values)", err, store.ErrTooManyKeys)
	_, err = sessions.Create(ctx, "")
	wantErr(t, "Create(empty ID)", err, store.ErrInvalidID)

	free := create(t, open(t, &store.Options{Limits: store.Limits{ValueSize: -1, Keys: -1}}))
	wantErr(t, "Set(2 MiB) without limit", userID.Set(ctx, free, strings.Repeat("x", 2<<20)), nil)
}

func TestUpdateLosesNothing(t *testing.T) {
	ctx := t.Context()
	sessions := open(t, nil)
	s := create(t, sessions)
	other, err := sessions.Attach(ctx, s.ID())
	if err != nil {
		t.Fatal(err)
	}
	const writers, rounds = 8, 200
	var wg sync.WaitGroup
	for i := range writers {
		handle := []*store.Session{s, other}[i%2]
		wg.Go(func() {
			for range rounds {
				if _, err := logins.Update(ctx, handle, func(old int64, _ bool) (int64, error) { return old + 1, nil }); err != nil {
					t.Errorf("Update() = %v, want nil", err)
				}
			}
		})
	}
	wg.Wait()
	if got, err := logins.Get(ctx, s); got != writers*rounds || err != nil {
		t.Errorf("Get() after %d updates = %d, %v", writers*rounds, got, err)
	}
}

func TestUpdateEndsWithItsFunctionsError(t *testing.T) {
	ctx := t.Context()
	s := create(t, open(t, nil), logins.To(7))
	errStop := errors.New("stop")
	_, err := logins.Update(ctx, s, func(old int64, ok bool) (int64, error) {
		if old != 7 || !ok {
			t.Errorf("change(%d, %t), want 7, true", old, ok)
		}
		return 8, errStop
	})
	wantErr(t, "Update()", err, errStop)
	wantErr(t, "Session.Update()", s.Update(ctx, func(tx *store.Tx) error {
		return errors.Join(logins.In(tx).Set(9), errStop)
	}), errStop)
	if got, _ := logins.Get(ctx, s); got != 7 {
		t.Errorf("Get() after ended updates = %d, want 7", got)
	}
}

func TestTransactions(t *testing.T) {
	ctx := t.Context()
	sessions := open(t, nil)
	from, to := store.Key[int]("from"), store.Key[int]("to")
	s := create(t, sessions, from.To(1000), to.To(0))
	var wg sync.WaitGroup
	for range 4 {
		handle, err := sessions.Attach(ctx, s.ID())
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for range 100 {
				err := handle.Update(ctx, func(tx *store.Tx) error {
					a, err := from.In(tx).Get()
					if err != nil {
						return err
					}
					b, err := to.In(tx).GetOr(0)
					if err != nil {
						return err
					}
					return errors.Join(from.In(tx).Set(a-1), to.In(tx).Set(b+1))
				})
				if err != nil {
					t.Errorf("Update() = %v, want nil", err)
				}
				var a, b int
				if err := store.Load(ctx, handle, from.Into(&a), to.Into(&b)); err != nil || a+b != 1000 {
					t.Errorf("Load() = %v with %d + %d, want the sum 1000", err, a, b)
				}
			}
		})
	}
	wg.Wait()
	if a, _ := from.Get(ctx, s); a != 600 {
		t.Errorf("from = %d after 400 transfers, want 600", a)
	}

	// Own writes are read back, and strings read from them stay what they are.
	var leaked string
	err := s.Update(ctx, func(tx *store.Tx) error {
		v := userID.In(tx)
		if _, err := v.Get(); !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("Get() of an absent value = %w, want ErrNotFound", err)
		}
		if err := v.Set("first"); err != nil {
			return err
		}
		leaked, _ = v.Get()
		if err := v.Set("other"); err != nil {
			return err
		}
		if ok, err := v.Has(); !ok || err != nil {
			return fmt.Errorf("Has() = %t, %w, want true", ok, err)
		}
		if err := v.Delete(); err != nil {
			return err
		}
		if ok, err := v.Has(); ok || err != nil {
			return fmt.Errorf("Has() after Delete = %t, %w, want false", ok, err)
		}
		return v.Set("last")
	})
	wantErr(t, "Update()", err, nil)
	if leaked != "first" {
		t.Errorf("a string read within the transaction became %q, want %q", leaked, "first")
	}
	if got, err := userID.Get(ctx, s); got != "last" || err != nil {
		t.Errorf("Get() = %q, %v, want %q", got, err, "last")
	}

	var kept *store.Tx
	wantErr(t, "Update(reads only)", s.Update(ctx, func(tx *store.Tx) error { kept = tx; return nil }), nil)
	if err := userID.In(kept).Set("x"); err == nil {
		t.Error("Set() in a transaction that is over = nil, want an error")
	}
	if _, err := userID.In(kept).Get(); err == nil {
		t.Error("Get() in a transaction that is over = nil, want an error")
	}
}

// A transaction that only reads must still have seen one moment.
func TestReadOnlyTransactionIsConsistent(t *testing.T) {
	ctx := t.Context()
	sessions := open(t, nil)
	a, b := store.Key[int]("a"), store.Key[int]("b")
	s := create(t, sessions, a.To(0), b.To(0))
	runs := 0
	var x, y int
	err := s.Update(ctx, func(tx *store.Tx) (err error) {
		runs++
		if x, err = a.In(tx).Get(); err != nil {
			return err
		}
		if runs == 1 {
			if err := store.Save(ctx, s, a.To(1), b.To(1)); err != nil {
				return err
			}
		}
		y, err = b.In(tx).Get()
		return err
	})
	if err != nil || x != 1 || y != 1 || runs != 2 {
		t.Errorf("Update() = %v with %d, %d after %d runs, want 1, 1 after 2", err, x, y, runs)
	}
}

func TestOneWinner(t *testing.T) {
	ctx := t.Context()
	sessions := open(t, nil)
	s := create(t, sessions)
	for range 50 {
		var stored, taken atomic.Int32
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				ok, err := logins.SetIfAbsent(ctx, s, int64(i))
				if err != nil {
					t.Errorf("SetIfAbsent() = %v, want nil", err)
				}
				if ok {
					stored.Add(1)
				}
			})
		}
		wg.Wait()
		for range 8 {
			wg.Go(func() {
				_, err := logins.Take(ctx, s)
				if err == nil {
					taken.Add(1)
				} else if !errors.Is(err, store.ErrNotFound) {
					t.Errorf("Take() = %v, want nil or ErrNotFound", err)
				}
			})
		}
		wg.Wait()
		if stored.Load() != 1 || taken.Load() != 1 {
			t.Fatalf("%d of 8 stored and %d of 8 took, want 1 and 1", stored.Load(), taken.Load())
		}
	}
}

func TestLoadSetsAllOrNothing(t *testing.T) {
	ctx := t.Context()
	s := create(t, open(t, nil), userID.To("u-42"), logins.To(3))
	id, n, flag := "before", int64(-1), false
	err := store.Load(ctx, s, userID.Into(&id), logins.Into(&n), store.Key[bool]("absent").Into(&flag))
	wantErr(t, "Load(absent key)", err, store.ErrNotFound)
	if id != "before" || n != -1 {
		t.Errorf("a failed Load set %q, %d", id, n)
	}
	if err := store.Load(ctx, s, userID.Into(&id), logins.Into(&n), store.Key[bool]("absent").IntoOr(&flag, true)); err != nil {
		t.Fatalf("Load() = %v, want nil", err)
	}
	if id != "u-42" || n != 3 || !flag {
		t.Errorf("Load() set %q, %d, %t, want u-42, 3, true", id, n, flag)
	}
	wantErr(t, "Load() of nothing", store.Load(ctx, s), nil)
	wantErr(t, "Save() of nothing", store.Save(ctx, s), nil)
	if err := store.Save(ctx, s, userID.Unset(), logins.To(4)); err != nil {
		t.Fatalf("Save() = %v, want nil", err)
	}
	if keys, err := s.Keys(ctx); !cmp.Equal(keys, []string{"logins"}) || err != nil {
		t.Errorf("Keys() = %q, %v, want only logins", keys, err)
	}
}
