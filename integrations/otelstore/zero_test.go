package otelstore_test

import (
	"testing"

	"github.com/sessionkv/store/integrations/otelstore"
	"github.com/sessionkv/store/internal/zerotest"
)

// TestNothingPanicsOnZeroValues finds all that the package exports.
func TestNothingPanicsOnZeroValues(t *testing.T) {
	zerotest.Run(t, map[string]any{
		"Observe": otelstore.Observe,
		"Options": otelstore.Options{},
		"Wrap":    otelstore.Wrap,
	})
}
