package codec

import (
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// Each test here is about values that the libraries lose or change without a word, with both codecs.

// refusedData checks that both codecs refuse to decode into a T, naming the parts.
func refusedData[T any](t *testing.T, packed, text string, parts ...string) {
	t.Helper()
	for c, data := range map[Codec]string{Msgpack: packed, JSON: text} {
		if data == "" {
			continue
		}
		v, err := Decode[T](c, []byte(data))
		if err == nil || !reflect.ValueOf(&v).Elem().IsZero() {
			t.Errorf("Decode[%T](%s, %q) = %+v, %v, want the zero value and an error", v, c.Name(), data, v, err)
			continue
		}
		for _, part := range parts {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("Decode[%T](%s, %q): %v, want %q in it", v, c.Name(), data, err, part)
			}
		}
	}
}

// refusedValue checks that both codecs refuse to encode v, naming the parts.
func refusedValue[T any](t *testing.T, v T, parts ...string) {
	t.Helper()
	for _, c := range []Codec{Msgpack, JSON} {
		b, err := Append(c, []byte("dst"), &v)
		if err == nil || string(b) != "dst" {
			t.Errorf("Append(%s, %T) = %q, %v, want dst and an error", c.Name(), v, b, err)
			continue
		}
		for _, part := range parts {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("Append(%s, %T): %v, want %q in it", c.Name(), v, err, part)
			}
		}
	}
}

// kept checks that v comes back from both codecs.
func kept[T any](t *testing.T, v T) {
	t.Helper()
	for _, c := range []Codec{Msgpack, JSON} {
		b, err := Append(c, nil, &v)
		if err != nil {
			t.Errorf("Append(%s, %#v): %v", c.Name(), v, err)
			continue
		}
		if got, err := Decode[T](c, b); err != nil || !reflect.DeepEqual(got, v) {
			t.Errorf("Decode[%T](%s, %q) = %#v, %v, want %#v", v, c.Name(), b, got, err, v)
		}
	}
}

func TestNumbersThatDoNotFit(t *testing.T) {
	type field struct{ N int8 }
	type deep struct{ L []map[string]*[2]int32 }
	refusedData[field](t, "\x81\xa1N\xcd\x03\xe8", `{"N":1000}`, "N", "int8")
	refusedData[[]int32](t, "\x91\xcf\x00\x00\x01\x00\x00\x00\x00\x00", `[1099511627776]`, "int32")
	refusedData[map[string]uint8](t, "\x81\xa1a\xff", `{"a":-1}`, "uint8")
	refusedData[[1]uint16](t, "\x91\xce\x00\x01\x00\x00", `[65536]`, "uint16")
	refusedData[struct{ P *int16 }](t, "\x81\xa1P\xd2\xff\xff\x00\x00", `{"P":-65536}`, "P", "int16")
	refusedData[deep](t, "\x81\xa1L\x91\x81\xa1x\x92\x01\xcf\xff\xff\xff\xff\xff\xff\xff\xff", `{"L":[{"x":[1,18446744073709551615]}]}`, "L", "int32")
	refusedData[int64](t, "\xcf\x80\x00\x00\x00\x00\x00\x00\x00", `9223372036854775808`, "int64")
	refusedData[float64](t, "\xcf\x00\x20\x00\x00\x00\x00\x00\x01", "", "does not fit float64") // 2⁵³+1; JSON has one kind of number
	refusedData[float32](t, "\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a", "", "float32")              // 0.1
	if f, err := Decode[float32](Msgpack, []byte("\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00")); f != 1.5 || err != nil {
		t.Errorf("a double of 1.5 as a float32 = %v, %v, want 1.5", f, err)
	}
}

func TestValuesWithoutExportedFieldsAreKept(t *testing.T) {
	type holder struct {
		Addr   netip.Addr     `msgpack:",omitempty" json:",omitempty"`
		Number *big.Int       `msgpack:",omitempty" json:",omitempty"`
		Prefix netip.AddrPort `msgpack:",omitempty" json:",omitempty"`
	}
	kept(t, holder{netip.MustParseAddr("192.0.2.1"), big.NewInt(1 << 40), netip.MustParseAddrPort("192.0.2.1:80")})
	kept(t, holder{})
	type value struct {
		N big.Int `msgpack:",omitempty" json:",omitempty"`
	}
	kept(t, value{*big.NewInt(77)})
}

