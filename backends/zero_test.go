package backends_test

import (
	"testing"

	"github.com/sessionkv/store/backends"
	"github.com/sessionkv/store/internal/zerotest"
)

// TestNothingPanicsOnZeroValues finds all that the package exports.
func TestNothingPanicsOnZeroValues(t *testing.T) {
	zerotest.Run(t, map[string]any{
		"Open":           backends.Open,
		"OpenWith":       backends.OpenWith,
		"Migrate":        backends.Migrate,
		"MigrateOptions": backends.MigrateOptions{},
		"MigrationStats": backends.MigrationStats{},
		"Migration":      (*backends.Migration)(nil),
		"Options":        backends.Options{},
	})
}
