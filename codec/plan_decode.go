package codec

import (
	"encoding"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"time"
	"unsafe"

	"github.com/sessionkv/store/internal/scalar"
)

// A taker is the state of decoding one value.
//
// What containers announce is bounded by what the data can hold. owed counts the elements that are still to come
// in all open containers. Each takes at least a byte. Room is made for no more elements altogether than the data
// has bytes.
type taker struct {
	data     []byte
	pos      int
	owed     int
	depth    int // containers open
	hops     int // pointers followed, which leave no trace in the data
	strict   bool
	jsonTags bool
	reader   *reader // for the library, once it was needed
}

func (d *taker) malformed(why string) error {
	return &fault{why: (&walkError{d.pos, why}).Error()}
}

func (d *taker) short() error { return d.malformed("value cut short") }

// wrong returns the error that the value at pos does not fit n.
func (d *taker) wrong(n *node) error {
	if d.pos >= len(d.data) {
		return &fault{why: "found nothing", err: io.ErrUnexpectedEOF}
	}
	if d.data[d.pos] == scalar.Unused {
		return d.malformed("invalid code 0xc1")
	}
	return &fault{why: fmt.Sprintf("found %s, which is no %v", describeMsgpack(d.data[d.pos:]), shortType(n.typ))}
}

// integer reads an integer. high says that it lies above the range of an int64 (and n is its bits).
func (d *taker) integer(n *node) (v int64, high bool, err error) {
	if d.pos >= len(d.data) {
		return 0, false, d.wrong(n)
	}
	c, rest := d.data[d.pos], d.data[d.pos+1:]
	switch {
	case c <= scalar.PosFixHigh || c >= scalar.NegFixLow:
		d.pos++
		return int64(int8(c)), false, nil
	case c == scalar.Int64 && len(rest) >= 8:
		d.pos += 9
		return int64(binary.BigEndian.Uint64(rest)), false, nil
	case c == scalar.Uint64 && len(rest) >= 8:
		d.pos += 9
		v = int64(binary.BigEndian.Uint64(rest))
		return v, v < 0, nil
	case c == scalar.Uint8 && len(rest) >= 1:
		d.pos += 2
		return int64(rest[0]), false, nil
	case c == scalar.Int8 && len(rest) >= 1:
		d.pos += 2
		return int64(int8(rest[0])), false, nil
	case c == scalar.Uint16 && len(rest) >= 2:
		d.pos += 3
		return int64(binary.BigEndian.Uint16(rest)), false, nil
	case c == scalar.Int16 && len(rest) >= 2:
		d.pos += 3
		return int64(int16(binary.BigEndian.Uint16(rest))), false, nil
	case c == scalar.Uint32 && len(rest) >= 4:
		d.pos += 5
		return int64(binary.BigEndian.Uint32(rest)), false, nil
	case c == scalar.Int32 && len(rest) >= 4:
		d.pos += 5
		return int64(int32(binary.BigEndian.Uint32(rest))), false, nil
	case c == scalar.Nil:
		d.pos++
		return 0, false, nil
	case c >= scalar.Uint8 && c <= scalar.Int64:
		return 0, false, d.short()
	}
	return 0, false, d.wrong(n)
}

func doesNotFit(v int64, high bool, n *node) error {
	if high {
		return &fault{why: fmt.Sprintf("found %d, does not fit %v", uint64(v), shortType(n.typ)), err: errOverflow}
	}
	return &fault{why: fmt.Sprintf("found %d, does not fit %v", v, shortType(n.typ)), err: errOverflow}
}

// signed reads an integer of so many bits.
func (d *taker) signed(n *node, bits uint) (int64, error) {
	v, high, err := d.integer(n)
	if err != nil {
		return 0, err
	}
	if s := 64 - bits; high || v<<s>>s != v {
		return 0, doesNotFit(v, high, n)
	}
	return v, nil
}

// unsigned reads an integer of so many bits that is not negative.
func (d *taker) unsigned(n *node, bits uint) (uint64, error) {
	v, high, err := d.integer(n)
	if err != nil {
		return 0, err
	}
	if s := 64 - bits; !high && v < 0 || uint64(v)<<s>>s != uint64(v) {
		return 0, doesNotFit(v, high, n)
	}
	return uint64(v), nil
}

