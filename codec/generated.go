package codec

import "reflect"

// generatedCodec is the pair of methods that tinylib/msgp generates.
type generatedCodec interface {
	marshalMsg
	unmarshalMsg
}

type marshalMsg interface {
	MarshalMsg(b []byte) ([]byte, error)
}

type unmarshalMsg interface {
	UnmarshalMsg(b []byte) ([]byte, error)
}

// generated says where a type has generated methods.
type generated uint8

const (
	nowhere   generated = iota
	onPointer           // *T has them
	onElement           // T is a pointer and has them itself
)

var (
	generatedType    = reflect.TypeFor[generatedCodec]()
	marshalMsgType   = reflect.TypeFor[marshalMsg]()
	unmarshalMsgType = reflect.TypeFor[unmarshalMsg]()
)

func generatedIn(t reflect.Type) generated {
	switch {
	case t.Kind() == reflect.Interface:
		return nowhere
	case t.Kind() == reflect.Pointer && t.Implements(generatedType) && !embedsGenerated(t.Elem()):
		return onElement
	case reflect.PointerTo(t).Implements(generatedType) && !embedsGenerated(t):
		return onPointer
	}
	return nowhere
}

// embedsGenerated reports whether t's methods may be promoted from a field, in which case they
// would encode that field only.
func embedsGenerated(t reflect.Type) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	for f := range t.Fields() {
		p := reflect.PointerTo(f.Type)
		if f.Anonymous && (f.Type.Implements(marshalMsgType) || p.Implements(marshalMsgType) ||
			f.Type.Implements(unmarshalMsgType) || p.Implements(unmarshalMsgType)) {
			return true
		}
	}
	return false
}
