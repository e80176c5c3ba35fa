package codec

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/big"
	"net"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

// The tables of docs/values.md are made by the tests below, which try each row with both codecs:
//
//	go test ./codec -run TestTables -update
var update = flag.Bool("update", false, "write the tables of docs/values.md")

const valuesPage = "../docs/values.md"

// A keptRow is a value that is stored and read again as the same type. The notes say what it changes into.
type keptRow struct {
	what          string
	try           func(Codec) (string, error)
	msgpack, json string
}

// storing returns what becomes of v: "kept", "changed" or "refused".
func storing[T any](v T) func(Codec) (string, error) {
	return func(c Codec) (string, error) {
		b, err := Append(c, nil, &v)
		if err != nil {
			return "refused", nil
		}
		got, err := Decode[T](c, b)
		switch {
		case err != nil:
			return "", fmt.Errorf("%s stores %#v and cannot read it: %w", c.Name(), v, err)
		case reflect.DeepEqual(got, v) || fmt.Sprint(got) == "NaN" && fmt.Sprint(v) == "NaN":
			return "kept", nil
		}
		return "changed", nil
	}
}

type (
	withPrivate struct {
		Public  int
		private int
	}
	onlyPrivate struct{ private int }
	omitsSlice  struct {
		S []int `msgpack:",omitempty" json:",omitempty"`
	}
	pointsToNil  struct{ P *[]int }
	hiddenInJSON struct {
		A int
		B string `json:"-"`
	}
	tagged struct {
		A int `json:"a"`
	}
	twice struct {
		A int `msgpack:"x"`
		B int `msgpack:"x"`
	}
	leftPart  struct{ Name string }
	rightPart struct{ Name string }
	conflict  struct {
		leftPart
		rightPart
	}
	hiding struct {
		leftPart
		Name string
	}
	pointsToPart struct{ *leftPart }
	omitsAny     struct {
		V any `msgpack:",omitempty" json:",omitempty"`
	}
	stampedNote struct {
		time.Time
		Note string
	}
	textError string
)

func (e textError) Error() string { return string(e) }

// nestedIn returns a value in so many slices.
func nestedIn(depth int) any {
	var v any = "bottom"
	for range depth {
		v = []any{v}
	}
	return v
}

var keptRows = []keptRow{
	{"numbers, strings, bool, bytes in fields of their type", storing(struct {
		A int
		B string
		C []byte
		D float32
	}{1, "x", []byte("y"), 1.5}), "", ""},
	{"`time.Time` with a zone", storing(time.Unix(1767225600, 5).In(time.FixedZone("here", 3600))), "the instant stays, the zone becomes Local", "instant and offset stay, the name of the zone does not"},
	{"`time.Now()` with its monotonic reading", storing(time.Now()), "the reading is dropped", "the reading is dropped"},
	{"nil slice, nil map, nil `[]byte` inside a value", storing(struct {
		S []int
		M map[string]int
		B []byte
	}{}), "", ""},
	{"empty slice and map, not nil", storing(struct {
		S []int
		M map[string]int
	}{[]int{}, map[string]int{}}), "", ""},
	{"empty slice under `omitempty`", storing(omitsSlice{[]int{}}), "nil", "nil"},
	{"pointer to a nil slice or map", storing(pointsToNil{new([]int)}), "nil", "nil"},
	{"`int` in an interface", storing([]any{7}), "the smallest type that holds it, such as int8", "float64"},
	{"`int64` in an interface", storing([]any{int64(7)}), "", "float64"},
	{"struct in an interface", storing([]any{claims{}}), "map[string]any", "map[string]any"},
	{"`[]byte` in an interface", storing([]any{[]byte("x")}), "", "string of base64"},
	{"`time.Time` in an interface", storing([]any{time.Unix(5, 0)}), "", "string"},
	{"`map[int]string` in an interface", storing([]any{map[int]string{300: "x"}}), "map[any]any", "map[string]any"},
	{"map with array keys in an interface", storing([]any{map[[2]int]string{{1, 2}: "x"}}), "", ""},
	{"value in an interface with methods", storing(struct{ S fmt.Stringer }{time.Second}), "", ""},
	{"`error`", storing(struct{ E error }{textError("x")}), "errors.New of its text", ""},
	{"unexported fields beside exported ones", storing(withPrivate{1, 2}), "zero", "zero"},
	{"struct with unexported fields only", storing(onlyPrivate{1}), "", ""},
	{"channel, function, complex number, uintptr", storing(struct{ C chan int }{}), "", ""},
	{"field with a json tag", storing(tagged{1}), "", ""},
	{"field with `json:\"-\"`", storing(hiddenInJSON{1, "x"}), "", "zero: it is not stored"},
	{"two fields under one msgpack tag", storing(twice{1, 2}), "", ""},
	{"embedded structs with a field of one name", storing(conflict{leftPart{"x"}, rightPart{"y"}}), "", ""},
	{"embedded struct with a field that one of the outer struct hides", storing(hiding{leftPart{"x"}, "y"}), "", "zero: it is not stored"},
	{"embedded pointer to a struct type that is not exported", storing(pointsToPart{&leftPart{"x"}}), "", ""},
	{"keys of a map that are encoded alike", storing(map[lossyKey]int{{1}: 1, {2}: 2}), "", ""},
	{"json.RawMessage", storing(json.RawMessage(`{"a": 1}`)), "", "spaces are removed; nil becomes null"},
	{"net.IP of four bytes", storing(net.IP{192, 0, 2, 1}), "sixteen bytes", "sixteen bytes"},
	{"uint64 beyond 2⁵³ in an interface", storing([]any{uint64(1)<<63 + 1}), "", "float64, which rounds it"},
	{"nil pointer, slice or map in an interface", storing([]any{(*int)(nil)}), "nil", "nil"},
	{"pointer in an interface", storing([]any{new(bool)}), "what it points to", "what it points to"},
	{"`error`, uintptr, `reflect.Value` in an interface", storing([]any{errors.New("x")}), "", ""},
	{"value in an interface under `omitempty` that is zero, not nil", storing(omitsAny{""}), "nil", ""},
	{"value in a map whose methods are those of its pointer, such as `big.Int`", storing(map[string]big.Int{"x": *big.NewInt(7)}), "", ""},
	{"map whose keys are or hold pointers", storing(map[*int]int{new(int): 1}), "", ""},
	{"type with methods that encode but none that decode", storing(encodesOnly{1}), "", ""},
	{"struct whose methods are those of one embedded field, with other fields", storing(stampedNote{time.Unix(5, 0), "x"}), "", ""},
	{"pointer to a nil pointer, or to another value that is encoded as nil, as the whole value", storing(new(*int)), "", ""},
	{"empty json.Number", storing([]json.Number{""}), "", "0"},
	{"string that is not UTF-8", storing("caf\xe9"), "", ""},
	{"NaN", storing(math.NaN()), "", ""},
	{"value that contains itself", storing(func() any {
		m := map[string]any{}
		m["m"] = m
		return m
	}()), "", ""},
	{"value nested deeper than 1000", storing(nestedIn(1001)), "", ""},
	{"value nested deeper than 10 000", storing(nestedIn(10001)), "", ""},
}

