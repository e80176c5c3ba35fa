package codec

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// A jsonType is what JSON needs of a Go type beyond what encoding/json keeps.
type jsonType struct {
	refusal  *refusal
	walked   bool            // values are looked at before encoding: there are interfaces within, or the type contains itself
	textKeys bool            // there are maps within whose keys have methods, which may give two keys one text
	null     func() bool     // the zero value is encoded as null
	held     func() *refusal // why a value in an interface cannot be stored, where its pointer has no methods
}

// jsonSeen is a type that was looked at, individually or embedded, which leaves its clashes to the outer type. It was in a place
// where encoding/json can call methods of its pointer, or not.
type jsonSeen struct {
	typ                   reflect.Type
	embedded, addressable bool
}

// The states of a type that is looked at.
const (
	lookingAt = 1 + iota
	lookedAt
)

var jsonTypes sync.Map // of reflect.Type to *jsonType

func jsonTypeOf(t reflect.Type) *jsonType {
	if known, ok := jsonTypes.Load(t); ok {
		return known.(*jsonType)
	}
	j := new(jsonType)
	j.null = sync.OnceValue(func() bool {
		var b []byte
		err := guard(func() (err error) {
			b, err = json.Marshal(reflect.New(t).Interface())
			return err
		})
		return err != nil || string(b) == "null"
	})
	j.held = sync.OnceValue(func() *refusal {
		var held jsonType
		held.look(t, "", jsonSeen{}, map[jsonSeen]int{})
		return held.refusal
	})
	j.look(t, "", jsonSeen{addressable: true}, map[jsonSeen]int{})
	known, _ := jsonTypes.LoadOrStore(t, j)
	return known.(*jsonType)
}

// look searches t and the types within for what cannot come back. in says where t is.
func (j *jsonType) look(t reflect.Type, path string, in jsonSeen, seen map[jsonSeen]int) {
	key := jsonSeen{t, in.embedded, in.addressable}
	j.walked = j.walked || seen[key] == lookingAt
	if seen[key] != 0 || j.refusal != nil {
		return
	}
	seen[key] = lookingAt
	defer func() { seen[key] = lookedAt }()
	refuse := func(format string, args ...any) {
		j.refusal = &refusal{path: path, why: fmt.Sprintf(format, args...)}
	}
	if t.Kind() != reflect.Pointer && t.Kind() != reflect.Interface && implementsAny(t, jsonHooks) {
		if why := jsonMethods.refuse(t, func(f reflect.StructField) bool { return f.Tag.Get("json") == "-" }); why != "" {
			refuse("%s", why)
		} else if !in.addressable && ofPointer(t) {
			refuse("the methods of %s are those of its pointer, which encoding/json does not call on values in maps and interfaces", shortType(t))
		}
		return
	}
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer, reflect.Uintptr:
		refuse("%s cannot be stored", shortType(t))
	case reflect.Interface:
		j.walked = true
	case reflect.Pointer:
		if pointsToItself(t) {
			refuse("%s points to itself", shortType(t))
			return
		}
		j.look(t.Elem(), path, jsonSeen{embedded: in.embedded, addressable: true}, seen)
	case reflect.Slice:
		j.look(t.Elem(), path+"[]", jsonSeen{addressable: true}, seen)
	case reflect.Array:
		j.look(t.Elem(), path+"[]", jsonSeen{addressable: in.addressable}, seen)
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
		j.look(t.Elem(), path+"[]", jsonSeen{}, seen)
	case reflect.Struct:
		if t.NumField() > 0 && !hasExported(t) {
			refuse("%s has no exported fields and no methods for encoding", shortType(t))
			return
		}
		if !in.embedded {
			if _, c := jsonFields(t); c != nil {
				path += c.first
				refuse("its name in JSON, %s, is that of %s, so that neither would be stored", c.name, c.second[1:])
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
			j.look(f.Type, path+"."+f.Name, jsonSeen{embedded: f.Anonymous && !isJSONName(name), addressable: in.addressable}, seen)
		}
	}
}

// ofPointer reports whether the method by which encoding/json encodes a t is one of *t only.
func ofPointer(t reflect.Type) bool {
	for _, m := range jsonMethods.encode {
		if reflect.PointerTo(t).Implements(m) {
			return !t.Implements(m)
		}
	}
	return false
}

// pointsToItself reports whether a t is a pointer to a pointer and so on without end, of which encoding/json makes
// ever more when it decodes.
func pointsToItself(t reflect.Type) bool {
	seen := map[reflect.Type]bool{}
	for t.Kind() == reflect.Pointer && !seen[t] {
		seen[t] = true
		t = t.Elem()
	}
	return seen[t]
}

func hasTextMethods(t reflect.Type) bool {
	return t.Implements(textMarshalerType) || reflect.PointerTo(t).Implements(textUnmarshalerType)
}

// lookAtTextKeys refuses the map m if two of its keys have one text, or if one that is stored in one way
// is read in another. For encoding/json writes a key that is a string as it is, but reads it by
// UnmarshalText.
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
		} else if tm, ok := reflect.TypeAssert[encoding.TextMarshaler](k); ok && (k.Kind() != reflect.Pointer || !k.IsNil()) {
			b, err := tm.MarshalText()
			if err != nil {
				return err
			}
			text = string(b)
		}
		if !utf8.ValidString(text) {
			return &fault{why: errNotUTF8.Error()}
		}
		if texts[text] {
			return &fault{why: "two keys of the map have the same text"}
		}
		texts[text] = true
		if k.Kind() != reflect.String && !k.CanInt() && !k.CanUint() {
			continue
		}
		back := reflect.New(t)
		if tu, ok := reflect.TypeAssert[encoding.TextUnmarshaler](back); ok {
			if err := tu.UnmarshalText([]byte(text)); err != nil || !back.Elem().Equal(k) {
				return &fault{why: fmt.Sprintf("UnmarshalText of %s does not give back the key that is stored", shortType(t))}
			}
		}
	}
	return nil
}
