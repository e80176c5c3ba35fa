package hazelcaststore_test

import (
	"testing"

	"github.com/sessionkv/store/backends/hazelcaststore"
	"github.com/sessionkv/store/internal/zerotest"
)

// TestNothingPanicsOnZeroValues finds all that the package exports.
func TestNothingPanicsOnZeroValues(t *testing.T) {
	zerotest.Run(t, map[string]any{
		"Backend": (*hazelcaststore.Backend)(nil),
		"New":     hazelcaststore.New,
		"Open":    nil, // begins to look for a member on this machine
		"Options": hazelcaststore.Options{},
	})
}
