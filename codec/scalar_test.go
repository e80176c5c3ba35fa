package codec_test

import (
	"strings"
	"testing"

	"github.com/sessionkv/store/codec"
)

// ShortString knows the strings of up to 31 bytes, each in its shortest form, and
// nothing else.
func TestShortString(t *testing.T) {
	for n := range 40 {
		want := strings.Repeat("x", n)
		data, err := codec.Msgpack.Append(nil, &want)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := codec.ShortString(data); ok != (n <= 31) || ok && got != want {
			t.Errorf("ShortString(%q) = %q, %t, want %q, %t", data, got, ok, want, n <= 31)
		}
	}
	for _, data := range []string{"", "\xa1", "\xa1xy", "\xbf", "\xd9\x01x", "\xc0", "\x01", "\xa0x", "\x9fx"} {
		if got, ok := codec.ShortString([]byte(data)); ok {
			t.Errorf("ShortString(%q) = %q, true, want none", data, got)
		}
	}
}
