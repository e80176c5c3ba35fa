package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"math/big"
	"math/rand/v2"
	"net"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// The library logs each struct with two fields of one name.
func init() { log.SetOutput(io.Discard) }

type (
	definedSlice   []int16
	definedStrings []string
	definedMap     map[string]int
	definedStrMap  map[string]string
	definedAnyMap  map[string]any
	definedArray   [3]uint32
	definedByte    byte

	embeddedBase struct {
		ID    string
		Count int `msgpack:"n,omitempty"`
	}
	embeddedOther struct {
		Other uint16
		ID    int8
	}
	recursive struct {
		Name string
		Next *recursive
		All  []recursive          `msgpack:",omitempty"`
		By   map[string]recursive `msgpack:",omitempty"`
	}
)

// leaves are types that random types are made of.
var leaves = []reflect.Type{
	reflect.TypeFor[bool](), reflect.TypeFor[int](), reflect.TypeFor[int8](), reflect.TypeFor[int16](), reflect.TypeFor[int32](), reflect.TypeFor[int64](),
	reflect.TypeFor[uint](), reflect.TypeFor[uint8](), reflect.TypeFor[uint16](), reflect.TypeFor[uint32](), reflect.TypeFor[uint64](),
	reflect.TypeFor[float32](), reflect.TypeFor[float64](), reflect.TypeFor[string](), reflect.TypeFor[[]byte](), reflect.TypeFor[[4]byte](),
	reflect.TypeFor[string](), reflect.TypeFor[string](), reflect.TypeFor[int64](), reflect.TypeFor[[]string](), reflect.TypeFor[map[string]string](),
	reflect.TypeFor[map[string]any](), reflect.TypeFor[any](), reflect.TypeFor[error](), reflect.TypeFor[time.Time](), reflect.TypeFor[time.Duration](), reflect.TypeFor[map[string]bool](),
	reflect.TypeFor[definedString](), reflect.TypeFor[definedBool](), reflect.TypeFor[definedInt](), reflect.TypeFor[definedInt8](), reflect.TypeFor[definedUint](), reflect.TypeFor[definedFloat32](),
	reflect.TypeFor[definedBytes](), reflect.TypeFor[definedSlice](), reflect.TypeFor[definedStrings](), reflect.TypeFor[definedMap](), reflect.TypeFor[definedStrMap](), reflect.TypeFor[definedAnyMap](), reflect.TypeFor[definedArray](), reflect.TypeFor[[]definedByte](),
	reflect.TypeFor[claims](), reflect.TypeFor[recursive](), reflect.TypeFor[embeddedBase](), reflect.TypeFor[struct{}](),
	reflect.TypeFor[netip.Addr](), reflect.TypeFor[big.Int](), reflect.TypeFor[*url.URL](), reflect.TypeFor[net.IP](), reflect.TypeFor[json.Number](), reflect.TypeFor[json.RawMessage](),
	reflect.TypeFor[pair](), reflect.TypeFor[*pair](), reflect.TypeFor[*ext](), reflect.TypeFor[point](), reflect.TypeFor[labelled](),
}

// randomType makes a type out of leaves.
func randomType(r *rand.Rand, depth int) reflect.Type {
	if depth > 0 {
		switch r.IntN(9) {
		case 0:
			return reflect.SliceOf(randomType(r, depth-1))
		case 1:
			return reflect.ArrayOf(r.IntN(4), randomType(r, depth-1))
		case 2:
			key := leaves[r.IntN(14)] // the scalars
			if r.IntN(8) == 0 {
				key = []reflect.Type{reflect.TypeFor[[2]uint16](), reflect.TypeFor[definedString](), reflect.TypeFor[any](), reflect.TypeFor[[4]byte](), reflect.TypeFor[struct{ A int8 }](), reflect.TypeFor[netip.Addr]()}[r.IntN(6)]
			}
			return reflect.MapOf(key, randomType(r, depth-1))
		case 3:
			t := randomType(r, depth-1)
			if t == reflect.TypeFor[net.IP]() {
				return t // of a pointer to a nil one the library writes this or that
			}
			return reflect.PointerTo(t)
		case 4, 5, 6:
			return randomStruct(r, depth-1)
		}
	}
	return leaves[r.IntN(len(leaves))]
}

