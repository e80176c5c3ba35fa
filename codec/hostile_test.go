package codec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// allocated returns how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

type nested struct {
	M map[string]any
	T map[string]time.Time
	X any
	S []string
	N *nested
}

func TestHostileMsgpackNeedsLittleMemory(t *testing.T) {
	deep := func(one string, n int) string { return strings.Repeat(one, n) }
	for name, data := range map[string]string{
		"long string":                  "\xdb\xff\xff\xff\xff",
		"long binary":                  "\xc6\xff\xff\xff\xff",
		"long array":                   "\xdd\xff\xff\xff\xff",
		"long map":                     "\xdf\xff\xff\xff\xff",
		"long extension":               "\xc9\xff\xff\xff\xff\xff",
		"long map in unknown field":    "\x81\xa1q\xdf\xff\xff\xff\xff",
		"long map in an extension":     "\xc7\x05\x01\xdf\xff\xff\xff\xff",
		"the same in a field":          "\x81\xa1M\xc7\x05\x01\xdf\xff\xff\xff\xff",
		"the same across a time":       "\x82\xa1M\xd6\xff\xdf\xff\xff\xff\xff\xa1X\x01",
		"the same across a string ref": "\x82\xa1M\xd4\x80\xdf\xda\xff\xff" + deep("x", 65535),
		"nil in an extension":          "\x82\xa1M\xc7\x06\xff\xc0\xdd\xff\xff\xff\xff\xa1X\x01",
		"arrays that share one length": deep("\xdd\x00\x00\xff\xff", 900) + deep("\x01", 70000),
		"deep arrays":                  deep("\x91", 100000) + "\x01",
		"deep maps":                    deep("\x81\xa1M", 50000) + "\x01",
		"deep structs":                 deep("\x81\xa1N", 50000) + "\x01",
	} {
		decode := func(typ string, f func() error) {
			var err error
			n := allocated(func() { err = f() })
			if limit := uint64(1<<20 + 64*len(data)); n > limit || err == nil {
				t.Errorf("%s: decoding into a %s allocated %d bytes and returned %v, want at most %d and an error", name, typ, n, err, limit)
			}
		}
		decode("string", func() error { return into[string](data) })
		decode("any", func() error { return into[any](data) })
		decode("[]any", func() error { return into[[]any](data) })
		decode("map[string]any", func() error { return into[map[string]any](data) })
		decode("map[string]string", func() error { return into[map[string]string](data) })
		decode("map[int]int", func() error { return into[map[int]int](data) })
		decode("nested", func() error { return into[nested](data) })
		decode("[3]int", func() error { return into[[3]int](data) })
		decode("time", func() error { return into[time.Time](data) })
	}
	// What the walk lets pass may still be no encoding of the type.
	if err := into[[]struct{}]("\xdd\x7f\xff\xff\xff"); err == nil {
		t.Error("two thousand million empty structs out of five bytes: want an error")
	}
}

func into[T any](data string) error {
	_, err := Decode[T](Msgpack, []byte(data))
	return err
}

func TestWhatMakesTheLibraryPanicIsAnError(t *testing.T) {
	for name, err := range map[string]error{
		"slice as a key": into[map[any]any]("\x81\x91\x01\x01"),
		"uintptr":        into[uintptr]("\x01"),
		"nil for a time": into[struct{ T time.Time }]("\x81\xa1T\xc0"),
	} {
		if err == nil || strings.Contains(err.Error(), "panic") {
			t.Errorf("%s: error %v, want one, and no panic", name, err)
		}
	}
}

// pair writes two values, as custom encoders of the library may.
type pair struct{ A, B string }

func (p *pair) EncodeMsgpack(e *msgpack.Encoder) error { return e.EncodeMulti(p.A, p.B) }
func (p *pair) DecodeMsgpack(d *msgpack.Decoder) error { return d.DecodeMulti(&p.A, &p.B) }

// ext is a type that the application registered with the library.
type ext struct{ B []byte }

func (e *ext) MarshalMsgpack() ([]byte, error) { return e.B, nil }
func (e *ext) UnmarshalMsgpack(b []byte) error { e.B = bytes.Clone(b); return nil }
func (e *ext) Equal(o *ext) bool               { return bytes.Equal(e.B, o.B) }
func init()                                    { msgpack.RegisterExt(77, (*ext)(nil)) }

type interned struct {
	Words []word
}

type word struct {
	W string `msgpack:",intern"`
}

