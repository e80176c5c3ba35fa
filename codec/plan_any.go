package codec

import (
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"time"
	"unsafe"

	"github.com/sessionkv/store/internal/scalar"
	"github.com/vmihailenco/msgpack/v5"
)

// any decodes a value without a Go type to decode into. Of each kind of value it makes what the library makes
// of it, with one exception. A map with other keys than strings becomes a map[any]any, where the library fails.
func (d *taker) any(n *node) (any, error) {
	if d.pos >= len(d.data) {
		return nil, d.wrong(n)
	}
	c, rest := d.data[d.pos], d.data[d.pos+1:]
	switch {
	case c <= scalar.PosFixHigh || c >= scalar.NegFixLow:
		d.pos++
		return int8(c), nil
	case c <= scalar.FixMapHigh:
		return d.untypedMap(n)
	case c <= scalar.FixArrayHigh:
		return d.untypedArray(n)
	case c <= scalar.FixStrHigh:
		return d.string(n)
	}
	size := 0
	if s := shapes[c-0xc0]; s.what == fixed {
		if size = int(s.size); size > len(rest) {
			return nil, d.short()
		}
	}
	var x any
	switch c {
	case scalar.Nil:
	case scalar.False:
		x = false
	case scalar.True:
		x = true
	case scalar.Float32:
		x = math.Float32frombits(binary.BigEndian.Uint32(rest))
	case scalar.Float64:
		x = math.Float64frombits(binary.BigEndian.Uint64(rest))
	case scalar.Uint8:
		x = rest[0]
	case scalar.Uint16:
		x = binary.BigEndian.Uint16(rest)
	case scalar.Uint32:
		x = binary.BigEndian.Uint32(rest)
	case scalar.Uint64:
		x = binary.BigEndian.Uint64(rest)
	case scalar.Int8:
		x = int8(rest[0])
	case scalar.Int16:
		x = int16(binary.BigEndian.Uint16(rest))
	case scalar.Int32:
		x = int32(binary.BigEndian.Uint32(rest))
	case scalar.Int64:
		x = int64(binary.BigEndian.Uint64(rest))
	case scalar.Str8, scalar.Str16, scalar.Str32:
		return d.string(n)
	case scalar.Bin8, scalar.Bin16, scalar.Bin32:
		b, _, err := d.body(n)
		if err != nil {
			return nil, err
		}
		return append(make([]byte, 0, len(b)), b...), nil
	case scalar.Array16, scalar.Array32:
		return d.untypedArray(n)
	case scalar.Map16, scalar.Map32:
		return d.untypedMap(n)
	case scalar.Unused:
		return nil, d.wrong(n)
	default:
		return d.untypedExtension(n)
	}
	d.pos += 1 + size
	return x, nil
}

func (d *taker) untypedArray(n *node) (any, error) {
	count, _, err := d.arrayLength(n)
	if err != nil {
		return nil, err
	}
	list := make([]any, count)
	for i := range list {
		d.owed--
		if list[i], err = d.any(n); err != nil {
			return nil, within(err, fmt.Sprintf("[%d]", i))
		}
	}
	d.depth--
	return list, nil
}

func (d *taker) untypedMap(n *node) (any, error) {
	count, _, err := d.mapLength(n)
	if err != nil {
		return nil, err
	}
	m := make(map[string]any, count)
	for i := range count {
		c := byte(scalar.Nil)
		if d.pos < len(d.data) {
			c = d.data[d.pos]
		}
		if !(c >= scalar.FixStrLow && c <= scalar.FixStrHigh) && !(c >= scalar.Str8 && c <= scalar.Str32) {
			return d.mapOfAnyKeys(n, m, count-i)
		}
		d.owed -= 2
		k, err := d.string(n)
		if err != nil {
			return nil, within(err, "[key]")
		}
		if m[k], err = d.any(n); err != nil {
			return nil, within(err, "[]")
		}
	}
	d.depth--
	return m, nil
}