func randomStruct(r *rand.Rand, depth int) reflect.Type {
	var fields []reflect.StructField
	if r.IntN(8) == 0 {
		fields = append(fields, reflect.StructField{Name: "_msgpack", PkgPath: "codec", Type: reflect.TypeFor[struct{}](), Tag: reflect.StructTag([]string{`msgpack:",as_array"`, `msgpack:",omitempty"`}[r.IntN(2)])})
	}
	for i := range r.IntN(7) {
		t := randomType(r, depth)
		f := reflect.StructField{Name: fmt.Sprintf("F%d", i), Type: t}
		name, options := "", ""
		switch r.IntN(10) {
		case 0:
			name = "-"
		case 1, 2:
			name = "f" + strings.Repeat("x", r.IntN(40))
		case 3:
			name = fmt.Sprint("name", r.IntN(20))
		}
		if r.IntN(3) == 0 {
			options += ",omitempty"
		}
		if r.IntN(8) == 0 {
			options += fmt.Sprint(",alias:other", r.IntN(20))
		}
		if name+options != "" {
			f.Tag = reflect.StructTag(`msgpack:"` + name + options + `"` + jsonTag(name, options, i))
		}
		fields = append(fields, f)
	}
	if r.IntN(4) == 0 && len(fields) > 0 {
		i := r.IntN(len(fields))
		e := []reflect.Type{reflect.TypeFor[embeddedBase](), reflect.TypeFor[embeddedOther](), reflect.TypeFor[recursive]()}[r.IntN(3)]
		fields = append(fields[:i:i], append([]reflect.StructField{{Name: "E" + e.Name(), Type: e, Anonymous: true, Tag: reflect.StructTag([]string{"", `msgpack:",inline"`, `msgpack:",noinline"`, `msgpack:"F0"`}[r.IntN(4)])}}, fields[i:]...)...)
	}
	return reflect.StructOf(fields)
}

// jsonTag returns a json tag like the msgpack tag, sometimes with the option string.
func jsonTag(name, options string, i int) string {
	if name == "-" {
		return ` json:"-"`
	}
	if i == 4 {
		options += ",string"
	}
	return ` json:"` + name + options + `"`
}

// randomValue fills v, which can be set. Maps get at most one entry, because of their order, when single is set.
func randomValue(r *rand.Rand, v reflect.Value, depth int) {
	switch v.Type() {
	case timeType:
		v.Set(reflect.ValueOf([]time.Time{{}, time.Unix(int64(r.Uint32()), 0), time.Unix(int64(r.Uint32()), int64(r.IntN(1e9))), time.Unix(-int64(r.Uint32()), 7), time.Unix(1<<40, 1)}[r.IntN(5)]))
		return
	case errorType:
		if r.IntN(2) == 0 {
			v.Set(reflect.ValueOf(errors.New(randomString(r))))
		}
		return
	case reflect.TypeFor[netip.Addr]():
		if r.IntN(3) > 0 {
			v.Set(reflect.ValueOf(netip.AddrFrom4([4]byte{1, 2, 3, byte(r.Uint32())})))
		}
		return
	case reflect.TypeFor[big.Int]():
		n := big.NewInt(int64(r.Uint64() >> r.IntN(64)))
		v.Set(reflect.ValueOf(*n))
		return
	case reflect.TypeFor[*url.URL]():
		if r.IntN(2) == 0 {
			u, _ := url.Parse("https://example.com/" + fmt.Sprint(r.IntN(100)))
			v.Set(reflect.ValueOf(u))
		}
		return
	case reflect.TypeFor[net.IP]():
		if r.IntN(2) == 0 {
			v.Set(reflect.ValueOf(net.IPv4(1, 2, 3, byte(r.Uint32()))))
		}
		return
	case reflect.TypeFor[*ext]():
		v.Set(reflect.ValueOf(&ext{[]byte(randomString(r))}))
		return
	case reflect.TypeFor[any]():
		if x := randomAny(r, depth); x != nil {
			v.Set(reflect.ValueOf(x))
		}
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(r.Uint64()) >> r.IntN(64))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(r.Uint64() >> r.IntN(64))
	case reflect.Float32, reflect.Float64:
		f := float64(r.IntN(100)-50) / 8
		if r.IntN(4) == 0 {
			if f = math.Float64frombits(r.Uint64()); f != f {
				f = math.Inf(1)
			}
		}
		if v.Kind() == reflect.Float32 {
			f = float64(float32(f))
		}
		v.SetFloat(f)
	case reflect.String:
		v.SetString(randomString(r))
	case reflect.Slice:
		if r.IntN(4) == 0 {
			return
		}
		n := r.IntN(4)
		if r.IntN(16) == 0 && depth > 0 && v.Type().Elem().Size() < 32 {
			n = r.IntN(40)
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			randomValue(r, v.Index(i), depth-1)
		}
	case reflect.Array:
		for i := range v.Len() {
			randomValue(r, v.Index(i), depth-1)
		}
	case reflect.Map:
		if r.IntN(4) == 0 {
			return
		}
		v.Set(reflect.MakeMap(v.Type()))
		for range r.IntN(2) {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			randomValue(r, key, 0)
			randomValue(r, value, depth-1)
			if key.Kind() == reflect.Interface && key.Elem().Kind() == reflect.Pointer {
				continue // comes back as another pointer
			}
			if key.Comparable() {
				v.SetMapIndex(key, value)
			}
		}
	case reflect.Pointer:
		if r.IntN(3) > 0 && depth > -3 {
			v.Set(reflect.New(v.Type().Elem()))
			randomValue(r, v.Elem(), depth-1)
		}
	case reflect.Struct:
		for _, f := range v.Fields() {
			if f.CanSet() && (depth > -3 || f.Kind() < reflect.Array || f.Kind() == reflect.String) {
				randomValue(r, f, depth-1)
			}
		}
	}
}

