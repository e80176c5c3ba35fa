package codec

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/sessionkv/store/internal/scalar"
	"github.com/vmihailenco/tagparser/v2"
)

// fields are the fields of a struct as the msgpack library sees them.
type fields struct {
	list   []field           // those that are written, in their order
	named  map[string]*field // what a name in the data means; besides those in list, aliases and embedded structs
	array  bool              // written as an array, without names
	omits  bool              // some are left out while they are empty
	intern bool              // some refer to earlier strings
	head   string            // the map's code, when all are written
	dash   string            // a field that encoding/json calls "-" and the library leaves out; "" for none
}

// A field is one field of a struct, perhaps of a struct embedded in it.
type field struct {
	op        op // node.op
	omit      bool
	offset    uintptr
	node      *node
	head      string    // the encoded name
	nameWords [2]uint64 // the same, if it has at most 16 bytes
	nameMask  [2]uint64 // the bytes of nameWords that count
	nameSize  uint8
	name      string
	goName    string
	via       []hop // embedded pointers on the way to the field
}

// A hop leads through a pointer to an embedded struct.
type hop struct {
	typ    reflect.Type // of the struct
	offset uintptr      // of what comes next in it
}

// structure fills the node of a struct.
func (c *compiler) structure(n *node) {
	t := n.typ
	if embedsItself(t, nil) {
		n.refuse("%s embeds itself", shortType(t))
		return
	}
	if !c.plain(t) {
		n.op = opLibrary
		return
	}
	n.op = opStruct
	n.fields = new(fields)
	n.fields.collect(c, t)
	f := n.fields
	f.head = string(appendMapHead(nil, len(f.list)))
	if len(f.list) == 0 && t.NumField() > 0 && !hasExported(t) {
		n.refuse("%s has no exported fields and no methods for encoding", shortType(t))
	}
	if f.dash != "" && n.refusal == nil {
		n.refusal = &refusal{why: fmt.Sprintf("the json tag of the field %s of %s names it %q, and msgpack would leave it out", f.dash, shortType(t), "-"), reads: true}
	}
	for i := range f.list {
		if fd := &f.list[i]; f.named[fd.name] != fd {
			n.refuse("the field %s of %s cannot be told from %s, because both are stored as %q", fd.goName, shortType(t), f.named[fd.name].goName, fd.name)
			break
		}
	}
}

// hasExported reports whether t has a field that is exported or embedded.
func hasExported(t reflect.Type) bool {
	for f := range t.Fields() {
		if f.IsExported() || f.Anonymous {
			return true
		}
	}
	return false
}

// collect gathers the fields of t by the rules of the library. Of two fields with one name, both
// are written and the later one is read. An embedded struct is taken apart unless a name of it is
// taken already. It can also be read under its own name.
func (fs *fields) collect(c *compiler, t reflect.Type) {
	var list []*field
	named := map[string]*field{}
	omitAll := false
	add := func(f *field) {
		named[f.name] = f
		list = append(list, f)
		fs.omits = fs.omits || f.omit
	}
	for sf := range t.Fields() {
		text, borrowed := sf.Tag.Get("msgpack"), false
		if text == "" && c.tag != "" {
			text, borrowed = sf.Tag.Get(c.tag), true
		}
		tag := tagparser.Parse(text)
		if tag.Name == "-" {
			if borrowed && text != "-" && sf.IsExported() {
				fs.dash = sf.Name
			}
			continue
		}
		if sf.Name == "_msgpack" {
			fs.array = tag.HasOption("as_array") || tag.HasOption("asArray")
			omitAll = omitAll || tag.HasOption("omitempty")
		}
		if !sf.IsExported() && !sf.Anonymous {
			continue
		}
		fs.intern = fs.intern || tag.HasOption("intern")
		name := tag.Name
		if name == "" {
			name = sf.Name
		}
		f := &field{omit: omitAll || tag.HasOption("omitempty"), offset: sf.Offset, name: name, goName: sf.Name}
		if sf.Anonymous && !tag.HasOption("noinline") {
			if inner, ok := c.embedded(fs, sf, named, tag.HasOption("inline")); ok {
				for _, in := range inner {
					if _, taken := named[in.name]; !taken {
						add(in)
					}
				}
				f.node = c.node(sf.Type)
				named[name] = f
				continue
			}
		}
		f.node = c.node(sf.Type)
		add(f)
		if alias, ok := tag.Options["alias"]; ok {
			named[alias] = f
		}
	}
	at := map[*field]int{}
	for i, f := range list {
		f.head = string(append(scalar.AppendStringHead(nil, len(f.name)), f.name...))
		at[f] = i
		fs.list = append(fs.list, *f)
	}
	fs.named = make(map[string]*field, len(named))
	for name, f := range named {
		if i, ok := at[f]; ok {
			f = &fs.list[i]
		}
		fs.named[name] = f
	}
}

// embedded returns the fields that the embedded field sf brings, and whether it is taken apart at all.
func (c *compiler) embedded(fs *fields, sf reflect.StructField, named map[string]*field, always bool) ([]*field, bool) {
	t, pointers := sf.Type, 0
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
		pointers++
	}
	if t.Kind() != reflect.Struct || pointers > 1 || !always && (implementsAny(t, msgpackHooks) || !c.plain(t)) {
		return nil, false
	}
	var in fields
	in.collect(c, t)
	fs.intern = fs.intern || in.intern
	if in.dash != "" {
		fs.dash = sf.Name + "." + in.dash
	}
	var list []*field
	for i := range in.list {
		f := &in.list[i]
		if _, taken := named[f.name]; taken && !always {
			return nil, false
		}
		if pointers == 1 {
			f.via = append([]hop{{t, f.offset}}, f.via...)
			f.offset = sf.Offset
		} else {
			f.offset += sf.Offset
		}
		f.goName = sf.Name + "." + f.goName
		list = append(list, f)
	}
	return list, true
}

// embedsItself reports whether t is embedded in itself, directly or through others, which the
// library follows without end.
func embedsItself(t reflect.Type, around []reflect.Type) bool {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return false
	}
	if slices.Contains(around, t) {
		return true
	}
	around = append(around, t)
	for f := range t.Fields() {
		if f.Anonymous && embedsItself(f.Type, around) {
			return true
		}
	}
	return false
}
