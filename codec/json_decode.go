package codec

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unsafe"
)

var jsonNumberType = reflect.TypeFor[json.Number]()

// maxJSONDepth is how deep encoding/json decodes.
const maxJSONDepth = 10000

// errUnusual leaves it to encoding/json what the data means.
var errUnusual = errors.New("unusual JSON")

// A jsonTaker is the state of reading one value. It reads the forms that encoders write and leaves all
// others, and so all mistakes, to encoding/json. Where the memory is nil, it only looks for what would
// be lost. That is elements that an array has no room for, integers that a float cannot hold, and text
// that a string cannot hold.
type jsonTaker struct {
	data  []byte
	pos   int
	depth int
	codec jsonCodec
	looks bool // the memory is nil
	texts bool // what is skipped is decoded as text, not passed to a method

	explains bool     // it looks for the value that encoding/json cannot decode
	path     []string // to that value
}

// decode decodes data into the zero value at p. It returns errUnusual if encoding/json must do it, into a zero value again.
func (c jsonCodec) decode(data []byte, prog *jsonProgram, p unsafe.Pointer) (err error) {
	d := jsonTaker{data: data, codec: c}
	if d.space() == 'n' {
		return errUnusual
	}
	defer func() {
		if recover() != nil {
			err = errUnusual // in a method, which will panic once more
		}
	}()
	if err := d.value(prog.root, p); err != nil {
		return err
	}
	if d.space(); d.pos != len(data) {
		return errUnusual
	}
	return nil
}

// lossIn returns what would be lost of data, which encoding/json can decode, in a value of the program's type.
func (c jsonCodec) lossIn(data []byte, prog *jsonProgram) error {
	d := jsonTaker{data: data, codec: c, looks: true}
	if err := d.value(prog.root, nil); err != errUnusual {
		return err
	}
	return nil
}

// quotedLoss returns what is lost of a number in a string, of a field with the option string, if that is a float.
func (n *jsonNode) quotedLoss(text []byte) error {
	t := n.typ
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	inner := &jsonNode{typ: t, op: jsonFloat64}
	switch t.Kind() {
	case reflect.Float64:
	case reflect.Float32:
		inner.op = jsonFloat32
	default:
		return nil
	}
	d := jsonTaker{data: bytes.Trim(text, `"`), looks: true}
	if err := d.value(inner, nil); err != errUnusual { // such as null, or \u0031
		return err
	}
	return nil
}

func at(p unsafe.Pointer, offset uintptr) unsafe.Pointer {
	if p == nil {
		return nil
	}
	return unsafe.Add(p, offset)
}

// value decodes into the memory at p, which is zero and whose type is n's.
func (d *jsonTaker) value(n *jsonNode, p unsafe.Pointer) error {
	c := d.space()
	if d.explains {
		if !n.container() {
			return d.explainLeaf(n)
		}
		if err := d.explainContainer(n, c); err != nil {
			return err
		}
	}
	if n.op == jsonOther {
		start := d.pos
		if err := d.skip(); err != nil || p == nil {
			if err == nil && n.quoted {
				return n.quotedLoss(d.data[start:d.pos])
			}
			return err
		}
		if d.codec.unmarshal(d.data[start:d.pos], reflect.NewAt(n.typ, hide(p)).Interface()) != nil {
			return errUnusual
		}
		return nil
	}
	if c == 'n' {
		if d.word("null") {
			return nil // which leaves zero what is zero
		}
		return errUnusual
	}
	switch n.op {
	case jsonString:
		if p == nil {
			return d.skipText()
		}
		s, err := d.string()
		if err != nil {
			return err
		}
		*(*string)(p) = s
	case jsonInt, jsonUint:
		if p == nil {
			return d.skip()
		}
		return d.integer(n.kind, p)
	case jsonBool:
		v := d.word("true")
		if !v && !d.word("false") {
			return errUnusual
		}
		if p != nil {
			*(*bool)(p) = v
		}
	case jsonFloat64:
		f, err := d.float(n, 64)
		if err != nil || p == nil {
			return err
		}
		*(*float64)(p) = f
	case jsonFloat32:
		f, err := d.float(n, 32)
		if err != nil || p == nil {
			return err
		}
		*(*float32)(p) = float32(f)
	case jsonTime:
		if p == nil {
			return d.skip()
		}
		b, err := d.plain()
		if err != nil {
			return err
		}
		var t time.Time
		if t.UnmarshalText(b) != nil {
			return errUnusual
		}
		*(*time.Time)(p) = t
	case jsonBytes:
		if p == nil {
			return d.skip()
		}
		b, err := d.plain()
		if err != nil {
			return err
		}
		out := make([]byte, base64.StdEncoding.DecodedLen(len(b)))
		size, err := base64.StdEncoding.Decode(out, b)
		if err != nil {
			return errUnusual
		}
		*(*[]byte)(p) = out[:size]
	case jsonAny:
		if p == nil {
			return d.skipText()
		}
		x, err := d.any()
		if err != nil {
			return err
		}
		*(*any)(p) = x
	case jsonStruct:
		return d.structure(n, p)
	case jsonStrings:
		return d.strings((*[]string)(p))
	case jsonSlice:
		return d.slice(n, p)
	case jsonArray:
		return d.array(n, p)
	case jsonMapStringString:
		return d.mapStringString((*map[string]string)(p))
	case jsonMapStringAny:
		if p == nil {
			return d.skipText()
		}
		m, err := d.object()
		if err != nil {
			return err
		}
		*(*map[string]any)(p) = m
	case jsonMap:
		return d.mapping(n, p)
	case jsonPointer:
		if d.depth++; d.depth > maxJSONDepth {
			return errUnusual
		}
		if p == nil {
			err := d.value(n.elem, nil)
			d.depth--
			return err
		}
		fresh := reflect.New(n.elem.typ)
		if err := d.value(n.elem, fresh.UnsafePointer()); err != nil {
			return err
		}
		d.depth--
		*(*unsafe.Pointer)(p) = fresh.UnsafePointer()
	}
	return nil
}

