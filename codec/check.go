package codec

import (
	"errors"
	"reflect"
)

// CheckType reports why values of type t cannot be stored with c and read again. It names the field, such as a channel, a
// function, a uintptr, a struct without exported fields, a type that embeds itself. It returns nil if they can, as far as
// the type shows it, and for codecs that this package does not have.
//
// [Append] refuses such a type whatever the value. What only a value can show, such as a value that contains itself, is
// for Append to find.
func CheckType(c Codec, t reflect.Type) error {
	if t == nil {
		return errors.New("codec: the type is nil; pass what reflect.TypeFor returns")
	}
	switch c := c.(type) {
	case msgpackCodec:
		if planOf(t).generated != nowhere {
			return nil
		}
		if r := planOf(t).program(c.jsonTags()).refusal; r != nil {
			return encodeError(c, t, r.error(t))
		}
	case jsonCodec:
		if r := jsonTypeOf(t).refusal; r != nil {
			return encodeError(c, t, r.error(t))
		}
	case rawCodec:
		if t.Kind() != reflect.String && (t.Kind() != reflect.Slice || t.Elem() != byteType) {
			return &rawError{t}
		}
	}
	return nil
}
