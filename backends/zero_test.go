package backends_test

import (
	"testing"

	"github.com/sessionkv/store/backends"
	"github.com/sessionkv/store/internal/zerotest"
)

// TestNothingPanicsOnZeroValues finds all that the package exports.
func TestNothingPanicsOnZeroValues(t *testing.T) {
	zerotest.Run(t, map[string]any{
		"Open":     backends.Open,
		"OpenWith": backends.OpenWith,
		"Options":  backends.Options{},
	})
}
