package codec

import (
	"reflect"
	"sync"

	"github.com/vmihailenco/msgpack/v5"
)

type msgpackCodec struct{}

func (msgpackCodec) Name() string { return "msgpack" }

func (c msgpackCodec) Append(dst []byte, v any) ([]byte, error) {
	p, err := target(c, v)
	if err != nil {
		return dst, err
	}
	if out, ok := appendMsgpackScalar(dst, v); ok {
		return out, nil
	}
	switch planOf(p.Type().Elem()).generated {
	case onPointer:
		return appendGenerated(dst, v.(generatedCodec))
	case onElement:
		if p.Elem().IsNil() {
			return append(dst, codeNil), nil
		}
		return appendGenerated(dst, p.Elem().Interface().(generatedCodec))
	}
	return appendMsgpack(dst, v)
}

func (c msgpackCodec) Decode(data []byte, v any) error {
	p, err := target(c, v)
	if err != nil {
		return err
	}
	if decodeMsgpackScalar(data, v) {
		return nil
	}
	if t := p.Type().Elem(); t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64 && planOf(t).msgpackBasic {
		if decodeMsgpackScalar(data, basic(t.Kind(), p.UnsafePointer())) {
			return nil
		}
		if isInteger(data) {
			return decodeError(c, v, describeMsgpack(data), errOverflow)
		}
	}
	r := readers.Get().(*reader)
	defer r.release()
	if err := r.reset(data); err != nil {
		return decodeError(c, v, describeMsgpack(data), err)
	}
	switch planOf(p.Type().Elem()).generated {
	case onPointer:
		return decodeGenerated(data, v, v.(generatedCodec))
	case onElement:
		if len(data) == 1 && data[0] == codeNil {
			p.Elem().SetZero()
			return nil
		}
		if p.Elem().IsNil() {
			p.Elem().Set(reflect.New(p.Type().Elem().Elem()))
		}
		return decodeGenerated(data, v, p.Elem().Interface().(generatedCodec))
	}
	return decodeMsgpack(r, v)
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

func appendMsgpack(dst []byte, v any) ([]byte, error) {
	e := encoders.Get().(*encoder)
	e.out = dst
	e.enc.Reset(e) // also undoes options that a custom encoder set
	err := e.enc.Encode(v)
	out := e.out
	e.out = nil
	if err != nil {
		return dst, encodeError(msgpackCodec{}, v, err)
	}
	if len(out)-len(dst) <= keep {
		e.enc.Reset(nil)
		encoders.Put(e)
	}
	return out, nil
}

var decoders = sync.Pool{New: func() any { return msgpack.NewDecoder(nil) }}

func decodeMsgpack(r *reader, v any) error {
	d := decoders.Get().(*msgpack.Decoder)
	d.Reset(r)
	err := guard(func() error { return d.Decode(v) })
	if err == nil && r.pos != len(r.data) {
		err = &trailingError{len(r.data) - r.pos}
	}
	if err != nil {
		// The decoder is not reused: after a failure it may hold on to what it recorded.
		return decodeError(msgpackCodec{}, v, describeMsgpack(r.data), err)
	}
	if len(r.data) <= keep {
		d.Reset(nil)
		decoders.Put(d)
	}
	return nil
}

func appendGenerated(dst []byte, m generatedCodec) ([]byte, error) {
	out, err := m.MarshalMsg(dst[len(dst):])
	if err != nil {
		return dst, encodeError(msgpackCodec{}, m, err)
	}
	return appendedTo(dst, out), nil
}

func decodeGenerated(data []byte, v any, m generatedCodec) error {
	var rest []byte
	err := guard(func() (err error) {
		rest, err = m.UnmarshalMsg(data)
		return err
	})
	if err == nil && len(rest) > 0 {
		err = &trailingError{len(rest)}
	}
	if err != nil {
		return decodeError(msgpackCodec{}, v, describeMsgpack(data), err)
	}
	return nil
}