// A readRow is data that another program stored.
type readRow struct {
	stored, as    string
	try           func(Codec, []byte) (any, error)
	packed, text  string
	msgpack, json string // what the value must be when printed, or "" for refused
}

func reading[T any]() func(Codec, []byte) (any, error) {
	return func(c Codec, data []byte) (any, error) { return Decode[T](c, data) }
}

// readingQuoted is reading, and quotes what it reads.
func readingQuoted[T any]() func(Codec, []byte) (any, error) {
	return func(c Codec, data []byte) (any, error) {
		v, err := Decode[T](c, data)
		return fmt.Sprintf("%q", any(v)), err
	}
}

var readRows = []readRow{
	{"300", "int8", reading[int8](), "\xcd\x01\x2c", "300", "", ""},
	{"−1", "uint16", reading[uint16](), "\xff", "-1", "", ""},
	{"2⁵³ + 1", "float64", reading[float64](), "\xcf\x00\x20\x00\x00\x00\x00\x00\x01", "9007199254740993", "", ""},
	{"1.2345678901234568e+20 as a double; in JSON its shortest form, 123456789012345680000", "float64", reading[float64](), "\xcb\x44\x1a\xc5\x3a\x7e\x04\xbc\xda", "123456789012345680000", "1.2345678901234568e+20", "1.2345678901234568e+20"},
	{"1.5 as a double", "float32", reading[float32](), "\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00", "1.5", "1.5", "1.5"},
	{"0.1 as a double", "float32", reading[float32](), "\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a", "0.1", "", "0.1"},
	{"1.0", "int", reading[int](), "\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00", "1.0", "", ""},
	{"1", "string", reading[string](), "\x01", "1", "", ""},
	{"1", "bool", reading[bool](), "\x01", "1", "", ""},
	{"a string of digits", "int", reading[int](), "\xa17", `"7"`, "", ""},
	{"a string of RFC 3339", "time.Time", reading[time.Time](), "\xb42026-01-01T00:00:00Z", `"2026-01-01T00:00:00Z"`, "2026-01-01 00:00:00 +0000 UTC", "2026-01-01 00:00:00 +0000 UTC"},
	{"1", "time.Time", reading[time.Time](), "\x01", "1", "", ""},
	{"bytes", "string", reading[string](), "\xc4\x01x", `"eA=="`, "x", "eA=="},
	{"a string", "[]byte", reading[[]byte](), "\xa1x", `"x"`, "[120]", ""},
	{"nil", "the whole value", reading[int](), "\xc0", "null", "", ""},
	{"nil", "the whole value, of a type with methods whose zero value is not encoded as nil", reading[netip.Addr](), "\xc0", "null", "", ""},
	{"nil", "the whole value, a slice or map", reading[[]int](), "\xc0", "null", "[]", "[]"},
	{"nil", "a field that is a number, string or bool", reading[struct{ A int }](), "\x81\xa1A\xc0", `{"A":null}`, "{0}", "{0}"},
	{"a field that the struct does not have, beside one it has", "a struct", reading[struct{ A int }](), "\x82\xa1A\x01\xa1B\x02", `{"A":1,"B":2}`, "{1}", "{1}"},
	{"only fields that the struct does not have", "a struct", reading[struct{ A int }](), "\x81\xa1B\x02", `{"B":2}`, "", ""},
	{"only fields that the struct does not have", "a struct within another, in a list, in a map or behind a pointer", reading[struct{ L []*struct{ A int } }](), "\x81\xa1L\x91\x81\xa1B\x02", `{"L":[{"B":2}]}`, "", ""},
	{"a field in another case", "a struct", reading[struct{ A int }](), "\x81\xa1a\x02", `{"a":2}`, "", "{2}"},
	{"two elements", "[3]int", reading[[3]int](), "\x92\x01\x02", `[1,2]`, "[1 2 0]", "[1 2 0]"},
	{"four elements", "[3]int", reading[[3]int](), "\x94\x01\x02\x03\x04", `[1,2,3,4]`, "", ""},
	{"text that is not UTF-8", "string", readingQuoted[string](), "\xa4caf\xe9", "\"caf\xe9\"", `"caf\xe9"`, ""},
	{"half a pair of surrogates", "string", readingQuoted[string](), "\xa3\xed\xa0\x80", `"\ud800"`, `"\xed\xa0\x80"`, ""},
	{"keys that are not UTF-8", "a map", readingQuoted[map[string]string](), "\x81\xa1\xe9\xa1a", "{\"\xe9\":\"a\",\"\xea\":\"b\"}", `map["\xe9":"a"]`, ""},
	{"the msgpack bytes of 57", "int", reading[int](), "\x39", "\x39", "57", "9"},
}

