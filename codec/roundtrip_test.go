package codec

import "testing"

// check encodes v with Msgpack, compares the bytes, and decodes them again, through the functions
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
	// reflect.DeepEqual, because cmp takes time exponential in the depth of a value.
	if got, err := Decode[T](Msgpack, []byte(want)); !same(v, got) || err != nil {
		t.Errorf("Decode(%q) = %#v, %v, want %#v", want, got, err, v)
	}
	var into T
	if err := Msgpack.Decode([]byte(want), &into); !same(v, into) || err != nil {
		t.Errorf("Msgpack.Decode(%q) = %#v, %v, want %#v", want, into, err, v)
	}
}
