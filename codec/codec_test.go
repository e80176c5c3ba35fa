package codec

import (
	"bytes"
	"encoding/gob"
	"math"
	"strings"
	"sync"
	"testing"
	"time"
)

// gobCodec is a codec from outside this package.
type gobCodec struct{}

func (gobCodec) Name() string { return "gob" }

func (gobCodec) Append(dst []byte, v any) ([]byte, error) {
	b := bytes.NewBuffer(dst)
	err := gob.NewEncoder(b).Encode(v)
	return b.Bytes(), err
}

func (gobCodec) Decode(data []byte, v any) error {
	return gob.NewDecoder(bytes.NewReader(data)).Decode(v)
}

func TestForeignCodec(t *testing.T) {
	roundTrip(t, gobCodec{}, "user")
	roundTrip(t, gobCodec{}, int64(7))
	roundTrip(t, gobCodec{}, role("admin"))
	roundTrip(t, gobCodec{}, benchClaims)

	ch := make(chan int)
	if b, err := Append(gobCodec{}, []byte("dst"), &ch); err == nil || string(b) != "dst" {
		t.Errorf("Append of a channel = %q, %v, want dst and an error", b, err)
	}
	if v, err := Decode[claims](gobCodec{}, []byte("x")); err == nil || v != (claims{}) {
		t.Errorf("Decode of no gob = %v, %v, want the zero value and an error", v, err)
	}
}

func TestRaw(t *testing.T) {
	roundTrip(t, Raw, "")
	roundTrip(t, Raw, "\x00\xff as it is")
	roundTrip(t, Raw, role("admin"))
	roundTrip(t, Raw, []byte("bytes"))
	roundTrip(t, Raw, definedBytes("bytes"))
	roundTrip(t, Raw, []byte{})
	var none []byte
	if b, err := Append(Raw, nil, &none); len(b) != 0 || err != nil {
		t.Errorf("Append(nil slice) = %q, %v, want nothing", b, err)
	}
	n := 7
	if b, err := Append(Raw, nil, &n); err == nil || !strings.Contains(err.Error(), "int") {
		t.Errorf("Append(int) = %q, %v, want an error that names the type", b, err)
	}
	if v, err := Decode[claims](Raw, []byte("x")); err == nil || !strings.Contains(err.Error(), "codec.claims") {
		t.Errorf("Decode[claims] = %v, %v, want an error that names the type", v, err)
	}
}

func roundTrip[T any](t *testing.T, c Codec, v T) {
	t.Helper()
	b, err := Append(c, []byte("dst"), &v)
	if err != nil || !bytes.HasPrefix(b, []byte("dst")) {
		t.Errorf("Append(%s, %#v) = %q, %v", c.Name(), v, b, err)
		return
	}
	if got, err := Decode[T](c, b[3:]); !same(v, got) || err != nil {
		t.Errorf("Decode(%s, %q) = %#v, %v, want %#v", c.Name(), b[3:], got, err, v)
	}
	var into T
	if err := c.Decode(b[3:], &into); !same(v, into) || err != nil {
		t.Errorf("%s.Decode(%q) = %#v, %v, want %#v", c.Name(), b[3:], into, err, v)
	}
}

func TestMisuseIsAnError(t *testing.T) {
	for _, c := range []Codec{Msgpack, JSON, Raw} {
		if _, err := Append[string](c, nil, nil); err == nil {
			t.Errorf("Append(%s, nil pointer): want an error", c.Name())
		}
		for _, v := range []any{nil, "value", 7, (*claims)(nil), (*string)(nil)} {
			if _, err := c.Append(nil, v); err == nil {
				t.Errorf("%s.Append(%#v): want an error", c.Name(), v)
			}
			if err := c.Decode([]byte("1"), v); err == nil {
				t.Errorf("%s.Decode into %#v: want an error", c.Name(), v)
			}
		}
	}
	s := "x"
	if _, err := Append(nil, nil, &s); err == nil {
		t.Error("Append with a nil codec: want an error")
	}
	if _, err := Decode[string](nil, []byte("x")); err == nil {
		t.Error("Decode with a nil codec: want an error")
	}
}

func TestValuesThatCannotBeEncoded(t *testing.T) {
	nan, channel := math.NaN(), struct{ C chan int }{}
	for name, f := range map[string]func() ([]byte, error){
		"JSON of NaN":          func() ([]byte, error) { return Append(JSON, []byte("dst"), &nan) },
		"JSON of a channel":    func() ([]byte, error) { return Append(JSON, []byte("dst"), &channel) },
		"msgpack of a channel": func() ([]byte, error) { return Append(Msgpack, []byte("dst"), &channel) },
	} {
		if b, err := f(); err == nil || string(b) != "dst" {
			t.Errorf("%s = %q, %v, want dst and an error", name, b, err)
		}
	}
}

func TestScalarsDoNotAllocate(t *testing.T) {
	for _, c := range []Codec{Msgpack, JSON} {
		noAllocs(t, c, "user-4711")
		noAllocs(t, c, strings.Repeat("long ", 100))
		noAllocs(t, c, role("admin"))
		noAllocs(t, c, true)
		noAllocs(t, c, 4711)
		noAllocs(t, c, int8(1))
		noAllocs(t, c, int64(math.MinInt32))
		noAllocs(t, c, uint16(7))
		noAllocs(t, c, 47.11)
		noAllocs(t, c, float32(47.11))
		noAllocs(t, c, time.Second)
		noAllocs(t, c, time.Unix(1767225600, 5).UTC())
	}
	noAllocs(t, Raw, "user-4711")
	noAllocs(t, Raw, role("admin"))
}

func noAllocs[T any](t *testing.T, c Codec, v T) {
	t.Helper()
	data, err := Append(c, nil, &v)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 0, 1024)
	n := testing.AllocsPerRun(100, func() {
		v := v
		buf, _ = Append(c, buf[:0], &v)
		_, _ = Decode[T](c, data)
	})
	if n != 0 {
		t.Errorf("%s: encoding and decoding a %T allocates %v times, want 0", c.Name(), v, n)
	}
}

func TestConcurrentUse(t *testing.T) {
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				for _, c := range []Codec{Msgpack, JSON} {
					roundTrip(t, c, benchClaims)
					roundTrip(t, c, role("admin"))
					roundTrip(t, c, map[string]any{"a": "b"})
					if _, err := Decode[claims](c, []byte("\x81\xa1")); err == nil {
						t.Error("cut bytes decode")
					}
				}
			}
		})
	}
	wg.Wait()
}
