package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// A library is what a codec must agree with.
type library struct {
	codec     Codec
	marshal   func(any) ([]byte, error)
	unmarshal func([]byte, any) error
}

var libraries = []library{
	{Msgpack, msgpack.Marshal, msgpack.Unmarshal},
	{JSON, json.Marshal, json.Unmarshal},
}

// identical checks that every codec encodes v to the library's bytes, or fails with it, and decodes
// them to what the library makes of them.
func identical[T any](t testing.TB, v T) {
	t.Helper()
	for _, l := range libraries {
		want, wantErr := l.marshal(&v)
		for name, f := range map[string]func() ([]byte, error){
			"Append":       func() ([]byte, error) { return Append(l.codec, []byte("dst"), &v) },
			"Codec.Append": func() ([]byte, error) { return l.codec.Append([]byte("dst"), &v) },
		} {
			got, err := f()
			if err != nil && l.codec == JSON && (strings.Contains(string(want), `\ufffd`) || strings.Contains(string(want), "\ufffd")) {
				continue // the library replaces what is not UTF-8, up to Go 1.26 by an escape
			}
			if (err != nil) != (wantErr != nil) || string(got) != "dst"+string(want) {
				t.Errorf("%s(%s, %T %#v) = %q, %v, the library: %q, %v", name, l.codec.Name(), v, v, got, err, want, wantErr)
			}
		}
		if wantErr == nil {
			sameDecoded[T](t, l, want) // also of text that was replaced
		}
	}
}

// sameDecoded checks that the codec makes of data what the library makes of it.
func sameDecoded[T any](t testing.TB, l library, data []byte) {
	t.Helper()
	var want, into T
	wantErr := l.unmarshal(data, &want)
	got, err := Decode[T](l.codec, data)
	intoErr := l.codec.Decode(data, &into)

	if l.codec == Msgpack && wantErr == nil && (err != nil || intoErr != nil) && strings.Contains(fmt.Sprint(err), " at byte ") {
		return // refused by the walk, which the library does not do
	}
	if l.codec == JSON && wantErr == nil && err != nil && intoErr != nil && strings.Contains(err.Error(), "not UTF-8") && !plainText(data) {
		return // the library puts U+FFFD in the place of such text
	}
	if l.codec == Msgpack && wantErr == nil && strings.Contains(fmt.Sprint(err), "bytes follow the value") {
		return // bytes after the value, which the library ignores
	}
	if errors.Is(err, errOverflow) && errors.Is(intoErr, errOverflow) {
		var n any
		err := msgpack.Unmarshal(data, &n)
		if l.codec == JSON {
			whole, ok := new(big.Int).SetString(string(bytes.TrimSpace(data)), 10)
			if n = whole; !ok {
				err = errors.New("no integer")
			}
		}
		if err != nil || fitsInto[T](n) {
			t.Errorf("Decode[%T](%s, %q) says that %v does not fit, the library: %v", want, l.codec.Name(), data, n, wantErr)
		}
		return // the library cuts off what does not fit
	}
	if errors.Is(err, errNil) && errors.Is(intoErr, errNil) && (string(data) == "\xc0" || string(bytes.TrimSpace(data)) == "null") {
		return // the library makes a zero of nil
	}
	if f, ok := any(got).(float32); ok && wantErr != nil && err == nil && intoErr == nil {
		if back, _ := Decode[float64](l.codec, data); float64(f) == back || f != f && back != back {
			return // the library refuses a double for a float32, even if it fits
		}
	}
	if (err != nil) != (wantErr != nil) || (intoErr != nil) != (wantErr != nil) {
		t.Errorf("Decode[%T](%s, %q): %v and %v, the library: %v", want, l.codec.Name(), data, err, intoErr, wantErr)
	}
	if wantErr != nil {
		return
	}
	if !same(want, got) || !same(want, into) {
		t.Errorf("Decode[%T](%s, %q) = %#v and %#v, the library: %#v", want, l.codec.Name(), data, got, into, want)
	}
}

