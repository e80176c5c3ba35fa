package otelredis_test

import (
	"testing"

	"github.com/sessionkv/store/integrations/otelstore/otelredis"
	"github.com/sessionkv/store/internal/zerotest"
)

// TestNothingPanicsOnZeroValues finds all that the package exports.
func TestNothingPanicsOnZeroValues(t *testing.T) {
	zerotest.Run(t, map[string]any{"Instrument": otelredis.Instrument})
}
