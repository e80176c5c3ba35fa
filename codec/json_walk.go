package codec

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"unicode/utf8"

	"github.com/sessionkv/store/internal/scalar"
)

// A jsonWalk looks at a value for what encoding/json would store although it does not come back. That is values in
// interfaces whose types cannot be stored or are not stored, text that is not UTF-8, which is replaced, and keys of maps
// that come back as others. It also looks for values that contain themselves, which encoding/json would go on storing
// until the memory is gone.
type jsonWalk struct {
	depth, hops int
	failed      bool // it looks for what encoding/json has refused
	replaced    bool // it looks for the text that encoding/json has replaced, also in what methods return
}

// checkEncoded refuses what out shows to be lost. It looks at the value only if the type or out give reason to.
func (j *jsonType) checkEncoded(v reflect.Value, out []byte) error {
	if string(out) == "null" && !jsonStoresNull(v.Type()) {
		return errNilEncoded
	}
	if len(out) > 2*maxJSONDepth && nestedTooDeep(out) {
		return tooDeepForJSON() // in what a method returned
	}
	if !utf8.Valid(out) {
		return &fault{why: "a method returned text that is not UTF-8, which JSON cannot hold"}
	}
	// Go 1.26 writes an escape in the place of what is not UTF-8, Go 1.27 the character.
	if !j.textKeys && !bytes.Contains(out, []byte(`\ufffd`)) && !bytes.Contains(out, []byte("\ufffd")) {
		return nil
	}
	return (&jsonWalk{replaced: true}).value(v)
}

func tooDeepForJSON() error {
	return &fault{why: fmt.Sprintf("nested deeper than %d, or a value that contains itself", maxJSONDepth)}
}

// nestedTooDeep reports whether the JSON text is nested deeper than encoding/json decodes.
func nestedTooDeep(text []byte) bool {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > maxJSONDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

var errNotUTF8 = errors.New("a string that is not UTF-8, which JSON cannot hold")

func (w *jsonWalk) text(s string) error {
	if !utf8.ValidString(s) {
		return &fault{why: errNotUTF8.Error()}
	}
	return nil
}

// enter counts one more container, and hop one more pointer or interface, around what follows.
func (w *jsonWalk) enter() error {
	if w.depth++; w.depth > maxJSONDepth {
		return tooDeepForJSON()
	}
	return nil
}

func (w *jsonWalk) hop() error {
	if w.hops++; w.hops > 4*maxJSONDepth {
		return tooDeepForJSON()
	}
	return nil
}

func (w *jsonWalk) value(v reflect.Value) error {
	if !v.IsValid() {
		return nil
	}
	t := v.Type()
	if t.Kind() != reflect.Pointer && t.Kind() != reflect.Interface && implementsAny(t, jsonHooks) {
		return w.methods(v)
	}
	switch v.Kind() {
	case reflect.String:
		if w.failed && t == jsonNumberType && v.String() != "" && !scalar.IsJSONNumber([]byte(v.String())) {
			return &fault{why: "a json.Number that is no number"}
		}
		return w.text(v.String())
	case reflect.Float32, reflect.Float64:
		if f := v.Float(); w.failed && (math.IsNaN(f) || math.IsInf(f, 0)) {
			return &fault{why: "not a finite number, which JSON cannot hold"}
		}
	case reflect.Interface:
		if v.IsNil() {
			return nil
		}
		if t.NumMethod() > 0 && !implementsAny(t, jsonHooks) {
			return &fault{why: fmt.Sprintf("a %v in the interface %s cannot come back, because its type is not stored", v.Elem().Type(), shortType(t))}
		}
		if t == anyType {
			return w.any(v.Interface())
		}
		return w.dynamic(v.Elem())
	case reflect.Pointer:
		if err := w.hop(); err != nil {
			return err
		}
		err := w.value(v.Elem())
		w.hops--
		return err
	case reflect.Slice, reflect.Array:
		return w.elements(v)
	case reflect.Map:
		return w.entries(v)
	case reflect.Struct:
		return w.fields(v)
	}
	return nil
}

// any is for what an interface without methods holds.
func (w *jsonWalk) any(x any) error {
	switch x := x.(type) {
	case nil, bool, int, int64, uint64, float64:
		if f, ok := x.(float64); !ok || !w.failed || f-f == 0 {
			return nil
		}
	case string:
		return w.text(x)
	case []any:
		if err := w.enter(); err != nil {
			return err
		}
		for i, e := range x {
			if err := w.any(e); err != nil {
				return within(err, fmt.Sprintf("[%d]", i))
			}
		}
		w.depth--
		return nil
	case map[string]any:
		if err := w.enter(); err != nil {
			return err
		}
		for k, e := range x {
			if err := w.text(k); err != nil {
				return within(err, "[key]")
			}
			if err := w.any(e); err != nil {
				return within(err, "[]")
			}
		}
		w.depth--
		return nil
	}
	return w.dynamic(reflect.ValueOf(x))
}

// dynamic is for a value in an interface, whose type was not looked at yet.
func (w *jsonWalk) dynamic(v reflect.Value) error {
	if r := jsonTypeOf(v.Type()).held(); r != nil {
		return r.error(v.Type())
	}
	if err := w.hop(); err != nil {
		return err
	}
	err := w.value(v)
	w.hops--
	return err
}

func (w *jsonWalk) elements(v reflect.Value) error {
	switch k := v.Type().Elem().Kind(); {
	case k >= reflect.Bool && k <= reflect.Uint64:
		if !implementsAny(v.Type().Elem(), jsonHooks) {
			return nil
		}
	}
	if err := w.enter(); err != nil {
		return err
	}
	for i := range v.Len() {
		if err := w.value(v.Index(i)); err != nil {
			return within(err, fmt.Sprintf("[%d]", i))
		}
	}
	w.depth--
	return nil
}

func (w *jsonWalk) entries(v reflect.Value) error {
	if err := w.enter(); err != nil {
		return err
	}
	if err := lookAtTextKeys(v); err != nil {
		return within(err, "[key]")
	}
	for it := v.MapRange(); it.Next(); {
		if k := it.Key(); k.Kind() == reflect.String {
			if err := w.text(k.String()); err != nil {
				return within(err, "[key]")
			}
		}
		if err := w.value(it.Value()); err != nil {
			return within(err, "[]")
		}
	}
	w.depth--
	return nil
}

func (w *jsonWalk) fields(v reflect.Value) error {
	if err := w.enter(); err != nil {
		return err
	}
	for f, fv := range v.Fields() {
		if f.Tag.Get("json") == "-" || !f.IsExported() && !f.Anonymous {
			continue
		}
		if err := w.value(fv); err != nil {
			return within(err, "."+f.Name)
		}
	}
	w.depth--
	return nil
}

// methods looks at a value that encodes itself.
func (w *jsonWalk) methods(v reflect.Value) error {
	if !w.failed && !w.replaced || !v.CanInterface() {
		return nil
	}
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		if v.IsNil() {
			return nil
		}
	}
	x := v.Interface()
	if v.CanAddr() {
		x = v.Addr().Interface()
	}
	if w.failed {
		err := guard(func() error { _, err := json.Marshal(x); return err })
		if err != nil {
			return &fault{why: "encoding failed with " + cause(err), err: err}
		}
		return nil
	}
	if _, ok := x.(json.Marshaler); ok {
		return nil
	}
	if m, ok := x.(encoding.TextMarshaler); ok {
		text, err := m.MarshalText()
		if err != nil {
			return err
		}
		return w.text(string(text))
	}
	return nil
}
