package memstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
)

var terms = store.Terms{Lease: time.Minute}

// open returns a Backend that the test closes.
func open(t testing.TB) *memstore.Backend {
	t.Helper()
	b := memstore.New(nil)
	t.Cleanup(func() { b.Close() })
	return b
}

func create(t testing.TB, b *memstore.Backend, id string, initial ...store.Entry) store.Store {
	t.Helper()
	s, err := b.Create(t.Context(), id, initial, terms)
	if err != nil {
		t.Fatalf("Create: %v", err)
	}
	return s
}

func wantErr(t testing.TB, call string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) || (want == nil && got != nil) {
		t.Errorf("%s: error %v, want %v", call, got, want)
	}
}

func wantValue(t testing.TB, s store.Store, key, want string) {
	t.Helper()
	got, err := s.Get(t.Context(), key)
	if err != nil || string(got) != want || got == nil {
		t.Errorf("Get(%q) = %q, %v, want %q", key, got, err, want)
	}
}

func TestValues(t *testing.T) {
	ctx := t.Context()
	s := create(t, open(t), "a")
	_, err := s.Get(ctx, "k")
	wantErr(t, "Get of an absent key", err, store.ErrNotFound)

	for _, n := range []int{0, 1, 7, 8, 15, 253, 254, 255, 256, 1 << 16} {
		in := slices.Repeat([]byte{'x'}, n)
		wantErr(t, "Set", s.Set(ctx, "k", in), nil)
		want := string(in)
		for i := range in {
			in[i] = '!'
		}
		wantValue(t, s, "k", want)
		one, _ := s.Get(ctx, "k")
		two, _ := s.Get(ctx, "k")
		if len(one) != cap(one) {
			t.Errorf("value of %d bytes has capacity %d", n, cap(one))
		}
		if n > 0 && &one[0] != &two[0] {
			t.Errorf("two Gets of an unchanged value of %d bytes return different slices", n)
		}
	}
	wantErr(t, "Set nil", s.Set(ctx, "k", nil), nil)
	wantValue(t, s, "k", "")
	wantErr(t, "Delete", s.Delete(ctx, "k"), nil)
	wantErr(t, "Delete again", s.Delete(ctx, "k"), nil)
	if ok, err := s.Has(ctx, "k"); ok || err != nil {
		t.Errorf("Has after Delete = %v, %v, want false", ok, err)
	}
}

func TestCanceledContext(t *testing.T) {
	b := open(t)
	s := create(t, b, "a", store.Entry{Key: "k", Value: []byte("v")})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	calls := map[string]func() error{
		"Get":     func() error { _, err := s.Get(ctx, "k"); return err },
		"Has":     func() error { _, err := s.Has(ctx, "k"); return err },
		"Set":     func() error { return s.Set(ctx, "k", nil) },
		"Delete":  func() error { return s.Delete(ctx, "k") },
		"Destroy": func() error { return s.Destroy(ctx) },
		"GetMany": func() error { _, err := store.GetMany(ctx, s, []string{"k"}); return err },
		"Keys":    func() error { _, err := store.Keys(ctx, s); return err },
		"Commit": func() error {
			_, err := store.Commit(ctx, s, nil, []store.Entry{{Key: "k"}})
			return err
		},
		"Create":  func() error { _, err := b.Create(ctx, "b", nil, terms); return err },
		"Attach":  func() error { _, err := b.Attach(ctx, "a", terms); return err },
		"Resume":  func() error { _, err := b.Resume(ctx, "a", terms); return err },
		"Suspend": func() error { return b.Suspend(ctx, s, time.Hour) },
		"Renew":   func() error { return b.Renew(ctx, []store.Store{s}, time.Hour)[0] },
	}
	for name, call := range calls {
		wantErr(t, name, call(), context.Canceled)
	}
	wantValue(t, s, "k", "v")
}

func wantHeld(t *testing.T, b *memstore.Backend, want int) {
	t.Helper()
	if got := memstore.Held(b); got != want {
		t.Errorf("%d sessions and queue entries are held, want %d", got, want)
	}
}

// A session grows from nothing to a thousand keys and back, and is resumed on
// the way.
func TestManyKeys(t *testing.T) {
	const many = 1000
	ctx := t.Context()
	b := open(t)
	s := create(t, b, "a")
	name := func(i int) string { return fmt.Sprintf("key%04d", i) }
	for i := range many {
		wantErr(t, "Set", s.Set(ctx, name(i), []byte(name(i))), nil)
		if i%100 == 7 {
			var err error
			if s, err = b.Resume(ctx, "a", terms); err != nil {
				t.Fatalf("Resume: %v", err)
			}
		}
		for _, j := range []int{0, i / 2, i} {
			wantValue(t, s, name(j), name(j))
		}
	}
	var want []string
	for i := range many {
		want = append(want, name(i))
	}
	got, err := store.Keys(ctx, s)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("Keys: error %v, (-want +got)\n%s", err, diff)
	}
	values, err := store.GetMany(ctx, s, []string{name(3), "absent", name(900)})
	if err != nil || string(values[0]) != name(3) || values[1] != nil || string(values[2]) != name(900) {
		t.Errorf("GetMany = %q, %v", values, err)
	}
	for i := range many {
		wantErr(t, "Set again", s.Set(ctx, name(i), []byte("v")), nil)
		wantErr(t, "Delete", s.Delete(ctx, name(i)), nil)
		if ok, err := s.Has(ctx, name(i)); ok || err != nil {
			t.Errorf("Has(%q) after Delete = %v, %v", name(i), ok, err)
		}
	}
	if got, err := store.Keys(ctx, s); len(got) != 0 || err != nil {
		t.Errorf("Keys = %q, %v, want none", got, err)
	}
}

