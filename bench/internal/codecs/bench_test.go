package codecs

import (
	"testing"

	"github.com/sessionkv/store/bench/internal/workload"
)

// BenchmarkStructs has the codecs that write msgpack side by side, on the values of a realtime server.
func BenchmarkStructs(b *testing.B) {
	benchStruct(b, "claims", workload.NewClaims(42), generatedClaims(workload.NewClaims(42)))
	benchStruct(b, "rooms", workload.NewRooms(42), generatedRooms(workload.NewRooms(42)))
	benchStruct(b, "handshake", workload.NewHandshake(42), generatedHandshake(workload.NewHandshake(42)))
}

func benchStruct[T any](b *testing.B, name string, value T, generated library) {
	for _, lib := range append(libraries[T]()[:3:3], generated) {
		data, err := lib.encode(&value)
		if err != nil {
			b.Fatal(err)
		}
		data = append([]byte(nil), data...)
		b.Run("encode/"+name+"/"+lib.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := lib.encode(&value); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("decode/"+name+"/"+lib.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var v T
				if err := lib.decode(data, &v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
