package redisstore_test

import (
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/internal/testserver"
)

func TestSentinel(t *testing.T) {
	for _, flavour := range []testserver.Flavour{testserver.FlavourRedis, testserver.FlavourRedis8, testserver.FlavourValkey} {
		t.Run(string(flavour), func(t *testing.T) {
			t.Parallel()
			s := testserver.RedisSentinel(t, testserver.WithFlavour(flavour))
			client := func(t testing.TB) redis.UniversalClient {
				c := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: s.MasterName, SentinelAddrs: s.SentinelAddrs})
				t.Cleanup(func() { c.Close() })
				return c
			}
			t.Run("contract", func(t *testing.T) { contract(t, redisstore.Options{}, client) })
			t.Run("contract, every write on two replicas", func(t *testing.T) {
				contract(t, redisstore.Options{WaitReplicas: 2}, client)
			})
			t.Run("unconfirmed write", func(t *testing.T) { unconfirmed(t, client(t)) })
			t.Run("failover", func(t *testing.T) {
				b := open(t, client(t), redisstore.Options{WaitReplicas: 2})
				_, session := create(t, b, store.Entry{Key: "k", Value: []byte("v")})
				s.KillPrimary()
				eventually(t, "Renew after a failover",
					func() error { return errors.Join(b.Renew(t.Context(), []store.Store{session}, lease)...) },
					func(err error) bool { return err == nil })
				value, err := session.Get(t.Context(), "k")
				if string(value) != "v" || err != nil {
					t.Errorf("Get() after a failover = %q, %v, want %q", value, err, "v")
				}
			})
		})
	}
}

// unconfirmed demands more replicas than there are.
func unconfirmed(t *testing.T, client redis.UniversalClient) {
	b := open(t, client, redisstore.Options{WaitReplicas: 3, WaitTimeout: 10 * time.Millisecond})
	id := store.NewID()
	_, err := b.Create(t.Context(), id, nil, store.Terms{Lease: lease})
	if !errors.Is(err, store.ErrUnknownOutcome) {
		t.Fatalf("Create() = %v, want ErrUnknownOutcome", err)
	}
	wantSilent(t, err, id)
	s, err := b.Attach(t.Context(), id, store.Terms{})
	if err != nil {
		t.Fatalf("Attach() = %v, want the session to be on the primary", err)
	}
	if err := s.Set(t.Context(), "k", []byte("v")); !errors.Is(err, store.ErrUnknownOutcome) {
		t.Errorf("Set() = %v, want ErrUnknownOutcome", err)
	}
	if errs := b.Renew(t.Context(), []store.Store{s}, 2*lease); errs != nil {
		t.Errorf("Renew() = %v, want nil", errs)
	}
}