func (d *taker) float64(n *node) (float64, error) {
	if d.pos < len(d.data) {
		rest := d.data[d.pos+1:]
		switch d.data[d.pos] {
		case scalar.Float64:
			if len(rest) < 8 {
				return 0, d.short()
			}
			d.pos += 9
			return math.Float64frombits(binary.BigEndian.Uint64(rest)), nil
		case scalar.Float32:
			if len(rest) < 4 {
				return 0, d.short()
			}
			d.pos += 5
			return float64(math.Float32frombits(binary.BigEndian.Uint32(rest))), nil
		}
	}
	v, high, err := d.integer(n)
	if err != nil {
		return 0, err
	}
	f := float64(v)
	if high {
		f = float64(uint64(v))
	}
	if !scalar.ExactFloat(f, v, high) {
		return 0, doesNotFit(v, high, n)
	}
	return f, nil
}

func (d *taker) float32(n *node) (float32, error) {
	if d.pos < len(d.data) {
		rest := d.data[d.pos+1:]
		switch d.data[d.pos] {
		case scalar.Float32:
			if len(rest) < 4 {
				return 0, d.short()
			}
			d.pos += 5
			return math.Float32frombits(binary.BigEndian.Uint32(rest)), nil
		case scalar.Float64:
			if len(rest) < 8 {
				return 0, d.short()
			}
			f := math.Float64frombits(binary.BigEndian.Uint64(rest))
			if g := float32(f); float64(g) != f && f == f {
				return 0, &fault{why: fmt.Sprintf("found a float of 64 bits, does not fit %v", shortType(n.typ)), err: errOverflow}
			}
			d.pos += 9
			return float32(f), nil
		}
	}
	v, high, err := d.integer(n)
	if err != nil {
		return 0, err
	}
	f := float32(v)
	if high {
		f = float32(uint64(v))
	}
	if !scalar.ExactFloat(float64(f), v, high) {
		return 0, doesNotFit(v, high, n)
	}
	return f, nil
}

// body reads a string or binary data; null says that it was nil.
func (d *taker) body(n *node) (b []byte, null bool, err error) {
	if d.pos >= len(d.data) {
		return nil, false, d.wrong(n)
	}
	c, rest := d.data[d.pos], d.data[d.pos+1:]
	size, head := 0, 0
	switch c {
	case scalar.Str8, scalar.Bin8:
		if len(rest) < 1 {
			return nil, false, d.short()
		}
		size, head = int(rest[0]), 1
	case scalar.Str16, scalar.Bin16:
		if len(rest) < 2 {
			return nil, false, d.short()
		}
		size, head = int(binary.BigEndian.Uint16(rest)), 2
	case scalar.Str32, scalar.Bin32:
		if len(rest) < 4 {
			return nil, false, d.short()
		}
		size, head = int(binary.BigEndian.Uint32(rest)), 4
	case scalar.Nil:
		d.pos++
		return nil, true, nil
	default:
		if c < scalar.FixStrLow || c > scalar.FixStrHigh {
			return nil, false, d.wrong(n)
		}
		size = int(c & 0x1f)
	}
	if size < 0 || size > len(rest)-head {
		return nil, false, d.malformed("value longer than the data")
	}
	d.pos += 1 + head + size
	return rest[head : head+size : head+size], false, nil
}

// string reads a string, which shares the memory of the data.
func (d *taker) string(n *node) (string, error) {
	if s, end := shortAt(d.data, d.pos); end > 0 {
		d.pos = end
		return s, nil
	}
	return d.longString(n)
}

// shortAt returns the string at pos and where it ends, if it is one of at most 31 bytes; otherwise 0. It is inlined.
func shortAt(data []byte, pos int) (s string, end int) {
	if pos < len(data) && data[pos]>>5 == scalar.FixStrLow>>5 {
		if n := int(data[pos] & 0x1f); pos+n < len(data) {
			return unsafe.String(unsafe.SliceData(data[pos+1:]), n), pos + 1 + n
		}
	}
	return "", 0
}

//go:noinline
func (d *taker) longString(n *node) (string, error) {
	b, _, err := d.body(n)
	if err != nil {
		return "", err
	}
	return unsafe.String(unsafe.SliceData(b), len(b)), nil
}

