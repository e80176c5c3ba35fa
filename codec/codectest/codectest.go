/*
Package codectest checks a [codec.Codec] against every sentence of its contract, as
package storetest checks a backend.

	func TestCodec(t *testing.T) {
		codectest.Run(t, mycodec.Codec, Claims{Subject: "u-1"}, []string{"a"}, []byte{1}, 42)
	}

Each rule is a subtest; a rule that is broken says which value and which call
showed it. Run the test with -race, too: codecs are used by many goroutines at once.

The store protects its values against most of these faults, at the price of
copies. A codec that is used without the store is on its own.
*/
package codectest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/sessionkv/store/codec"
)

// Run holds c to the contract of [codec.Codec] with values of the types that it
// is for. Give at least two different ones; those with strings, byte slices
// and nesting find the most. Values must come back such that [reflect.DeepEqual]
// calls them equal.
func Run(t *testing.T, c codec.Codec, values ...any) {
	t.Helper()
	s := &suite{codec: c, values: values}
	if err := s.usable(); err != nil {
		t.Fatal(err)
	}
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			if err := guarded(func() error { return r.check(s) }); err != nil {
				t.Error(err)
			}
		})
	}
}

type suite struct {
	codec  codec.Codec
	values []any
}

func (s *suite) usable() error {
	if s.codec == nil {
		return fmt.Errorf("codectest: the codec is nil")
	}
	if len(s.values) < 2 {
		return fmt.Errorf("codectest: %d values given; give at least two of the types that the codec is for", len(s.values))
	}
	for i, v := range s.values {
		if v == nil {
			return fmt.Errorf("codectest: value %d is nil; give a value of the type to be tested", i)
		}
	}
	return nil
}

// A rule is a sentence of the contract with what holds a codec to it.
type rule struct {
	name  string
	check func(s *suite) error
}

var rules = []rule{
	{"Name is short and constant", (*suite).name},
	{"the codec is comparable", (*suite).comparable},
	{"a value comes back equal", (*suite).roundTrip},
	{"Append keeps what dst holds and appends to it", (*suite).keepsDst},
	{"Append retains no slice that it was given or returned", (*suite).retainsNothing},
	{"Append does not change the value", (*suite).leavesValue},
	{"Append that fails returns dst with its length", (*suite).failsClean},
	{"Decode does not change data", (*suite).leavesData},
	{"Decode copies every byte slice", (*suite).copiesBytes},
	{"Decode reads all of data", (*suite).readsAll},
	{"bytes that are no encoding are errors without a panic", (*suite).hostile},
	{"every method is safe for concurrent use", (*suite).concurrent},
}

func (s *suite) name() error {
	first := s.codec.Name()
	if n := len(first); n == 0 || n > 255 || strings.ContainsAny(first, " \n") {
		return fmt.Errorf("Name() = %q, want a short name without spaces", first)
	}
	for _, v := range s.values {
		if _, err := s.append(nil, v); err != nil {
			return err
		}
		if again := s.codec.Name(); again != first {
			return fmt.Errorf("Name() = %q after %q", again, first)
		}
	}
	return nil
}

func (s *suite) comparable() error {
	if !reflect.ValueOf(s.codec).Comparable() {
		return fmt.Errorf("a %T cannot be compared with ==; use a pointer or leave out slices, maps and functions", s.codec)
	}
	return nil
}

func (s *suite) roundTrip() error {
	for _, v := range s.values {
		data, err := s.append(nil, v)
		if err != nil {
			return err
		}
		if err := s.decodesTo(data, v, "Decode of what Append returned"); err != nil {
			return err
		}
	}
	return nil
}

