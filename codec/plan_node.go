package codec

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// An op says how the values of one type are encoded and decoded.
type op uint8

const (
	opRefused op = iota // the type cannot be stored
	opBool
	opInt
	opInt8
	opInt16
	opInt32
	opInt64
	opUint
	opUint8
	opUint16
	opUint32
	opUint64
	opFloat32
	opFloat64
	opString
	opTime
	opBytes     // a slice of bytes
	opByteArray // an array of bytes
	opStruct
	opSlice
	opStrings // a []string
	opArray
	opMap
	opMapStringString
	opMapStringAny
	opPointer
	opAny       // an interface without methods
	opInterface // an interface with methods
	opError     // the interface error
	opMarshaler // methods of package encoding, for text or binary
	opEmbedded  // of a field: it is behind embedded pointers
	opLibrary   // whatever else the msgpack library does with the type
)

// A node is the program for one Go type: what to do with a value of it in memory. Nodes of types that
// contain themselves form cycles.
type node struct {
	op       op
	typ      reflect.Type
	elem     *node   // of a pointer, slice, array or map
	key      *node   // of a map
	size     uintptr // of one element
	length   int     // of an array
	fields   *fields // of a struct
	refusal  *refusal
	isZeroer bool                          // the type has a method IsZero
	text     struct{ encode, decode bool } // text methods, not binary ones
	null     func() bool                   // zeroIsNil, once
	pairs    sync.Pool                     // of *mapPair, for maps
}

// A refusal says why values of a type cannot be stored.
type refusal struct {
	path  string // of the field, without the type's own name
	why   string
	reads bool // what is stored already may be decoded
}

// compiler makes the nodes of a type and of all types within it.
type compiler struct {
	nodes map[reflect.Type]*node
	tag   string // the struct tag for fields without a msgpack tag; "" for none
}

// left reports whether the tags of f say that it is not to be stored.
func (c *compiler) left(f reflect.StructField) bool {
	text := f.Tag.Get("msgpack")
	if text == "" && c.tag != "" {
		text = f.Tag.Get(c.tag)
	}
	return text == "-"
}

var (
	timeType   = reflect.TypeFor[time.Time]()
	stringType = reflect.TypeFor[string]()
	anyType    = reflect.TypeFor[any]()
	errorType  = reflect.TypeFor[error]()
	isZeroType = reflect.TypeFor[isZeroer]()

	rawMessageType        = reflect.TypeFor[msgpack.RawMessage]()
	customEncoderType     = reflect.TypeFor[msgpack.CustomEncoder]()
	customDecoderType     = reflect.TypeFor[msgpack.CustomDecoder]()
	marshalerType         = reflect.TypeFor[msgpack.Marshaler]()
	unmarshalerType       = reflect.TypeFor[msgpack.Unmarshaler]()
	binaryMarshalerType   = reflect.TypeFor[encoding.BinaryMarshaler]()
	binaryUnmarshalerType = reflect.TypeFor[encoding.BinaryUnmarshaler]()
	textMarshalerType     = reflect.TypeFor[encoding.TextMarshaler]()
	textUnmarshalerType   = reflect.TypeFor[encoding.TextUnmarshaler]()
)

type isZeroer interface{ IsZero() bool }

// node returns the program for t. Its nodes may be incomplete until the outermost call returns.
func (c *compiler) node(t reflect.Type) *node {
	if n, ok := c.nodes[t]; ok {
		return n
	}
	n := &node{typ: t}
	n.null = sync.OnceValue(n.zeroIsNil)
	c.nodes[t] = n
	n.isZeroer = t.Kind() != reflect.Interface && t.Implements(isZeroType)
	c.fill(n)
	return n
}

func (c *compiler) fill(n *node) {
	t := n.typ
	if t == timeType {
		n.op = opTime
		if !sameTimeInLibrary() {
			n.op = opLibrary
		}
		return
	}
	if t.Kind() != reflect.Pointer && t.Kind() != reflect.Interface && implementsAny(t, msgpackHooks) {
		c.hooked(n)
		return
	}
	if t.Kind() == reflect.Interface && implementsAny(t, msgpackHooks) {
		n.op = opLibrary
		return
	}
	switch t.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64,
		reflect.Float32, reflect.Float64, reflect.String:
		n.op = scalarOps[t.Kind()]
		if t.PkgPath() != "" && !sameAsMsgpack(t) {
			n.op = opLibrary
		}
	case reflect.Slice:
		switch {
		case t.Elem().Kind() == reflect.Uint8:
			n.op = opBytes
		case t.Elem() == stringType:
			n.op = opStrings
		default:
			n.op = opSlice
		}
		c.element(n)
		n.unlessRegistered("\xc0", "\x90", "\xc4\x00")
	case reflect.Array:
		n.length = t.Len()
		n.op = opArray
		if t.Elem().Kind() == reflect.Uint8 {
			n.op = opByteArray
		}
		c.element(n)
	case reflect.Map:
		n.op = opMap
		if k := t.Key(); (k.Kind() == reflect.Struct || k.Kind() == reflect.Array) && hasInterface(k) {
			n.refuse("the keys of %s hold interfaces", shortType(t))
			return
		}
		if t.Key() == stringType {
			switch t.Elem() {
			case stringType:
				n.op = opMapStringString
			case anyType:
				n.op = opMapStringAny
			}
		}
		n.key = c.node(t.Key())
		c.element(n)
		n.unlessRegistered("\xc0", "\x80", "")
		if hasPointer(t.Key()) {
			n.refusal = &refusal{why: fmt.Sprintf("the keys of %s hold pointers, which come back as others", shortType(t)), reads: true}
		}
	case reflect.Pointer:
		n.op = opPointer
		c.element(n)
	case reflect.Interface:
		switch {
		case t == errorType:
			n.op = opError
		case t.NumMethod() == 0:
			n.op = opAny
		default:
			n.op = opInterface
		}
	case reflect.Struct:
		c.structure(n)
	default:
		n.refuse("%v cannot be stored", t)
	}
}