// Keys that come and go do not fill a session up.
func TestKeysComeAndGo(t *testing.T) {
	ctx := t.Context()
	b := open(t)
	s, err := b.Create(ctx, "a", nil, store.Terms{Lease: time.Minute, MaxKeys: 2})
	wantErr(t, "Create", err, nil)
	wantErr(t, "Set", s.Set(ctx, "stays", []byte("here")), nil)
	for i := range 2000 {
		key := fmt.Sprint(i)
		wantErr(t, "Set", s.Set(ctx, key, []byte(key)), nil)
		wantErr(t, "Set beyond MaxKeys", s.Set(ctx, "third", nil), store.ErrTooManyKeys)
		wantValue(t, s, key, key)
		wantErr(t, "Delete", s.Delete(ctx, key), nil)
		_, err := s.Get(ctx, key)
		wantErr(t, "Get", err, store.ErrNotFound)
	}
	wantValue(t, s, "stays", "here")
}

func TestLimits(t *testing.T) {
	ctx := t.Context()
	b := open(t)
	two := store.Terms{Lease: time.Minute, MaxKeys: 2}
	a, c, d := store.Entry{Key: "a", Value: []byte("1")}, store.Entry{Key: "c", Value: []byte{}}, store.Entry{Key: "d", Value: []byte("3")}
	_, err := b.Create(ctx, "a", []store.Entry{a, c, d}, two)
	wantErr(t, "Create with too many keys", err, store.ErrTooManyKeys)
	s, err := b.Create(ctx, "a", []store.Entry{a, c, {Key: "nil"}}, two)
	wantErr(t, "Create", err, nil)

	commit := func(name string, s store.Store, want error, write ...store.Entry) {
		t.Helper()
		_, err := store.Commit(ctx, s, nil, write)
		wantErr(t, "Commit "+name, err, want)
	}
	commit("one too many", s, store.ErrTooManyKeys, d)
	commit("one too many, one changed", s, store.ErrTooManyKeys, a, d)
	commit("one for another", s, nil, store.Entry{Key: "a"}, d)
	wantErr(t, "Set", s.Set(ctx, "a", nil), store.ErrTooManyKeys)
	wantErr(t, "Set of a key that is there", s.Set(ctx, "c", nil), nil)

	other, err := b.Attach(ctx, "a", store.Terms{MaxKeys: 3})
	wantErr(t, "Attach", err, nil)
	wantErr(t, "Set through a handle with room for three", other.Set(ctx, "a", nil), nil)
	commit("one too many for three", other, store.ErrTooManyKeys, store.Entry{Key: "e", Value: []byte{}})
	if errs := b.Renew(ctx, []store.Store{s, other}, time.Minute); errs != nil {
		t.Errorf("Renew of both handles = %v", errs)
	}
	if !store.StableReads(other) {
		t.Errorf("StableReads of a handle with other terms = false")
	}
	commit("fewer while there are too many", s, nil, store.Entry{Key: "a"}, store.Entry{Key: "c"})
	keys, err := store.Keys(ctx, other)
	if !slices.Equal(keys, []string{"d"}) || err != nil {
		t.Errorf("Keys = %q, %v, want [d]", keys, err)
	}
}

func TestCommit(t *testing.T) {
	ctx := t.Context()
	s := create(t, open(t), "a", store.Entry{Key: "a", Value: []byte("1")}, store.Entry{Key: "empty", Value: []byte{}})
	expect := []store.Entry{{Key: "a", Value: []byte("1")}, {Key: "empty", Value: []byte{}}, {Key: "absent"}}
	for i := range expect {
		wrong := slices.Clone(expect)
		for _, v := range [][]byte{nil, {}, []byte("1"), []byte("2")} {
			if wrong[i].Value = v; string(v) == string(expect[i].Value) && (v == nil) == (expect[i].Value == nil) {
				continue
			}
			current, err := store.Commit(ctx, s, wrong, []store.Entry{{Key: "a"}, {Key: "b", Value: []byte("2")}})
			wantErr(t, "Commit", err, store.ErrConflict)
			if diff := cmp.Diff([][]byte{[]byte("1"), {}, nil}, current); diff != "" {
				t.Errorf("Commit expecting %q: current (-want +got)\n%s", wrong, diff)
			}
		}
	}
	value := []byte("2")
	current, err := store.Commit(ctx, s, expect, []store.Entry{{Key: "a"}, {Key: "b", Value: value}, {Key: "absent"}})
	if current != nil || err != nil {
		t.Errorf("Commit = %q, %v, want nil, nil", current, err)
	}
	value[0] = '!'
	wantValue(t, s, "b", "2")
	keys, err := store.Keys(ctx, s)
	if !slices.Equal(keys, []string{"b", "empty"}) || err != nil {
		t.Errorf("Keys = %q, %v, want [b empty]", keys, err)
	}
}

