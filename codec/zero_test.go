package codec_test

import (
	"testing"

	"github.com/sessionkv/store/codec"
	"github.com/sessionkv/store/internal/zerotest"
)

// TestNothingPanicsOnZeroValues finds all that the package exports.
func TestNothingPanicsOnZeroValues(t *testing.T) {
	zerotest.Run(t, map[string]any{
		"AfterChange":  codec.AfterChange,
		"BeforeChange": codec.BeforeChange,
		"DuringChange": codec.DuringChange,
		"EndChange":    codec.EndChange,
		"Versioned":    codec.Versioned,
		"CheckType":    codec.CheckType,
		"Append":       codec.Append[int],
		"Decode":       codec.Decode[int],
		"Back":         codec.Back[int, int],
		"From":         codec.From[int, int],
		"Upgrade":      codec.Upgrade{},
	})
}
