package backends_test

import (
	"testing"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends"
	"github.com/sessionkv/store/backends/memstore"
	"github.com/sessionkv/store/storetest"
)

// inMemory returns a Migration over two backends in memory.
func inMemory(o *backends.MigrateOptions) *backends.Migration {
	return backends.MigrateAny(memstore.New(nil), memstore.New(nil), o)
}

// A Migration keeps the contract, whether sessions begin at the new backend, stay at the old one, or begin at the
// old one and move with their first Resume.
func TestMigrationKeepsTheContract(t *testing.T) {
	for name, open := range map[string]func() store.Backend{
		"new":   func() store.Backend { return inMemory(nil) },
		"stay":  func() store.Backend { return inMemory(&backends.MigrateOptions{Stay: true}) },
		"moved": func() store.Backend { return backends.Seeding{Migration: inMemory(nil)} },
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, storetest.Harness{Open: func(testing.TB) store.Backend { return open() }, Synctest: true})
		})
	}
}