// length reads how many elements an array (or entries a map) has, and opens the container. null says
// that there was nil instead.
func (d *taker) length(n *node, fixed byte, code16 byte) (count int, null bool, err error) {
	if d.pos >= len(d.data) {
		return 0, false, d.wrong(n)
	}
	c, rest := d.data[d.pos], d.data[d.pos+1:]
	head := 1
	switch {
	case c&0xf0 == fixed:
		count = int(c & 0x0f)
	case c == scalar.Nil:
		d.pos++
		return 0, true, nil
	case c == code16:
		if len(rest) < 2 {
			return 0, false, d.short()
		}
		count, head = int(binary.BigEndian.Uint16(rest)), 3
	case c == code16+1:
		if len(rest) < 4 {
			return 0, false, d.short()
		}
		count, head = int(binary.BigEndian.Uint32(rest)), 5
	default:
		return 0, false, d.wrong(n)
	}
	values := count
	if fixed == scalar.FixMapLow {
		values *= 2
	}
	if left := len(d.data) - d.pos - head - d.owed; count < 0 || values < count || values > left {
		return 0, false, d.malformed("more announced than there is")
	}
	if d.depth++; d.depth > maxDepth {
		return 0, false, d.malformed(fmt.Sprintf("nesting deeper than %d", maxDepth))
	}
	d.pos += head
	d.owed += values
	return count, false, nil
}

func (d *taker) arrayLength(n *node) (int, bool, error) {
	return d.length(n, scalar.FixArrayLow, scalar.Array16)
}

func (d *taker) mapLength(n *node) (int, bool, error) {
	return d.length(n, scalar.FixMapLow, scalar.Map16)
}

// value decodes into the memory at p, whose type is n's.
func (d *taker) value(n *node, p unsafe.Pointer) error {
	switch n.op {
	case opBool:
		if d.pos >= len(d.data) {
			return d.wrong(n)
		}
		switch d.data[d.pos] {
		case scalar.True:
			*(*bool)(p) = true
		case scalar.False, scalar.Nil:
			*(*bool)(p) = false
		default:
			return d.wrong(n)
		}
		d.pos++
	case opInt:
		v, err := d.signed(n, intBits)
		if err != nil {
			return err
		}
		*(*int)(p) = int(v)
	case opInt8:
		v, err := d.signed(n, 8)
		if err != nil {
			return err
		}
		*(*int8)(p) = int8(v)
	case opInt16:
		v, err := d.signed(n, 16)
		if err != nil {
			return err
		}
		*(*int16)(p) = int16(v)
	case opInt32:
		v, err := d.signed(n, 32)
		if err != nil {
			return err
		}
		*(*int32)(p) = int32(v)
	case opInt64:
		v, err := d.signed(n, 64)
		if err != nil {
			return err
		}
		*(*int64)(p) = v
	case opUint:
		v, err := d.unsigned(n, intBits)
		if err != nil {
			return err
		}
		*(*uint)(p) = uint(v)
	case opUint8:
		v, err := d.unsigned(n, 8)
		if err != nil {
			return err
		}
		*(*uint8)(p) = uint8(v)
	case opUint16:
		v, err := d.unsigned(n, 16)
		if err != nil {
			return err
		}
		*(*uint16)(p) = uint16(v)
	case opUint32:
		v, err := d.unsigned(n, 32)
		if err != nil {
			return err
		}
		*(*uint32)(p) = uint32(v)
	case opUint64:
		v, err := d.unsigned(n, 64)
		if err != nil {
			return err
		}
		*(*uint64)(p) = v
	case opFloat32:
		v, err := d.float32(n)
		if err != nil {
			return err
		}
		*(*float32)(p) = v
	case opFloat64:
		v, err := d.float64(n)
		if err != nil {
			return err
		}
		*(*float64)(p) = v
	case opString:
		s, err := d.string(n)
		if err != nil {
			return err
		}
		*(*string)(p) = s
	case opTime:
		t, err := d.time(n)
		if err != nil {
			return err
		}
		*(*time.Time)(p) = t
	case opBytes:
		b, null, err := d.body(n)
		if err != nil {
			return err
		}
		if null {
			*(*[]byte)(p) = nil
		} else {
			*(*[]byte)(p) = append(make([]byte, 0, len(b)), b...)
		}
	case opByteArray:
		b, _, err := d.body(n)
		if err != nil {
			return err
		}
		if len(b) > n.length {
			return &fault{why: fmt.Sprintf("found %d bytes, more than a %v holds", len(b), shortType(n.typ))}
		}
		copy(unsafe.Slice((*byte)(p), n.length), b)
	case opStruct:
		return d.structure(n, p)
	case opStrings:
		return d.strings(n, (*[]string)(p))
	case opSlice:
		return d.slice(n, p)
	case opArray:
		return d.array(n, p)
	case opMapStringString:
		return d.mapStringString(n, (*map[string]string)(p))
	case opMapStringAny:
		return d.mapStringAny(n, (*map[string]any)(p))
	case opMap:
		return d.mapping(n, p)
	case opPointer:
		return d.pointer(n, p)
	case opAny:
		x, err := d.any(n)
		if err != nil {
			return err
		}
		*(*any)(p) = x
	case opError:
		b, null, err := d.body(n)
		switch {
		case err != nil:
			return err
		case null:
			*(*error)(p) = nil
		default:
			*(*error)(p) = errors.New(string(b))
		}
	case opInterface:
		return d.interfaceWithMethods(n, p)
	case opMarshaler:
		return d.unmarshaler(n, hide(p))
	case opLibrary:
		return d.byLibrary(n, hide(p))
	default:
		return n.refusal.fault()
	}
	return nil
}

