package codec

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// A jsonType is what JSON needs to know of a Go type beyond what encoding/json does.
type jsonType struct {
	refusal    *refusal
	interfaces bool // there are interfaces with methods within, which do not come back
	textKeys   bool // there are maps within whose keys have methods, which may give two keys one text
}

// jsonSeen is a type that was looked at: on its own, or embedded, which leaves its clashes to the outer type.
type jsonSeen struct {
	typ      reflect.Type
	embedded bool
}

var jsonTypes sync.Map // of reflect.Type to *jsonType

func jsonTypeOf(t reflect.Type) *jsonType {
	if known, ok := jsonTypes.Load(t); ok {
		return known.(*jsonType)
	}
	j := new(jsonType)
	j.look(t, "", false, map[jsonSeen]bool{})
	known, _ := jsonTypes.LoadOrStore(t, j)
	return known.(*jsonType)
}

// look searches t and the types within for what cannot come back.
func (j *jsonType) look(t reflect.Type, path string, embedded bool, seen map[jsonSeen]bool) {
	if seen[jsonSeen{t, embedded}] || j.refusal != nil {
		return
	}
	seen[jsonSeen{t, embedded}] = true
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
		j.look(t.Elem(), path, embedded, seen)
	case reflect.Slice, reflect.Array:
		j.look(t.Elem(), path+"[]", false, seen)
	case reflect.Map:
		switch k := t.Key(); {
		case k.Kind() == reflect.String:
		case k.Implements(textMarshalerType):
			if !reflect.PointerTo(k).Implements(textUnmarshalerType) {
				refuse("the keys of %s have MarshalText but not UnmarshalText", shortType(t))
				return
			}
		case k.Kind() >= reflect.Int && k.Kind() <= reflect.Uint64:
		default:
			refuse("the keys of %s cannot be stored", shortType(t))
			return
		}
		j.textKeys = j.textKeys || hasTextMethods(t.Key())
		j.look(t.Elem(), path+"[]", false, seen)
	case reflect.Struct:
		if t.NumField() > 0 && !hasExported(t) {
			refuse("%s has no exported fields and no methods for encoding", shortType(t))
			return
		}
		if !embedded {
			if first, second, name := jsonClash(t); first != "" {
				path += first
				refuse("its name in JSON, %s, is that of %s, so that neither would be stored", name, second[1:])
				return
			}
		}
		for f := range t.Fields() {
			tag := f.Tag.Get("json")
			if tag == "-" || !f.IsExported() && !f.Anonymous {
				continue
			}
			if !f.IsExported() && f.Type.Kind() == reflect.Pointer && f.Type.Elem().Kind() == reflect.Struct {
				path += "." + f.Name
				refuse("an embedded pointer to a type that is not exported cannot be decoded into")
				return
			}
			name, _, _ := strings.Cut(tag, ",")
			j.look(f.Type, path+"."+f.Name, f.Anonymous && !isJSONName(name), seen)
		}
	}
}

// checkEncoded refuses what encoding/json writes without a word, although it will not come back: text that is not UTF-8, which it
// replaces, values of interfaces with methods, and keys of maps that come back as others. It looks at the value only if the type or out give reason to.
func (j *jsonType) checkEncoded(v reflect.Value, out []byte) error {
	if !j.interfaces && !j.textKeys && !bytes.Contains(out, []byte(`\ufffd`)) {
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
		if err := lookAtTextKeys(v); err != nil {
			return within(err, "[key]")
		}
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

func hasTextMethods(t reflect.Type) bool {
	return t.Implements(textMarshalerType) || reflect.PointerTo(t).Implements(textUnmarshalerType)
}

// lookAtTextKeys refuses the map m if two of its keys have one text, or if one that is stored in one way
// is read in another: encoding/json writes a key that is a string as it is, but reads it by UnmarshalText.
func lookAtTextKeys(m reflect.Value) error {
	t := m.Type().Key()
	if !hasTextMethods(t) {
		return nil
	}
	texts := make(map[string]bool, m.Len())
	for it := m.MapRange(); it.Next(); {
		k := it.Key()
		var text string
		if k.Kind() == reflect.String {
			text = k.String()
		} else if k.CanInt() && !t.Implements(textMarshalerType) {
			text = strconv.FormatInt(k.Int(), 10)
		} else if k.CanUint() && !t.Implements(textMarshalerType) {
			text = strconv.FormatUint(k.Uint(), 10)
		} else if tm, ok := k.Interface().(encoding.TextMarshaler); ok && (k.Kind() != reflect.Pointer || !k.IsNil()) {
			b, err := tm.MarshalText()
			if err != nil {
				return err
			}
			text = string(b)
		}
		if texts[text] {
			return &fault{why: "two keys of the map have the same text"}
		}
		texts[text] = true
		if k.Kind() != reflect.String && !k.CanInt() && !k.CanUint() {
			continue
		}
		back := reflect.New(t)
		if tu, ok := back.Interface().(encoding.TextUnmarshaler); ok {
			if err := tu.UnmarshalText([]byte(text)); err != nil || !back.Elem().Equal(k) {
				return &fault{why: fmt.Sprintf("UnmarshalText of %s does not give back the key that is stored", shortType(t))}
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