// fitsInto reports whether a T, an integer, can hold the number n.
func fitsInto[T any](n any) bool {
	var exact big.Int
	fmt.Sscan(fmt.Sprint(n), &exact)
	v := reflect.New(reflect.TypeFor[T]()).Elem()
	if v.CanFloat() {
		f, _ := new(big.Float).SetPrec(200).SetString(fmt.Sprint(n))
		x, accuracy := f.Float64()
		if v.Kind() == reflect.Float32 {
			var y float32
			y, accuracy = f.Float32()
			x = float64(y)
		}
		return accuracy == big.Exact && !math.IsInf(x, 0)
	}
	if v.CanInt() {
		return exact.IsInt64() && !v.OverflowInt(exact.Int64())
	}
	return exact.IsUint64() && !v.OverflowUint(exact.Uint64())
}

// same compares floats by their bits and times with their zones.
func same(a, b any) bool {
	switch v := reflect.ValueOf(a); v.Kind() {
	case reflect.Float32, reflect.Float64:
		return math.Float64bits(v.Float()) == math.Float64bits(reflect.ValueOf(b).Float())
	}
	if t, ok := a.(time.Time); ok {
		return sameTime(t, b.(time.Time))
	}
	return reflect.DeepEqual(a, b)
}

// sameTime is stricter than time.Time.Equal: the zone must be the same as well.
func sameTime(a, b time.Time) bool {
	return a.Equal(b) && a.Format(time.RFC3339Nano) == b.Format(time.RFC3339Nano) && a.Location().String() == b.Location().String()
}

type (
	definedString  string
	definedBool    bool
	definedInt     int
	definedInt8    int8
	definedInt64   int64
	definedUint    uint
	definedUint16  uint16
	definedFloat32 float32
	definedFloat64 float64
	definedBytes   []byte
)

func TestScalarsAreIdentical(t *testing.T) {
	for c := range 256 {
		identical(t, string([]byte{byte(c)}))
		identical(t, "plain "+string(rune(c))+" text")
		identical(t, definedString(rune(c)))
	}
	for _, n := range []int{0, 1, 30, 31, 32, 33, 255, 256, 257, 65535, 65536} {
		identical(t, strings.Repeat("x", n))
		identical(t, definedString(strings.Repeat("x", n)))
		identical(t, []byte(strings.Repeat("\xff", n)))
		identical(t, definedBytes(strings.Repeat("y", n)))
	}
	for _, s := range []string{"", "<b>&amp;</b>", "a\"b", `a\b`, "a\tb", "naïve", "\u2028", "\u2029", "\xff\xfe", "日本"} {
		identical(t, s)
		identical(t, definedString(s))
	}
	identical(t, []byte(nil))
	identical(t, definedBytes(nil))
	for _, b := range []bool{true, false} {
		identical(t, b)
		identical(t, definedBool(b))
	}

	whole := []int64{0, 1, -1, math.MaxInt64, math.MinInt64, 1e17, 1e18, -1e18}
	for shift := range 63 {
		n := int64(1) << shift
		whole = append(whole, n-1, n, n+1, -n-1, -n, -n+1)
	}
	for _, n := range whole {
		identical(t, int(n))
		identical(t, int8(n))
		identical(t, int16(n))
		identical(t, int32(n))
		identical(t, n)
		identical(t, uint(n))
		identical(t, uint8(n))
		identical(t, uint16(n))
		identical(t, uint32(n))
		identical(t, uint64(n))
		identical(t, float32(n))
		identical(t, float64(n))
		identical(t, time.Duration(n))
		identical(t, definedInt(n))
		identical(t, definedInt8(n))
		identical(t, definedInt64(n))
		identical(t, definedUint(n))
		identical(t, definedUint16(n))
		identical(t, json.Number(fmt.Sprint(n)))
	}

	for _, f := range []float64{
		0, math.Copysign(0, -1), 0.1, -0.1, 1.5, 1e20, 1e21, 9.99e20, 1e22, 1e-6, 9.99e-7, 1e-7, 1e-9, 1e-10, 1e100, -1e-100,
		math.MaxFloat64, math.SmallestNonzeroFloat64, math.MaxFloat32, math.SmallestNonzeroFloat32,
		math.Inf(1), math.Inf(-1), math.NaN(), float64(float32(1e-6)), float64(float32(1e21)), math.Nextafter(1e-6, 0), math.Nextafter(1e21, 0),
	} {
		identical(t, f)
		identical(t, float32(f))
		identical(t, math.Nextafter32(float32(f), 0))
		identical(t, definedFloat64(f))
		identical(t, definedFloat32(f))
	}

	zone := time.FixedZone("here", 3600+30*60)
	for _, at := range []time.Time{
		{},
		time.Unix(0, 0), time.Unix(1, 0), time.Unix(1, 1), time.Unix(1767225600, 0).UTC(), time.Unix(1767225600, 999999999).In(zone),
		time.Unix(1<<32-1, 0), time.Unix(1<<32, 0), time.Unix(1<<34-1, 5), time.Unix(1<<34, 0), time.Unix(-1, 0), time.Unix(-1, 5), time.Unix(-1<<40, 0),
		time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(2026, 1, 1, 0, 0, 0, 0, time.FixedZone("far", 25*3600)), time.Date(2026, 1, 1, 0, 0, 0, 0, time.FixedZone("odd", 90)), time.Now(),
	} {
		identical(t, at)
	}
}

