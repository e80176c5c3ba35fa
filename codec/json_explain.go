package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/sessionkv/store/internal/scalar"
)

// explain returns err, with which encoding/json could not decode data. If one value is the cause, it adds the path of that.
func (c jsonCodec) explain(data []byte, prog *jsonProgram, err error) error {
	if _, ok := errors.AsType[*json.SyntaxError](err); ok {
		return err
	}
	if _, ok := errors.AsType[*trailingError](err); ok {
		return err
	}
	d := jsonTaker{data: data, codec: c, looks: true, explains: true}
	where := d.value(prog.root, nil)
	if where == nil {
		return err
	}
	f, ok := where.(*fault)
	if !ok {
		if f, ok = errors.AsType[*fault](err); !ok { // a field that a struct does not have
			return err
		}
	}
	return &fault{path: []string{strings.Join(d.path, ""), typeName(prog.root.typ)}, why: f.why, err: err}
}

// explainContainer returns what is wrong with a value that begins with c.
func (d *jsonTaker) explainContainer(n *jsonNode, c byte) error {
	begin := byte('{')
	switch {
	case n.op == jsonPointer || c == 'n':
		return nil
	case n.op == jsonSlice, n.op == jsonArray:
		begin = '['
	}
	if c == begin {
		return nil
	}
	return &fault{why: fmt.Sprintf("found %s, which is no %s", describeJSON(d.data[d.pos:]), shortType(n.typ))}
}

// explainLeaf passes over a value that encoding/json decodes as a whole, and returns why it cannot.
func (d *jsonTaker) explainLeaf(n *jsonNode) error {
	start := d.pos
	if err := d.skip(); err != nil {
		return err
	}
	data, v := d.data[start:d.pos], reflect.New(n.typ)
	if n.quoted {
		v = reflect.New(reflect.StructOf([]reflect.StructField{{Name: "V", Type: n.typ, Tag: `json:",string"`}}))
		data = []byte(`{"V":` + string(data) + `}`)
	}
	err := guard(func() error { return d.codec.unmarshal(data, v.Interface()) })
	if err == nil {
		return nil
	}
	wrong, ok := errors.AsType[*json.UnmarshalTypeError](err)
	switch {
	case n.quoted:
		t := n.typ
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if text := string(bytes.Trim(d.data[start:d.pos], `"`)); d.data[start] == '"' && t.Kind() >= reflect.Int && t.Kind() <= reflect.Float64 && scalar.IsJSONNumber([]byte(text)) {
			return explainNumber(text, t)
		}
		return &fault{why: fmt.Sprintf("found %s, which is no %s in a string", describeJSON(d.data[start:]), shortType(n.typ))}
	case !ok || errors.Unwrap(wrong) != nil || strings.Trim(wrong.Field, ".0123456789") != "":
		return &fault{why: "decoding failed with " + cause(err)}
	}
	kind, number, _ := strings.Cut(wrong.Value, " ")
	if kind == "number" && (numeric(n) || n.op == jsonAny) {
		return explainNumber(number, n.typ)
	}
	return &fault{why: fmt.Sprintf("found %s, which is no %s", describeJSON(d.data[start:]), shortType(n.typ))}
}

// explainNumber says that the text of a number, which may be the key of a map, does not fit a t.
func explainNumber(text string, t reflect.Type) error {
	whole := strings.TrimPrefix(text, "-")
	switch n := scalar.Digits([]byte(whole)); {
	case n == len(whole) && n > 0 && n <= 20:
		return &fault{why: fmt.Sprintf("found %s, does not fit %s", text, shortType(t)), err: errOverflow}
	case scalar.IsJSONNumber([]byte(text)):
		return &fault{why: "found a number that does not fit " + shortType(t), err: errOverflow}
	}
	return &fault{why: "found a string, which is no " + shortType(t)}
}

func numeric(n *jsonNode) bool {
	switch n.op {
	case jsonInt, jsonUint, jsonFloat32, jsonFloat64:
		return true
	}
	return false
}

// container reports whether a plan decodes the values within the type, one by one.
func (n *jsonNode) container() bool {
	switch n.op {
	case jsonStruct, jsonSlice, jsonArray, jsonMap, jsonPointer:
		return true
	}
	return false
}

// into and intoElement begin a step of the path, and out ends it. Of a value that cannot be decoded the steps remain.
func (d *jsonTaker) into(step, name string) {
	if d.explains {
		d.path = append(d.path, step+name)
	}
}

func (d *jsonTaker) intoElement(i int) {
	if d.explains {
		d.path = append(d.path, fmt.Sprintf("[%d]", i))
	}
}

func (d *jsonTaker) out() {
	if d.explains {
		d.path = d.path[:len(d.path)-1]
	}
}
