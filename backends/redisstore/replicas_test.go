package redisstore_test

import (
	"errors"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/internal/testserver"
)

// What was refused was not written, whatever the replicas confirm.
func TestRefusalsNeedNoConfirmation(t *testing.T) {
	client := dial(t, testserver.Redis(t).URL) // without any replica
	ns := namespace(t)
	plain := open(t, client, redisstore.Options{Namespace: ns})
	demanding := open(t, client, redisstore.Options{Namespace: ns, WaitReplicas: 1, WaitTimeout: 10 * time.Millisecond})
	id := store.NewID()
	owner, err := plain.Create(t.Context(), id, []store.Entry{{Key: "k", Value: []byte("v")}}, store.Terms{Lease: lease})
	if err != nil {
		t.Fatal(err)
	}
	s, err := demanding.Attach(t.Context(), id, store.Terms{MaxKeys: 1})
	if err != nil {
		t.Fatal(err)
	}
	check := func(call string, got, want error) {
		t.Helper()
		if !errors.Is(got, want) || errors.Is(got, store.ErrUnknownOutcome) {
			t.Errorf("%s = %v, want %v", call, got, want)
		}
	}
	check("Set() of one key too many", s.Set(t.Context(), "other", nil), store.ErrTooManyKeys)
	_, err = store.Commit(t.Context(), s, []store.Entry{{Key: "k"}}, []store.Entry{{Key: "k"}})
	check("Commit() on another value", err, store.ErrConflict)
	_, err = demanding.Create(t.Context(), id, nil, store.Terms{Lease: lease})
	check("Create() of a living session", err, store.ErrExists)
	if err := owner.Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("Set() after Destroy", s.Set(t.Context(), "k", nil), store.ErrDestroyed)
	check("Delete() after Destroy", s.Delete(t.Context(), "k"), store.ErrDestroyed)
	check("Resume() after Destroy", second(demanding.Resume(t.Context(), id, store.Terms{Lease: lease})), store.ErrNoSession)
}

func second[T any](_ T, err error) error { return err }
