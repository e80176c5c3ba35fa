package codec

import (
	"fmt"
	"reflect"
	"unsafe"
)

type rawCodec struct{}

func (rawCodec) Name() string { return "raw" }

func (c rawCodec) Append(dst []byte, v any) ([]byte, error) {
	p, err := target(c, v)
	if err != nil {
		return dst, err
	}
	t := p.Type().Elem()
	if isBasic(t) {
		if out, ok := appendRaw(dst, basic(t.Kind(), p.UnsafePointer())); ok {
			return out, nil
		}
	}
	return dst, &rawError{t}
}

func (c rawCodec) Decode(data []byte, v any) error {
	p, err := target(c, v)
	if err != nil {
		return err
	}
	t := p.Type().Elem()
	if isBasic(t) && decodeRaw(data, basic(t.Kind(), p.UnsafePointer())) {
		return nil
	}
	return &rawError{t}
}

func appendRaw(dst []byte, v any) ([]byte, bool) {
	switch v := v.(type) {
	case *string:
		return append(dst, *v...), true
	case *[]byte:
		return append(dst, *v...), true
	}
	return dst, false
}

func decodeRaw(data []byte, v any) bool {
	switch v := v.(type) {
	case *string:
		*v = unsafe.String(unsafe.SliceData(data), len(data))
		return true
	case *[]byte:
		*v = append(make([]byte, 0, len(data)), data...)
		return true
	}
	return false
}

type rawError struct{ t reflect.Type }

// Misuse is what the store looks for: the program is wrong, not the stored value.
func (e *rawError) Misuse() bool { return true }

func (e *rawError) Error() string {
	return fmt.Sprintf("codec: raw stores []byte and string only, not %v; use msgpack or json for it", e.t)
}
