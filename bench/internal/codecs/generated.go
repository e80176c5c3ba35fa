package codecs

import (
	"github.com/tinylib/msgp/msgp"

	"github.com/sessionkv/store/bench/internal/codecs/generated"
	"github.com/sessionkv/store/bench/internal/workload"
)

// generatedCode is code that tinylib/msgp generated for one type, appending to a
// buffer of the caller. It encodes value, whatever it is given.
func generatedCode[T any, P interface {
	*T
	msgp.Marshaler
	msgp.Unmarshaler
}](value T) library {
	var buf []byte
	return library{
		"tinylib/msgp, generated",
		func(any) ([]byte, error) {
			b, err := P(&value).MarshalMsg(buf[:0])
			buf = b
			return b, err
		},
		func(data []byte, _ any) error {
			var v T
			_, err := P(&v).UnmarshalMsg(data)
			return err
		},
	}
}

func generatedClaims(c workload.Claims) library { return generatedCode(generated.Claims(c)) }

func generatedHandshake(h workload.Handshake) library {
	return generatedCode(generated.Handshake(h))
}

func generatedRooms(rooms []workload.Room) library {
	list := make(generated.Rooms, len(rooms))
	for i, r := range rooms {
		list[i] = generated.Room(r)
	}
	return generatedCode(list)
}
