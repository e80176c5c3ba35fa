package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/internal/testserver"
)

// both runs f with batching and without.
func both(t *testing.T, f func(*testing.T, redisstore.Options)) {
	for _, off := range []bool{false, true} {
		t.Run(fmt.Sprintf("DisableBatching=%v", off), func(t *testing.T) {
			f(t, redisstore.Options{DisableBatching: off})
		})
	}
}

// What a lost reply means for every operation. The marker is in the request
// that loses its reply.
func TestLostReply(t *testing.T) {
	server := testserver.SharedRedis(t)
	ops := []struct {
		name    string
		marker  string
		run     func(b *redisstore.Backend, id string, s store.Store) error
		unknown bool // the outcome cannot be known
		sends   int  // of the marker
		after   map[string]string
	}{
		{"Get", "hmget", func(_ *redisstore.Backend, _ string, s store.Store) error {
			_, err := s.Get(t.Context(), "k")
			return err
		}, false, 2, map[string]string{"k": "v"}},
		{"GetMany", "hmget", func(_ *redisstore.Backend, _ string, s store.Store) error {
			_, err := store.GetMany(t.Context(), s, []string{"k"})
			return err
		}, false, 2, map[string]string{"k": "v"}},
		{"Has", "evalsha", func(_ *redisstore.Backend, _ string, s store.Store) error {
			_, err := s.Has(t.Context(), "k")
			return err
		}, false, 2, map[string]string{"k": "v"}},
		{"Keys", "evalsha", func(_ *redisstore.Backend, _ string, s store.Store) error {
			_, err := store.Keys(t.Context(), s)
			return err
		}, false, 2, map[string]string{"k": "v"}},
		{"Attach", "hmget", func(b *redisstore.Backend, id string, _ store.Store) error {
			_, err := b.Attach(t.Context(), id, store.Terms{})
			return err
		}, false, 2, map[string]string{"k": "v"}},
		{"Set", "MARKED", func(_ *redisstore.Backend, _ string, s store.Store) error {
			return s.Set(t.Context(), "k", []byte("MARKED"))
		}, true, 1, map[string]string{"k": "MARKED"}},
		{"Delete", "evalsha", func(_ *redisstore.Backend, _ string, s store.Store) error {
			return s.Delete(t.Context(), "k")
		}, true, 1, map[string]string{}},
		{"Commit", "MARKED", func(_ *redisstore.Backend, _ string, s store.Store) error {
			_, err := store.Commit(t.Context(), s, []store.Entry{{Key: "k", Value: []byte("v")}}, []store.Entry{{Key: "k", Value: []byte("MARKED")}})
			return err
		}, false, 1, map[string]string{"k": "MARKED"}},
		{"Renew", "evalsha", func(b *redisstore.Backend, _ string, s store.Store) error {
			return errors.Join(b.Renew(t.Context(), []store.Store{s}, time.Hour)...)
		}, false, 2, map[string]string{"k": "v"}},
		{"Suspend", "evalsha", func(b *redisstore.Backend, _ string, s store.Store) error {
			return b.Suspend(t.Context(), s, time.Hour)
		}, false, 2, map[string]string{"k": "v"}},
		{"Destroy", "evalsha", func(_ *redisstore.Backend, _ string, s store.Store) error {
			return s.Destroy(t.Context())
		}, false, 2, nil},
		{"Resume", "evalsha", func(b *redisstore.Backend, id string, _ store.Store) error {
			_, err := b.Resume(t.Context(), id, store.Terms{Lease: lease})
			return err
		}, false, 2, map[string]string{"k": "v"}},
		{"Create", "MARKED", func(b *redisstore.Backend, id string, s store.Store) error {
			if err := s.Destroy(t.Context()); err != nil {
				return err
			}
			_, err := b.Create(t.Context(), id, []store.Entry{{Key: "k", Value: []byte("MARKED")}}, store.Terms{Lease: lease})
			return err
		}, false, 1, map[string]string{"k": "MARKED"}},
	}
	both(t, func(t *testing.T, o redisstore.Options) {
		o.Namespace = namespace(t)
		for _, op := range ops {
			t.Run(op.name, func(t *testing.T) {
				p := newProxy(t, server.Addr)
				b := open(t, dial(t, "redis://"+p.addr), o)
				// Teach the server the script, and open a connection.
				id, s := create(t, b, store.Entry{Key: "k", Value: []byte("v")})
				if err := op.run(b, id, s); err != nil {
					t.Fatalf("%s before the loss = %v", op.name, err)
				}
				id, s = create(t, b, store.Entry{Key: "k", Value: []byte("v")})

				p.arm(reply, op.marker, nil)
				err := op.run(b, id, s)
				if !p.sprung() {
					t.Fatalf("no request contained %q", op.marker)
				}
				if op.unknown {
					if !errors.Is(err, store.ErrUnknownOutcome) || !errors.Is(err, io.EOF) {
						t.Errorf("%s with a lost reply = %v, want ErrUnknownOutcome and the client's error", op.name, err)
					}
					wantSilent(t, err, id)
				} else if err != nil {
					t.Errorf("%s with a lost reply = %v, want nil", op.name, err)
				}
				if got := p.count(op.marker); got != op.sends {
					t.Errorf("%s was sent %d times, want %d", op.name, got, op.sends)
				}
				if diff := cmp.Diff(op.after, contents(t, b, id)); diff != "" {
					t.Errorf("values afterwards (-want +got):\n%s", diff)
				}
			})
		}
	})
}

