package storetest_test

import (
	"testing"

	"github.com/sessionkv/store/internal/zerotest"
	"github.com/sessionkv/store/storetest"
)

// TestNothingPanicsOnZeroValues finds all that the package exports.
func TestNothingPanicsOnZeroValues(t *testing.T) {
	zerotest.Run(t, map[string]any{
		"Benchmark":     nil, // fails its test
		"Run":           nil, // fails its test
		"NewSession":    nil, // fails its test
		"Faulty":        storetest.Faulty,
		"Kill":          storetest.Kill,
		"FaultyBackend": (*storetest.FaultyBackend)(nil),
		"Harness":       storetest.Harness{},
		"Op":            storetest.AnyOp,
	})
}
