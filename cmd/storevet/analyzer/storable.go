package analyzer

import (
	"fmt"
	"go/types"
	"reflect"
	"strings"
)

// storable returns why values of t cannot be stored or come back incomplete, or
// nothing.
func (c *checker) storable(t types.Type) string {
	w := &walk{in: make(map[*types.Named]bool)}
	return w.look(t, "")
}

// walk looks into a type and all that it is made of.
type walk struct {
	in map[*types.Named]bool // the types that it is within
}

// hooks are methods by which a type encodes itself.
var hooks = []string{
	"MarshalMsg", "EncodeMsgpack", "MarshalMsgpack", "MarshalJSON", "MarshalBinary", "MarshalText",
	"AppendBinary", "AppendText",
}

// look returns what is wrong with t, which is at path in the type of the key.
func (w *walk) look(t types.Type, path string) string {
	where := ""
	if path != "" {
		where = fmt.Sprintf(" (at %s)", path)
	}
	if encodesItself(t) {
		return oneWay(t, where)
	}
	t = types.Unalias(t)
	if n, ok := t.(*types.Named); ok {
		if w.in[n] {
			return fmt.Sprintf("type %s contains itself%s: a value that does cannot be stored", n.Obj().Name(), where)
		}
		w.in[n] = true
		defer delete(w.in, n)
	}
	switch u := t.Underlying().(type) {
	case *types.Chan:
		return "a chan cannot be stored" + where
	case *types.Signature:
		return "a func cannot be stored" + where
	case *types.Basic:
		switch u.Kind() {
		case types.Uintptr, types.UnsafePointer:
			return fmt.Sprintf("a %s cannot be stored%s", u.Name(), where)
		case types.Complex64, types.Complex128:
			return fmt.Sprintf("a %s cannot be stored%s", u.Name(), where)
		}
	case *types.Interface:
		if u.NumMethods() > 0 {
			return fmt.Sprintf("a value of the interface %s%s cannot be read back: its type is not stored", types.TypeString(t, types.RelativeTo(nil)), where)
		}
	case *types.Pointer:
		return w.look(u.Elem(), path)
	case *types.Slice:
		return w.look(u.Elem(), path+"[]")
	case *types.Array:
		return w.look(u.Elem(), path+"[]")
	case *types.Map:
		if why := w.look(u.Key(), path+"[key]"); why != "" {
			return why
		}
		if pointers(u.Key()) {
			return "keys of a map that are or hold pointers come back as others" + where
		}
		return w.look(u.Elem(), path+"[]")
	case *types.Struct:
		return w.fields(t, u, path, where)
	}
	return ""
}

// fields looks at a struct.
func (w *walk) fields(t types.Type, s *types.Struct, path, where string) string {
	exported, lost := 0, ""
	for i := range s.NumFields() {
		f := s.Field(i)
		if f.Name() == "_" || left(s.Tag(i)) {
			continue
		}
		if !f.Exported() && !(f.Embedded() && hasStruct(f.Type())) {
			lost = f.Name()
			continue
		}
		exported++
		next := f.Name()
		if path != "" {
			next = path + "." + f.Name()
		}
		if why := w.look(f.Type(), next); why != "" {
			return why
		}
	}
	name := "a struct"
	if n, ok := t.(*types.Named); ok {
		name = "type " + n.Obj().Name()
	}
	switch {
	case lost == "":
		return ""
	case exported == 0:
		return fmt.Sprintf("%s%s has no exported fields: nothing of it would be stored", name, where)
	}
	return fmt.Sprintf("field %s of %s%s is not exported: it would not be stored; export it, or say `msgpack:\"-\"` if that is meant", lost, name, where)
}

// left reports whether a field's tag says that it is not to be stored.
func left(tag string) bool {
	for _, codec := range []string{"msgpack", "json"} {
		if name, _, _ := strings.Cut(reflect.StructTag(tag).Get(codec), ","); name == "-" {
			return true
		}
	}
	return false
}

// hasStruct reports whether t is a struct or a pointer to one.
func hasStruct(t types.Type) bool {
	if p, ok := t.Underlying().(*types.Pointer); ok {
		t = p.Elem()
	}
	_, ok := t.Underlying().(*types.Struct)
	return ok
}

// encodesItself reports whether t or a pointer to it has a method of hooks.
func encodesItself(t types.Type) bool {
	if _, ok := t.Underlying().(*types.Interface); ok {
		return false
	}
	methods := types.NewMethodSet(t)
	if _, ok := t.(*types.Pointer); !ok {
		methods = types.NewMethodSet(types.NewPointer(t))
	}
	for _, name := range hooks {
		if methods.Lookup(nil, name) != nil {
			return true
		}
	}
	return false
}

