package memstore_test

import (
	"testing"

	"github.com/sessionkv/store/backends/memstore"
	"github.com/sessionkv/store/internal/zerotest"
)

// TestNothingPanicsOnZeroValues finds all that the package exports.
func TestNothingPanicsOnZeroValues(t *testing.T) {
	zerotest.Run(t, map[string]any{
		"Backend": (*memstore.Backend)(nil),
		"New":     memstore.New,
		"Options": memstore.Options{},
	})
}
