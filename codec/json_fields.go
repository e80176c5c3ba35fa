package codec

import (
	"reflect"
	"slices"
	"strings"
	"unicode"
)

// A jsonField is one field that a struct or a struct embedded in it stores in JSON.
type jsonField struct {
	name     string
	path     string // in Go
	tagged   bool
	typ      reflect.Type
	index    []int
	offset   uintptr
	indirect bool // it is behind an embedded pointer
	quoted   bool // its tag has the option string
}

// A fieldClash is two fields, as paths, of which encoding/json stores neither, because they have one name at one depth.
type fieldClash struct{ first, second, name string }

// jsonFields returns the fields of the struct type t that encoding/json stores, in its order, and the first clash if
// there is one. A field that one at a lesser depth hides does not clash: Go itself resolves such a name to the outer
// field.
func jsonFields(t reflect.Type) ([]jsonField, *fieldClash) {
	type embedded struct {
		typ reflect.Type
		at  jsonField
	}
	var list []jsonField
	settled, seen := map[string]bool{}, map[reflect.Type]bool{t: true}
	for level := []embedded{{typ: t}}; len(level) > 0; {
		var deeper []embedded
		var names []string
		fields, times := map[string][]jsonField{}, map[reflect.Type]int{}
		for _, e := range level {
			for i := range e.typ.NumField() {
				f := e.typ.Field(i)
				tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
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
				one := jsonField{
					name: tag, path: e.at.path + "." + f.Name, tagged: tag != "", typ: f.Type,
					index: append(slices.Clip(e.at.index), i), offset: e.at.offset + f.Offset, indirect: e.at.indirect,
					quoted: slices.Contains(strings.Split(options, ","), "string"),
				}
				if tag == "" && isStruct {
					if times[inner]++; !seen[inner] && times[inner] <= 2 {
						if inner != f.Type {
							one.indirect, one.offset = true, 0
						}
						deeper = append(deeper, embedded{inner, one})
					}
					continue
				}
				if tag == "" {
					one.name = f.Name
				}
				if fields[one.name] == nil {
					names = append(names, one.name)
				}
				fields[one.name] = append(fields[one.name], one)
			}
		}
		for _, name := range names {
			if settled[name] {
				continue
			}
			settled[name] = true
			rivals := fields[name]
			if tagged := slices.DeleteFunc(slices.Clone(rivals), func(f jsonField) bool { return !f.tagged }); len(tagged) > 0 {
				rivals = tagged // one with a tag comes first, if it is the only one
			}
			if len(rivals) > 1 {
				return nil, &fieldClash{rivals[0].path, rivals[1].path, name}
			}
			list = append(list, rivals[0])
		}
		for _, e := range deeper {
			seen[e.typ] = true
		}
		level = deeper
	}
	slices.SortFunc(list, func(a, b jsonField) int { return slices.Compare(a.index, b.index) })
	return list, nil
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
