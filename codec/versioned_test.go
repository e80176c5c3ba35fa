package codec_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sessionkv/store/codec"
)

type userV0 struct{ Name string }

type userV1 struct{ First, Last string }

type userV2 struct {
	First, Last string
	Roles       []string
}

var errNoSpace = errors.New("secret: no space in the name")

func upgrade0(u userV0) (userV1, error) {
	first, last, ok := strings.Cut(u.Name, " ")
	if !ok {
		return userV1{}, errNoSpace
	}
	return userV1{first, last}, nil
}

func upgrade1(u userV1) (userV2, error) { return userV2{u.First, u.Last, []string{"user"}}, nil }

func back1(u userV1) (userV0, error) { return userV0{u.First + " " + u.Last}, nil }
func back2(u userV2) (userV1, error) { return userV1{u.First, u.Last}, nil }

func encoded[T any](t *testing.T, c codec.Codec, v T) []byte {
	t.Helper()
	b, err := codec.Append(c, []byte("dst"), &v)
	if err != nil || string(b[:3]) != "dst" {
		t.Fatalf("Append(%v) = %q, %v, want what was there and nil", v, b, err)
	}
	return b[3:]
}

func wantDecoded[T any](t *testing.T, c codec.Codec, data []byte, want T) {
	t.Helper()
	got, err := codec.Decode[T](c, data)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("Decode(%x) = %v, %v, want %v", data, got, err, want)
	}
}

// Every program reads what every other wrote, up and down, in both codecs.
func TestVersionedReadsAllVersions(t *testing.T) {
	for _, inner := range []codec.Codec{codec.Msgpack, codec.JSON} {
		t.Run(inner.Name(), func(t *testing.T) {
			v0 := codec.Versioned(inner, 0, codec.Back(2, back2), codec.Back(1, back1))
			v1 := codec.Versioned(inner, 1, codec.From(0, upgrade0), codec.Back(2, back2))
			v2 := codec.Versioned(inner, 2, codec.From(1, upgrade1), codec.From(0, upgrade0))
			zero, one, two := userV0{"Ada Lovelace"}, userV1{"Ada", "Lovelace"}, userV2{"Ada", "Lovelace", []string{"user"}}
			for _, data := range [][]byte{encoded(t, inner, zero), encoded(t, v0, zero), encoded(t, v1, one), encoded(t, v2, two)} {
				wantDecoded(t, v0, data, zero)
				wantDecoded(t, v1, data, one)
				wantDecoded(t, v2, data, two)
			}
			if got, want := encoded(t, v0, zero), encoded(t, inner, zero); !cmp.Equal(got, want) {
				t.Errorf("Append() of version 0 = %x, want %x as by %s alone", got, want, inner.Name())
			}
			if got, want := encoded(t, v2, two), append([]byte("\xc1\x01\x02"), encoded(t, inner, two)...); !cmp.Equal(got, want) {
				t.Errorf("Append() of version 2 = %x, want %x", got, want)
			}
			long := codec.Versioned(inner, 300)
			if got, want := encoded(t, long, "x"), append([]byte("\xc1\x01\xac\x02"), encoded(t, inner, "x")...); !cmp.Equal(got, want) {
				t.Errorf("Append() of version 300 = %x, want %x", got, want)
			}
			wantDecoded(t, long, encoded(t, long, "x"), "x")

			// A program that knows no marks does not take one for a value.
			for _, data := range [][]byte{encoded(t, v1, one), encoded(t, long, "x"), encoded(t, codec.Versioned(inner, 65), 5)} {
				if got, err := codec.Decode[any](inner, data); err == nil {
					t.Errorf("%s: Decode(%x) = %v, nil, want an error", inner.Name(), data, got)
				}
			}
		})
	}
}

