package codec

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// check encodes v with Msgpack, wants the bytes, and decodes them again, through the functions
// and through the methods.
func check[T any](t *testing.T, v T, want string) {
	t.Helper()
	for name, f := range map[string]func() ([]byte, error){
		"Append":         func() ([]byte, error) { return Append(Msgpack, []byte("dst"), &v) },
		"Msgpack.Append": func() ([]byte, error) { return Msgpack.Append([]byte("dst"), &v) },
	} {
		if b, err := f(); string(b) != "dst"+want || err != nil {
			t.Errorf("%s(%#v) = %q, %v, want %q", name, v, b, err, "dst"+want)
		}
	}
	got, err := Decode[T](Msgpack, []byte(want))
	if diff := cmp.Diff(v, got); diff != "" || err != nil {
		t.Errorf("Decode(%q): %v, difference (-want +got):\n%s", want, err, diff)
	}
	var into T
	err = Msgpack.Decode([]byte(want), &into)
	if diff := cmp.Diff(v, into); diff != "" || err != nil {
		t.Errorf("Msgpack.Decode(%q): %v, difference (-want +got):\n%s", want, err, diff)
	}
}