func randomString(r *rand.Rand) string {
	n := r.IntN(8)
	switch r.IntN(32) {
	case 0:
		n = r.IntN(300)
	case 1:
		n = 31 + r.IntN(2)
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return string(b)
}

func randomAny(r *rand.Rand, depth int) any {
	switch r.IntN(18) {
	case 0:
		return nil
	case 1:
		return r.IntN(2) == 0
	case 2:
		return int(r.Uint64()) >> r.IntN(64)
	case 3:
		return int64(r.Uint64())
	case 4:
		return uint8(r.Uint32())
	case 5:
		return 1.5
	case 6:
		return []byte(randomString(r))
	case 7:
		return time.Unix(int64(r.Uint32()), 5)
	case 8:
		return []any{randomString(r), r.IntN(7), nil}
	case 9:
		return map[string]any{randomString(r): randomString(r)}
	case 10:
		return definedInt8(3)
	case 11:
		return embeddedBase{randomString(r), r.IntN(2)}
	case 12:
		return &embeddedBase{randomString(r), r.IntN(2)}
	case 13:
		return map[int]string{r.IntN(300): randomString(r)}
	case 14:
		return &ext{[]byte(randomString(r))}
	case 15:
		return []string{randomString(r)}
	}
	return randomString(r)
}

// typesOf remembers the random types, because types made at run time are never freed.
var typesOf struct {
	sync.Mutex
	m map[uint16]reflect.Type
}

func typeOf(seed uint16) reflect.Type {
	typesOf.Lock()
	defer typesOf.Unlock()
	if t := typesOf.m[seed]; t != nil {
		return t
	}
	if typesOf.m == nil {
		typesOf.m = map[uint16]reflect.Type{}
	}
	t := randomStruct(rand.New(rand.NewPCG(uint64(seed), typesSeed())), 3)
	typesOf.m[seed] = t
	return t
}

// typesSeed makes other types in each long run.
var typesSeed = sync.OnceValue(func() uint64 {
	var n uint64
	fmt.Sscan(os.Getenv("STORE_FUZZ_TYPES"), &n)
	return n
})

// libraryMarshal is the reference: the library without values made ahead, for which it starts a
// goroutine per type.
func libraryMarshal(v any) (b []byte, err error) {
	err = guard(func() (err error) {
		b, err = msgpack.Marshal(v)
		return err
	})
	return b, err
}

func libraryUnmarshal(data []byte, v any) error {
	return guard(func() error { return msgpack.NewDecoder(bytes.NewReader(data)).Decode(v) })
}

// planIdentical checks one value of one type.
func planIdentical(t testing.TB, typeSeed uint16, valueSeed uint64) {
	typ := typeOf(typeSeed % 4096)
	v := reflect.New(typ)
	randomValue(rand.New(rand.NewPCG(valueSeed, 1)), v.Elem(), 4)
	fail := func(format string, args ...any) {
		t.Helper()
		t.Errorf("%v\nvalue %+v\n%s", typ, v.Elem(), fmt.Sprintf(format, args...))
	}
	want, wantErr := libraryMarshal(v.Interface())
	got, err := Msgpack.Append(nil, v.Interface())
	if err != nil && wantErr == nil {
		if refused := new(fault); errors.As(err, &refused) && refused.err == nil {
			return // what cannot come back
		}
		fail("Append: %v, the library: %q", err, want)
		return
	}
	if err != nil {
		return
	}
	if wantErr != nil {
		if !strings.Contains(wantErr.Error(), "addressable") {
			fail("Append = %q, the library: %v", got, wantErr)
		}
		return
	}
	if !bytes.Equal(got, want) && !losesEmpty(typ, map[reflect.Type]bool{}) {
		fail("Append = %q\nthe library: %q", got, want)
		return
	}
	// What was written must come back, as the library reads it.
	mine, theirs := reflect.New(typ), reflect.New(typ)
	before := string(got)
	if err := Msgpack.Decode(got, mine.Interface()); err != nil {
		fail("Decode(%q): %v", got, err)
		return
	}
	if string(got) != before {
		fail("Decode changed the data from %q to %q", before, got)
	}
	if err := libraryUnmarshal(got, theirs.Interface()); err == nil && !reflect.DeepEqual(mine.Interface(), theirs.Interface()) {
		fail("Decode(%q) = %+v\nthe library: %+v", got, mine.Elem(), theirs.Elem())
	}
	// A pointer to nil comes back as nil, so the bytes may differ once, but not what they decode to.
	again, err := Msgpack.Append(nil, mine.Interface())
	if err != nil {
		fail("Append of what was decoded from %q, %+v: %v", got, mine.Elem(), err)
		return
	}
	settled := reflect.New(typ)
	if err := Msgpack.Decode(again, settled.Interface()); err != nil || !reflect.DeepEqual(mine.Interface(), settled.Interface()) && !holdsAny(typ, map[reflect.Type]bool{}) {
		fail("decoded from %q: %+v\ndecoded from what that is encoded as, %q: %+v, %v", got, mine.Elem(), again, settled.Elem(), err)
	}
}

// losesEmpty reports whether t has a field that the library leaves out under omitempty although it
// has a value.
func losesEmpty(t reflect.Type, seen map[reflect.Type]bool) bool {
	return typeHas(t, seen, func(t reflect.Type) bool {
		return t.Kind() == reflect.Struct && t != timeType && implementsAny(t, msgpackHooks)
	})
}

func holdsAny(t reflect.Type, seen map[reflect.Type]bool) bool {
	return typeHas(t, seen, func(t reflect.Type) bool { return t.Kind() == reflect.Interface })
}

func typeHas(t reflect.Type, seen map[reflect.Type]bool, is func(reflect.Type) bool) bool {
	if seen[t] {
		return false
	}
	seen[t] = true
	if is(t) {
		return true
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return typeHas(t.Elem(), seen, is)
	case reflect.Map:
		return typeHas(t.Key(), seen, is) || typeHas(t.Elem(), seen, is)
	case reflect.Struct:
		for f := range t.Fields() {
			if typeHas(f.Type, seen, is) {
				return true
			}
		}
	}
	return false
}

// longRun is how many executions a long run makes of each fuzz body, without the fuzzer's instrumentation; 0 outside long runs.
// STORE_FUZZ_TYPES gives each run types and values of its own.
var longRun = sync.OnceValue(func() uint64 {
	var n uint64
	fmt.Sscan(os.Getenv("STORE_LONG_FUZZ"), &n)
	return n
})

// often calls f with 0, 1, 2 and so on: n times, or as often as a long run says.
func often(t *testing.T, n uint64, f func(i uint64)) {
	n = max(n, longRun())
	for i := range n {
		if f(i); t.Failed() {
			n = i + 1
			break
		}
	}
	if longRun() > 0 {
		t.Logf("executions: %d", n)
	}
}

// TestPlansOfRandomTypes is FuzzPlanIdentical without the fuzzer, which takes most of the time.
func TestPlansOfRandomTypes(t *testing.T) {
	often(t, 1000, func(i uint64) {
		planIdentical(t, uint16(i%1024), i+typesSeed()<<32)
	})
}

// TestPlansOfHostileBytes is FuzzPlanHostile without the fuzzer: encodings with a few bytes changed.
func TestPlansOfHostileBytes(t *testing.T) {
	r := rand.New(rand.NewPCG(typesSeed(), 3))
	var data, original []byte
	typeSeed := uint16(0)
	often(t, 20000, func(i uint64) {
		if i%64 == 0 {
			typeSeed = uint16(r.IntN(512))
			v := reflect.New(typeOf(typeSeed))
			randomValue(r, v.Elem(), 2)
			original, _ = Msgpack.Append(original[:0], v.Interface())
		}
		data = append(data[:0], original...)
		for range 1 + r.IntN(4) {
			if len(data) == 0 {
				break
			}
			at := r.IntN(len(data))
			switch r.IntN(6) {
			case 0:
				data = data[:at]
			case 1:
				data = append(data[:at:at], data[min(at+r.IntN(9), len(data)):]...)
			case 2:
				from := r.IntN(len(data))
				data = append(append(data[:at:at], data[from:min(from+r.IntN(20), len(data))]...), data[at:]...)
			case 3:
				data[at] = 0xc0 + byte(r.IntN(32))
			default:
				data[at] = byte(r.Uint32())
			}
		}
		planHostile(t, typeSeed, data)
	})
}

func FuzzPlanIdentical(f *testing.F) {
	for i := range 64 {
		f.Add(uint16(i), uint64(i))
	}
	f.Fuzz(func(t *testing.T, typeSeed uint16, valueSeed uint64) { planIdentical(t, typeSeed, valueSeed) })
}

func FuzzPlanHostile(f *testing.F) {
	for i := range 64 {
		v := reflect.New(typeOf(uint16(i)))
		randomValue(rand.New(rand.NewPCG(uint64(i), 2)), v.Elem(), 4)
		if b, err := Msgpack.Append(nil, v.Interface()); err == nil {
			f.Add(uint16(i), b)
		}
	}
	for _, seed := range []string{"\xc0", "\x81\xa2F0\xdd\xff\xff\xff\xff", "\x81\xa2F1\xdf\x7f\xff\xff\xff", "\x91\x91\x91\x91\x91", "\x82\xa2F0\xc7\x0c\x05aaaaaaaaaaaa\xa2F1\xc0"} {
		f.Add(uint16(7), []byte(seed))
	}
	f.Fuzz(planHostile)
}

// planHostile decodes arbitrary bytes into a random type.
func planHostile(t *testing.T, typeSeed uint16, data []byte) {
	typ := typeOf(typeSeed % 4096)
	before := string(data)
	v := reflect.New(typ)
	err := Msgpack.Decode(data, v.Interface())
	if string(data) != before {
		t.Fatalf("%v: Decode changed the data from %q to %q", typ, before, data)
	}
	if err != nil {
		if text := err.Error(); strings.Contains(text, "panic") && !strings.Contains(text, "decoding failed") || strings.Contains(text, "\n") {
			t.Fatalf("%v: Decode(%q): %v", typ, data, err)
		}
		return
	}
	b, err := Msgpack.Append(nil, v.Interface())
	if err != nil {
		return // such as a string that is no URL any more
	}
	w := reflect.New(typ)
	if err := Msgpack.Decode(b, w.Interface()); err != nil {
		t.Fatalf("%v: Decode(%q) succeeds, but not what it encodes to, %q: %v", typ, data, b, err)
	}
}