func TestWhatTheLibraryCanEncodeCanBeDecoded(t *testing.T) {
	checkLibrary(t, benchClaims)
	checkLibrary(t, pair{"a", "b"})
	checkLibrary(t, []pair{{"a", "b"}, {"c", "d"}})
	checkLibrary(t, map[string]*pair{"x": {"a", "b"}})
	checkLibrary(t, &pair{"a", "b"})
	for _, body := range []string{"", "a", "ab", "\x80", "\xc0", "\xde", "\xdf\xff\xff\xff\xff", "\x91\x01", strings.Repeat("\xdf", 300), strings.Repeat("\xdf", 70000)} {
		checkLibrary(t, &ext{[]byte(body)})
		checkLibrary(t, map[string]any{"a": &ext{[]byte(body)}})
	}
	for nanos := 0; nanos < 1e9; nanos += 4e6 { // bodies that begin with every possible code
		at := time.Unix(1767225600, int64(nanos))
		checkLibrary(t, map[string]any{"t": at})
		checkLibrary(t, []time.Time{at, at})
	}
	var words interned
	for i := range 600 { // so that every byte is an index
		w := word{"word" + string(rune('a'+i/26%26)) + string(rune('a'+i%26)) + string(rune('a'+i/600))}
		words.Words = append(words.Words, w, w)
	}
	checkLibrary(t, words)
	var deep any = "bottom"
	for range maxDepth {
		deep = []any{deep}
	}
	checkLibrary(t, deep)
	if _, err := Append(Msgpack, nil, &[]any{deep}); err == nil || len(err.Error()) > 300 {
		t.Errorf("a value nested %d deep is encoded (error %v), want a short error", maxDepth+1, err)
	}
	if b, err := msgpack.Marshal([]any{deep}); err != nil {
		t.Fatal(err)
	} else if _, err := Decode[any](Msgpack, b); err == nil {
		t.Errorf("a value nested %d deep decodes, want an error", maxDepth+1)
	}
}

// checkLibrary checks that v has the library's bytes and survives a round trip.
func checkLibrary[T any](t *testing.T, v T) {
	t.Helper()
	want, err := msgpack.Marshal(&v)
	if err != nil {
		t.Fatal(err)
	}
	check(t, v, string(want))
}

func TestBytesAfterTheValueAreRefused(t *testing.T) {
	for _, data := range []string{"\x01\x01", "\x80\xc0", "\xa1x\xc0", "\x90\x90"} {
		for name, err := range map[string]error{"int": into[int](data), "any": into[any](data), "map": into[map[string]any](data), "string": into[string](data), "[]string": into[[]string](data)} {
			if err == nil {
				t.Errorf("%q decodes into a %s, want an error", data, name)
			}
		}
	}
	if _, err := Decode[map[string]int](JSON, []byte(`{"a":1} {}`)); err == nil {
		t.Error("JSON after the value: want an error")
	}
}

func TestErrorsDoNotQuoteData(t *testing.T) {
	const secret = "s3cret"
	for _, data := range []string{
		secret, "\xa6" + secret, "\x81\xa1T\x81\xa1k\xa6" + secret, "\xc1" + secret,
		`"s3cret"`, `{"Expires":"s3cret"}`, `{"Expires":` + "5e3" + `}`, `["s3cret"]`, `{"s3cret":}`,
	} {
		for _, c := range []Codec{Msgpack, JSON} {
			for typ, f := range map[string]func() error{
				"codec.claims": func() error { _, err := Decode[claims](c, []byte(data)); return err },
				"time.Time":    func() error { _, err := Decode[time.Time](c, []byte(data)); return err },
				"codec.nested": func() error { _, err := Decode[nested](c, []byte(data)); return err },
				"int64":        func() error { _, err := Decode[int64](c, []byte(data)); return err },
			} {
				err := f()
				if err == nil {
					continue
				}
				if text := err.Error(); strings.Contains(text, secret) || strings.Contains(text, "\n") || !strings.Contains(text, typ) || !strings.Contains(text, c.Name()) {
					t.Errorf("Decode(%s, %q): %q, want one line with the type %s and without the data", c.Name(), data, text, typ)
				}
			}
		}
	}
	_, err := Decode[time.Time](Msgpack, []byte("\xa6"+secret))
	if parse := new(time.ParseError); !errors.As(err, &parse) {
		t.Errorf("errors.As does not reach the cause of %v", err)
	}
}

