package codec

import "reflect"

// A jsonOp says how the values of one type are read from JSON.
type jsonOp uint8

const (
	jsonOther jsonOp = iota // by encoding/json
	jsonBool
	jsonInt
	jsonUint
	jsonFloat32
	jsonFloat64
	jsonString
	jsonTime
	jsonBytes
	jsonStruct
	jsonSlice
	jsonStrings
	jsonArray
	jsonMap
	jsonMapStringString
	jsonMapStringAny
	jsonPointer
	jsonAny
)

// A jsonNode is the program for one Go type. Nodes of types that contain themselves form cycles.
type jsonNode struct {
	op     jsonOp
	kind   reflect.Kind
	typ    reflect.Type
	elem   *jsonNode
	size   uintptr // of one element
	length int     // of an array
	fields []jsonPlanned
	clash  bool // two fields of a struct have one name, so that not all fields are here
	quoted bool // the tag of the field has the option string
}

type jsonPlanned struct {
	name   string
	node   *jsonNode
	offset uintptr
}

// A jsonProgram reads values of one type as encoding/json does.
type jsonProgram struct {
	root   *jsonNode
	fast   bool // the program can decode; otherwise it can only look for losses
	direct bool // no methods are called on memory within the value, which may keep the pointer
	losses bool // values may lose something when encoding/json decodes them

	endless bool // there are pointers that point to themselves, for which encoding/json finds no end
}

func (p *plan) jsonProgram() *jsonProgram {
	if prog := p.json.Load(); prog != nil {
		return prog
	}
	prog := &jsonProgram{fast: true, direct: true}
	prog.root = prog.node(p.typ, map[reflect.Type]*jsonNode{})
	prog.fast = prog.fast && prog.root.op != jsonOther && jsonTypeOf(p.typ).refusal == nil
	p.json.Store(prog) // one of several that are made at once, which are alike
	return prog
}

// maxJSONFields is how many fields of a struct a program can tell apart.
const maxJSONFields = 64

func (p *jsonProgram) node(t reflect.Type, nodes map[reflect.Type]*jsonNode) *jsonNode {
	if n := nodes[t]; n != nil {
		return n
	}
	n := &jsonNode{typ: t, kind: t.Kind()}
	nodes[t] = n
	elem := func() {
		n.elem, n.size = p.node(t.Elem(), nodes), t.Elem().Size()
	}
	switch {
	case t == timeType:
		n.op = jsonTime
		return n
	case implementsAny(t, jsonHooks) || t == jsonNumberType:
		p.direct = false
		return n
	}
	switch k := t.Kind(); k {
	case reflect.Bool:
		n.op = jsonBool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n.op = jsonInt
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n.op = jsonUint
	case reflect.Float32:
		n.op, p.losses = jsonFloat32, true
	case reflect.Float64:
		n.op, p.losses = jsonFloat64, true
	case reflect.String:
		n.op = jsonString
	case reflect.Slice:
		switch t.Elem().Kind() {
		case reflect.Uint8:
			n.op = jsonBytes
			return n
		case reflect.String:
			if t.Elem() == stringType {
				n.op = jsonStrings
				return n
			}
		}
		n.op = jsonSlice
		elem()
	case reflect.Array:
		n.op, n.length, p.losses = jsonArray, t.Len(), true
		elem()
	case reflect.Map:
		n.op = jsonMap
		switch key := t.Key(); {
		case hasTextMethods(key) || key.Kind() != reflect.String && (key.Kind() < reflect.Int || key.Kind() > reflect.Uint64):
			p.fast = false
		case t == reflect.TypeFor[map[string]string]():
			n.op = jsonMapStringString
		case t == reflect.TypeFor[map[string]any]():
			n.op = jsonMapStringAny
		}
		elem()
	case reflect.Pointer:
		n.op = jsonPointer
		p.endless = p.endless || pointsToItself(t)
		elem()
	case reflect.Interface:
		if t.NumMethod() == 0 {
			n.op = jsonAny
		} else {
			p.direct = false
		}
	case reflect.Struct:
		n.op, p.losses = jsonStruct, true
		list, c := jsonFields(t)
		n.clash = c != nil
		p.fast = p.fast && c == nil && len(list) <= maxJSONFields
		for _, f := range list {
			planned := jsonPlanned{name: f.name, offset: f.offset}
			if f.indirect || f.quoted {
				p.fast = false
			}
			if f.quoted {
				planned.node = &jsonNode{typ: f.typ, quoted: true}
			} else {
				planned.node = p.node(f.typ, nodes)
			}
			n.fields = append(n.fields, planned)
		}
	default:
		p.fast = false
	}
	return n
}