func TestTables(t *testing.T) {
	var kept, read strings.Builder
	kept.WriteString("| value | msgpack | JSON |\n|---|---|---|\n")
	for _, row := range keptRows {
		kept.WriteString("| " + row.what)
		for _, c := range []struct {
			codec Codec
			note  string
		}{{Msgpack, row.msgpack}, {JSON, row.json}} {
			got, err := row.try(c.codec)
			if err != nil {
				t.Errorf("%s: %v", row.what, err)
			}
			if (got == "changed") != (c.note != "") {
				t.Errorf("%s is %s by %s, but the note says %q", row.what, got, c.codec.Name(), c.note)
			}
			kept.WriteString(" | " + got)
			if c.note != "" {
				kept.WriteString(": " + c.note)
			}
		}
		kept.WriteString(" |\n")
	}
	read.WriteString("| stored | read as | msgpack | JSON |\n|---|---|---|---|\n")
	for _, row := range readRows {
		read.WriteString("| " + row.stored + " | " + row.as)
		for _, c := range []struct {
			codec      Codec
			data, want string
		}{{Msgpack, row.packed, row.msgpack}, {JSON, row.text, row.json}} {
			v, err := row.try(c.codec, []byte(c.data))
			got := ""
			if err == nil {
				got = fmt.Sprint(v)
			}
			if got != c.want {
				t.Errorf("%s as %s by %s: %q, %v, want %q", row.stored, row.as, c.codec.Name(), got, err, c.want)
			}
			if got == "" {
				got = "refused"
			}
			read.WriteString(" | " + got)
		}
		read.WriteString(" |\n")
	}
	page, err := os.ReadFile(valuesPage)
	if err != nil {
		t.Fatal(err)
	}
	want := string(page)
	for name, table := range map[string]string{"kept": kept.String(), "read": read.String()} {
		begin, end := "<!-- table "+name+" -->\n", "<!-- end "+name+" -->"
		before, rest, ok := strings.Cut(want, begin)
		_, after, ok2 := strings.Cut(rest, end)
		if !ok || !ok2 {
			t.Fatalf("%s has no place for the table %q", valuesPage, name)
		}
		want = before + begin + table + end + after
	}
	if want == string(page) {
		return
	}
	if !*update {
		t.Errorf("the tables of %s are not what the codecs do; go test ./codec -run TestTables -update writes them", valuesPage)
		return
	}
	if err := os.WriteFile(valuesPage, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}
