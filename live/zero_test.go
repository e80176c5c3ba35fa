package live_test

import (
	"testing"

	"github.com/sessionkv/store/internal/zerotest"
	"github.com/sessionkv/store/live"
)

// TestNothingPanicsOnZeroValues finds all that the package exports.
func TestNothingPanicsOnZeroValues(t *testing.T) {
	zerotest.Run(t, map[string]any{
		"Cookie":  live.Cookie,
		"Goodbye": live.Goodbye,
		"Header":  live.Header,
		"New":     live.New,
		"Query":   live.Query,
		"Refuse":  live.Refuse,
		"Options": live.Options{},
		"Refusal": (*live.Refusal)(nil),
		"Server":  (*live.Server)(nil),
	})
}
