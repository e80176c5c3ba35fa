package codec

import (
	"bytes"
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/sessionkv/store/internal/scalar"
	"github.com/vmihailenco/msgpack/v5"
)

// A plan is what is decided once for each Go type.
type plan struct {
	typ          reflect.Type
	msgpackBasic bool      // msgpack treats the type as its kind
	jsonBasic    bool      // JSON treats the type as its kind
	generated    generated // where MarshalMsg and UnmarshalMsg are
	programs     programs  // for Msgpack
	json         atomic.Pointer[jsonProgram]
}

var (
	plans sync.Map // of reflect.Type to *plan

	// recent holds one plan for each value of a hash of the type, in front of plans, which takes three
	// times as long.
	recent [256]atomic.Pointer[plan]
)

func planOf(t reflect.Type) *plan {
	// A reflect.Type is an interface around a pointer; the pointer identifies the type.
	address := uintptr((*[2]unsafe.Pointer)(unsafe.Pointer(&t))[1])
	slot := &recent[(address>>5^address>>13)%uintptr(len(recent))]
	if p := slot.Load(); p != nil && p.typ == t {
		return p
	}
	return findPlan(t, slot)
}

//go:noinline
func findPlan(t reflect.Type, slot *atomic.Pointer[plan]) *plan {
	p, ok := plans.Load(t)
	if !ok {
		p, _ = plans.LoadOrStore(t, newPlan(t))
	}
	slot.Store(p.(*plan))
	return p.(*plan)
}

func newPlan(t reflect.Type) *plan {
	p := &plan{typ: t, generated: generatedIn(t)}
	if isBasic(t) {
		p.msgpackBasic = p.generated == nowhere && !implementsAny(t, msgpackHooks) && sameAsMsgpack(t)
		p.jsonBasic = !implementsAny(t, jsonHooks) && sameAsJSON(t)
	}
	return p
}

// isBasic reports whether the memory of a t is that of a predeclared scalar or of a []byte.
func isBasic(t reflect.Type) bool {
	k := t.Kind()
	switch {
	case k >= reflect.Bool && k <= reflect.Uint64: // Uintptr comes after Uint64
		return true
	case k == reflect.Float32, k == reflect.Float64, k == reflect.String:
		return true
	case k == reflect.Slice:
		return t.Elem() == byteType
	}
	return false
}

// isComposite reports whether t is made of other types, so that no scalar's encoding is its own. time.Time
// is a scalar.
func isComposite(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Struct:
		return t != timeType
	case reflect.Slice:
		return t.Elem() != byteType
	case reflect.Map, reflect.Array, reflect.Pointer, reflect.Interface:
		return true
	}
	return false
}

// basic returns p as a pointer to the predeclared type of kind k, where Slice means []byte.
func basic(k reflect.Kind, p unsafe.Pointer) any {
	switch k {
	case reflect.String:
		return (*string)(p)
	case reflect.Bool:
		return (*bool)(p)
	case reflect.Int:
		return (*int)(p)
	case reflect.Int8:
		return (*int8)(p)
	case reflect.Int16:
		return (*int16)(p)
	case reflect.Int32:
		return (*int32)(p)
	case reflect.Int64:
		return (*int64)(p)
	case reflect.Uint:
		return (*uint)(p)
	case reflect.Uint8:
		return (*uint8)(p)
	case reflect.Uint16:
		return (*uint16)(p)
	case reflect.Uint32:
		return (*uint32)(p)
	case reflect.Uint64:
		return (*uint64)(p)
	case reflect.Float32:
		return (*float32)(p)
	case reflect.Float64:
		return (*float64)(p)
	case reflect.Slice:
		return (*[]byte)(p)
	}
	return nil
}

var byteType = reflect.TypeFor[byte]()

var msgpackHooks = []reflect.Type{
	reflect.TypeFor[msgpack.CustomEncoder](),
	reflect.TypeFor[msgpack.CustomDecoder](),
	reflect.TypeFor[msgpack.Marshaler](),
	reflect.TypeFor[msgpack.Unmarshaler](),
	reflect.TypeFor[encoding.BinaryMarshaler](),
	reflect.TypeFor[encoding.BinaryUnmarshaler](),
	reflect.TypeFor[encoding.TextMarshaler](),
	reflect.TypeFor[encoding.TextUnmarshaler](),
}

var jsonHooks = []reflect.Type{
	reflect.TypeFor[json.Marshaler](),
	reflect.TypeFor[json.Unmarshaler](),
	reflect.TypeFor[encoding.TextMarshaler](),
	reflect.TypeFor[encoding.TextUnmarshaler](),
}

// implementsAny reports whether a *t, and so perhaps a t, has one of the interfaces.
func implementsAny(t reflect.Type, interfaces []reflect.Type) bool {
	p := reflect.PointerTo(t)
	return slices.ContainsFunc(interfaces, p.Implements)
}

// sameAsMsgpack tries whether the library handles t as its kind. The library keeps
// to itself which types have registered functions, so this is the
// only way to see them.
func sameAsMsgpack(t reflect.Type) bool {
	return sameAs(t, scalar.AppendMsgpack, msgpack.Marshal, msgpack.Unmarshal)
}

// sameAsJSON tries whether encoding/json handles t as its kind; json.Number, for one, it does not.
func sameAsJSON(t reflect.Type) bool {
	return sameAs(t, scalar.AppendJSON, json.Marshal, json.Unmarshal)
}

func sameAs(t reflect.Type, ours func([]byte, any) ([]byte, bool), marshal func(any) ([]byte, error), unmarshal func([]byte, any) error) bool {
	for _, sample := range []func(reflect.Value){
		func(v reflect.Value) {},
		func(v reflect.Value) {
			switch {
			case v.CanInt():
				v.SetInt(7)
			case v.CanUint():
				v.SetUint(7)
			case v.CanFloat():
				v.SetFloat(7.5)
			case v.Kind() == reflect.String:
				v.SetString("x")
			case v.Kind() == reflect.Bool:
				v.SetBool(true)
			case v.Kind() == reflect.Slice:
				v.SetBytes([]byte("x"))
			}
		},
	} {
		v := reflect.New(t)
		sample(v.Elem())
		theirs, err := marshal(v.Interface())
		if err != nil {
			return false
		}
		got, ok := ours(nil, basic(t.Kind(), v.UnsafePointer()))
		if !ok || !bytes.Equal(got, theirs) {
			return false
		}
		back := reflect.New(t)
		if unmarshal(theirs, back.Interface()) != nil || !reflect.DeepEqual(v.Interface(), back.Interface()) {
			return false
		}
	}
	return true
}