func TestInvalidKeys(t *testing.T) {
	ctx := t.Context()
	b := open(t)
	s, ended := create(t, b, "a", store.Entry{Key: "k", Value: nil}), create(t, b, "b")
	wantErr(t, "Destroy", ended.Destroy(ctx), nil)
	large := create(t, b, "c", pads(50)...)
	for _, key := range []string{"", "a\x00", "\xff", strings.Repeat("k", store.MaxKeyLength+1)} {
		for _, s := range []store.Store{s, ended, large} {
			_, err := s.Get(ctx, key)
			wantErr(t, "Get", err, store.ErrInvalidKey)
			_, err = s.Has(ctx, key)
			wantErr(t, "Has", err, store.ErrInvalidKey)
			wantErr(t, "Set", s.Set(ctx, key, nil), store.ErrInvalidKey)
			wantErr(t, "Delete", s.Delete(ctx, key), store.ErrInvalidKey)
			_, err = store.GetMany(ctx, s, []string{"k", key})
			wantErr(t, "GetMany", err, store.ErrInvalidKey)
			_, err = store.Commit(ctx, s, []store.Entry{{Key: key}}, nil)
			wantErr(t, "Commit", err, store.ErrInvalidKey)
			_, err = store.Commit(ctx, s, nil, []store.Entry{{Key: key}})
			wantErr(t, "Commit", err, store.ErrInvalidKey)
		}
		_, err := b.Create(ctx, "d", []store.Entry{{Key: key, Value: nil}}, terms)
		wantErr(t, "Create", err, store.ErrInvalidKey)
	}
	for _, id := range []string{"", strings.Repeat("i", store.MaxIDLength+1)} {
		_, err := b.Create(ctx, id, nil, terms)
		wantErr(t, "Create", err, store.ErrInvalidID)
		_, err = b.Attach(ctx, id, terms)
		wantErr(t, "Attach", err, store.ErrInvalidID)
		_, err = b.Resume(ctx, id, terms)
		wantErr(t, "Resume", err, store.ErrInvalidID)
	}
	for _, lease := range []time.Duration{0, -time.Second} {
		if _, err := b.Create(ctx, "d", nil, store.Terms{Lease: lease}); err == nil {
			t.Errorf("Create with a lease of %v succeeds", lease)
		}
		if _, err := b.Resume(ctx, "a", store.Terms{Lease: lease}); err == nil {
			t.Errorf("Resume with a lease of %v succeeds", lease)
		}
	}
}

// foreign is a Store of nobody's.
type foreign struct{ store.Store }

func TestForeignStores(t *testing.T) {
	ctx := t.Context()
	b := open(t)
	own, other := create(t, b, "a"), create(t, open(t), "a")
	errs := b.Renew(ctx, []store.Store{own, nil, other, foreign{own}}, time.Minute)
	if len(errs) != 4 || errs[0] != nil || errs[1] == nil || errs[2] == nil || errs[3] == nil {
		t.Errorf("Renew of an own and three foreign stores = %v", errs)
	}
	if errs := b.Renew(ctx, nil, time.Minute); errs != nil {
		t.Errorf("Renew of nothing = %v", errs)
	}
	for _, s := range []store.Store{nil, other, foreign{own}} {
		if err := b.Suspend(ctx, s, time.Minute); err == nil {
			t.Errorf("Suspend of a foreign store succeeds")
		}
	}
}

// A peak of sessions does not keep its memory, and destroying many leaves the
// others alone.
func TestPeak(t *testing.T) {
	ctx := t.Context()
	b := open(t)
	const sessions = 50_000
	all := make([]store.Store, sessions)
	for i := range all {
		all[i] = create(t, b, fmt.Sprint(i))
	}
	wantHeld(t, b, 2*sessions)
	for i, s := range all {
		if i%1000 != 0 {
			wantErr(t, "Destroy", s.Destroy(ctx), nil)
		}
	}
	wantHeld(t, b, 2*sessions/1000)
	for i := 0; i < sessions; i += 1000 {
		_, err := b.Attach(ctx, fmt.Sprint(i), terms)
		wantErr(t, "Attach", err, nil)
	}
}