func (d *jsonTaker) structure(n *jsonNode, p unsafe.Pointer) error {
	empty, err := d.open('{', '}')
	if err != nil || empty {
		return err
	}
	next, seen, known := 0, uint64(0), n.clash
	for more := true; more; {
		name, err := d.name()
		if err != nil {
			return err
		}
		i := n.field(name, next)
		if i < 0 {
			if d.codec == strict {
				return errUnusual
			}
			if err := d.skip(); err != nil {
				return err
			}
		} else {
			f := &n.fields[i]
			known = true
			if p != nil {
				bit := uint64(1) << i
				if seen&bit != 0 {
					return errUnusual // the second is decoded over the first
				}
				seen |= bit
			}
			d.into(".", f.name)
			if err := d.value(f.node, at(p, f.offset)); err != nil {
				return within(err, "."+f.name)
			}
			d.out()
			next = i + 1
		}
		if more, err = d.more('}'); err != nil {
			return err
		}
	}
	if !known && !d.explains {
		return &fault{why: "found an object without any field of " + shortType(n.typ)}
	}
	return nil
}

// field returns the field that the name in the data means, or −1. next is where it is likely to be.
func (n *jsonNode) field(name string, next int) int {
	if next < len(n.fields) && n.fields[next].name == name {
		return next
	}
	for i := range n.fields {
		if n.fields[i].name == name {
			return i
		}
	}
	for i := range n.fields {
		if strings.EqualFold(n.fields[i].name, name) {
			return i
		}
	}
	return -1
}

func (d *jsonTaker) strings(p *[]string) error {
	if p == nil {
		return d.skipText()
	}
	empty, err := d.open('[', ']')
	if err != nil {
		return err
	}
	if empty {
		*p = []string{}
		return nil
	}
	var few [8]string
	list := few[:0]
	for more := true; more; {
		if d.space() == 'n' {
			if !d.word("null") {
				return errUnusual
			}
			list = append(list, "")
		} else {
			s, err := d.string()
			if err != nil {
				return err
			}
			list = append(list, s)
		}
		if more, err = d.more(']'); err != nil {
			return err
		}
	}
	*p = append(make([]string, 0, len(list)), list...)
	return nil
}

func (d *jsonTaker) slice(n *jsonNode, p unsafe.Pointer) error {
	empty, err := d.open('[', ']')
	if err != nil {
		return err
	}
	var v reflect.Value
	var h *sliceHeader
	if p != nil {
		v, h = reflect.NewAt(n.typ, hide(p)).Elem(), (*sliceHeader)(p)
	}
	if empty {
		if p != nil {
			v.Set(reflect.MakeSlice(n.typ, 0, 0))
		}
		return nil
	}
	count := 0
	for more := true; more; count++ {
		var q unsafe.Pointer
		if p != nil {
			if count == v.Cap() {
				v.SetLen(count)
				v.Grow(max(4, count))
			}
			q = unsafe.Add(h.data, uintptr(count)*n.size)
		}
		d.intoElement(count)
		if err := d.value(n.elem, q); err != nil {
			return within(err, fmt.Sprintf("[%d]", count))
		}
		d.out()
		if more, err = d.more(']'); err != nil {
			return err
		}
	}
	if p != nil {
		v.SetLen(count)
	}
	return nil
}

