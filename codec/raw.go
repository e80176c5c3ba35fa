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
	k := rawKind(p.Type().Elem())
	if k == reflect.Invalid {
		return dst, &rawError{p.Type().Elem()}
	}
	return appendRaw(dst, basic(k, p.UnsafePointer())), nil
}

func (c rawCodec) Decode(data []byte, v any) error {
	p, err := target(c, v)
	if err != nil {
		return err
	}
	k := rawKind(p.Type().Elem())
	if k == reflect.Invalid {
		return &rawError{p.Type().Elem()}
	}
	decodeRaw(data, basic(k, p.UnsafePointer()))
	return nil
}

// rawKind returns String or Slice for the types that Raw stores, else Invalid.
func rawKind(t reflect.Type) reflect.Kind {
	switch k := t.Kind(); {
	case k == reflect.String, k == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return k
	}
	return reflect.Invalid
}

func appendRaw(dst []byte, v any) []byte {
	switch v := v.(type) {
	case *string:
		return append(dst, *v...)
	case *[]byte:
		return append(dst, *v...)
	}
	return dst
}

func decodeRaw(data []byte, v any) {
	switch v := v.(type) {
	case *string:
		*v = unsafe.String(unsafe.SliceData(data), len(data))
	case *[]byte:
		*v = append(make([]byte, 0, len(data)), data...)
	}
}

type rawError struct{ t reflect.Type }

func (e *rawError) Error() string {
	return fmt.Sprintf("codec: raw stores []byte and string only, not %v; use msgpack or json for it", e.t)
}