func (s *suite) keepsDst() error {
	held := []byte("what dst holds")
	for _, v := range s.values {
		for _, spare := range []int{0, 1, 7, 64, 4096} {
			dst := append(make([]byte, 0, len(held)+spare), held...)
			out, err := s.append(dst, v)
			if err != nil {
				return err
			}
			if !bytes.HasPrefix(out, held) || string(dst) != string(held) {
				return fmt.Errorf("Append(dst, %T) to %q with %d bytes to spare = %.40q, want it to begin with what dst holds", v, held, spare, out)
			}
			if err := s.decodesTo(out[len(held):], v, "Decode of what Append appended"); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *suite) retainsNothing() error {
	for i, v := range s.values {
		other := s.values[(i+1)%len(s.values)]
		for _, spare := range []int{0, 4096} {
			first, err := s.append(make([]byte, 0, spare), v)
			if err != nil {
				return err
			}
			saved := bytes.Clone(first)
			second, err := s.append(make([]byte, 0, spare), other)
			if err != nil {
				return err
			}
			if !bytes.Equal(first, saved) {
				return fmt.Errorf("an Append of a %T changed what the Append of a %T before it returned", other, v)
			}
			saved = bytes.Clone(second)
			scribble(first)
			third, err := s.append(make([]byte, 0, spare), v)
			if err != nil {
				return err
			}
			if !bytes.Equal(second, saved) {
				return fmt.Errorf("a caller that wrote into what Append(%T) returned changed what Append(%T) returned", v, other)
			}
			if err := s.decodesTo(third, v, "Decode after a caller wrote into what an earlier Append returned"); err != nil {
				return err
			}
			scribble(third)
			if err := s.decodesTo(second, other, "Decode after a caller wrote into what another Append returned"); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *suite) leavesValue() error {
	for _, v := range s.values {
		own, err := s.copyOf(v)
		if err != nil {
			return err
		}
		if _, err := s.codec.Append(nil, own.Interface()); err != nil {
			return err
		}
		if got := own.Elem().Interface(); !reflect.DeepEqual(got, v) {
			return fmt.Errorf("method Append changed the %T that it was given", v)
		}
	}
	return nil
}

func (s *suite) failsClean() error {
	held := []byte("what dst holds")
	type mixed struct {
		Text string
		C    chan int
	}
	for _, bad := range []any{new(chan int), new(func()), &mixed{"text", make(chan int)}, &[]any{"text", make(chan int)}} {
		for _, spare := range []int{0, 4096} {
			dst := append(make([]byte, 0, len(held)+spare), held...)
			out, err := s.codec.Append(dst, bad)
			if err != nil && string(out) != string(held) {
				return fmt.Errorf("Append(%q, %T) = %.40q, %v, want dst as it was", held, bad, out, err)
			}
		}
	}
	return nil
}

func (s *suite) leavesData() error {
	for _, v := range s.values {
		data, err := s.append(nil, v)
		if err != nil {
			return err
		}
		for _, cut := range []int{0, len(data) / 2} { // one that decodes, one that may not
			in := bytes.Clone(data[:len(data)-cut])
			saved := bytes.Clone(in)
			_ = s.codec.Decode(in, reflect.New(reflect.TypeOf(v)).Interface())
			if !bytes.Equal(in, saved) {
				return fmt.Errorf("method Decode into a %T changed data", v)
			}
		}
	}
	return nil
}

func (s *suite) copiesBytes() error {
	for _, v := range s.values {
		data, err := s.append(nil, v)
		if err != nil {
			return err
		}
		got := reflect.New(reflect.TypeOf(v))
		saved := bytes.Clone(data)
		if err := s.codec.Decode(data, got.Interface()); err != nil {
			return err
		}
		scribbleAll(got, 0)
		if !bytes.Equal(data, saved) {
			return fmt.Errorf("a caller that wrote into a byte slice of a decoded %T changed data; copy byte slices", v)
		}
	}
	return nil
}

func (s *suite) readsAll() error {
	for _, v := range s.values {
		data, err := s.append(nil, v)
		if err != nil {
			return err
		}
		for n := range data {
			if s.decodes(data[:n], v) {
				return fmt.Errorf("Decode(%d of %d bytes) = the whole %T, want an error or another value", n, len(data), v)
			}
		}
		for _, tail := range [][]byte{data, {0}, {0xff}} {
			if len(tail) == 0 {
				continue // an empty value after an empty value
			}
			if s.decodes(append(bytes.Clone(data), tail...), v) {
				return fmt.Errorf("Decode(the bytes of a %T and %d more) = the same value, want an error", v, len(tail))
			}
		}
	}
	return nil
}

// hostileMemory is what hostile values of a few hundred bytes may cost, a thousand of them
// together.
const hostileMemory = 1 << 30

func (s *suite) hostile() error {
	random := rand.New(rand.NewPCG(1, 2))
	for _, v := range s.values {
		data, err := s.append(nil, v)
		if err != nil {
			return err
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for i := range 1000 {
			in := bytes.Clone(data)
			switch i % 4 {
			case 0: // some bytes are others
				for range 1 + i%3 {
					if len(in) > 0 {
						in[random.IntN(len(in))] = byte(random.Uint32())
					}
				}
			case 1: // a piece is missing
				from := random.IntN(len(in) + 1)
				in = append(in[:from], in[from+random.IntN(len(in)-from+1):]...)
			case 2: // lengths are huge
				from := random.IntN(len(in) + 1)
				in = append(in[:from:from], bytes.Repeat([]byte{0xff}, 9)...)
			case 3: // nothing is right
				in = make([]byte, random.IntN(300))
				for j := range in {
					in[j] = byte(random.Uint32())
				}
			}
			into := reflect.New(reflect.TypeOf(v)).Interface()
			if err := guarded(func() error { _ = s.codec.Decode(in, into); return nil }); err != nil {
				return fmt.Errorf("Decode(%x) into a %T: %w", in, v, err)
			}
		}
		for _, in := range [][]byte{nil, {}} {
			into := reflect.New(reflect.TypeOf(v)).Interface()
			if err := guarded(func() error { _ = s.codec.Decode(in, into); return nil }); err != nil {
				return fmt.Errorf("method Decode of no bytes into a %T: %w", v, err)
			}
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > hostileMemory {
			return fmt.Errorf("a thousand hostile values cost %d MiB when decoded into a %T, want less than %d", n>>20, v, hostileMemory>>20)
		}
	}
	return nil
}

func (s *suite) concurrent() error {
	var (
		wg   sync.WaitGroup
		once sync.Once
		bad  error
	)
	for g := range 8 {
		wg.Go(func() {
			err := guarded(func() error {
				for i := range 200 {
					v := s.values[(g+i)%len(s.values)]
					data, err := s.append(nil, v)
					if err != nil {
						return err
					}
					runtime.Gosched()
					if err := s.decodesTo(data, v, "Decode beside other goroutines"); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				once.Do(func() { bad = err })
			}
		})
	}
	wg.Wait()
	return bad
}

// append encodes v behind dst.
func (s *suite) append(dst []byte, v any) ([]byte, error) {
	p := reflect.New(reflect.TypeOf(v))
	p.Elem().Set(reflect.ValueOf(v))
	out, err := s.codec.Append(dst, p.Interface())
	if err != nil {
		return nil, fmt.Errorf("Append(%T) = %w, want nil", v, err)
	}
	return out, nil
}

// decodesTo returns nil, or what Decode made of data instead of want.
func (s *suite) decodesTo(data []byte, want any, call string) error {
	got := reflect.New(reflect.TypeOf(want))
	if err := s.codec.Decode(data, got.Interface()); err != nil {
		return fmt.Errorf("%s into a %T = %w, want nil", call, want, err)
	}
	if !reflect.DeepEqual(got.Elem().Interface(), want) {
		return fmt.Errorf("%s into a %T:\ngot:  %+v\nwant: %+v", call, want, got.Elem(), want)
	}
	return nil
}

// decodes reports whether data decodes to want, without a panic.
func (s *suite) decodes(data []byte, want any) bool {
	return guarded(func() error { return s.decodesTo(data, want, "Decode") }) == nil
}

// copyOf returns a pointer to a copy of v that shares no memory with it.
func (s *suite) copyOf(v any) (reflect.Value, error) {
	data, err := s.append(nil, v)
	if err != nil {
		return reflect.Value{}, err
	}
	p := reflect.New(reflect.TypeOf(v))
	return p, s.codec.Decode(data, p.Interface())
}

func scribble(b []byte) {
	b = b[:cap(b)]
	for i := range b {
		b[i] = 0x5a
	}
}

// scribbleAll writes into every byte slice that v reaches.
func scribbleAll(v reflect.Value, depth int) {
	if depth > 100 {
		return
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			scribbleAll(v.Elem(), depth+1)
		}
	case reflect.Struct:
		for _, f := range v.Fields() {
			scribbleAll(f, depth+1)
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			scribbleAll(it.Value(), depth+1)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			scribble(v.Bytes())
			return
		}
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			scribbleAll(v.Index(i), depth+1)
		}
	}
}

// guarded turns a panic of check into an error.
func guarded(check func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	return check()
}
