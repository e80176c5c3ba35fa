// Package codecs compares codec libraries on values that realtime servers keep:
//
//	go test -run '^$' -bench . -count 6 ./codecs | benchstat -col /impl -
package codecs

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/fxamacker/cbor/v2"
	gojson "github.com/goccy/go-json"
	segmentio "github.com/segmentio/encoding/json"
	"github.com/tinylib/msgp/msgp"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/sessionkv/store/bench/internal/workload"
	"github.com/sessionkv/store/codec"
)

// A library encodes a value and decodes into one, in the way that its documentation shows first.
type library[T any] struct {
	name   string
	encode func(v *T) ([]byte, error)
	decode func(data []byte, v *T) error
}

// own is a codec of this library, used as the store does: appending to a buffer of the caller.
func own[T any](name string, c codec.Codec) library[T] {
	var buf []byte
	return library[T]{
		name,
		func(v *T) (b []byte, err error) {
			buf, err = codec.Append(c, buf[:0], v)
			return buf, err
		},
		func(data []byte, v *T) (err error) {
			*v, err = codec.Decode[T](c, data)
			return err
		},
	}
}

// marshals is a library with functions for any value.
type marshals struct {
	name      string
	marshal   func(any) ([]byte, error)
	unmarshal func([]byte, any) error
}

func libraries[T any]() []library[T] {
	all := []library[T]{own[T]("msgpack", codec.Msgpack), own[T]("json", codec.JSON)}
	for _, m := range append([]marshals{
		{"vmihailenco-msgpack", msgpack.Marshal, msgpack.Unmarshal},
		{"encoding-json", json.Marshal, json.Unmarshal},
		{"goccy-json", gojson.Marshal, gojson.Unmarshal},
		{"segmentio-json", segmentio.Marshal, segmentio.Unmarshal},
		{"fxamacker-cbor", cbor.Marshal, cbor.Unmarshal},
	}, only64...) {
		all = append(all, library[T]{
			m.name,
			func(v *T) ([]byte, error) { return m.marshal(v) },
			func(data []byte, v *T) error { return m.unmarshal(data, v) },
		})
	}
	return all
}

// generated is code that tinylib/msgp generated for G, which has the fields of T. It encodes value, whatever it is given.
func generated[T, G any, P interface {
	*G
	msgp.Marshaler
	msgp.Unmarshaler
}](value G) library[T] {
	var buf []byte
	return library[T]{
		"tinylib-msgp",
		func(*T) (b []byte, err error) {
			buf, err = P(&value).MarshalMsg(buf[:0])
			return buf, err
		},
		func(data []byte, _ *T) error {
			var v G
			_, err := P(&v).UnmarshalMsg(data)
			return err
		},
	}
}

func BenchmarkCodecs(b *testing.B) {
	claims, rooms, handshake := workload.NewClaims(42), workload.NewRooms(42), workload.NewHandshake(42)
	list := make(Rooms, len(rooms))
	for i, r := range rooms {
		list[i] = Room(r)
	}
	run(b, "claims", claims, generated[workload.Claims](Claims(claims)))
	run(b, "rooms", rooms, generated[[]workload.Room](list))
	run(b, "handshake", handshake, generated[workload.Handshake](Handshake(handshake)))
	run(b, "userID", "u-000042")
}

func run[T any](b *testing.B, name string, value T, more ...library[T]) {
	for _, op := range []string{"encode", "decode"} {
		for _, lib := range append(libraries[T](), more...) {
			b.Run(op+"/"+name+"/impl="+lib.name, func(b *testing.B) {
				data, err := lib.encode(&value)
				if err != nil {
					b.Fatal(err)
				}
				data = bytes.Clone(data)
				do := func() error { _, err := lib.encode(&value); return err }
				if op == "decode" {
					do = func() error {
						var v T
						return lib.decode(data, &v)
					}
				}
				b.ReportAllocs()
				for b.Loop() {
					if err := do(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(len(data)), "B/value")
			})
		}
	}
}

func TestOwnCodecsWriteTheBytesOfTheLibraries(t *testing.T) {
	same(t, workload.NewClaims(42))
	same(t, workload.NewRooms(42))
	same(t, "u-000042")
}

func same[T any](t *testing.T, value T) {
	encoded := map[string][]byte{}
	for _, lib := range libraries[T]() {
		data, err := lib.encode(&value)
		if err != nil {
			t.Fatalf("%s cannot encode %#v: %v", lib.name, value, err)
		}
		encoded[lib.name] = bytes.Clone(data)
	}
	for own, other := range map[string]string{"msgpack": "vmihailenco-msgpack", "json": "encoding-json"} {
		if got, want := encoded[own], encoded[other]; !bytes.Equal(got, want) {
			t.Errorf("%s writes %q for %#v, want %q of %s", own, got, value, want, other)
		}
	}
}