// contents returns the values of a session, nil if there is none.
func contents(t *testing.T, b *redisstore.Backend, id string) map[string]string {
	t.Helper()
	s, err := b.Attach(t.Context(), id, store.Terms{})
	if errors.Is(err, store.ErrNoSession) {
		return nil
	}
	if err != nil {
		t.Fatalf("Attach() = %v", err)
	}
	keys, err := store.Keys(t.Context(), s)
	if err != nil {
		t.Fatalf("Keys() = %v", err)
	}
	values := make(map[string]string)
	for _, key := range keys {
		value, err := s.Get(t.Context(), key)
		if err != nil {
			t.Fatalf("Get(%q) = %v", key, err)
		}
		values[key] = string(value)
	}
	return values
}

// A commit whose trace is gone is neither done nor refused.
func TestLostCommitThatAnotherCovers(t *testing.T) {
	server := testserver.SharedRedis(t)
	both(t, func(t *testing.T, o redisstore.Options) {
		o.Namespace = namespace(t)
		p := newProxy(t, server.Addr)
		b := open(t, dial(t, "redis://"+p.addr), o)
		other := open(t, dial(t, server.URL), o)
		id, s := create(t, b)
		p.arm(reply, "MARKED", func() {
			s, err := other.Attach(context.Background(), id, store.Terms{})
			if err == nil {
				_, err = store.Commit(context.Background(), s, nil, []store.Entry{{Key: "other", Value: []byte("v")}})
			}
			if err != nil {
				t.Errorf("the other commit = %v", err)
			}
		})
		_, err := store.Commit(t.Context(), s, nil, []store.Entry{{Key: "k", Value: []byte("MARKED")}})
		if !errors.Is(err, store.ErrUnknownOutcome) || errors.Is(err, store.ErrConflict) {
			t.Errorf("Commit() = %v, want ErrUnknownOutcome", err)
		}
	})
}

// A request that broke on its way may have arrived.
func TestLostRequest(t *testing.T) {
	server := testserver.SharedRedis(t)
	both(t, func(t *testing.T, o redisstore.Options) {
		p := newProxy(t, server.Addr)
		b := open(t, dial(t, "redis://"+p.addr), o)
		id, s := create(t, b)
		p.arm(request, "MARKED", nil)
		if err := s.Set(t.Context(), "k", []byte("MARKED")); !errors.Is(err, store.ErrUnknownOutcome) {
			t.Errorf("Set() = %v, want ErrUnknownOutcome", err)
		}
		p.arm(request, "MARKED", nil)
		_, err := store.Commit(t.Context(), s, nil, []store.Entry{{Key: "k", Value: []byte("MARKED")}})
		if !errors.Is(err, store.ErrUnknownOutcome) {
			t.Errorf("Commit() = %v, want ErrUnknownOutcome", err)
		}
		if diff := cmp.Diff(map[string]string{}, contents(t, b, id)); diff != "" {
			t.Errorf("values afterwards (-want +got):\n%s", diff)
		}
	})
}
