package codectest_test

import (
	"testing"

	"github.com/sessionkv/store/codec"
	"github.com/sessionkv/store/codec/codectest"
)

func Example() {
	type claims struct {
		Subject string
		Roles   []string
	}
	// In your own package: func TestCodec(t *testing.T)
	_ = func(t *testing.T) {
		codectest.Run(t, codec.JSON, claims{"u-42", []string{"admin"}}, []byte{1, 2}, "text", 42)
	}
	// Output:
}
