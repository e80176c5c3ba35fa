package memstore_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

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