// TestForeignFormsAreIdentical decodes what other writers may produce for each scalar type, and what they may not.
func TestForeignFormsAreIdentical(t *testing.T) {
	packed := []string{
		"", "\xc0", "\xc1", "\xc2", "\xc3", "\x00", "\x7f", "\xe0", "\xff", "\xcc\xff", "\xcd\xff\xff", "\xce\xff\xff\xff\xff", "\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
		"\xd0\x80", "\xd1\x80\x00", "\xd2\x80\x00\x00\x00", "\xd3\x80\x00\x00\x00\x00\x00\x00\x00", "\xcc", "\xd3\x80", "\xca\x40\x48\xf5\xc3", "\xca\x40", "\xcb\x40\x09\x1e\xb8\x51\xeb\x85\x1f",
		"\xa0", "\xa1x", "\xa2x", "\xd9\x01x", "\xd9\x00", "\xda\x00\x01x", "\xdb\x00\x00\x00\x01x", "\xdb\xff\xff\xff\xffx", "\xc4\x01x", "\xc4\x00", "\xc5\x00\x01x", "\xc6\x00\x00\x00\x01x",
		"\xd6\xff\x00\x00\x00\x01", "\xd6\x0d\x00\x00\x00\x01", "\xd6\x01\x00\x00\x00\x01", "\xc7\x04\xff\x00\x00\x00\x01", "\xc7\x05\xff\x00\x00\x00\x01\x01",
		"\xd7\xff\xff\xff\xff\xff\x00\x00\x00\x01", "\xc7\x0c\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "\xc7\x0c\xff\x00\x00\x00\x00\xff\xff\xff\xf1\x88\x6e\x09\x00",
		"\x92\x01\x02", "\x92\xcc", "\xb42026-01-01T00:00:00Z", "\xb42026-01-01T00:00:0xZ", "\x90", "\x80", "\x81\xa1a\x01", "\xd4\x80\x00", "\xd5\x80\x00\x00",
	}
	for _, data := range packed {
		t.Run(fmt.Sprintf("msgpack/%q", data), func(t *testing.T) { everyScalar(t, libraries[0], []byte(data)) })
	}
	text := []string{
		"", "null", " null ", "true", "false", "tru", "truex", " true", "0", "-0", "00", "-", "--1", "+1", "1.", ".5", "1.5", "1e3", "1E+3", "1e-3", "1e", "1e400", "1e39", "-1", "127", "128", "-128", "-129",
		"255", "256", "65535", "65536", "4294967295", "4294967296", "9223372036854775807", "9223372036854775808", "18446744073709551615", "18446744073709551616", "999999999999999999", "1000000000000000000",
		"0x10", "1_000", "Inf", "NaN", "1 ", "1 2", `""`, `"`, `"a"`, `"a`, `"a"b"`, `"a" `, `"\u0061"`, `"\n"`, "\"\n\"", "\"\x7f\"", `"é"`, `"<>&"`, `"YQ=="`, `"YQ"`, `"Y\nQ=="`, `"YQ==YQ=="`,
		`"2026-01-01T00:00:00Z"`, `"2026-01-01T00:00:00.5+01:00"`, `"2026-01-01T0:00:00Z"`, `"2026-01-01T00:00:00,5Z"`, `"2026-01-01T00:00:00+24:00"`, `"2026-01-01 00:00:00Z"`, `[1]`, `{}`, `"1"`,
	}
	for _, data := range text {
		t.Run(fmt.Sprintf("json/%q", data), func(t *testing.T) { everyScalar(t, libraries[1], []byte(data)) })
	}
}

