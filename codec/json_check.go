package codec

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"unicode/utf8"
)

// A jsonType is what JSON needs to know of a Go type beyond what encoding/json does.
type jsonType struct {
	refusal    *refusal
	interfaces bool // there are interfaces with methods within, which do not come back
}

var jsonTypes sync.Map // of reflect.Type to *jsonType

func jsonTypeOf(t reflect.Type) *jsonType {
	if known, ok := jsonTypes.Load(t); ok {
		return known.(*jsonType)
	}
	j := new(jsonType)
	j.look(t, "", map[reflect.Type]bool{})
	known, _ := jsonTypes.LoadOrStore(t, j)
	return known.(*jsonType)
}

// look searches t and the types within for what cannot come back.
func (j *jsonType) look(t reflect.Type, path string, seen map[reflect.Type]bool) {
	if seen[t] || j.refusal != nil {
		return
	}
	seen[t] = true
	if implementsAny(t, jsonHooks) {
		return
	}
	refuse := func(format string, args ...any) {
		j.refusal = &refusal{path: path, why: fmt.Sprintf(format, args...)}
	}
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer, reflect.Uintptr:
		refuse("%s cannot be stored", shortType(t))
	case reflect.Interface:
		j.interfaces = j.interfaces || t.NumMethod() > 0
	case reflect.Pointer:
		j.look(t.Elem(), path, seen)
	case reflect.Slice, reflect.Array:
		j.look(t.Elem(), path+"[]", seen)
	case reflect.Map:
		switch k := t.Key(); {
		case k.Kind() == reflect.String, k.Kind() >= reflect.Int && k.Kind() <= reflect.Uint64:
		case k.Implements(reflect.TypeFor[encoding.TextMarshaler]()) && reflect.PointerTo(k).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		default:
			refuse("the keys of %s cannot be stored", shortType(t))
			return
		}
		j.look(t.Elem(), path+"[]", seen)
	case reflect.Struct:
		if t.NumField() > 0 && !hasExported(t) {
			refuse("%s has no exported fields and no methods for encoding", shortType(t))
			return
		}
		for f := range t.Fields() {
			if f.Tag.Get("json") != "-" && (f.IsExported() || f.Anonymous) {
				j.look(f.Type, path+"."+f.Name, seen)
			}
		}
	}
}

// checkEncoded refuses what encoding/json writes without a word, although it will not come back: text that is not UTF-8, which it
// replaces, and values of interfaces with methods. It looks at the value only if the type or out give reason to.
func (j *jsonType) checkEncoded(v reflect.Value, out []byte) error {
	if !j.interfaces && !bytes.Contains(out, []byte(`\ufffd`)) {
		return nil
	}
	return lookForLosses(v, 0)
}

func lookForLosses(v reflect.Value, depth int) error {
	if depth > 2*maxDepth || !v.IsValid() {
		return nil
	}
	t := v.Type()
	if t.Kind() != reflect.Pointer && t.Kind() != reflect.Interface && t.Kind() != reflect.Map && implementsAny(t, jsonHooks) {
		return nil
	}
	switch v.Kind() {
	case reflect.String:
		if !utf8.ValidString(v.String()) {
			return &fault{why: "a string that is not UTF-8, which JSON cannot hold"}
		}
	case reflect.Interface:
		if v.IsNil() {
			return nil
		}
		if t.NumMethod() > 0 && !implementsAny(t, jsonHooks) {
			return &fault{why: fmt.Sprintf("a %v in the interface %s cannot come back, because its type is not stored", v.Elem().Type(), shortType(t))}
		}
		return lookForLosses(v.Elem(), depth+1)
	case reflect.Pointer:
		return lookForLosses(v.Elem(), depth+1)
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return nil
		}
		for i := range v.Len() {
			if err := lookForLosses(v.Index(i), depth+1); err != nil {
				return within(err, fmt.Sprintf("[%d]", i))
			}
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			if err := lookForLosses(it.Key(), depth+1); err != nil {
				return within(err, "[key]")
			}
			if err := lookForLosses(it.Value(), depth+1); err != nil {
				return within(err, "[]")
			}
		}
	case reflect.Struct:
		for f, fv := range v.Fields() {
			if f.Tag.Get("json") == "-" || !f.IsExported() && !f.Anonymous {
				continue
			}
			if err := lookForLosses(fv, depth+1); err != nil {
				return within(err, "."+f.Name)
			}
		}
	}
	return nil
}

// noFieldKnown reports whether data is an object with entries of which the struct type t has none. encoding/json
// ignores them all and leaves a zero value; only for such is this asked.
func noFieldKnown(data []byte, t reflect.Type) bool {
	var object map[string]json.RawMessage
	if json.Unmarshal(data, &object) != nil || len(object) == 0 {
		return false
	}
	for name := range object {
		one, err := json.Marshal(map[string]any{name: nil})
		if err != nil {
			return false
		}
		d := json.NewDecoder(bytes.NewReader(one))
		d.DisallowUnknownFields()
		if err := d.Decode(reflect.New(t).Interface()); err == nil || !strings.Contains(err.Error(), "unknown field") {
			return false
		}
	}
	return true
}