// hasInterface reports whether a t, which can be the key of a map, has interfaces in its memory.
func hasInterface(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Interface:
		return true
	case reflect.Array:
		return hasInterface(t.Elem())
	case reflect.Struct:
		if implementsAny(t, msgpackHooks) {
			return false
		}
		for f := range t.Fields() {
			if f.IsExported() && hasInterface(f.Type) {
				return true
			}
		}
	}
	return false
}

// hasPointer reports whether a t, which can be the key of a map, has pointers in what is stored of it. The key that comes
// back is never equal to the one that was stored.
func hasPointer(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer:
		return true
	case reflect.Array:
		return hasPointer(t.Elem())
	case reflect.Struct:
		if t == timeType || implementsAny(t, msgpackHooks) {
			return false
		}
		for f := range t.Fields() {
			if f.IsExported() && hasPointer(f.Type) {
				return true
			}
		}
	}
	return false
}

func (c *compiler) element(n *node) {
	n.elem = c.node(n.typ.Elem())
	n.size = n.typ.Elem().Size()
}

func (n *node) refuse(format string, args ...any) {
	n.op = opRefused
	n.refusal = &refusal{why: fmt.Sprintf(format, args...)}
}

var scalarOps = map[reflect.Kind]op{
	reflect.Bool: opBool, reflect.String: opString, reflect.Float32: opFloat32, reflect.Float64: opFloat64,
	reflect.Int: opInt, reflect.Int8: opInt8, reflect.Int16: opInt16, reflect.Int32: opInt32, reflect.Int64: opInt64,
	reflect.Uint: opUint, reflect.Uint8: opUint8, reflect.Uint16: opUint16, reflect.Uint32: opUint32, reflect.Uint64: opUint64,
}

// hooked fills the node of a type that has methods of its own for encoding or decoding.
func (c *compiler) hooked(n *node) {
	n.op = opLibrary
	t, p := n.typ, reflect.PointerTo(n.typ)
	if why := msgpackMethods.refuse(t, c.left); why != "" {
		n.refusal = &refusal{why: why, reads: true}
	}
	if t.Kind() == reflect.Struct && !embedsItself(t, nil) {
		n.fields = new(fields) // for omitempty, where the library looks at them
		n.fields.collect(c, t)
	}
	if slices.ContainsFunc([]reflect.Type{customEncoderType, customDecoderType, marshalerType, unmarshalerType}, p.Implements) {
		return
	}
	if t.Implements(binaryUnmarshalerType) || t.Implements(textUnmarshalerType) {
		return // it decodes through its value, which is for the library to sort out
	}
	// The library prefers binary to text, and methods of the value to those of the pointer.
	var encodes, decodes bool
	switch {
	case t.Implements(binaryMarshalerType):
		encodes = true
	case t.Implements(textMarshalerType):
		encodes, n.text.encode = true, true
	case p.Implements(binaryMarshalerType):
		encodes = true
	case p.Implements(textMarshalerType):
		encodes, n.text.encode = true, true
	}
	switch {
	case p.Implements(binaryUnmarshalerType):
		decodes = true
	case p.Implements(textUnmarshalerType):
		decodes, n.text.decode = true, true
	}
	if encodes && decodes && sameMethodsInLibrary(n) {
		n.op = opMarshaler
	}
}

// inline calls f for every node whose value lies within the memory of a value of n.
func (n *node) inline(f func(*node)) {
	f(n)
	switch n.op {
	case opArray:
		if n.length > 0 {
			n.elem.inline(f)
		}
	case opStruct:
		for i := range n.fields.list {
			if fd := &n.fields.list[i]; len(fd.via) == 0 {
				fd.node.inline(f)
			}
		}
	}
}

// hooksInline reports whether encoding or decoding calls methods on memory within a value of n. Those
// may keep the pointer.
func (n *node) hooksInline() bool {
	found := false
	n.inline(func(n *node) { found = found || n.op == opMarshaler || n.op == opLibrary })
	return found
}

// all calls f for every node that can be reached, with the path to it.
func (n *node) all(f func(path string, n *node)) {
	seen := map[*node]bool{}
	var visit func(string, *node)
	visit = func(path string, n *node) {
		if n == nil || seen[n] {
			return
		}
		seen[n] = true
		f(path, n)
		switch n.op {
		case opStruct:
			for i := range n.fields.list {
				fd := &n.fields.list[i]
				visit(path+"."+fd.goName, fd.node)
			}
		case opSlice, opArray:
			visit(path+"[]", n.elem)
		case opMap:
			visit(path+"[]", n.key)
			visit(path+"[]", n.elem)
		case opPointer:
			visit(path, n.elem)
		}
	}
	visit("", n)
}