func everyScalar(t *testing.T, l library, data []byte) {
	each := func(name string, check func(testing.TB, library, []byte)) {
		t.Run(name, func(t *testing.T) { check(t, l, data) })
	}
	each("string", sameDecoded[string])
	each("bytes", sameDecoded[[]byte])
	each("bool", sameDecoded[bool])
	each("int", sameDecoded[int])
	each("int8", sameDecoded[int8])
	each("int16", sameDecoded[int16])
	each("int32", sameDecoded[int32])
	each("int64", sameDecoded[int64])
	each("uint", sameDecoded[uint])
	each("uint8", sameDecoded[uint8])
	each("uint16", sameDecoded[uint16])
	each("uint32", sameDecoded[uint32])
	each("uint64", sameDecoded[uint64])
	each("float32", sameDecoded[float32])
	each("float64", sameDecoded[float64])
	each("time", sameDecoded[time.Time])
	each("duration", sameDecoded[time.Duration])
	each("defined string", sameDecoded[definedString])
	each("defined int8", sameDecoded[definedInt8])
	each("defined uint16", sameDecoded[definedUint16])
	each("defined float32", sameDecoded[definedFloat32])
	each("defined bytes", sameDecoded[definedBytes])
	each("number", sameDecoded[json.Number])
}

// FuzzScalarsIdentical encodes and decodes every scalar type beside the libraries, and decodes arbitrary bytes.
func FuzzScalarsIdentical(f *testing.F) {
	f.Add("user-4711", int64(4711), 47.11, int64(1767225600), []byte("\xa1x"))
	f.Add("<é\xff\u2028>", int64(math.MinInt64), 1e-7, int64(-1), []byte(`"x"`))
	f.Fuzz(func(t *testing.T, s string, n int64, x float64, nanos int64, data []byte) {
		identical(t, s)
		identical(t, definedString(s))
		identical(t, []byte(s))
		identical(t, n%2 == 0)
		identical(t, int(n))
		identical(t, int8(n))
		identical(t, int16(n))
		identical(t, int32(n))
		identical(t, n)
		identical(t, uint(n))
		identical(t, uint8(n))
		identical(t, uint16(n))
		identical(t, uint32(n))
		identical(t, uint64(n))
		identical(t, x)
		identical(t, float32(x))
		identical(t, math.Float64frombits(uint64(n)))
		identical(t, math.Float32frombits(uint32(n)))
		identical(t, time.Unix(n, nanos))
		identical(t, time.Unix(n%(1<<36), nanos).UTC())
		identical(t, time.Duration(n))
		for _, l := range libraries {
			everyScalarOnce(t, l, data)
		}
	})
}

func everyScalarOnce(t *testing.T, l library, data []byte) {
	for _, check := range []func(testing.TB, library, []byte){
		sameDecoded[string], sameDecoded[[]byte], sameDecoded[bool], sameDecoded[int], sameDecoded[int8], sameDecoded[uint16], sameDecoded[int64], sameDecoded[uint64],
		sameDecoded[float32], sameDecoded[float64], sameDecoded[time.Time], sameDecoded[definedString], sameDecoded[definedInt8], sameDecoded[json.Number],
	} {
		check(t, l, data)
	}
}
