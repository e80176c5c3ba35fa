package httpsession_test

import (
	"testing"

	"github.com/sessionkv/store/httpsession"
	"github.com/sessionkv/store/internal/zerotest"
)

// TestNothingPanicsOnZeroValues finds all that the package exports.
func TestNothingPanicsOnZeroValues(t *testing.T) {
	zerotest.Run(t, map[string]any{
		"New":     httpsession.New,
		"Of":      httpsession.Of,
		"IDs":     httpsession.Plain,
		"Manager": (*httpsession.Manager)(nil),
		"Options": httpsession.Options{},
	})
}
