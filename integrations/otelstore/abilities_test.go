package otelstore_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
	"github.com/sessionkv/store/integrations/otelstore"
)

// A plain is a Backend without any ability.
type plain struct{ b store.Backend }

func (p plain) Namespace() string { return p.b.Namespace() }
func (p plain) Close() error      { return p.b.Close() }
func (p plain) Create(ctx context.Context, id string, initial []store.Entry, t store.Terms) (store.Store, error) {
	s, err := p.b.Create(ctx, id, initial, t)
	return plainStore{s}, err
}

func (p plain) Attach(ctx context.Context, id string, t store.Terms) (store.Store, error) {
	s, err := p.b.Attach(ctx, id, t)
	return plainStore{s}, err
}

func (p plain) Resume(ctx context.Context, id string, t store.Terms) (store.Store, error) {
	s, err := p.b.Resume(ctx, id, t)
	return plainStore{s}, err
}

func (p plain) Renew(ctx context.Context, sessions []store.Store, lease time.Duration) []error {
	inner := make([]store.Store, len(sessions))
	for i, s := range sessions {
		inner[i] = s
		if own, ok := s.(plainStore); ok {
			inner[i] = own.Store
		}
	}
	return p.b.Renew(ctx, inner, lease)
}

func (p plain) Suspend(ctx context.Context, session store.Store, grace time.Duration) error {
	if own, ok := session.(plainStore); ok {
		session = own.Store
	}
	return p.b.Suspend(ctx, session, grace)
}

type plainStore struct{ store.Store }

// A caching is a Store whose Get answers from a cache.
type caching struct{ store.Store }

func (caching) Get(context.Context, string) ([]byte, error)        { return []byte("cached"), nil }
func (caching) GetCurrent(context.Context, string) ([]byte, error) { return []byte("current"), nil }

// abilities returns what b and its Stores can do.
func abilities(t *testing.T, b store.Backend) map[string]bool {
	t.Helper()
	ctx := t.Context()
	s, err := b.Create(ctx, store.NewID(), nil, store.Terms{Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	can := make(map[string]bool)
	note := func(name string, err error) { can[name] = !errors.Is(err, errors.ErrUnsupported) }
	_, err = store.GetMany(ctx, s, []string{"k"})
	note("ManyGetter", err)
	_, err = store.Commit(ctx, s, nil, []store.Entry{{Key: "k", Value: []byte("v")}})
	note("Committer", err)
	_, err = store.Keys(ctx, s)
	note("KeyLister", err)
	note("ConditionalDestroyer", store.DestroyIf(ctx, s, []store.Entry{{Key: "k", Value: []byte("other")}}))
	stop, err := store.Watch(b, s, func() {})
	note("Watcher", err)
	if err == nil {
		stop()
	}
	_, err = store.AsIndexer(b)
	note("Indexer", err)
	_, err = store.AsScanner(b)
	note("Scanner", err)
	can["StableReader"] = store.StableReads(s)
	return can
}

func TestAbilitiesAreThoseBeneath(t *testing.T) {
	backends := map[string]struct {
		backend store.Backend
		want    bool
	}{
		"memstore":         {memstore.New(nil), true},
		"memstore, twice":  {otelstore.Wrap(memstore.New(nil), nil), true},
		"without any":      {plain{memstore.New(nil)}, false},
		"wrapped memstore": {store.WrapStores(memstore.New(nil), func(s store.Store) store.Store { return s }), true},
	}
	for name, tt := range backends {
		defer tt.backend.Close()
		for ability, can := range abilities(t, otelstore.Wrap(tt.backend, nil)) {
			if can != tt.want {
				t.Errorf("%s, wrapped: %s = %t, want %t", name, ability, can, tt.want)
			}
		}
	}
}

// TestReadsForWritesAskTheServer: a cache beneath is not asked what a write depends on.
func TestReadsForWritesAskTheServer(t *testing.T) {
	memory := memstore.New(nil)
	defer memory.Close()
	b := otelstore.Wrap(store.WrapStores(memory, func(s store.Store) store.Store { return caching{s} }), nil)
	s, err := b.Create(t.Context(), store.NewID(), nil, store.Terms{Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	current, ok := s.(interface {
		GetCurrent(ctx context.Context, key string) ([]byte, error)
	})
	if !ok {
		t.Fatalf("a wrapped %T has no GetCurrent", s)
	}
	if got, err := current.GetCurrent(t.Context(), "k"); err != nil || string(got) != "current" {
		t.Errorf("GetCurrent = %q, %v, want what the server has", got, err)
	}
	if got, err := s.Get(t.Context(), "k"); err != nil || string(got) != "cached" {
		t.Errorf("Get = %q, %v, want what the cache has", got, err)
	}
}
