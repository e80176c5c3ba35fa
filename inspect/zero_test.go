package inspect_test

import (
	"testing"

	"github.com/sessionkv/store/inspect"
	"github.com/sessionkv/store/internal/zerotest"
)

// TestNothingPanicsOnZeroValues finds all that the package exports.
func TestNothingPanicsOnZeroValues(t *testing.T) {
	zerotest.Run(t, map[string]any{
		"Dump":      inspect.Dump,
		"Extension": inspect.Extension{},
		"Field":     inspect.Field{},
		"Handler":   inspect.Handler,
		"Object":    inspect.Object(nil),
		"Omitted":   inspect.Omitted(""),
		"Options":   inspect.Options{},
		"Sensitive": inspect.Sensitive,
		"Value":     inspect.Value{},
	})
}
