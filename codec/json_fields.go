package codec

import (
	"reflect"
	"strings"
	"unicode"
)

// A jsonField is one field that a struct or a struct embedded in it stores in JSON.
type jsonField struct {
	path   string
	tagged bool
}

// jsonClash returns two fields of the struct type t, as paths, of which encoding/json stores neither, because they
// have one name at one depth, and that name. It returns "" if there are none. A field that one at a lesser
// depth hides is no clash: Go itself resolves such a name to the outer field.
func jsonClash(t reflect.Type) (first, second, name string) {
	type embedded struct {
		typ  reflect.Type
		path string
	}
	settled, seen := map[string]bool{}, map[reflect.Type]bool{t: true}
	for level := []embedded{{t, ""}}; len(level) > 0; {
		var deeper []embedded
		var names []string
		fields, times := map[string][]jsonField{}, map[reflect.Type]int{}
		for _, e := range level {
			for f := range e.typ.Fields() {
				tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
				inner := f.Type
				if inner.Kind() == reflect.Pointer && inner.Name() == "" {
					inner = inner.Elem()
				}
				isStruct := f.Anonymous && inner.Kind() == reflect.Struct
				if f.Tag.Get("json") == "-" || !f.IsExported() && !isStruct {
					continue
				}
				if !isJSONName(tag) {
					tag = ""
				}
				path := e.path + "." + f.Name
				if tag == "" && isStruct {
					if times[inner]++; !seen[inner] && times[inner] <= 2 {
						deeper = append(deeper, embedded{inner, path})
					}
					continue
				}
				key := tag
				if key == "" {
					key = f.Name
				}
				if fields[key] == nil {
					names = append(names, key)
				}
				fields[key] = append(fields[key], jsonField{path, tag != ""})
			}
		}
		for _, key := range names {
			if settled[key] {
				continue
			}
			settled[key] = true
			if a, b, ok := clash(fields[key]); ok {
				return a, b, key
			}
		}
		for _, e := range deeper {
			seen[e.typ] = true
		}
		level = deeper
	}
	return "", "", ""
}

// clash returns two of the fields if none of them comes first: one with a tag does, if it is the only one.
func clash(fields []jsonField) (first, second string, ok bool) {
	var rivals []jsonField
	for _, f := range fields {
		if f.tagged {
			rivals = append(rivals, f)
		}
	}
	if len(rivals) == 0 {
		rivals = fields
	}
	if len(rivals) < 2 {
		return "", "", false
	}
	return rivals[0].path, rivals[1].path, true
}

// isJSONName reports whether encoding/json takes s, from a tag, as a name.
func isJSONName(s string) bool {
	for _, r := range s {
		if !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", r) && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return false
		}
	}
	return s != ""
}
