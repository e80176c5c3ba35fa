package codec

import (
	"reflect"
	"sync"
	"unsafe"

	"github.com/sessionkv/store/internal/scalar"
	"github.com/vmihailenco/msgpack/v5"
)

// msgpackCodec holds options. (A codec of one byte becomes an interface without an allocation.)
type msgpackCodec uint8

const (
	jsonTags = 1 << iota // json tags count where there are no msgpack tags
	strict               // fields that a struct does not have are errors
)

func (c msgpackCodec) jsonTags() bool { return c&jsonTags != 0 }
func (c msgpackCodec) strict() bool   { return c&strict != 0 }

func (msgpackCodec) Name() string { return "msgpack" }

// Scalars lets the store decode scalars directly.
func (msgpackCodec) Scalars() scalar.Format { return scalar.Msgpack }

func (c msgpackCodec) Append(dst []byte, v any) ([]byte, error) {
	p, err := target(c, v)
	if err != nil {
		return dst, err
	}
	if out, ok := scalar.AppendMsgpack(dst, v); ok {
		return out, nil
	}
	pl := planOf(p.Type().Elem())
	switch pl.generated {
	case onPointer:
		return appendGenerated(dst, v.(generatedCodec))
	case onElement:
		if p.Elem().IsNil() {
			return append(dst, scalar.Nil), nil
		}
		return appendGenerated(dst, p.Elem().Interface().(generatedCodec))
	}
	return c.append(dst, pl.program(c.jsonTags()), p.UnsafePointer())
}

func (c msgpackCodec) Decode(data []byte, v any) error {
	p, err := target(c, v)
	if err != nil {
		return err
	}
	if scalar.DecodeMsgpack(data, v) {
		return nil
	}
	pl := planOf(p.Type().Elem())
	switch pl.generated {
	case onPointer:
		return c.decodeGenerated(data, pl, p, v.(generatedCodec))
	case onElement:
		if p.Elem().IsNil() && !(len(data) == 1 && data[0] == scalar.Nil) {
			p.Elem().Set(reflect.New(pl.typ.Elem()))
		}
		if !p.Elem().IsNil() {
			return c.decodeGenerated(data, pl, p, p.Elem().Interface().(generatedCodec))
		}
	}
	return c.decode(data, pl.program(c.jsonTags()), p.UnsafePointer())
}

// append appends the value at p by the program. p is kept only if that is not direct.
func (c msgpackCodec) append(dst []byte, prog *program, p unsafe.Pointer) ([]byte, error) {
	if prog.refusal != nil {
		return dst, encodeError(c, prog.root.typ, prog.refusal.error(prog.root.typ))
	}
	a := appender{jsonTags: c.jsonTags()}
	var out []byte
	var err error
	if prog.root.op == opStruct {
		out, err = a.appendStruct(dst, prog.root, p)
	} else {
		out, err = a.append(dst, prog.root, p)
	}
	if err == nil && !prog.library {
		if len(out) == len(dst)+1 && out[len(dst)] == scalar.Nil && !prog.root.storesNil() {
			return dst, encodeError(c, prog.root.typ, errNilEncoded)
		}
		if a.foreign {
			return c.checkForeign(dst, out, prog)
		}
		return out, nil
	}
	return c.appendedBadly(dst, prog, p, err)
}

// checkForeign refuses what the decoder would refuse before a custom decoder sees it: values that are incomplete or nested too deep.
func (c msgpackCodec) checkForeign(dst, out []byte, prog *program) ([]byte, error) {
	if _, err := walk(out, len(dst), len(out), 0, nil); err != nil {
		err := &fault{why: "what a method or function of the program writes cannot be read: " + err.Error()}
		return dst, encodeError(c, prog.root.typ, within(err, typeName(prog.root.typ)))
	}
	return out, nil
}

