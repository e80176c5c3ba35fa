package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// jsonIdentical checks that our decoder makes of data what encoding/json makes of it.
func jsonIdentical(t testing.TB, typ reflect.Type, data []byte) {
	t.Helper()
	before := string(data)
	mine, theirs := reflect.New(typ), reflect.New(typ)
	err := JSON.Decode(data, mine.Interface())
	if string(data) != before {
		t.Fatalf("%v: Decode changed the data from %q to %q", typ, before, data)
	}
	wantErr := guard(func() error { return json.Unmarshal(data, theirs.Interface()) })
	if f := new(fault); errors.As(err, &f) && wantErr == nil {
		text := err.Error()
		if strings.Contains(text, "an object without any field") && hasUnknownField(typ, data) ||
			strings.Contains(text, "found more elements than") && typeHas(typ, map[reflect.Type]bool{}, func(t reflect.Type) bool { return t.Kind() == reflect.Array }) ||
			strings.Contains(text, "found text that is not UTF-8") && !plainText(data) ||
			errors.Is(err, errOverflow) && typeHas(typ, map[reflect.Type]bool{}, func(t reflect.Type) bool { return t.Kind() == reflect.Float32 || t.Kind() == reflect.Float64 }) {
			return
		}
	}
	if errors.Is(err, errNil) && strings.TrimSpace(before) == "null" {
		return
	}
	if (err != nil) != (wantErr != nil) {
		t.Errorf("%v: Decode(%q): %v, encoding/json: %v", typ, data, err, wantErr)
		return
	}
	if err == nil && !reflect.DeepEqual(mine.Interface(), theirs.Interface()) {
		t.Errorf("%v: Decode(%q) = %+v\nencoding/json: %+v", typ, data, mine.Elem(), theirs.Elem())
	}
	// The road of Decode[T], which has no memory of its own to fall back on.
	prog := planOf(typ).jsonProgram()
	if !prog.fast {
		return
	}
	direct := reflect.New(typ)
	if err := JSON.(jsonCodec).decode(data, prog, direct.UnsafePointer()); err == nil && (wantErr != nil || !reflect.DeepEqual(direct.Interface(), theirs.Interface())) {
		t.Errorf("%v: decode(%q) = %+v\nencoding/json: %+v, %v", typ, data, direct.Elem(), theirs.Elem(), wantErr)
	}
}

// hasUnknownField reports whether encoding/json finds a field in data that a struct does not have.
func hasUnknownField(typ reflect.Type, data []byte) bool {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	err := guard(func() error { return d.Decode(reflect.New(typ).Interface()) })
	return err != nil && strings.Contains(err.Error(), "unknown field")
}

// scrambled changes some of the bytes, often into such as mean something in JSON.
func scrambled(r *rand.Rand, data []byte) []byte {
	for range r.IntN(4) {
		if len(data) == 0 {
			break
		}
		at := r.IntN(len(data))
		switch r.IntN(10) {
		case 0:
			data = data[:at]
		case 1:
			data = append(data[:at:at], data[min(at+r.IntN(9), len(data)):]...)
		case 2:
			from := r.IntN(len(data))
			data = append(append(data[:at:at], data[from:min(from+r.IntN(20), len(data))]...), data[at:]...)
		case 3:
			tokens := []string{" ", "\n", "null", "true", "1e3", "-0", "0", "9007199254740993", `\u00e9`, `\ud83d\ude00`, `\ud800`, `\n`, "é", "\xff", "{}", "[]", "[1]", `""`, ",", ":", `"F0":1,`, `"f0":null,`, "\x00", "12345678901234567890", "."}
			token := tokens[r.IntN(len(tokens))]
			data = append(append(data[:at:at], token...), data[at:]...)
		case 4:
			if c := data[at] | 0x20; c >= 'a' && c <= 'z' {
				data[at] ^= 0x20
			}
		case 5: // a digit more
			if data[at]-'0' <= 9 {
				data = append(data[:at+1:at+1], append([]byte{'0' + byte(r.IntN(10))}, data[at+1:]...)...)
			}
		default:
			data[at] = `{}[],:"\0123456789eE+-.tfn `[r.IntN(27)]
		}
	}
	return data
}

// TestJSONPlansOfRandomTypes is FuzzJSONPlan without the fuzzer.
func TestJSONPlansOfRandomTypes(t *testing.T) {
	r := rand.New(rand.NewPCG(typesSeed(), 5))
	var typ reflect.Type
	var original []byte
	often(t, 20000, func(i uint64) {
		if i%32 == 0 {
			typ = typeOf(uint16(r.IntN(512)))
			v := reflect.New(typ)
			for range 4 { // a value that JSON can hold
				randomValue(r, v.Elem(), 3)
				b, err := json.Marshal(v.Interface())
				if original = b; err == nil {
					break
				}
			}
			if r.IntN(4) == 0 {
				var b bytes.Buffer
				if json.Indent(&b, original, "", " ") == nil {
					original = b.Bytes()
				}
			}
		}
		data := bytes.Clone(original)
		if i%32 > 0 {
			data = scrambled(r, data)
		}
		jsonIdentical(t, typ, data)
	})
}

func FuzzJSONPlan(f *testing.F) {
	for i := range 64 {
		v := reflect.New(typeOf(uint16(i)))
		randomValue(rand.New(rand.NewPCG(uint64(i), 6)), v.Elem(), 3)
		if b, err := json.Marshal(v.Interface()); err == nil {
			f.Add(uint16(i), b)
		}
	}
	f.Fuzz(func(t *testing.T, typeSeed uint16, data []byte) { jsonIdentical(t, typeOf(typeSeed%4096), data) })
}
