package inspect_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
	"github.com/sessionkv/store/codec"
	"github.com/sessionkv/store/inspect"
)

func open(t testing.TB, opts *store.Options) *store.Sessions {
	t.Helper()
	backend := memstore.New(nil)
	t.Cleanup(func() { backend.Close() })
	sessions, err := store.New(backend, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sessions.Close(context.Background()) })
	return sessions
}

func create(t testing.TB, sessions *store.Sessions, initial ...store.Change) *store.Session {
	t.Helper()
	s, err := sessions.Create(t.Context(), store.NewID(), initial...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func dump(t testing.TB, s *store.Session) []inspect.Value {
	t.Helper()
	values, err := inspect.Dump(t.Context(), s)
	if err != nil {
		t.Fatalf("Dump: %v", err)
	}
	return values
}

// dumpBytes dumps a session with the bytes b under one key.
func dumpBytes(t testing.TB, s *store.Session, b []byte) inspect.Value {
	t.Helper()
	if err := s.Store().Set(t.Context(), "k", b); err != nil {
		t.Fatal(err)
	}
	values := dump(t, s)
	if len(values) != 1 {
		t.Fatalf("Dump of one value = %d values", len(values))
	}
	return values[0]
}

type claims struct {
	Sub    string         `msgpack:"sub" json:"sub"`
	Level  int8           `msgpack:"level" json:"level"`
	Scopes []string       `msgpack:"scopes" json:"scopes"`
	Extra  map[int]string `msgpack:"extra" json:"extra"`
}

func TestDumpDecodes(t *testing.T) {
	when := time.Date(2026, 11, 27, 1, 2, 3, 4, time.UTC)
	c := claims{"u", -3, []string{"r", "w"}, map[int]string{7: "x"}}
	for _, tt := range []struct {
		change store.Change
		want   inspect.Value
		text   string
	}{
		{store.Key[string]("k").To("hé"), inspect.Value{Encoding: "msgpack", Data: "hé"}, `"hé"`},
		{store.Key[bool]("k").To(true), inspect.Value{Encoding: "msgpack", Data: true}, "true"},
		{store.Key[int]("k").To(-129), inspect.Value{Encoding: "msgpack", Data: int64(-129)}, "-129"},
		{store.Key[int64]("k").To(math.MinInt64), inspect.Value{Encoding: "msgpack", Data: int64(math.MinInt64)}, "-9223372036854775808"},
		{store.Key[uint64]("k").To(math.MaxUint64), inspect.Value{Encoding: "msgpack", Data: uint64(math.MaxUint64)}, "18446744073709551615"},
		{store.Key[float64]("k").To(1.5), inspect.Value{Encoding: "msgpack", Data: 1.5}, "1.5"},
		{store.Key[float32]("k").To(0.25), inspect.Value{Encoding: "msgpack", Data: 0.25}, "0.25"},
		{store.Key[[]byte]("k").To([]byte{1, 255}), inspect.Value{Encoding: "msgpack", Data: []byte{1, 255}}, "<2 bytes: 01ff>"},
		{store.Key[time.Time]("k").To(when), inspect.Value{Encoding: "msgpack", Data: when}, "<2026-11-27T01:02:03.000000004Z>"},
		{store.Key[[]string]("k").To(nil), inspect.Value{Encoding: "msgpack", Data: nil}, "null"},
		{store.Key[[]string]("k").To([]string{}), inspect.Value{Encoding: "msgpack", Data: []any{}}, "[]"},
		{store.Key[claims]("k").To(c), inspect.Value{Encoding: "msgpack", Data: inspect.Object{
			{"sub", "u"}, {"level", int64(-3)}, {"scopes", []any{"r", "w"}}, {"extra", inspect.Object{{int64(7), "x"}}},
		}}, "{\n  \"sub\": \"u\",\n  \"level\": -3,\n  \"scopes\": [\n    \"r\",\n    \"w\"\n  ],\n  \"extra\": {\n    7: \"x\"\n  }\n}"},
		{store.Key[claims]("k").With(codec.JSON).To(c), inspect.Value{Encoding: "json", Data: inspect.Object{
			{"sub", "u"}, {"level", json.Number("-3")}, {"scopes", []any{"r", "w"}}, {"extra", inspect.Object{{"7", "x"}}},
		}}, "{\n  \"sub\": \"u\",\n  \"level\": -3,\n  \"scopes\": [\n    \"r\",\n    \"w\"\n  ],\n  \"extra\": {\n    \"7\": \"x\"\n  }\n}"},
		{store.Key[int]("k").With(codec.JSON).To(300), inspect.Value{Encoding: "json", Data: json.Number("300")}, "300"},
		{store.Key[string]("k").With(codec.Raw).To("plain text"), inspect.Value{Encoding: "raw", Data: "plain text"}, `"plain text"`},
		{store.Key[[]byte]("k").With(codec.Raw).To([]byte{0xff, 0}), inspect.Value{Encoding: "raw", Data: []byte{0xff, 0}}, "<2 bytes: ff00>"},
		{store.Key[[]byte]("k").With(codec.Raw).To(nil), inspect.Value{Encoding: "raw", Data: ""}, `""`},
		{store.Key[string]("k").With(codec.Versioned(codec.JSON, 300)).To("v"), inspect.Value{Encoding: "json", Version: 300, Data: "v"}, `"v"`},
		{store.Key[int]("k").With(codec.DuringChange(codec.Msgpack, codec.JSON)).To(9), inspect.Value{Encoding: "json", Data: json.Number("9")}, "9"},
		{store.Key[int]("k").With(codec.DuringChange(codec.JSON, codec.Msgpack)).To(57), inspect.Value{Encoding: "msgpack", Data: int64(57)}, "57"},
	} {
		got := dump(t, create(t, open(t, nil), tt.change))
		if len(got) != 1 {
			t.Errorf("Dump = %v, want one value", got)
			continue
		}
		tt.want.Key, tt.want.Size = "k", got[0].Size
		if diff := cmp.Diff(tt.want, got[0]); diff != "" || got[0].Text() != tt.text {
			t.Errorf("Dump: Text = %q, want %q; (-want +got):\n%s", got[0].Text(), tt.text, diff)
		}
	}
}

// TestDumpGoesByTheCodecOfTheSession: what two codecs could have written is taken for what the session's
// codec writes.
func TestDumpGoesByTheCodecOfTheSession(t *testing.T) {
	for _, tt := range []struct {
		codec codec.Codec
		want  any
	}{
		{codec.Msgpack, int64(0x39)},
		{codec.JSON, json.Number("9")},
		{codec.Raw, "9"},
		{foreignCodec{"msgpack"}, int64(0x39)},
		{foreignCodec{"other"}, int64(0x39)},
	} {
		s := create(t, open(t, &store.Options{Codec: tt.codec}))
		if got := dumpBytes(t, s, []byte("9")); got.Data != tt.want {
			t.Errorf("Dump of 9 with codec %s = %#v, want %#v", tt.codec.Name(), got.Data, tt.want)
		}
	}
	s := create(t, open(t, &store.Options{Codec: foreignCodec{"panics"}}))
	if _, err := inspect.Dump(t.Context(), s); err == nil {
		t.Error("Dump with a codec whose Name panics = nil, want an error")
	}
}

// A foreignCodec is a codec of somebody else.
type foreignCodec struct{ name string }

func (c foreignCodec) Name() string {
	if c.name == "panics" {
		panic(c.name)
	}
	return c.name
}
func (foreignCodec) Append(dst []byte, v any) ([]byte, error) { return dst, errors.ErrUnsupported }
func (foreignCodec) Decode(data []byte, v any) error          { return errors.ErrUnsupported }

func TestDumpLeavesSealedValuesSealed(t *testing.T) {
	ring, err := store.NewKeyRing(store.SealingKey{ID: 77, Secret: make([]byte, 32)})
	if err != nil {
		t.Fatal(err)
	}
	for _, sealer := range []store.Sealer{ring, ring.DuringSealing()} {
		s := create(t, open(t, &store.Options{Sealer: sealer}), store.Key[string]("k").To("hidden"))
		got := dump(t, s)[0]
		if got.Encoding != "sealed" || got.Data != inspect.Omitted("sealed, with key 77") {
			t.Errorf("Dump of a sealed value = %+v, want it sealed with key 77", got)
		}
	}
	s := create(t, open(t, &store.Options{Sealer: reversing{}}), store.Key[string]("k").To("hidden"))
	if got := dump(t, s)[0]; got.Encoding != "sealed" || got.Data != inspect.Omitted("sealed") {
		t.Errorf("Dump of a value by a Sealer of somebody else = %+v, want it sealed", got)
	}
	s = create(t, open(t, &store.Options{Sealer: ring.BeforeSealing()}), store.Key[string]("k").To("plain"))
	if got := dump(t, s)[0]; got.Encoding != "msgpack" || got.Data != "plain" {
		t.Errorf("Dump of a plain value before sealing = %+v, want it decoded", got)
	}
}

// reversing is a Sealer that hides nothing.
type reversing struct{}

func (reversing) Seal(dst, plain, _ []byte) ([]byte, error)  { return append(dst, plain...), nil }
func (reversing) Open(dst, sealed, _ []byte) ([]byte, error) { return append(dst, sealed...), nil }

func TestDumpNeverShowsTheID(t *testing.T) {
	sessions := open(t, nil)
	for _, id := range []string{store.NewID(), "\xff\x00binary id", "1234567890", "-17", "\"quoted\"", strings.Repeat("long", 128)} {
		s, err := sessions.Create(t.Context(), id,
			store.Key[string]("self").To("id="+id+" "+strings.Repeat("x", 5000)),
			store.Key[[]byte]("bytes").To([]byte(id)),
			store.Key[map[string]any]("deep").To(map[string]any{"a": []any{id, "see"}, id: 1}),
			store.Key[[]byte]("raw").With(codec.Raw).To([]byte(id)),
		)
		if err != nil {
			t.Fatal(err)
		}
		var n json.Number
		if json.Unmarshal([]byte(id), &n) == nil {
			number, _ := n.Int64()
			if err := store.Save(t.Context(), s, store.Key[int64]("number").To(number), store.Key[int64]("json").With(codec.JSON).To(number)); err != nil {
				t.Fatal(err)
			}
		}
		short := len(id) < 8 // only where it is the whole text
		for _, v := range dump(t, s) {
			if text := v.Text(); !(short && v.Key == "self") && (strings.Contains(text, id) || strings.Contains(text, fmt.Sprintf("%x", id))) {
				t.Errorf("Dump shows the ID %q: %s: %s", id, v.Key, text)
			}
		}
	}
}

func TestDumpIsBounded(t *testing.T) {
	sessions := open(t, &store.Options{Limits: store.Limits{ValueSize: -1}})
	deep := func(open string, n int, end string) []byte { return []byte(strings.Repeat(open, n) + end) }
	for name, b := range map[string][]byte{
		"deep msgpack":           deep("\x91", 1<<20, "\xc0"),
		"deep maps":              deep("\x81\x01", 1<<20, "\xc0"),
		"maps as names":          deep("\x81", 5000, strings.Repeat("\xc0", 5001)),
		"deep JSON":              []byte(strings.Repeat("[", 9000) + strings.Repeat("]", 9000)),
		"deeper JSON than there": []byte(strings.Repeat("[", 20000) + strings.Repeat("]", 20000)),
		"wide msgpack":           append([]byte{0xdd, 0, 0x10, 0, 0}, make([]byte, 1<<20)...),
		"wide JSON":              []byte("[" + strings.Repeat("0,", 1<<19) + "0]"),
		"many names":             []byte("{" + strings.Repeat(`"a":[0],`, 1<<18) + `"a":0}`),
		"long string":            append([]byte{0xdb, 0, 0x10, 0, 0}, make([]byte, 1<<20)...),
		"announces 4 GiB":        {0xdd, 0xff, 0xff, 0xff, 0xff, 1, 2, 3},
		"announces a long map":   {0xdf, 0xff, 0xff, 0xff, 0xff, 1, 2, 3},
		"announces a string":     {0xdb, 0xff, 0xff, 0xff, 0xff, 1, 2, 3},
		"announces an extension": {0xc9, 0xff, 0xff, 0xff, 0xff, 1, 2, 3},
		"huge number":            []byte("1" + strings.Repeat("0", 1<<20)),
		"time before all times":  {0xc7, 12, 0xff, 0, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0},
		"time after all times":   {0xc7, 12, 0xff, 0x3b, 0x9a, 0xc9, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"no time":                {0xc7, 12, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0},
		"marks without an end":   {0xc1, 2, 200, 1},
		"marks of marks":         {0xc1, 1, 1, 0xc1, 1, 1, 0xc1, 1, 1, 0xc0},
	} {
		s := create(t, sessions)
		got := dumpBytes(t, s, b)
		if n := size(got.Data, 0); n > 3<<20 {
			t.Errorf("Dump of %s keeps %d bytes", name, n)
		}
		if text := got.Text(); len(text) > 65<<10 {
			t.Errorf("Text of %s has %d bytes", name, len(text))
		}
		switch {
		case strings.HasPrefix(name, "deep ") && !strings.Contains(got.Text(), "nested deeper than 32"):
			t.Errorf("Text of %s = %.200q, want it to say that it is cut", name, got.Text())
		case strings.HasPrefix(name, "wide") && !strings.Contains(fmt.Sprint(got.Data), "more than 10000 elements"):
			t.Errorf("Dump of %s does not say that it is cut", name)
		}
	}
}

// size returns roughly what data holds, and panics when it is nested deeper than it may be.
func size(data any, depth int) int {
	if depth > 40 {
		panic("too deep")
	}
	n := 16
	switch data := data.(type) {
	case string:
		n += len(data)
	case []byte:
		n += len(data)
	case []any:
		for _, e := range data {
			n += size(e, depth+1)
		}
	case inspect.Object:
		for _, f := range data {
			n += size(f.Name, depth+1) + size(f.Value, depth+1)
		}
	}
	return n
}

func TestDumpOfALargeSession(t *testing.T) {
	sessions := open(t, &store.Options{Limits: store.Limits{Keys: -1}})
	s := create(t, sessions)
	for i := range 40 {
		if err := store.Key[string](fmt.Sprintf("k%02d", i)).Set(t.Context(), s, strings.Repeat("x", 1<<20-10)); err != nil {
			t.Fatal(err)
		}
	}
	got := dump(t, s)
	read := 0
	for i, v := range got {
		if want := fmt.Sprintf("k%02d", i); v.Key != want {
			t.Errorf("value %d has key %q, want %q", i, v.Key, want)
		}
		if v.Encoding != "unread" {
			read++
		}
	}
	if len(got) != 40 || read < 16 || read > 32 {
		t.Errorf("Dump of 40 values of 1 MiB = %d values, of which %d were read; want 40 and some 16 to 32", len(got), read)
	}
}

func TestDumpOfNoSession(t *testing.T) {
	sessions := open(t, nil)
	ended := create(t, sessions)
	if err := ended.Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name string
		ctx  context.Context
		s    *store.Session
		want error
	}{
		{"nil", t.Context(), nil, store.ErrNoSession},
		{"zero", t.Context(), new(store.Session), store.ErrNoSession},
		{"ended", t.Context(), ended, store.ErrDestroyed},
		{"cancelled", cancelled, create(t, sessions), context.Canceled},
	} {
		if got, err := inspect.Dump(tt.ctx, tt.s); !errors.Is(err, tt.want) {
			t.Errorf("Dump of a session that is %s = %v, %v, want %v", tt.name, got, err, tt.want)
		}
	}
}

// TestTextCanBePrinted: no character of a value changes how the text around it is shown.
func TestTextCanBePrinted(t *testing.T) {
	s := create(t, open(t, nil))
	for _, hostile := range []string{"\u202eabc", "a\x1b[31mb", "\u2028", "\xff\xfe", "a\x00b", "\ufdd0"} {
		got := dumpBytes(t, s, append([]byte{0xd9, byte(len(hostile))}, hostile...)).Text()
		if strings.Contains(got, hostile) {
			t.Errorf("Text of %q = %q, want it escaped", hostile, got)
		}
	}
}

// TestTextOfOtherData: whoever makes Values of their own cannot make Text panic or go on without
// end.
func TestTextOfOtherData(t *testing.T) {
	loop := make([]any, 1)
	loop[0] = loop
	for _, data := range []any{loop, struct{ A int }{1}, new(int), inspect.Object{{loop, loop}}, int8(3), time.Time{}} {
		if got := (inspect.Value{Data: data}).Text(); got == "" || len(got) > 65<<10 {
			t.Errorf("Text of a %T has %d bytes", data, len(got))
		}
	}
}

// TestDumpReadsJSONAsOthersDo: random JSON is the same tree as encoding/json makes of it.
func TestDumpReadsJSONAsOthersDo(t *testing.T) {
	s := create(t, open(t, &store.Options{Codec: codec.JSON}))
	for _, text := range []string{
		`null`, ` [ ] `, `{}`, "[\n1 ,\t-2.5e+7\r]", `{"a" : "b\"\\" , "c":{"d":[[],{},[{}],"]"]}}`, `"\u00e9\ud83d\ude00\ud800"`, `[true,false,null,"}",0]`, `"\\"`,
		`{"":{"":""}}`, `1e400`, `[1,[2,[3,[4,"[,"]]],5]`, "\"\xff\"",
	} {
		var want any
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		if err := d.Decode(&want); err != nil {
			t.Fatal(err)
		}
		got := dumpBytes(t, s, []byte(text))
		if diff := cmp.Diff(want, plain(got.Data)); got.Encoding != "json" || diff != "" {
			t.Errorf("Dump of %s is taken for %s (-want +got):\n%s", text, got.Encoding, diff)
		}
	}
}

// distinct reports whether no name occurs twice in an Object of data, and none is left out.
func distinct(data any) bool {
	seen := make(map[string]bool)
	switch data := data.(type) {
	case []any:
		for _, e := range data {
			if !distinct(e) {
				return false
			}
		}
	case inspect.Object:
		for _, f := range data {
			name, ok := f.Name.(string)
			if !ok || seen[name] || !distinct(f.Value) {
				return false
			}
			seen[name] = true
		}
	case inspect.Omitted:
		return false
	}
	return true
}

// plain returns data with maps in place of Objects.
func plain(data any) any {
	switch data := data.(type) {
	case []any:
		for i := range data {
			data[i] = plain(data[i])
		}
	case inspect.Object:
		m := make(map[string]any)
		for _, f := range data {
			m[f.Name.(string)] = plain(f.Value)
		}
		return m
	}
	return data
}

func FuzzDump(f *testing.F) {
	for _, seed := range []string{"", "9", `{"a":[1,"x",null]}`, "\x82\xa1a\x01\xa1b\x92\xc0\xcb\x00\x00\x00\x00\x00\x00\x00\x00", "\xc1\x01\x02\xa1a", "\xc7\x0c\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"} {
		f.Add([]byte(seed))
	}
	s := create(f, open(f, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<20 {
			return
		}
		got := dumpBytes(t, s, b)
		if got.Size != len(b) {
			t.Errorf("Size = %d, want %d", got.Size, len(b))
		}
		if text := got.Text(); len(text) > 65<<10 || text == "" {
			t.Errorf("Text has %d bytes", len(text))
		}
		size(got.Data, 0)
		var want any
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		if got.Encoding == "json" && d.Decode(&want) == nil && distinct(got.Data) && !strings.Contains(fmt.Sprint(got.Data), "more") {
			if diff := cmp.Diff(want, plain(got.Data)); diff != "" {
				t.Errorf("Dump of %q (-want +got):\n%s", b, diff)
			}
		}
		// What the typed codec reads, Dump reads as msgpack too.
		if v, err := codec.Decode[any](codec.Msgpack, b); err == nil && v != nil && got.Encoding != "msgpack" && got.Encoding != "sealed" {
			t.Errorf("codec.Msgpack decodes %x to %v, and Dump takes it for %s", b, v, got.Encoding)
		}
	})
}