const intBits = 32 << (^uint(0) >> 63)

func (d *taker) strings(n *node, p *[]string) error {
	count, null, err := d.arrayLength(n)
	if err != nil || null {
		if err == nil {
			*p = nil
		}
		return err
	}
	s := make([]string, count)
	for i := range s {
		d.owed--
		if short, end := shortAt(d.data, d.pos); end > 0 {
			s[i], d.pos = short, end
		} else if s[i], err = d.longString(n.elem); err != nil {
			return within(err, fmt.Sprintf("[%d]", i))
		}
	}
	d.depth--
	*p = s
	return nil
}

func (d *taker) slice(n *node, p unsafe.Pointer) error {
	count, null, err := d.arrayLength(n)
	if err != nil {
		return err
	}
	h := (*sliceHeader)(p)
	*h = sliceHeader{}
	if null {
		return nil
	}
	v := reflect.NewAt(n.typ, hide(p)).Elem()
	if count == 0 {
		v.Set(reflect.MakeSlice(n.typ, 0, 0))
	} else {
		v.Grow(count)
		v.SetLen(count)
	}
	if err := d.elements(n, h.data, count); err != nil {
		*h = sliceHeader{}
		return err
	}
	return nil
}

func (d *taker) elements(n *node, p unsafe.Pointer, count int) error {
	if n.elem.op == opStruct {
		for i := range count {
			d.owed--
			if err := d.structure(n.elem, unsafe.Add(p, uintptr(i)*n.size)); err != nil {
				return within(err, fmt.Sprintf("[%d]", i))
			}
		}
	} else {
		for i := range count {
			d.owed--
			if err := d.value(n.elem, unsafe.Add(p, uintptr(i)*n.size)); err != nil {
				return within(err, fmt.Sprintf("[%d]", i))
			}
		}
	}
	d.depth--
	return nil
}

func (d *taker) array(n *node, p unsafe.Pointer) error {
	count, null, err := d.arrayLength(n)
	if err != nil || null {
		return err
	}
	if count > n.length {
		return &fault{why: fmt.Sprintf("found %d elements, more than a %v holds", count, shortType(n.typ))}
	}
	return d.elements(n, p, count)
}

func (d *taker) pointer(n *node, p unsafe.Pointer) error {
	if d.pos < len(d.data) && d.data[d.pos] == scalar.Nil {
		d.pos++
		*(*unsafe.Pointer)(p) = nil
		return nil
	}
	q := *(*unsafe.Pointer)(p)
	if q == nil {
		q = reflect.New(n.elem.typ).UnsafePointer()
	}
	// A type that points to itself has no end. Encoding has the same bound, so that what it wrote is read.
	if d.hops++; d.hops > maxHops {
		return d.malformed(fmt.Sprintf("more than %d pointers within each other", maxHops))
	}
	if err := d.value(n.elem, q); err != nil {
		return err
	}
	d.hops--
	*(*unsafe.Pointer)(p) = q
	return nil
}