// mapOfAnyKeys goes on with a map whose keys turned out not to be strings.
func (d *taker) mapOfAnyKeys(n *node, strings map[string]any, count int) (any, error) {
	m := make(map[any]any, len(strings)+count)
	for k, v := range strings {
		m[k] = v
	}
	for range count {
		d.owed -= 2
		k, err := d.any(n)
		if err != nil {
			return nil, within(err, "[key]")
		}
		if k != nil && !reflect.ValueOf(k).Comparable() {
			return nil, &fault{why: fmt.Sprintf("a key of a map is a %T, which cannot be one", k)}
		}
		if m[k], err = d.any(n); err != nil {
			return nil, within(err, "[]")
		}
	}
	d.depth--
	return m, nil
}

// untypedExtension decodes times; the types of other extensions are registered with the library.
func (d *taker) untypedExtension(n *node) (any, error) {
	id, _, _, err := d.extension()
	if err != nil {
		return nil, err
	}
	if id == scalar.ExtTime || id == scalar.ExtGeneratedTime {
		return d.foreignTime(n)
	}
	var x any
	err = d.withLibrary(func(dec *msgpack.Decoder) (err error) {
		x, err = dec.DecodeInterface()
		return err
	})
	return x, err
}

// extension looks at the extension at pos and returns its type, its body and the position behind it.
func (d *taker) extension() (id int8, body []byte, end int, err error) {
	s := shapes[d.data[d.pos]-0xc0]
	at := d.pos + 1 + int(s.size)
	if at >= len(d.data) {
		return 0, nil, 0, d.short()
	}
	n := 1 << (d.data[d.pos] - scalar.FixExt1)
	if s.what == extension {
		n = announced(d.data[d.pos+1 : at])
	}
	if n < 0 || n > len(d.data)-at-1 {
		return 0, nil, 0, d.malformed("extension cut short")
	}
	return int8(d.data[at]), d.data[at+1 : at+1+n], at + 1 + n, nil
}

// foreignTime reads the times that are not written by this package: those of tinylib/msgp, of
// older versions of the library and of JavaScript, and text.
func (d *taker) foreignTime(n *node) (time.Time, error) {
	c := d.data[d.pos]
	switch {
	case isExtension(c):
		id, body, end, err := d.extension()
		if err != nil {
			return time.Time{}, err
		}
		var sec, nanos int64
		switch {
		case id != scalar.ExtTime && id != scalar.ExtNodeJSTime && id != scalar.ExtGeneratedTime:
			return time.Time{}, &fault{why: fmt.Sprintf("found an extension of type %d, which is no time", id)}
		case id == scalar.ExtGeneratedTime && len(body) == 12:
			sec, nanos = int64(binary.BigEndian.Uint64(body)), int64(int32(binary.BigEndian.Uint32(body[8:])))
		case id != scalar.ExtGeneratedTime && len(body) == 4:
			sec = int64(binary.BigEndian.Uint32(body))
		case id != scalar.ExtGeneratedTime && len(body) == 8:
			both := binary.BigEndian.Uint64(body)
			sec, nanos = int64(both&(1<<34-1)), int64(both>>34)
		case id != scalar.ExtGeneratedTime && len(body) == 12:
			sec, nanos = int64(binary.BigEndian.Uint64(body[4:])), int64(binary.BigEndian.Uint32(body))
		default:
			return time.Time{}, &fault{why: fmt.Sprintf("found a time of %d bytes", len(body))}
		}
		d.pos = end
		t := time.Unix(sec, nanos)
		if t.IsZero() {
			t = t.UTC()
		}
		return t, nil
	case c == scalar.FixArrayLow|2:
		d.pos++
		sec, high, err := d.integer(n)
		if err != nil || high {
			return time.Time{}, d.wrong(n)
		}
		nanos, high, err := d.integer(n)
		if err != nil || high {
			return time.Time{}, d.wrong(n)
		}
		return time.Unix(sec, nanos), nil
	case c >= scalar.FixStrLow && c <= scalar.FixStrHigh, c >= scalar.Str8 && c <= scalar.Str32:
		b, _, err := d.body(n)
		if err != nil {
			return time.Time{}, err
		}
		t, err := time.Parse(time.RFC3339Nano, string(b))
		if err != nil {
			return time.Time{}, &fault{why: "found a string that is no time of RFC 3339", err: err}
		}
		return t, nil
	}
	return time.Time{}, d.wrong(n)
}

