package backends

import (
	"context"

	"github.com/sessionkv/store"
)

// MigrateAny is Migrate, also from and to memory.
var MigrateAny = migrate

// Seeding begins sessions at the old backend, and moves them nevertheless.
type Seeding struct{ *Migration }

func (s Seeding) Create(ctx context.Context, id string, initial []store.Entry, t store.Terms) (store.Store, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	return s.createOld(ctx, id, initial, t)
}