func TestPointersToNilOfTypesWithMethodsAreKept(t *testing.T) {
	type host struct{ IP *net.IP }
	v := host{new(net.IP)}
	b, err := Append(Msgpack, nil, &v)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Decode[host](Msgpack, b); err != nil || got.IP == nil || *got.IP != nil {
		t.Errorf("Decode(%q) = %v, %v, want a pointer to nil", b, got, err)
	}
}

func TestMapsInInterfaces(t *testing.T) {
	v := map[string]any{"m": map[int8]string{7: "seven"}}
	b, err := Append(Msgpack, nil, &v)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"m": map[any]any{int8(7): "seven"}}
	if got, err := Decode[map[string]any](Msgpack, b); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Decode(%q) = %#v, %v, want %#v", b, got, err, want)
	}
	refusedValue(t, map[string]any{"m": map[[2]int]string{{1, 2}: "x"}})
}

func TestValuesThatEndInThemselves(t *testing.T) {
	m := map[string]any{}
	m["m"] = []any{m}
	refusedValue(t, m)
	node := &recursive{}
	node.Next = node
	refusedValue(t, node)
}

func TestUnsuitableTypes(t *testing.T) {
	refusedValue(t, struct{ Handle uintptr }{1}, "Handle", "uintptr")
	refusedValue(t, struct{ V reflect.Value }{}, ".V")
	refusedValue(t, struct{ In []struct{ Done chan int } }{}, "In[].Done", "chan int")
	refusedValue(t, struct{ S fmt.Stringer }{time.Second}, ".S", "time.Duration")
	refusedValue(t, struct{ S fmt.Stringer }{&stringer{}}, ".S")
}

type stringer struct{ A int }

func (*stringer) String() string { return "" }

func TestNilInThePlaceOfAValue(t *testing.T) {
	refusedData[*claims](t, "\xc0", "null", "nil")
	refusedData[claims](t, "\xc0", " null ", "nil")
	refusedData[string](t, "\xc0", "null", "nil")
	refusedData[int](t, "\xc0", "null", "nil")
	refusedData[bool](t, "\xc0", "null", "nil")
	refusedData[float64](t, "\xc0", "null", "nil")
	refusedData[time.Time](t, "\xc0", "null", "nil")
	refusedData[any](t, "\xc0", "null", "nil")
	refusedData[[2]int](t, "\xc0", "null", "nil")
	kept(t, []byte(nil))
	kept(t, []string(nil))
	kept(t, map[string]int(nil))
	for _, data := range []string{"not encoded", "nul", "tr"} {
		if _, err := Decode[int](JSON, []byte(data)); err == nil || !strings.Contains(err.Error(), "bytes that are not JSON") {
			t.Errorf("Decode(%q): %v, want bytes that are not JSON", data, err)
		}
	}
}

func TestAStructReadAsAnother(t *testing.T) {
	type room struct {
		Room string
		Seat int
	}
	refusedData[room](t, "\x82\xa7Subject\xa1x\xa6Tenant\xa1y", `{"Subject":"x","Tenant":"y"}`, "without any field of")
	refusedData[room](t, "\x81\xa4room\xa1x", "", "without any field of") // JSON ignores the case
	if v, err := Decode[room](JSON, []byte(`{"room":"","more":1}`)); err != nil {
		t.Errorf("Decode = %v, %v, want no error: one field is known", v, err)
	}
	if v, err := Decode[room](Msgpack, []byte("\x82\xa4Room\xa0\xa4more\x01")); err != nil {
		t.Errorf("Decode = %v, %v, want no error: one field is known", v, err)
	}
	kept(t, struct{}{})
	kept(t, room{})
}

