package codec

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"sync"
	"unsafe"

	"github.com/sessionkv/store/internal/scalar"
)

// jsonCodec is 0 or strict.
type jsonCodec uint8

func (jsonCodec) Name() string { return "json" }

// Scalars lets the store decode scalars directly.
func (jsonCodec) Scalars() scalar.Format { return scalar.JSON }

func (c jsonCodec) Append(dst []byte, v any) ([]byte, error) {
	if _, err := target(c, v); err != nil {
		return dst, err
	}
	if out, ok := scalar.AppendJSON(dst, v); ok {
		return out, nil
	}
	p := reflect.ValueOf(v).Elem()
	j := jsonTypeOf(p.Type())
	if j.refusal != nil {
		return dst, encodeError(c, p.Type(), j.refusal.error(p.Type()))
	}
	if j.walked {
		if err := new(jsonWalk).value(p); err != nil {
			return dst, encodeError(c, p.Type(), within(err, typeName(p.Type())))
		}
	}
	e := jsonEncoders.Get().(*jsonEncoder)
	e.out = dst
	err := guard(func() error { return e.enc.Encode(v) })
	out := e.out
	e.out = nil
	if err != nil {
		if where := (&jsonWalk{failed: true}).value(p); where != nil {
			err = within(where, typeName(p.Type()))
		}
		return dst, encodeError(c, p.Type(), err)
	}
	jsonEncoders.Put(e)
	if err := j.checkEncoded(p, out[len(dst):len(out)-1]); err != nil {
		return dst, encodeError(c, p.Type(), within(err, typeName(p.Type())))
	}
	return out[:len(out)-1], nil // without the newline that an Encoder adds to what Marshal returns
}

func (c jsonCodec) Decode(data []byte, v any) error {
	p, err := target(c, v)
	if err != nil {
		return err
	}
	if scalar.DecodeJSON(data, v) {
		return nil
	}
	p = p.Elem()
	t := p.Type()
	prog := planOf(t).jsonProgram()
	if prog.fast && zeroMemory(p.Addr().UnsafePointer(), t.Size()) {
		err := c.decode(data, prog, p.Addr().UnsafePointer())
		if err == nil {
			return nil
		}
		p.SetZero()
		if err != errUnusual && json.Valid(data) { // otherwise the mistake is another one
			return decodeError(c, t, describeJSON(data), within(err, typeName(t)))
		}
	}
	if string(bytes.TrimSpace(data)) == "null" && !jsonStoresNull(t) {
		return decodeError(c, t, "null", errNil)
	}
	if prog.endless {
		return decodeError(c, t, describeJSON(data), &fault{why: shortType(t) + " has a pointer that points to itself"})
	}
	if err := guard(func() error { return c.unmarshal(data, v) }); err != nil {
		return decodeError(c, t, describeJSON(data), c.explain(data, prog, err))
	}
	if prog.losses || !plainText(data) {
		if err := c.lossIn(data, prog); err != nil {
			return decodeError(c, t, describeJSON(data), within(err, typeName(t)))
		}
	}
	return nil
}

// zeroMemory reports whether the memory at p is zero.
func zeroMemory(p unsafe.Pointer, size uintptr) bool {
	for _, b := range unsafe.Slice((*byte)(p), size) {
		if b != 0 {
			return false
		}
	}
	return true
}

func (c jsonCodec) unmarshal(data []byte, v any) error {
	if c == 0 {
		return json.Unmarshal(data, v)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		if strings.Contains(err.Error(), "unknown field") {
			err = &fault{why: "found a field that the type does not have", err: err}
		}
		return err
	}
	if n := len(bytes.TrimSpace(data[d.InputOffset():])); n > 0 {
		return &trailingError{n}
	}
	return nil
}

// jsonStoresNull reports whether null is the encoding of a value that may be stored, not only of a
// pointer or interface.
func jsonStoresNull(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Slice, reflect.Map:
		return true
	case reflect.Pointer, reflect.Interface:
		return false
	}
	return implementsAny(t, jsonHooks) && jsonTypeOf(t).null()
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
	for i, c := range data {
		word := func(s string) bool { return bytes.HasPrefix(data[i:], []byte(s)) }
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
			if word("true") || word("false") {
				return "a bool"
			}
		case 'n':
			if word("null") {
				return "null"
			}
		case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
			return "a number"
		}
		return "bytes that are not JSON"
	}
	return "nothing"
}
