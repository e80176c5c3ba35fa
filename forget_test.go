package store_test

import (
	"context"
	"strings"
	"testing"

	"github.com/sessionkv/store"
)

// TestWhatIsRemovedIsForgotten, whatever removes it: a value that is remembered keeps
// its memory, and the stored bytes.
func TestWhatIsRemovedIsForgotten(t *testing.T) {
	type large struct{ Text string }
	const key = store.Key[large]("k")
	for name, remove := range map[string]func(ctx context.Context, s *store.Session) error{
		"Delete": func(ctx context.Context, s *store.Session) error { return key.Delete(ctx, s) },
		"Take":   func(ctx context.Context, s *store.Session) error { _, err := key.Take(ctx, s); return err },
		"Update": func(ctx context.Context, s *store.Session) error {
			_, err := key.Update(ctx, s, func(large, bool) (large, error) { return large{}, store.Remove })
			return err
		},
		"Update to another": func(ctx context.Context, s *store.Session) error {
			_, err := key.Update(ctx, s, func(large, bool) (large, error) { return large{}, nil })
			return err
		},
		"Unset": func(ctx context.Context, s *store.Session) error { return store.Save(ctx, s, key.Unset()) },
		"transaction": func(ctx context.Context, s *store.Session) error {
			return s.Update(ctx, func(tx *store.Tx) error { return key.In(tx).Delete() })
		},
		"Drop": func(ctx context.Context, s *store.Session) error {
			_, _, err := store.Key[int]("k").IfUndecodable(store.Drop).Lookup(ctx, s)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			s := create(t, open(t, nil), key.To(large{strings.Repeat("x", 8<<10)}))
			for range 2 {
				if _, err := key.Get(ctx, s); err != nil {
					t.Fatal(err)
				}
			}
			if store.Remembered(s) != 1 {
				t.Fatal("a value that was read twice is not remembered")
			}
			if err := remove(ctx, s); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if n := store.Remembered(s); n != 0 {
				t.Errorf("after %s %d values are remembered, want none", name, n)
			}
		})
	}
}
