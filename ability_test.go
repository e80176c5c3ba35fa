package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
)

// bareBackend and bareStore hide every ability of what they embed.
type bareBackend struct{ store.Backend }

type bareStore struct{ store.Store }

func (b bareBackend) Create(ctx context.Context, id string, initial []store.Entry, t store.Terms) (store.Store, error) {
	s, err := b.Backend.Create(ctx, id, initial, t)
	return bareStore{s}, err
}

func (b bareBackend) Renew(ctx context.Context, sessions []store.Store, lease time.Duration) []error {
	inner := make([]store.Store, len(sessions))
	for i, s := range sessions {
		inner[i] = s.(bareStore).Store
	}
	return b.Backend.Renew(ctx, inner, lease)
}

func TestBackendWithoutAbilities(t *testing.T) {
	ctx := t.Context()
	backend := memstore.New(nil)
	defer backend.Close()
	sessions := newSessions(t, bareBackend{backend}, nil)
	defer sessions.Close(ctx)
	s := create(t, sessions, userID.To("u-42"), logins.To(1))

	if got, err := userID.Get(ctx, s); got != "u-42" || err != nil {
		t.Errorf("Get() = %q, %v, want %q", got, err, "u-42")
	}
	var id string
	var n int64
	if err := store.Load(ctx, s, userID.Into(&id)); id != "u-42" || err != nil {
		t.Errorf("Load(one key) = %v with %q, want %q", err, id, "u-42")
	}
	_, err := logins.Update(ctx, s, func(old int64, _ bool) (int64, error) { return old + 1, nil })
	wantErr(t, "Update()", err, errors.ErrUnsupported)
	_, err = logins.SetIfAbsent(ctx, s, 1)
	wantErr(t, "SetIfAbsent()", err, errors.ErrUnsupported)
	_, err = logins.Take(ctx, s)
	wantErr(t, "Take()", err, errors.ErrUnsupported)
	wantErr(t, "Load(two keys)", store.Load(ctx, s, userID.Into(&id), logins.Into(&n)), errors.ErrUnsupported)
	wantErr(t, "Save()", store.Save(ctx, s, logins.To(9)), errors.ErrUnsupported)
	_, err = s.Keys(ctx)
	wantErr(t, "Keys()", err, errors.ErrUnsupported)
	if store.StableReads(s.Store()) {
		t.Error("StableReads() of a store that does not say so = true, want false")
	}
	for range 3 { // without the memo
		must(t, claims.Set(ctx, s, tokenClaims{Level: 1}))
		if got, err := claims.Get(ctx, s); !cmp.Equal(got, tokenClaims{Level: 1}) || err != nil {
			t.Errorf("Get() = %v, %v, want level 1", got, err)
		}
	}
	if got, err := logins.Get(ctx, s); got != 1 || err != nil {
		t.Errorf("Get() after refused operations = %d, %v, want 1", got, err)
	}
}

// silent refuses conditional writes without saying what it found.
type silent struct{ store.Store }

func (silent) Commit(context.Context, []store.Entry, []store.Entry) ([][]byte, error) {
	return nil, store.ErrConflict
}

func TestCommitWithoutCurrentValuesIsAnError(t *testing.T) {
	_, err := store.Commit(t.Context(), silent{}, []store.Entry{{Key: "a"}}, nil)
	if err == nil || errors.Is(err, store.ErrConflict) {
		t.Errorf("Commit() of a backend that returns no current values = %v, want an error that is no conflict", err)
	}
}