func (d *taker) mapStringString(n *node, p *map[string]string) error {
	count, null, err := d.mapLength(n)
	if err != nil || null {
		if err == nil {
			*p = nil
		}
		return err
	}
	m := *p
	if m == nil {
		m = make(map[string]string, count)
	}
	for range count {
		d.owed -= 2
		k, end := shortAt(d.data, d.pos)
		if end > 0 {
			d.pos = end
		} else if k, err = d.longString(n.key); err != nil {
			return within(err, "[key]")
		}
		v, end := shortAt(d.data, d.pos)
		if end > 0 {
			d.pos = end
		} else if v, err = d.longString(n.elem); err != nil {
			return within(err, "[]")
		}
		m[k] = v
	}
	d.depth--
	*p = m
	return nil
}

func (d *taker) mapStringAny(n *node, p *map[string]any) error {
	count, null, err := d.mapLength(n)
	if err != nil || null {
		if err == nil {
			*p = nil
		}
		return err
	}
	m := make(map[string]any, count)
	for range count {
		d.owed -= 2
		k, err := d.string(n.key)
		if err != nil {
			return within(err, "[key]")
		}
		v, err := d.any(n.elem)
		if err != nil {
			return within(err, "[]")
		}
		m[k] = v
	}
	d.depth--
	*p = m
	return nil
}

func (d *taker) mapping(n *node, p unsafe.Pointer) error {
	count, null, err := d.mapLength(n)
	if err != nil {
		return err
	}
	v := reflect.NewAt(n.typ, hide(p)).Elem()
	if null {
		v.SetZero()
		return nil
	}
	m := v
	if v.IsNil() {
		m = reflect.MakeMapWithSize(n.typ, count)
	}
	if count > 0 {
		key, value := reflect.New(n.typ.Key()).Elem(), reflect.New(n.typ.Elem()).Elem()
		kp, vp := key.Addr().UnsafePointer(), value.Addr().UnsafePointer()
		for range count {
			d.owed -= 2
			key.SetZero()
			value.SetZero()
			if err := d.value(n.key, kp); err != nil {
				return within(err, "[key]")
			}
			if err := d.value(n.elem, vp); err != nil {
				return within(err, "[]")
			}
			if !key.Comparable() {
				return &fault{why: fmt.Sprintf("a key of the %v is of a kind that cannot be one", shortType(n.typ))}
			}
			m.SetMapIndex(key, value)
		}
	}
	d.depth--
	v.Set(m)
	return nil
}

func (d *taker) structure(n *node, p unsafe.Pointer) error {
	if d.pos < len(d.data) {
		if c := d.data[d.pos]; c >= scalar.FixArrayLow && c <= scalar.FixArrayHigh || c == scalar.Array16 || c == scalar.Array32 {
			return d.structureFromArray(n, p)
		}
	}
	count, null, err := d.mapLength(n)
	if err != nil {
		return err
	}
	if null {
		reflect.NewAt(n.typ, hide(p)).Elem().SetZero()
		return nil
	}
	fs := n.fields
	next, known := 0, 0
	for range count {
		d.owed--
		var f *field
		// Whoever writes the fields writes them in one order, most likely that of the type.
		if next < len(fs.list) {
			if likely := &fs.list[next]; likely.at(d.data, d.pos) {
				f = likely
				d.pos += len(likely.head)
				next++
			}
		}
		if f == nil {
			name, err := d.string(nameNode)
			if err != nil {
				return err
			}
			if f = fs.named[name]; f == nil {
				if d.strict {
					return &fault{why: fmt.Sprintf("found a field that a %v does not have", shortType(n.typ))}
				}
				d.owed--
				if err := d.skip(); err != nil {
					return err
				}
				continue
			}
			next = fs.after(f)
		}
		known++
		d.owed--
		q := unsafe.Add(p, f.offset)
		switch f.op {
		case opEmbedded:
			if q = d.followOrMake(f, q); q == nil {
				d.pos++
			} else if err := d.value(f.node, q); err != nil {
				return within(err, "."+f.name)
			}
		case opString:
			s, end := shortAt(d.data, d.pos)
			if end > 0 {
				d.pos = end
			} else if s, err = d.longString(f.node); err != nil {
				return within(err, "."+f.name)
			}
			*(*string)(q) = s
		case opInt64:
			if d.pos+9 <= len(d.data) && d.data[d.pos] == scalar.Int64 {
				*(*int64)(q) = int64(binary.BigEndian.Uint64(d.data[d.pos+1:]))
				d.pos += 9
				continue
			}
			if err := d.value(f.node, q); err != nil {
				return within(err, "."+f.name)
			}
		case opInt:
			if d.pos < len(d.data) && d.data[d.pos] <= scalar.PosFixHigh {
				*(*int)(q) = int(d.data[d.pos])
				d.pos++
				continue
			}
			if err := d.value(f.node, q); err != nil {
				return within(err, "."+f.name)
			}
		case opBool:
			if d.pos < len(d.data) && d.data[d.pos]|1 == scalar.True {
				*(*byte)(q) = d.data[d.pos] & 1
				d.pos++
				continue
			}
			fallthrough
		default:
			if err := d.value(f.node, q); err != nil {
				return within(err, "."+f.name)
			}
		}
	}
	d.depth--
	if known == 0 && count > 0 {
		return &fault{why: fmt.Sprintf("found a map without any field of %v", shortType(n.typ))}
	}
	return nil
}