// oneWay returns why a type with methods for encoding cannot be read back, or nothing. It may have no methods for decoding
// what those write, or they may be those of an embedded field and reach no other.
func oneWay(t types.Type, where string) string {
	p := t
	if _, ok := types.Unalias(t).(*types.Pointer); !ok {
		p = types.NewPointer(t)
	}
	s, ok := types.Unalias(p).(*types.Pointer).Elem().Underlying().(*types.Struct)
	if !ok {
		return ""
	}
	methods := types.NewMethodSet(p)
	has := func(names ...string) (found *types.Selection) {
		for _, name := range names {
			if s := methods.Lookup(nil, name); s != nil && (found == nil || len(s.Index()) < len(found.Index())) {
				found = s
			}
		}
		return found
	}
	encodes := has("MarshalText", "MarshalBinary")
	if encodes == nil || has("MarshalMsg", "EncodeMsgpack", "MarshalMsgpack", "MarshalJSON") != nil && len(encodes.Index()) == 1 {
		return ""
	}
	if has("UnmarshalText", "UnmarshalBinary", "UnmarshalJSON", "UnmarshalMsg", "DecodeMsgpack", "UnmarshalMsgpack") == nil {
		return fmt.Sprintf("%s has methods that encode but none that decode%s", typeName(t), where)
	}
	all := has("MarshalText", "MarshalBinary", "MarshalMsg", "EncodeMsgpack", "MarshalMsgpack", "MarshalJSON")
	if len(all.Index()) == 1 {
		return ""
	}
	embedded := s.Field(all.Index()[0])
	for i := range s.NumFields() {
		if f := s.Field(i); f != embedded && f.Exported() && !left(s.Tag(i)) {
			return fmt.Sprintf("%s is encoded by the methods of its embedded field %s%s: field %s would not be stored", typeName(t), embedded.Name(), where, f.Name())
		}
	}
	return ""
}

func typeName(t types.Type) string {
	t = types.Unalias(t)
	if p, ok := t.(*types.Pointer); ok {
		t = types.Unalias(p.Elem())
	}
	if n, ok := t.(*types.Named); ok {
		return "type " + n.Obj().Name()
	}
	return "a struct"
}

// pointers reports whether a key of a map of type t is a pointer or holds some.
func pointers(t types.Type) bool {
	if encodesItself(t) {
		_, ok := types.Unalias(t).(*types.Pointer)
		return ok
	}
	switch u := t.Underlying().(type) {
	case *types.Pointer:
		return true
	case *types.Array:
		return pointers(u.Elem())
	case *types.Struct:
		for f := range u.Fields() {
			if f.Exported() && pointers(f.Type()) {
				return true
			}
		}
	}
	return false
}

// typeParam reports whether t depends on a type parameter.
func typeParam(t types.Type) bool {
	switch t := types.Unalias(t).(type) {
	case *types.TypeParam:
		return true
	case *types.Pointer:
		return typeParam(t.Elem())
	case *types.Slice:
		return typeParam(t.Elem())
	case *types.Array:
		return typeParam(t.Elem())
	case *types.Chan:
		return typeParam(t.Elem())
	case *types.Map:
		return typeParam(t.Key()) || typeParam(t.Elem())
	case *types.Struct:
		for f := range t.Fields() {
			if typeParam(f.Type()) {
				return true
			}
		}
	case *types.Signature:
		return typeParam(t.Params()) || typeParam(t.Results())
	case *types.Tuple:
		for v := range t.Variables() {
			if typeParam(v.Type()) {
				return true
			}
		}
	case *types.Named:
		for arg := range t.TypeArgs().Types() {
			if typeParam(arg) {
				return true
			}
		}
	}
	return false
}

// typeString is the same for all names of one type: any and interface{}, byte and uint8, an alias and its type.
func typeString(t types.Type) string {
	switch t := types.Unalias(t).(type) {
	case *types.Basic:
		if t.Kind() != types.UnsafePointer {
			return types.Typ[t.Kind()].Name()
		}
	case *types.Pointer:
		return "*" + typeString(t.Elem())
	case *types.Slice:
		return "[]" + typeString(t.Elem())
	case *types.Array:
		return fmt.Sprintf("[%d]%s", t.Len(), typeString(t.Elem()))
	case *types.Map:
		return "map[" + typeString(t.Key()) + "]" + typeString(t.Elem())
	case *types.Struct:
		var fields []string
		for i := range t.NumFields() {
			f := t.Field(i)
			text := typeString(f.Type())
			if !f.Embedded() {
				text = f.Name() + " " + text
			}
			if tag := t.Tag(i); tag != "" {
				text += fmt.Sprintf(" %q", tag)
			}
			fields = append(fields, text)
		}
		return "struct{" + strings.Join(fields, "; ") + "}"
	case *types.Named:
		if t.TypeArgs().Len() == 0 {
			break
		}
		var args []string
		for a := range t.TypeArgs().Types() {
			args = append(args, typeString(a))
		}
		name := t.Obj().Name()
		if p := t.Obj().Pkg(); p != nil {
			name = p.Path() + "." + name
		}
		return name + "[" + strings.Join(args, ",") + "]"
	case *types.Interface:
		if t.NumMethods() == 0 && t.NumEmbeddeds() == 0 {
			return "any"
		}
	}
	return types.TypeString(types.Unalias(t), nil)
}