func (d *jsonTaker) array(n *jsonNode, p unsafe.Pointer) error {
	empty, err := d.open('[', ']')
	if err != nil || empty {
		return err
	}
	count := 0
	for more := true; more; count++ {
		if count == n.length && !d.explains {
			return &fault{why: fmt.Sprintf("found more elements than a %v holds", shortType(n.typ))}
		}
		d.intoElement(count)
		if err := d.value(n.elem, at(p, uintptr(count)*n.size)); err != nil {
			return within(err, fmt.Sprintf("[%d]", count))
		}
		d.out()
		if more, err = d.more(']'); err != nil {
			return err
		}
	}
	return nil
}

func (d *jsonTaker) mapStringString(p *map[string]string) error {
	if p == nil {
		return d.skipText()
	}
	empty, err := d.open('{', '}')
	if err != nil {
		return err
	}
	m := make(map[string]string)
	for more := !empty; more; {
		name, err := d.name()
		if err != nil {
			return err
		}
		value := ""
		if d.space() != 'n' {
			if value, err = d.string(); err != nil {
				return err
			}
		} else if !d.word("null") {
			return errUnusual
		}
		m[name] = value
		if more, err = d.more('}'); err != nil {
			return err
		}
	}
	*p = m
	return nil
}

func (d *jsonTaker) mapping(n *jsonNode, p unsafe.Pointer) error {
	empty, err := d.open('{', '}')
	if err != nil {
		return err
	}
	var m, key, value reflect.Value
	var kp, vp unsafe.Pointer
	if p != nil {
		m = reflect.MakeMap(n.typ)
	}
	if p != nil && !empty {
		key, value = reflect.New(n.typ.Key()).Elem(), reflect.New(n.typ.Elem()).Elem()
		kp, vp = key.Addr().UnsafePointer(), value.Addr().UnsafePointer()
	}
	for more := !empty; more; {
		name, err := d.name()
		if err != nil {
			return err
		}
		if name == notText && !d.explains {
			return within(lossOfText(), "[key]")
		}
		if p != nil {
			value.SetZero()
			if err := setKey(key, kp, name); err != nil {
				return err
			}
		}
		if d.explains && !hasTextMethods(n.typ.Key()) && n.typ.Key().Kind() != reflect.String {
			key := reflect.New(n.typ.Key())
			d.into("[key]", "")
			if err := setKey(key.Elem(), key.UnsafePointer(), name); err != nil {
				return explainNumber(name, n.typ.Key())
			}
			d.out()
		}
		d.into("[]", "")
		if err := d.value(n.elem, vp); err != nil {
			return within(err, "[]")
		}
		d.out()
		if p != nil {
			m.SetMapIndex(key, value)
		}
		if more, err = d.more('}'); err != nil {
			return err
		}
	}
	if p != nil {
		reflect.NewAt(n.typ, hide(p)).Elem().Set(m)
	}
	return nil
}

// setKey makes name the key, whose memory is at p.
func setKey(key reflect.Value, p unsafe.Pointer, name string) error {
	if key.Kind() == reflect.String {
		key.SetString(name)
		return nil
	}
	d := jsonTaker{data: unsafe.Slice(unsafe.StringData(name), len(name))}
	if err := d.integer(key.Kind(), p); err != nil || d.pos != len(name) {
		return errUnusual
	}
	return nil
}

// any decodes a value without a type.
func (d *jsonTaker) any() (any, error) {
	switch c := d.space(); c {
	case '"':
		s, err := d.string()
		if err != nil {
			return nil, err
		}
		return s, nil
	case '{':
		m, err := d.object()
		if err != nil {
			return nil, err
		}
		return m, nil
	case '[':
		empty, err := d.open('[', ']')
		if err != nil {
			return nil, err
		}
		list := []any{}
		for more := !empty; more; {
			x, err := d.any()
			if err != nil {
				return nil, err
			}
			list = append(list, x)
			if more, err = d.more(']'); err != nil {
				return nil, err
			}
		}
		return list, nil
	case 't', 'f', 'n':
		switch {
		case d.word("true"):
			return true, nil
		case d.word("false"):
			return false, nil
		case d.word("null"):
			return nil, nil
		}
		return nil, errUnusual
	}
	b, err := d.number()
	if err != nil {
		return nil, err
	}
	f, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(b), len(b)), 64)
	if err != nil {
		return nil, errUnusual
	}
	return f, nil
}

func (d *jsonTaker) object() (map[string]any, error) {
	empty, err := d.open('{', '}')
	if err != nil {
		return nil, err
	}
	m := make(map[string]any)
	for more := !empty; more; {
		name, err := d.name()
		if err != nil {
			return nil, err
		}
		if m[name], err = d.any(); err != nil {
			return nil, err
		}
		if more, err = d.more('}'); err != nil {
			return nil, err
		}
	}
	return m, nil
}