// interfaceWithMethods decodes into an interface that only registered extensions may implement.
func (d *taker) interfaceWithMethods(n *node, p unsafe.Pointer) error {
	x, err := d.any(n)
	if err != nil {
		return err
	}
	v := reflect.NewAt(n.typ, hide(p)).Elem()
	if x == nil {
		v.SetZero()
		return nil
	}
	if !reflect.TypeOf(x).Implements(n.typ) {
		return &fault{why: fmt.Sprintf("found a %T, which is no %v", x, shortType(n.typ))}
	}
	v.Set(reflect.ValueOf(x))
	return nil
}

// byLibrary decodes what only the library can.
func (d *taker) byLibrary(n *node, p unsafe.Pointer) error {
	return d.withLibrary(func(dec *msgpack.Decoder) error { return dec.DecodeValue(reflect.NewAt(n.typ, p).Elem()) })
}

// withLibrary calls f with a decoder of the library that reads on from pos. All of the data is walked before
// the first call, because the library trusts the lengths in it.
func (d *taker) withLibrary(f func(*msgpack.Decoder) error) error {
	if d.reader == nil {
		r := readers.Get().(*reader)
		if err := r.reset(d.data); err != nil {
			r.release()
			return &fault{why: err.Error()}
		}
		d.reader = r
	}
	d.reader.pos, d.reader.index = d.pos, false
	dec := decoders.Get().(*msgpack.Decoder)
	dec.Reset(d.reader)
	if d.jsonTags {
		dec.SetCustomStructTag("json")
	}
	err := guard(func() error { return f(dec) })
	d.pos = d.reader.pos
	if err != nil {
		// The decoder is not reused: after a failure it may hold on to what it recorded.
		return &fault{why: "decoding failed with " + cause(err), err: err}
	}
	if len(d.data) <= keep {
		dec.Reset(nil)
		decoders.Put(dec)
	}
	return nil
}

// skip passes over one value.
func (d *taker) skip() error {
	for missing := 1; missing > 0; missing-- {
		if d.pos >= len(d.data) {
			return d.malformed("elements missing")
		}
		c := d.data[d.pos]
		switch {
		case c <= scalar.PosFixHigh || c >= scalar.NegFixLow:
			d.pos++
			continue
		case c <= scalar.FixMapHigh:
			missing += 2 * int(c&0x0f)
			d.pos++
			continue
		case c <= scalar.FixArrayHigh:
			missing += int(c & 0x0f)
			d.pos++
			continue
		case c <= scalar.FixStrHigh:
			if n := 1 + int(c&0x1f); n <= len(d.data)-d.pos {
				d.pos += n
				continue
			}
			return d.short()
		}
		s := shapes[c-0xc0]
		if s.what == invalid {
			return d.malformed(fmt.Sprintf("invalid code 0x%x", c))
		}
		left := len(d.data) - d.pos - 1 - int(s.size)
		if left < 0 {
			return d.short()
		}
		n := 0
		switch s.what {
		case body, array, mapping, extension:
			n = announced(d.data[d.pos+1 : d.pos+1+int(s.size)])
		case fixedExtension:
			n = 1 << (c - scalar.FixExt1)
		}
		if n < 0 || n > left {
			return d.malformed("more announced than there is")
		}
		d.pos += 1 + int(s.size)
		switch s.what {
		case body:
			d.pos += n
		case array:
			missing += n
		case mapping:
			missing += 2 * n
		case extension, fixedExtension:
			if n+1 > left {
				return d.malformed("extension cut short")
			}
			d.pos += n + 1
		}
		if missing > len(d.data)-d.pos+1 {
			return d.malformed("more announced than there is")
		}
	}
	return nil
}