// appendedBadly deals with what the program alone cannot encode.
func (c msgpackCodec) appendedBadly(dst []byte, prog *program, p unsafe.Pointer, err error) ([]byte, error) {
	if err == nil || err == errWholeByLibrary {
		// The program has made sure that the value ends and has no unsuitable types.
		var out []byte
		if out, err = appendByLibrary(dst, prog.root, hide(p), c.jsonTags(), false); err == nil {
			return c.checkForeign(dst, out, prog)
		}
	}
	return dst, encodeError(c, prog.root.typ, within(err, typeName(prog.root.typ)))
}

// decode decodes data into the value at p by the program. p is kept only if that is not direct.
func (c msgpackCodec) decode(data []byte, prog *program, p unsafe.Pointer) (err error) {
	t := prog.root.typ
	if prog.refusal != nil && !prog.refusal.reads {
		return decodeError(c, t, describeMsgpack(data), prog.refusal.error(t))
	}
	if len(data) == 1 && data[0] == scalar.Nil && !prog.root.storesNil() {
		return decodeError(c, t, "nil", errNil)
	}
	d := taker{data: data, jsonTags: c.jsonTags(), strict: c.strict()}
	defer func() {
		if x := recover(); x != nil {
			err = decodeError(c, t, describeMsgpack(data), &panicError{x})
		}
		if d.reader != nil {
			d.reader.release()
		}
	}()
	switch {
	case prog.library:
		err = d.byLibrary(prog.root, hide(p))
	case prog.root.op == opStruct:
		err = d.structure(prog.root, p)
	default:
		err = d.value(prog.root, p)
	}
	if err == nil && d.pos != len(data) {
		err = &trailingError{len(data) - d.pos}
	}
	if err != nil {
		return decodeError(c, t, describeMsgpack(data), within(err, typeName(t)))
	}
	return nil
}

// storesNil reports whether nil is the encoding of a value that may be stored, not only of a pointer or interface.
func (n *node) storesNil() bool {
	switch n.op {
	case opBytes, opSlice, opStrings, opMap, opMapStringString, opMapStringAny:
		return true
	case opMarshaler, opLibrary:
		return n.null()
	}
	return false
}

// zeroIsNil reports whether the zero value of n's type, which has methods or functions of its own, is encoded as nil.
func (n *node) zeroIsNil() bool {
	v := reflect.New(n.typ)
	a := appender{}
	b, err := a.append(nil, n, v.UnsafePointer())
	return err != nil || len(b) == 1 && b[0] == scalar.Nil
}

// keep is the largest amount of data after which the buffers of an encoder or
// decoder are worth keeping.
const keep = 64 << 10

// An encoder appends what the library writes to out.
type encoder struct {
	out []byte
	enc *msgpack.Encoder
}

func (e *encoder) Write(p []byte) (int, error) {
	e.out = append(e.out, p...)
	return len(p), nil
}

func (e *encoder) WriteByte(b byte) error {
	e.out = append(e.out, b)
	return nil
}

var encoders = sync.Pool{New: func() any { return &encoder{enc: msgpack.NewEncoder(nil)} }}

var decoders = sync.Pool{New: func() any { return msgpack.NewDecoder(nil) }}

func appendGenerated(dst []byte, m generatedCodec) ([]byte, error) {
	out, err := m.MarshalMsg(dst[len(dst):])
	if err != nil {
		return dst, encodeError(msgpackCodec(0), reflect.TypeOf(m).Elem(), err)
	}
	return appendedTo(dst, out), nil
}

// decodeGenerated decodes through generated methods, and where those fail as for a type without: the
// data may have been written before it had them.
func (c msgpackCodec) decodeGenerated(data []byte, pl *plan, p reflect.Value, m generatedCodec) error {
	var rest []byte
	err := guard(func() (err error) {
		rest, err = m.UnmarshalMsg(data)
		return err
	})
	if err == nil && len(rest) > 0 {
		err = &trailingError{len(rest)}
	}
	if err == nil {
		return nil
	}
	p.Elem().SetZero()
	if c.decode(data, pl.program(c.jsonTags()), p.UnsafePointer()) == nil {
		return nil
	}
	p.Elem().SetZero()
	return decodeError(c, pl.typ, describeMsgpack(data), err)
}