// at reports whether the name of f is at pos. Where the data goes on long enough, that is two words to compare.
func (f *field) at(data []byte, pos int) bool {
	if f.nameSize > 0 && pos+16 <= len(data) {
		w := data[pos : pos+16]
		return (binary.LittleEndian.Uint64(w)^f.nameWords[0])&f.nameMask[0] == 0 && (binary.LittleEndian.Uint64(w[8:])^f.nameWords[1])&f.nameMask[1] == 0
	}
	return pos+len(f.head) <= len(data) && string(data[pos:pos+len(f.head)]) == f.head
}

var nameNode = &node{op: opString, typ: stringType}

// after returns the index in the list of the field after f.
func (fs *fields) after(f *field) int {
	for i := range fs.list {
		if f == &fs.list[i] {
			return i + 1
		}
	}
	return len(fs.list)
}

// followOrMake returns where the field is. It makes the embedded structs on the way, unless
// the value is nil, which is what is written for the fields of an embedded nil.
func (d *taker) followOrMake(f *field, p unsafe.Pointer) unsafe.Pointer {
	for i := range f.via {
		q := *(*unsafe.Pointer)(p)
		if q == nil {
			if d.pos < len(d.data) && d.data[d.pos] == scalar.Nil {
				return nil
			}
			q = reflect.New(f.via[i].typ).UnsafePointer()
			*(*unsafe.Pointer)(p) = q
		}
		p = unsafe.Add(q, f.via[i].offset)
	}
	return p
}

func (d *taker) structureFromArray(n *node, p unsafe.Pointer) error {
	count, _, err := d.arrayLength(n)
	if err != nil {
		return err
	}
	fs := n.fields
	if count != len(fs.list) && count != 0 {
		return &fault{why: fmt.Sprintf("found an array of %d elements, but %v has %d fields", count, shortType(n.typ), len(fs.list))}
	}
	for i := range count {
		d.owed--
		f := &fs.list[i]
		q := d.followOrMake(f, unsafe.Add(p, f.offset))
		if q == nil {
			d.pos++
			continue
		}
		if err := d.value(f.node, q); err != nil {
			return within(err, "."+f.name)
		}
	}
	d.depth--
	return nil
}

// time reads a time in any form that writers of msgpack have for it.
func (d *taker) time(n *node) (time.Time, error) {
	if d.pos >= len(d.data) {
		return time.Time{}, d.wrong(n)
	}
	data := d.data[d.pos:]
	var t time.Time
	for _, size := range [...]int{6, 10, 15} {
		if len(data) >= size && scalar.SetTime(&t, data[:size]) {
			d.pos += size
			return t, nil
		}
	}
	return d.foreignTime(n)
}

// unmarshaler decodes through a method of package encoding.
func (d *taker) unmarshaler(n *node, p unsafe.Pointer) error {
	v := reflect.NewAt(n.typ, p)
	b, null, err := d.body(n)
	if err != nil {
		return err
	}
	if null {
		v.Elem().SetZero()
		return nil
	}
	b = append(make([]byte, 0, len(b)), b...) // for the method to keep or change
	err = guard(func() error {
		if n.text.decode {
			return v.Interface().(encoding.TextUnmarshaler).UnmarshalText(b)
		}
		return v.Interface().(encoding.BinaryUnmarshaler).UnmarshalBinary(b)
	})
	if err != nil {
		return &fault{why: "decoding failed with " + cause(err), err: err}
	}
	return nil
}