// TestReuseLeavesNothingBehind mixes failures and custom encoders that change options
// with values whose bytes must not depend on them.
func TestReuseLeavesNothingBehind(t *testing.T) {
	for range 100 {
		checkLibrary(t, options{})
		checkLibrary(t, benchClaims)
		if _, err := Append(Msgpack, nil, &[]any{"x", make(chan int)}); err == nil {
			t.Fatal("a channel was encoded")
		}
		if err := into[failing]("\x01"); !errors.Is(err, io.ErrNoProgress) {
			t.Fatalf("error %v, want the decoder's own", err)
		}
		checkLibrary(t, interned{[]word{{"abcd"}, {"abcd"}}})
		checkLibrary(t, msgpack.RawMessage("\x81\xa1a\x01"))
	}
}

// options sets every option of the encoder and decoder that works on it.
type options struct{}

func (options) EncodeMsgpack(e *msgpack.Encoder) error {
	e.UseCompactInts(true)
	e.UseArrayEncodedStructs(true)
	e.SetSortMapKeys(true)
	e.UseInternedStrings(true)
	e.SetCustomStructTag("json")
	return e.EncodeString("abcd")
}

func (*options) DecodeMsgpack(d *msgpack.Decoder) error {
	d.UseLooseInterfaceDecoding(true)
	d.DisallowUnknownFields(true)
	d.SetCustomStructTag("json")
	d.UseInternedStrings(true)
	_, err := d.DecodeString()
	return err
}

// failing is no value at all.
type failing struct{}

func (*failing) DecodeMsgpack(*msgpack.Decoder) error { return io.ErrNoProgress }

func TestDecodedBytesAreTheCallers(t *testing.T) {
	for _, c := range []Codec{Msgpack, JSON, Raw} {
		want := []byte("content")
		data, err := Append(c, nil, &want)
		if err != nil {
			t.Fatal(err)
		}
		before := string(data)
		got, err := Decode[[]byte](c, data)
		if err != nil {
			t.Fatal(err)
		}
		clear(got)
		_ = append(got, "more"...)
		if string(data) != before {
			t.Errorf("%s: changing the decoded slice changed the data to %q", c.Name(), data)
		}
	}
}

func FuzzMsgpackDecode(f *testing.F) {
	for _, seed := range []string{"", "\xc0", "\xa1x", "\x81\xa1M\xc7\x05\x01\xdf\xff\xff\xff\xff", "\xdd\xff\xff\xff\xff", "\x91\x91\x91\x01", "\xd6\xff\x80\x00\x00\x00", "\x81\x91\x01\x01"} {
		f.Add([]byte(seed))
	}
	data, _ := msgpack.Marshal(&benchClaims)
	f.Add(data)
	f.Add(binary.BigEndian.AppendUint32([]byte("\xde\x00\x01\xa1N\xdf"), 1))
	f.Fuzz(func(t *testing.T, data []byte) { decodeAll(t, Msgpack, data) })
}

func FuzzJSONDecode(f *testing.F) {
	for _, seed := range []string{"", "null", `"x"`, `"\ud800"`, "[[[[", `{"Subject":"x","Level":1e3}`, "1e400", "-0", `"2026-01-01T00:00:00Z"`, `"YQ=="`, "true ", "{} {}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) { decodeAll(t, JSON, data) })
}

// decodeAll decodes data into many types. What decodes must encode again to
// something that decodes to the same value.
func decodeAll(t *testing.T, c Codec, data []byte) {
	before := string(data)
	again[string](t, c, data)
	again[int64](t, c, data)
	again[uint8](t, c, data)
	again[float64](t, c, data)
	again[bool](t, c, data)
	again[time.Time](t, c, data)
	again[[]byte](t, c, data)
	again[[]string](t, c, data)
	again[map[string]any](t, c, data)
	again[map[string]string](t, c, data)
	again[map[any]any](t, c, data)
	again[claims](t, c, data)
	again[nested](t, c, data)
	again[[3]uint16](t, c, data)
	again[[]struct{}](t, c, data)
	again[point](t, c, data)
	again[pair](t, c, data)
	again[any](t, c, data)
	if string(data) != before {
		t.Errorf("decoding changed the data from %q to %q", before, data)
	}
}

func again[T any](t *testing.T, c Codec, data []byte) {
	v, err := Decode[T](c, data)
	if err != nil {
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("Decode[%T](%q): the error has more than one line: %v", v, data, err)
		}
		return
	}
	b, err := Append(c, nil, &v)
	if err != nil {
		return // such as a time beyond what JSON can say, or map[any]any for JSON
	}
	w, err := Decode[T](c, b)
	if err != nil {
		t.Errorf("Decode[%T](%q) succeeds, but not what it encodes to, %q: %v", v, data, b, err)
		return
	}
	if b2, err := Append(c, nil, &w); len(b2) != len(b) || err != nil {
		t.Errorf("%T %q encodes to %q and then to %q, %v", v, data, b, b2, err)
	}
}