func TestTextThatIsNotUTF8(t *testing.T) {
	const bad = "caf\xe9"
	for name, err := range map[string]error{
		"string":    appendTo(JSON, bad),
		"field":     appendTo(JSON, struct{ S string }{bad}),
		"key":       appendTo(JSON, map[string]int{bad: 1}),
		"interface": appendTo(JSON, []any{bad}),
	} {
		if err == nil || !strings.Contains(err.Error(), "UTF-8") || strings.Contains(err.Error(), "caf") {
			t.Errorf("%s: %v, want an error that speaks of UTF-8", name, err)
		}
	}
	if b, err := Append(Msgpack, nil, new(bad)); err != nil || string(b) != "\xa4"+bad {
		t.Errorf("Msgpack: %q, %v, want the bytes as they are", b, err)
	}
	kept(t, "\ufffd")
	kept(t, `\ufffd`)
	kept(t, map[string]string{`a\ufffd`: "\ufffd"})
}

func appendTo[T any](c Codec, v T) error {
	_, err := Append(c, nil, &v)
	return err
}

// stamped has generated methods, which write a time as extension 5.
type stamped struct{ At time.Time }

func (s *stamped) MarshalMsg(b []byte) ([]byte, error) {
	return nil, errors.New("not used: the test has the bytes")
}

func (s *stamped) UnmarshalMsg(b []byte) ([]byte, error) {
	const head = "\x81\xa2At\xc7\x0c\x05"
	if !strings.HasPrefix(string(b), head) || len(b) != len(head)+12 {
		return b, errors.New("no time of extension 5")
	}
	s.At = time.Unix(int64(uint64(b[11])<<24|uint64(b[12])<<16|uint64(b[13])<<8|uint64(b[14])), 0)
	return nil, nil
}

// TestTimesOfGeneratedMethods: a fleet of which some nodes have generated methods reads both forms.
func TestTimesOfGeneratedMethods(t *testing.T) {
	type plain struct{ At time.Time }
	at := time.Unix(1767225600, 0)
	old, err := Append(Msgpack, nil, &plain{at})
	if err != nil {
		t.Fatal(err)
	}
	generated := []byte("\x81\xa2At\xc7\x0c\x05\x00\x00\x00\x00\x69\x55\xb9\x00\x00\x00\x00\x00")
	for _, data := range [][]byte{old, generated} {
		if v, err := Decode[plain](Msgpack, data); err != nil || !v.At.Equal(at) {
			t.Errorf("Decode[plain](%q) = %v, %v, want %v", data, v.At, err, at)
		}
		if v, err := Decode[stamped](Msgpack, data); err != nil || !v.At.Equal(at) {
			t.Errorf("Decode[stamped](%q) = %v, %v, want %v", data, v.At, err, at)
		}
	}
	if v, err := Decode[map[string]any](Msgpack, generated); err != nil || !v["At"].(time.Time).Equal(at) {
		t.Errorf("Decode[map[string]any](%q) = %v, %v, want %v", generated, v, err, at)
	}
}

// lossyKey is a key whose text says too little.
type lossyKey struct{ N int }

func (lossyKey) MarshalText() ([]byte, error)  { return []byte("same"), nil }
func (*lossyKey) UnmarshalText(b []byte) error { return nil }

// prefixedKey is a string that its methods change.
type prefixedKey string

func (k prefixedKey) MarshalText() ([]byte, error) { return []byte("x" + string(k)), nil }

func (k *prefixedKey) UnmarshalText(b []byte) error {
	*k = prefixedKey(b[1:])
	return nil
}

// plainKey is a string whose methods check it.
type plainKey string

func (k plainKey) MarshalText() ([]byte, error) { return []byte(k), nil }

func (k *plainKey) UnmarshalText(b []byte) error {
	*k = plainKey(b)
	return nil
}

// writtenOnly is a number that cannot be read from its text.
type writtenOnly int

func (writtenOnly) MarshalText() ([]byte, error) { return []byte("one"), nil }

