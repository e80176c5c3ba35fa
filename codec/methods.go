package codec

import (
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// methods are the interfaces by which the types of a program encode and decode themselves for one library.
type methods struct {
	encode, decode []reflect.Type
	marshal        func(any) ([]byte, error)
	unmarshal      func([]byte, any) error
}

var (
	msgpackMethods = methods{
		[]reflect.Type{customEncoderType, marshalerType, binaryMarshalerType, textMarshalerType},
		[]reflect.Type{customDecoderType, unmarshalerType, binaryUnmarshalerType, textUnmarshalerType},
		msgpack.Marshal, msgpack.Unmarshal,
	}
	jsonMethods = methods{
		[]reflect.Type{reflect.TypeFor[json.Marshaler](), textMarshalerType},
		[]reflect.Type{reflect.TypeFor[json.Unmarshaler](), textUnmarshalerType},
		json.Marshal, json.Unmarshal,
	}
)

// refuse returns why values of t, which has at least one of the methods, cannot come back, or nothing. It asks left
// which fields of a struct are not stored anyway.
//
// It tries the zero value, once for each type, and only where the type itself gives reason to.
func (m *methods) refuse(t reflect.Type, left func(reflect.StructField) bool) string {
	encodes, decodes := implementsAny(t, m.encode), implementsAny(t, m.decode)
	if encodes != decodes {
		switch {
		case encodes && t.Kind() == reflect.Struct && !hasExported(t):
			return fmt.Sprintf("%s has methods that encode but none that decode", shortType(t))
		case m.readsBack(reflect.New(t)):
		case encodes:
			return fmt.Sprintf("%s has methods that encode, but what they write cannot be decoded without one that decodes", shortType(t))
		default:
			return fmt.Sprintf("%s has methods that decode, but they do not take what is written without one that encodes", shortType(t))
		}
	}
	if t.Kind() != reflect.Struct || !encodes {
		return ""
	}
	return m.promoted(t, left)
}

// readsBack reports whether the value behind the pointer v is decoded after it was encoded, or is not encoded at all.
func (m *methods) readsBack(v reflect.Value) bool {
	var b []byte
	if guard(func() (err error) { b, err = m.marshal(v.Interface()); return err }) != nil {
		return true
	}
	return guard(func() error { return m.unmarshal(b, reflect.New(v.Type().Elem()).Interface()) }) == nil
}

// promoted returns why the struct type t cannot come back if its methods are those of an embedded field. The other
// fields are not stored, and those of a pointer have nothing to decode into.
func (m *methods) promoted(t reflect.Type, left func(reflect.StructField) bool) string {
	var from *reflect.StructField
	for f := range t.Fields() {
		inner := f.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if f.Anonymous && (implementsAny(inner, m.encode) || inner.Kind() == reflect.Interface) {
			from = &f
		}
	}
	if from == nil || from.Type.Kind() == reflect.Interface {
		return ""
	}
	v := reflect.New(t)
	if from.Type.Kind() == reflect.Pointer && from.IsExported() {
		v.Elem().FieldByIndex(from.Index).Set(reflect.New(from.Type.Elem()))
		if !m.readsBack(v) {
			return fmt.Sprintf("the methods of %s are those of the embedded pointer %s, which is nil when they decode", shortType(t), from.Name)
		}
	}
	encoded := func() (text string, ok bool) {
		err := guard(func() error {
			b, err := m.marshal(v.Interface())
			text = string(b)
			return err
		})
		return text, err == nil
	}
	before, ok := encoded()
	if !ok {
		return ""
	}
	for f := range t.Fields() {
		if f.Name == from.Name || !f.IsExported() || left(f) || !sample(v.Elem().FieldByIndex(f.Index)) {
			continue
		}
		if after, ok := encoded(); ok && after == before {
			return fmt.Sprintf("the methods of %s are those of the embedded %s, so that the field %s would not be stored", shortType(t), from.Name, f.Name)
		}
		v.Elem().FieldByIndex(f.Index).SetZero()
	}
	return ""
}

// sample sets v to a value that is not zero, and reports whether it did.
func sample(v reflect.Value) bool {
	switch {
	case v.Type() == timeType:
		v.Set(reflect.ValueOf(time.Unix(1, 0)))
	case v.CanInt():
		v.SetInt(1)
	case v.CanUint():
		v.SetUint(1)
	case v.CanFloat():
		v.SetFloat(1)
	case v.Kind() == reflect.String:
		v.SetString("1")
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	case v.Kind() == reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.Zero(v.Type().Key()), reflect.Zero(v.Type().Elem()))
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case v.Kind() == reflect.Struct:
		for _, f := range v.Fields() {
			if f.CanSet() && sample(f) {
				return true
			}
		}
		return false
	default:
		return false
	}
	return true
}
