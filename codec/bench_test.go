package codec

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

type claims struct {
	Subject, Tenant string
	Admin           bool
	Expires         int64
	Level           int
}

var benchClaims = claims{"user-4711", "acme", true, 1767225600, 3}

type role string

func BenchmarkScalars(b *testing.B) {
	for _, c := range []Codec{Msgpack, JSON, Raw} {
		bench(b, c, "string", "user-4711")
		bench(b, c, "role", role("admin"))
		bench(b, c, "bytes", []byte("user-4711"))
		if c == Raw {
			continue
		}
		bench(b, c, "bool", true)
		bench(b, c, "int", 4711)
		bench(b, c, "int8", int8(47))
		bench(b, c, "int16", int16(4711))
		bench(b, c, "int32", int32(4711))
		bench(b, c, "int64", int64(1767225600))
		bench(b, c, "uint", uint(4711))
		bench(b, c, "uint8", uint8(47))
		bench(b, c, "uint16", uint16(4711))
		bench(b, c, "uint32", uint32(4711))
		bench(b, c, "uint64", uint64(1767225600))
		bench(b, c, "float32", float32(47.11))
		bench(b, c, "float64", 47.11)
		bench(b, c, "time", time.Unix(1767225600, 123456789).UTC())
		bench(b, c, "duration", time.Second)
	}
}

func BenchmarkStructs(b *testing.B) {
	for _, c := range []Codec{Msgpack, JSON} {
		bench(b, c, "claims", benchClaims)
		bench(b, c, "map", map[string]any{"sub": "user-4711", "admin": true, "level": 3})
	}
	bench(b, Msgpack, "generated", point{1, 2})
}

func bench[T any](b *testing.B, c Codec, name string, v T) {
	data, err := Append(c, nil, &v)
	if err != nil {
		b.Fatal(err)
	}
	op := c.Name() + "/" + name
	buf := make([]byte, 0, 1024)
	b.Run("append/"+op, func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			v := v
			buf, _ = Append(c, buf[:0], &v)
		}
	})
	b.Run("decode/"+op, func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = Decode[T](c, data)
		}
	})

	marshal, unmarshal := msgpack.Marshal, msgpack.Unmarshal
	switch c {
	case JSON:
		marshal, unmarshal = json.Marshal, json.Unmarshal
	case Raw:
		return
	}
	b.Run("append/"+op+"/library", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = marshal(v)
		}
	})
	b.Run("decode/"+op+"/library", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var v T
			_ = unmarshal(data, &v)
		}
	})
}