func TestKeysThatWouldMeet(t *testing.T) {
	refusedValue(t, map[lossyKey]int{{1}: 1, {2}: 2}, "two keys")
	refusedValue(t, struct{ M map[lossyKey]int }{map[lossyKey]int{{1}: 1, {2}: 2}}, ".M", "two keys")
	for name, err := range map[string]error{
		"numbers of two types": appendTo(Msgpack, map[any]string{int8(1): "a", 1: "b"}),
		"in an interface":      appendTo(Msgpack, []any{map[any]any{int8(1): "a", 1: "b"}}),
		"two zones":            appendTo(Msgpack, map[time.Time]int{time.Unix(5, 0).UTC(): 1, time.Unix(5, 0).In(time.FixedZone("", 60)): 2}),
		"unexported fields":    appendTo(Msgpack, map[withPrivate]int{{1, 1}: 1, {1, 2}: 2}),
	} {
		if err == nil || !strings.Contains(err.Error(), "two keys") {
			t.Errorf("%s: %v, want an error that speaks of two keys", name, err)
		}
	}
	if err := appendTo(JSON, map[prefixedKey]int{"a": 1}); err == nil || !strings.Contains(err.Error(), "UnmarshalText") {
		t.Errorf("a key that UnmarshalText changes: %v, want an error that speaks of it", err)
	}
	if err := appendTo(JSON, map[writtenOnly]int{1: 1}); err == nil || !strings.Contains(err.Error(), "UnmarshalText") {
		t.Errorf("a key without UnmarshalText: %v, want an error that speaks of it", err)
	}
	kept(t, map[plainKey]int{"a": 1, "b": 2})
	kept(t, map[netip.Addr]int{netip.MustParseAddr("192.0.2.1"): 1, netip.MustParseAddr("192.0.2.2"): 2})
}

func TestClashesOfJSON(t *testing.T) {
	type N1 struct{ N int }
	type N2 struct{ N int }
	type tag1 struct {
		A int `json:"n"`
	}
	type middle struct{ N1 }
	refused := func(err error, parts ...string) {
		t.Helper()
		for _, part := range parts {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("Append = %v, want an error with %q in it", err, part)
			}
		}
	}
	refused(appendTo(JSON, struct {
		N1
		N2
	}{}), ".N1.N", "N2.N")
	// Types that go vet would refuse are made at run time.
	twoTags := reflect.StructOf([]reflect.StructField{
		{Name: "A", Type: reflect.TypeFor[int](), Tag: `json:"n"`},
		{Name: "B", Type: reflect.TypeFor[int](), Tag: `json:"n,omitempty"`},
	})
	refused(CheckType(JSON, reflect.SliceOf(twoTags)), "[].A", "JSON, n,", "of B")
	refused(CheckType(JSON, reflect.StructOf([]reflect.StructField{
		{Name: "Tag1", Type: reflect.TypeFor[tag1](), Anonymous: true},
		{Name: "X", Type: reflect.PointerTo(twoTags)},
	})), ".X.A")
	for _, err := range []error{
		appendTo(JSON, struct { // the tag comes first
			N1
			Tagged struct{ N int }
			tag1
		}{}),
		appendTo(JSON, struct { // the outer field comes first
			N1
			N2
			N int
		}{}),
		appendTo(JSON, struct { // the field at a lesser depth comes first
			middle
			N2
		}{}),
		appendTo(JSON, struct { // embedded twice, but once under a name
			N1
			N2 `json:"other"`
		}{}),
	} {
		if err != nil {
			t.Errorf("Append = %v, want no error: one field is stored", err)
		}
	}
}

func TestWhatMethodsReturnIsOneValue(t *testing.T) {
	for _, raw := range []string{"\x92\x01", "\x01\x02", "", "\xc1"} {
		v := struct{ M msgpack.RawMessage }{msgpack.RawMessage(raw)}
		if b, err := Append(Msgpack, nil, &v); err == nil || !strings.Contains(err.Error(), ".M") {
			t.Errorf("Append of the RawMessage %q = %q, %v, want an error that names the field", raw, b, err)
		}
	}
	v := struct{ M, N msgpack.RawMessage }{M: msgpack.RawMessage("\x92\x01\x02")}
	b, err := Append(Msgpack, nil, &v)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Decode[struct{ M, N msgpack.RawMessage }](Msgpack, b); err != nil || string(got.M) != string(v.M) {
		t.Errorf("Decode(%q) = %q, %v, want %q", b, got, err, v)
	}
}
