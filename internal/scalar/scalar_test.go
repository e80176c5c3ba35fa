package scalar_test

import (
	"strings"
	"testing"

	"github.com/sessionkv/store/codec"
	"github.com/sessionkv/store/internal/scalar"
)

// TestShortString decodes strings of up to 31 bytes, each in its shortest form, and nothing else.
func TestShortString(t *testing.T) {
	for n := range 40 {
		want := strings.Repeat("x", n)
		data, err := codec.Msgpack.Append(nil, &want)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := scalar.ShortString(data); ok != (n <= 31) || ok && got != want {
			t.Errorf("ShortString(%q) = %q, %t, want %q, %t", data, got, ok, want, n <= 31)
		}
	}
	for _, data := range []string{"", "\xa1", "\xa1xy", "\xbf", "\xd9\x01x", "\xc0", "\x01", "\xa0x", "\x9fx"} {
		if got, ok := scalar.ShortString([]byte(data)); ok {
			t.Errorf("ShortString(%q) = %q, true, want none", data, got)
		}
	}
}

// TestFormatOf finds the format of every built-in codec, so that none is decoded the slow way unnoticed.
func TestFormatOf(t *testing.T) {
	for _, test := range []struct {
		codec any
		want  scalar.Format
	}{
		{codec.Msgpack, scalar.Msgpack},
		{codec.MsgpackStrict, scalar.Msgpack},
		{codec.MsgpackJSONTags, scalar.Msgpack},
		{codec.JSON, scalar.JSON},
		{codec.JSONStrict, scalar.JSON},
		{codec.Raw, scalar.Other},
		{codec.Versioned(codec.Msgpack, 1), scalar.Other},
		{nil, scalar.Other},
	} {
		if got := scalar.FormatOf(test.codec); got != test.want {
			t.Errorf("FormatOf(%v) = %v, want %v", test.codec, got, test.want)
		}
	}
}

// TestDecode decodes without a panic whatever data is empty, foreign or for another type, and changes nothing then.
func TestDecode(t *testing.T) {
	for _, f := range []scalar.Format{scalar.Other, scalar.Msgpack, scalar.JSON, 99} {
		for _, data := range []string{"", "\xc1", "\xd9", "\xd9\x02x", "\xcf\x01"} {
			n, text := int64(7), "seven"
			if scalar.Decode(f, []byte(data), &n) || n != 7 {
				t.Errorf("Decode(%v, %q, int64) stored %d, want false and nothing", f, data, n)
			}
			if scalar.Decode(f, []byte(data), &text) || text != "seven" {
				t.Errorf("Decode(%v, %q, string) stored %q, want false and nothing", f, data, text)
			}
			if scalar.Decode(f, []byte(data), nil) {
				t.Errorf("Decode(%v, %q, nil) = true, want false", f, data)
			}
		}
	}
}