func TestVersionedRefuses(t *testing.T) {
	v1 := codec.Versioned(codec.JSON, 1, codec.From(0, upgrade0))
	panics := codec.Versioned(codec.JSON, 1, codec.From(0, func(userV0) (userV1, error) { panic("secret") }))
	for name, tt := range map[string]struct {
		c    codec.Codec
		data string
		is   error
		text string
	}{
		"newer":                     {v1, "\xc1\x01\x02{}", codec.ErrNewer, "version 2"},
		"no upgrade":                {codec.Versioned(codec.JSON, 2), "\xc1\x01\x01{}", nil, "no codec.From"},
		"no upgrade from plain":     {codec.Versioned(codec.JSON, 1), "{}", nil, "version 0"},
		"an upgrade that fails":     {v1, `{"Name":"secret"}`, errNoSpace, "from version 0 to 1"},
		"an upgrade that panics":    {panics, `{"Name":"secret"}`, nil, "panic"},
		"no such value":             {v1, `{"Name":7}`, nil, "userV0"},
		"no version":                {v1, "\xc1\x01", nil, "mark"},
		"version 0 with a mark":     {v1, "\xc1\x01\x00{}", nil, "mark"},
		"a version cut short":       {v1, "\xc1\x01\x80", nil, "mark"},
		"a version in a long form":  {v1, "\xc1\x01\x81\x00{}", nil, "mark"},
		"a version beyond all":      {v1, "\xc1\x01\xff\xff\xff\xff\xff\xff\xff\xff\x7f{}", nil, "mark"},
		"a version beyond 64 bits":  {v1, "\xc1\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01{}", nil, "mark"},
		"another mark":              {v1, "\xc1\x02\x04json{}", nil, "userV0"},
		"nothing":                   {v1, "", nil, "userV0"},
		"nothing after the version": {v1, "\xc1\x01\x01", nil, "userV1"},
		"two marks":                 {v1, "\xc1\x01\x01\xc1\x01\x01{}", nil, "userV1"},
	} {
		got, err := codec.Decode[userV1](tt.c, []byte(tt.data))
		if err == nil || got != (userV1{}) || tt.is != nil && !errors.Is(err, tt.is) ||
			!strings.Contains(err.Error(), tt.text) || strings.ContainsAny(err.Error(), "\n") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: Decode(%q) = %v, %v, want %v naming %q and no value", name, tt.data, got, err, tt.is, tt.text)
		}
		if tt.is != codec.ErrNewer && errors.Is(err, codec.ErrNewer) {
			t.Errorf("%s: Decode(%q) = %v, want no ErrNewer", name, tt.data, err)
		}
	}
	if _, err := codec.Append(v1, nil, &userV2{}); err == nil {
		t.Error("Append() of another type than the upgrades return = nil, want an error")
	}
	if _, err := codec.Decode[userV2](v1, []byte(`{}`)); err == nil {
		t.Error("Decode() of another type than the upgrades return = nil, want an error")
	}
}

func TestVersionedChecksItsArguments(t *testing.T) {
	from0, from1 := codec.From(0, upgrade0), codec.From(1, upgrade1)
	var nothing func(userV1) (userV2, error)
	for name, c := range map[string]codec.Codec{
		"no codec":              codec.Versioned(nil, 1),
		"raw":                   codec.Versioned(codec.Raw, 1),
		"twice around":          codec.Versioned(codec.Versioned(codec.JSON, 1), 1),
		"negative":              codec.Versioned(codec.JSON, -1),
		"no function":           codec.Versioned(codec.JSON, 2, codec.From(1, nothing)),
		"two functions":         codec.Versioned(codec.JSON, 2, from0, from0, from1),
		"a hole":                codec.Versioned(codec.JSON, 2, from0),
		"types that do not fit": codec.Versioned(codec.JSON, 2, codec.From(0, func(userV0) (userV2, error) { return userV2{}, nil }), from1),
		"away, up":              codec.Versioned(codec.JSON, 1, from0, from1),
		"away, down":            codec.Versioned(codec.JSON, 2, codec.Back(1, back1)),
		"own type twice":        codec.Versioned(codec.JSON, 1, from0, codec.Back(2, func(userV2) (userV0, error) { return userV0{}, nil })),
		"below zero":            codec.Versioned(codec.JSON, 0, codec.Back(0, back1)),
		"change, raw":           codec.DuringChange(codec.JSON, codec.Raw),
		"change, from raw":      codec.BeforeChange(codec.Raw, codec.JSON),
		"change, nil":           codec.AfterChange(nil),
		"change to a change":    codec.DuringChange(codec.JSON, codec.AfterChange(codec.Msgpack)),
		"change to no name":     codec.DuringChange(codec.JSON, named("")),
		"change to a long name": codec.DuringChange(codec.JSON, named(strings.Repeat("x", 256))),
	} {
		v := userV2{First: "secret"}
		if b, err := codec.Append(c, []byte("dst"), &v); err == nil || string(b) != "dst" || strings.ContainsAny(err.Error(), "\n") {
			t.Errorf("%s: Append() = %q, %v, want an error in one line and dst", name, b, err)
		}
		if _, err := codec.Decode[userV2](c, []byte("{}")); err == nil {
			t.Errorf("%s: Decode() = nil, want an error", name)
		}
		_ = c.Name()
	}
}

