// Package codecs compares codec libraries on values that realtime servers keep.
package codecs

import (
	"encoding/json"

	"github.com/fxamacker/cbor/v2"
	gojson "github.com/goccy/go-json"
	segmentio "github.com/segmentio/encoding/json"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/sessionkv/store/codec"
)

// A library encodes any value and decodes into a pointer, in the way that its
// documentation shows first.
type library struct {
	name   string
	encode func(v any) ([]byte, error)
	decode func(data []byte, v any) error
}

// own is a codec of this library, used as the store does: appending to a buffer of the
// caller, with the type known.
func own[T any](c codec.Codec) library {
	var buf []byte
	return library{
		"store " + c.Name(),
		func(v any) ([]byte, error) {
			b, err := codec.Append(c, buf[:0], v.(*T))
			buf = b
			return b, err
		},
		func(data []byte, v any) (err error) {
			*v.(*T), err = codec.Decode[T](c, data)
			return err
		},
	}
}

// libraries are the codecs compared on values of type T; the first two are this library's own.
func libraries[T any]() []library {
	return append([]library{
		own[T](codec.Msgpack),
		own[T](codec.JSON),
		{"vmihailenco/msgpack", msgpack.Marshal, msgpack.Unmarshal},
		{"encoding/json", json.Marshal, json.Unmarshal},
		{"goccy/go-json", gojson.Marshal, gojson.Unmarshal},
		{"segmentio/encoding", segmentio.Marshal, segmentio.Unmarshal},
		{"fxamacker/cbor", cbor.Marshal, cbor.Unmarshal},
	}, only64...)
}
