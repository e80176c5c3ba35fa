package inspect

import (
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

var errMsgpack = errors.New("these bytes are not msgpack")

// A msgpackReader reads one msgpack value whose type nobody has told it. It goes no deeper than
// maxDepth and makes no more elements than its decoder may; what lies beyond is skipped, and
// checked all the same.
type msgpackReader struct {
	*decoder
	b []byte // what is ahead
}

// msgpack returns the value that b encodes, all of it.
func (d *decoder) msgpack(b []byte) (any, error) {
	r := msgpackReader{d, b}
	v, err := r.value(0)
	if err == nil && len(r.b) > 0 {
		err = errMsgpack
	}
	return v, err
}

type kind uint8

const (
	isNil kind = iota
	isBool
	isInt
	isUint
	isFloat32
	isFloat64
	isString
	isBinary
	isArray
	isMap
	isExtension
)

// An item is the head of a value. The body of a string, binary data, an extension or a number follows
// it at once. Of an array or a map, n values or pairs of values follow.
type item struct {
	kind kind
	n    int    // elements of a container
	bits uint64 // of a number or bool
	ext  int8   // type of an extension
	body []byte // of a string, binary data or an extension
}

// next reads a head, and the body if it is not a container.
func (r *msgpackReader) next() (item, error) {
	c, err := r.take(1)
	if err != nil {
		return item{}, err
	}
	switch c := c[0]; {
	case c <= msgpcode.PosFixedNumHigh:
		return item{kind: isUint, bits: uint64(c)}, nil
	case c >= msgpcode.NegFixedNumLow:
		return item{kind: isInt, bits: uint64(int64(int8(c)))}, nil
	case msgpcode.IsFixedMap(c):
		return r.container(isMap, int64(c&msgpcode.FixedMapMask))
	case msgpcode.IsFixedArray(c):
		return r.container(isArray, int64(c&msgpcode.FixedArrayMask))
	case msgpcode.IsFixedString(c):
		return r.bodied(isString, int64(c&msgpcode.FixedStrMask))
	default:
		return r.long(c)
	}
}

// long reads what follows a code that has bytes of its own.
func (r *msgpackReader) long(c byte) (item, error) {
	number := func(k kind, size int) (item, error) {
		bits, err := r.uint(size)
		if k == isInt {
			bits = uint64(int64(bits<<(64-8*size)) >> (64 - 8*size))
		}
		return item{kind: k, bits: bits}, err
	}
	counted := func(k kind, size int) (item, error) {
		n, err := r.uint(size)
		switch {
		case err != nil:
			return item{}, err
		case k == isArray, k == isMap:
			return r.container(k, int64(n))
		}
		return r.bodied(k, int64(n))
	}
	switch c {
	case msgpcode.Nil:
		return item{kind: isNil}, nil
	case msgpcode.False, msgpcode.True:
		return item{kind: isBool, bits: uint64(c - msgpcode.False)}, nil
	case msgpcode.Uint8, msgpcode.Uint16, msgpcode.Uint32, msgpcode.Uint64:
		return number(isUint, 1<<(c-msgpcode.Uint8))
	case msgpcode.Int8, msgpcode.Int16, msgpcode.Int32, msgpcode.Int64:
		return number(isInt, 1<<(c-msgpcode.Int8))
	case msgpcode.Float:
		return number(isFloat32, 4)
	case msgpcode.Double:
		return number(isFloat64, 8)
	case msgpcode.Str8, msgpcode.Str16, msgpcode.Str32:
		return counted(isString, 1<<(c-msgpcode.Str8))
	case msgpcode.Bin8, msgpcode.Bin16, msgpcode.Bin32:
		return counted(isBinary, 1<<(c-msgpcode.Bin8))
	case msgpcode.Array16, msgpcode.Array32:
		return counted(isArray, 2<<(c-msgpcode.Array16))
	case msgpcode.Map16, msgpcode.Map32:
		return counted(isMap, 2<<(c-msgpcode.Map16))
	case msgpcode.Ext8, msgpcode.Ext16, msgpcode.Ext32:
		return counted(isExtension, 1<<(c-msgpcode.Ext8))
	case msgpcode.FixExt1, msgpcode.FixExt2, msgpcode.FixExt4, msgpcode.FixExt8, msgpcode.FixExt16:
		return r.bodied(isExtension, int64(1)<<(c-msgpcode.FixExt1))
	}
	return item{}, errMsgpack
}

// container returns the head of one of n elements, each of which takes a byte at least.
func (r *msgpackReader) container(k kind, n int64) (item, error) {
	if k == isMap && 2*n > int64(len(r.b)) || n > int64(len(r.b)) {
		return item{}, errMsgpack
	}
	return item{kind: k, n: int(n)}, nil
}

func (r *msgpackReader) bodied(k kind, n int64) (it item, err error) {
	it.kind = k
	if k == isExtension {
		t, err := r.take(1)
		if err != nil {
			return item{}, err
		}
		it.ext = int8(t[0])
	}
	it.body, err = r.take(n)
	return it, err
}

func (r *msgpackReader) take(n int64) ([]byte, error) {
	if n > int64(len(r.b)) {
		return nil, errMsgpack
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b, nil
}

// uint reads a big-endian number of 1, 2, 4 or 8 bytes.
func (r *msgpackReader) uint(size int) (uint64, error) {
	b, err := r.take(int64(size))
	if err != nil {
		return 0, err
	}
	var whole [8]byte
	copy(whole[8-size:], b)
	return binary.BigEndian.Uint64(whole[:]), nil
}

// value reads a whole value.
func (r *msgpackReader) value(depth int) (any, error) {
	if !r.node() {
		return omittedNodes, r.skip(1)
	}
	it, err := r.next()
	if err != nil {
		return nil, err
	}
	if depth == maxDepth && it.n > 0 {
		return omittedDepth, r.skip(it.values())
	}
	switch it.kind {
	case isArray:
		all := []any{}
		for i := range it.n {
			if r.nodes <= 0 {
				return append(all, omittedNodes), r.skip(int64(it.n - i))
			}
			v, err := r.value(depth + 1)
			if err != nil {
				return nil, err
			}
			all = append(all, v)
		}
		return all, nil
	case isMap:
		all := Object{}
		for i := range it.n {
			if r.nodes <= 1 {
				return append(all, Field{omittedNodes, omittedNodes}), r.skip(2 * int64(it.n-i))
			}
			var f Field
			if f.Name, err = r.value(depth + 1); err == nil {
				f.Value, err = r.value(depth + 1)
			}
			if err != nil {
				return nil, err
			}
			all = append(all, f)
		}
		return all, nil
	}
	return r.scalar(it), nil
}

// values returns how many values follow the head of a container.
func (it item) values() int64 {
	if it.kind == isMap {
		return 2 * int64(it.n)
	}
	return int64(it.n)
}

// skip reads n values, however deep, and keeps nothing.
func (r *msgpackReader) skip(n int64) error {
	for ; n > 0; n-- {
		it, err := r.next()
		if err != nil {
			return err
		}
		n += it.values()
		if n-1 > int64(len(r.b)) {
			return errMsgpack
		}
	}
	return nil
}

func (r *msgpackReader) scalar(it item) any {
	switch it.kind {
	case isBool:
		return it.bits == 1
	case isInt:
		return r.number(int64(it.bits))
	case isUint:
		if it.bits <= math.MaxInt64 {
			return r.number(int64(it.bits))
		}
		return r.number(it.bits)
	case isFloat32:
		return float64(math.Float32frombits(uint32(it.bits)))
	case isFloat64:
		return math.Float64frombits(it.bits)
	case isString:
		return r.text(it.body)
	case isBinary:
		return r.binary(it.body)
	case isExtension:
		if t, ok := timeOf(it.ext, it.body); ok {
			return t
		}
		if b, ok := r.binary(it.body).([]byte); ok {
			return Extension{it.ext, b}
		}
		return omittedBytes(len(it.body))
	}
	return nil
}

// timeOf reads the timestamp of the specification, and the one that methods generated
// by tinylib/msgp write.
func timeOf(ext int8, b []byte) (time.Time, bool) {
	const specified, generated = -1, 5
	var sec, nsec int64
	switch {
	case ext == specified && len(b) == 4:
		sec = int64(binary.BigEndian.Uint32(b))
	case ext == specified && len(b) == 8:
		both := binary.BigEndian.Uint64(b)
		nsec, sec = int64(both>>34), int64(both&(1<<34-1))
	case ext == specified && len(b) == 12:
		nsec, sec = int64(binary.BigEndian.Uint32(b)), int64(binary.BigEndian.Uint64(b[4:]))
	case ext == generated && len(b) == 12:
		sec, nsec = int64(binary.BigEndian.Uint64(b)), int64(int32(binary.BigEndian.Uint32(b[8:])))
	default:
		return time.Time{}, false
	}
	if nsec < 0 || nsec >= int64(time.Second) {
		return time.Time{}, false
	}
	return time.Unix(sec, nsec).UTC(), true
}