// named is JSON under another name.
type named string

func (n named) Name() string                           { return string(n) }
func (named) Append(dst []byte, v any) ([]byte, error) { return codec.JSON.Append(dst, v) }
func (named) Decode(data []byte, v any) error          { return codec.JSON.Decode(data, v) }

// Neighbouring steps of a change read each other's values.
func TestChangeOfCodec(t *testing.T) {
	steps := []codec.Codec{
		codec.JSON,
		codec.BeforeChange(codec.JSON, codec.Msgpack),
		codec.DuringChange(codec.JSON, codec.Msgpack),
		codec.EndChange(codec.Msgpack),
		codec.AfterChange(codec.Msgpack),
		codec.Msgpack,
	}
	want := userV2{"Ada", "Lovelace", []string{"user"}}
	for i, writer := range steps {
		data := encoded(t, writer, want)
		number := encoded(t, writer, 57) // reads as 53 or as 9 by the wrong codec
		for j, reader := range steps {
			// Neighbours read each other, whichever is deployed first. The old codec has gone when step 3
			// begins; the mark when the last one does.
			reads := i-j <= 1 && j-i <= 1 || i <= 2 && (j == 1 || j == 2) || i >= 2 && (j == 3 || j == 4)
			if !reads {
				continue
			}
			t.Run(fmt.Sprintf("step %d reads step %d", j, i), func(t *testing.T) {
				wantDecoded(t, reader, data, want)
				wantDecoded(t, reader, number, 57)
			})
		}
	}
	if got, want := encoded(t, steps[2], 57), []byte("\xc1\x02\x07msgpack\x39"); !cmp.Equal(got, want) {
		t.Errorf("Append(57) during the change = %x, want %x", got, want)
	}
	// What a step cannot know is an error, not another number.
	for _, reader := range []codec.Codec{codec.JSON, codec.Msgpack, codec.DuringChange(codec.JSON, named("cbor"))} {
		if got, err := codec.Decode[int](reader, encoded(t, steps[2], 57)); err == nil {
			t.Errorf("%s: Decode() of a value with a mark = %d, nil, want an error", reader.Name(), got)
		}
	}
	for _, data := range []string{"\xc1\x02", "\xc1\x02\x00\x01", "\xc1\x02\x07msgpac", "\xc1\x02\x06secret\x01", "\xc1\x03\x01"} {
		if got, err := codec.Decode[int](steps[2], []byte(data)); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("Decode(%q) = %d, %v, want an error without the name", data, got, err)
		}
	}
	// A second change before the first has ended, and versions within.
	second := codec.DuringChange(steps[2], named("third"))
	for _, c := range []codec.Codec{codec.JSON, steps[2], second} {
		wantDecoded(t, second, encoded(t, c, want), want)
	}
	versions := codec.DuringChange(codec.Versioned(codec.JSON, 1, codec.From(0, upgrade0)), codec.Versioned(codec.Msgpack, 1, codec.From(0, upgrade0)))
	for _, data := range [][]byte{encoded(t, codec.JSON, userV0{"Ada Lovelace"}), encoded(t, codec.Versioned(codec.JSON, 1), userV1{"Ada", "Lovelace"}), encoded(t, versions, userV1{"Ada", "Lovelace"})} {
		wantDecoded(t, versions, data, userV1{"Ada", "Lovelace"})
	}
}

// Hostile bytes are errors or values, never a panic.
func FuzzMarks(f *testing.F) {
	for _, seed := range []string{"", "\xc1", "\xc1\x01", "\xc1\x01\x01\x80", "\xc1\x01\x02\x93\xa1a\xa1b\x90", "\xc1\x02\x07msgpack\x80", "\xc1\x02\xff", "{}", "\x80"} {
		f.Add([]byte(seed))
	}
	v2 := codec.Versioned(codec.Msgpack, 2, codec.From(1, upgrade1), codec.From(0, upgrade0))
	changing := codec.DuringChange(codec.JSON, v2)
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, c := range []codec.Codec{v2, changing} {
			v, err := codec.Decode[userV2](c, data)
			if err != nil {
				continue
			}
			again, err := codec.Decode[userV2](c, encoded(t, c, v))
			if err != nil || !cmp.Equal(v, again) {
				t.Errorf("Decode(Append(%v)) = %v, %v", v, again, err)
			}
		}
	})
}
