package redisstore_test

import (
	"errors"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/internal/testserver"
)

// Many sessions are renewed by few scripts, each session still individually.
func TestRenewMany(t *testing.T) {
	for name, o := range map[string]redisstore.Options{"merged": {}, "one by one": {DisableBatching: true}} {
		t.Run(name, func(t *testing.T) {
			client := dial(t, testserver.Redis(t).URL)
			o.Namespace = namespace(t)
			b := open(t, client, o)
			var sessions []store.Store
			var ids []string
			for range 300 {
				id := store.NewID()
				s, err := b.Create(t.Context(), id, nil, store.Terms{Lease: time.Minute})
				if err != nil {
					t.Fatal(err)
				}
				sessions, ids = append(sessions, s), append(ids, id)
			}
			if errs := b.Renew(t.Context(), sessions, time.Hour); errs != nil {
				t.Fatalf("Renew() = %v, want nil", errs)
			}
			// Ended by another node, and for some the ID lives again.
			other := open(t, client, o)
			endEveryThird(t, other, ids)
			if err := client.ScriptFlush(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			errs := b.Renew(t.Context(), sessions, 2*time.Hour)
			if len(errs) != len(sessions) {
				t.Fatalf("Renew() returned %d errors, want %d", len(errs), len(sessions))
			}
			for i, err := range errs {
				left := client.PTTL(t.Context(), o.Namespace+":"+ids[i]).Val()
				switch {
				case i%3 == 0:
					if !errors.Is(err, store.ErrDestroyed) || left > time.Minute {
						t.Errorf("session %d, ended: Renew() = %v and it has %v left, want ErrDestroyed and at most a minute", i, err, left)
					}
				case err != nil || left < time.Hour+30*time.Minute:
					t.Errorf("session %d: Renew() = %v and it has %v left, want nil and about two hours", i, err, left)
				}
			}
			// Never shorter.
			if _, err := sessions[1].Has(t.Context(), "k"); err != nil {
				t.Fatal(err)
			}
			b.Renew(t.Context(), sessions[1:3], time.Second)
			if left := client.PTTL(t.Context(), o.Namespace+":"+ids[1]).Val(); left < time.Hour {
				t.Errorf("a shorter renewal left %v, want about two hours", left)
			}
		})
	}
}

// endEveryThird ends every third session through b, and begins another life of every sixth.
func endEveryThird(t *testing.T, b *redisstore.Backend, ids []string) {
	t.Helper()
	for i := 0; i < len(ids); i += 3 {
		s, err := b.Attach(t.Context(), ids[i], store.Terms{})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Destroy(t.Context()); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			if _, err := b.Create(t.Context(), ids[i], nil, store.Terms{Lease: time.Minute}); err != nil {
				t.Fatal(err)
			}
		}
	}
}
