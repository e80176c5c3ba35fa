package codec

import (
	"encoding/json"
	"reflect"
	"sync"
)

type jsonCodec struct{}

func (jsonCodec) Name() string { return "json" }

func (c jsonCodec) Append(dst []byte, v any) ([]byte, error) {
	if _, err := target(c, v); err != nil {
		return dst, err
	}
	if out, ok := appendJSONScalar(dst, v); ok {
		return out, nil
	}
	e := jsonEncoders.Get().(*jsonEncoder)
	e.out = dst
	err := e.enc.Encode(v)
	out := e.out
	e.out = nil
	if err != nil {
		return dst, encodeError(c, reflect.TypeOf(v).Elem(), err)
	}
	jsonEncoders.Put(e)
	return out[:len(out)-1], nil // without the newline that an Encoder adds to what Marshal returns
}

func (c jsonCodec) Decode(data []byte, v any) error {
	if _, err := target(c, v); err != nil {
		return err
	}
	if decodeJSONScalar(data, v) {
		return nil
	}
	if err := guard(func() error { return json.Unmarshal(data, v) }); err != nil {
		return decodeError(c, reflect.TypeOf(v).Elem(), describeJSON(data), err)
	}
	return nil
}

// A jsonEncoder appends what the library writes to out.
type jsonEncoder struct {
	out []byte
	enc *json.Encoder
}

func (e *jsonEncoder) Write(p []byte) (int, error) {
	e.out = append(e.out, p...)
	return len(p), nil
}

var jsonEncoders = sync.Pool{New: func() any {
	e := new(jsonEncoder)
	e.enc = json.NewEncoder(e)
	return e
}}

// describeJSON says what kind of value data begins with.
func describeJSON(data []byte) string {
	for _, c := range data {
		switch c {
		case ' ', '\t', '\r', '\n':
			continue
		case '{':
			return "an object"
		case '[':
			return "an array"
		case '"':
			return "a string"
		case 't', 'f':
			return "a bool"
		case 'n':
			return "null"
		case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
			return "a number"
		}
		return "bytes that are not JSON"
	}
	return "nothing"
}
