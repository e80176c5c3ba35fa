package codec

import (
	"encoding"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"time"
	"unsafe"

	"github.com/sessionkv/store/internal/scalar"
)

// An appender is the state of encoding one value.
type appender struct {
	depth    int  // containers around
	hops     int  // pointers and interfaces followed
	untyped  bool // within an interface, so that it will be decoded without its Go type
	foreign  bool // methods or functions of the program have written
	jsonTags bool
}

// maxHops bounds the pointers and interfaces that lead to a value. They leave no trace in what is
// written, but may form a cycle.
const maxHops = 4 * maxDepth

// errWholeByLibrary: the value holds one whose strings refer to earlier strings.
var errWholeByLibrary = errors.New("the library must encode the whole value")

// append appends the encoding of the value at p, whose type is n's. On failure what it returns
// is of no use.
func (a *appender) append(dst []byte, n *node, p unsafe.Pointer) ([]byte, error) {
	switch n.op {
	case opBool:
		return append(dst, scalar.False+*(*byte)(p)&1), nil
	case opInt:
		return scalar.AppendInt(dst, int64(*(*int)(p))), nil
	case opInt8:
		return append(dst, scalar.Int8, *(*byte)(p)), nil
	case opInt16:
		return scalar.Append16(dst, scalar.Int16, *(*uint16)(p)), nil
	case opInt32:
		return scalar.Append32(dst, scalar.Int32, *(*uint32)(p)), nil
	case opInt64:
		return scalar.Append64(dst, scalar.Int64, *(*uint64)(p)), nil
	case opUint:
		return scalar.AppendUint(dst, uint64(*(*uint)(p))), nil
	case opUint8:
		return append(dst, scalar.Uint8, *(*byte)(p)), nil
	case opUint16:
		return scalar.Append16(dst, scalar.Uint16, *(*uint16)(p)), nil
	case opUint32:
		return scalar.Append32(dst, scalar.Uint32, *(*uint32)(p)), nil
	case opUint64:
		return scalar.Append64(dst, scalar.Uint64, *(*uint64)(p)), nil
	case opFloat32:
		return scalar.Append32(dst, scalar.Float32, *(*uint32)(p)), nil
	case opFloat64:
		return scalar.Append64(dst, scalar.Float64, *(*uint64)(p)), nil
	case opString:
		return appendString(dst, *(*string)(p)), nil
	case opTime:
		return scalar.AppendTime(dst, *(*time.Time)(p)), nil
	case opBytes:
		b := *(*[]byte)(p)
		if b == nil {
			return append(dst, scalar.Nil), nil
		}
		return append(scalar.AppendBytesHead(dst, len(b)), b...), nil
	case opByteArray:
		return append(scalar.AppendBytesHead(dst, n.length), unsafe.Slice((*byte)(p), n.length)...), nil
	case opStruct:
		return a.appendStruct(dst, n, p)
	case opStrings:
		s := *(*[]string)(p)
		if s == nil {
			return append(dst, scalar.Nil), nil
		}
		return appendStrings(appendArrayHead(dst, len(s)), s), nil
	case opSlice:
		s := (*sliceHeader)(p)
		if s.data == nil {
			return append(dst, scalar.Nil), nil
		}
		return a.appendElements(dst, n, s.data, s.len)
	case opArray:
		return a.appendElements(dst, n, p, n.length)
	case opMapStringString:
		m := *(*map[string]string)(p)
		if m == nil {
			return append(dst, scalar.Nil), nil
		}
		return appendStringMap(appendMapHead(dst, len(m)), m), nil
	case opMapStringAny:
		return a.appendMapStringAny(dst, *(*map[string]any)(p))
	case opMap:
		return a.appendMap(dst, n, *(*unsafe.Pointer)(p))
	case opPointer:
		q := *(*unsafe.Pointer)(p)
		if q == nil {
			return append(dst, scalar.Nil), nil
		}
		if n.elem.op == opMarshaler {
			// The method of a nil slice behind a pointer is asked, so that the pointer comes back. The library does so
			// too, unless it happened to meet the slice's type before the pointer's.
			return appendMarshaler(dst, n.elem, hide(q), true)
		}
		if a.hops++; a.hops > maxHops {
			return dst, tooDeep()
		}
		dst, err := a.append(dst, n.elem, q)
		a.hops--
		return dst, err
	case opAny:
		return a.appendAny(dst, *(*any)(p))
	case opError:
		err := *(*error)(p)
		if err == nil {
			return append(dst, scalar.Nil), nil
		}
		return appendString(dst, err.Error()), nil
	case opInterface:
		return a.appendInterface(dst, n, p)
	case opMarshaler:
		return appendMarshaler(dst, n, hide(p), false)
	case opLibrary:
		a.foreign = true
		return appendByLibrary(dst, n, hide(p), a.jsonTags, a.untyped)
	}
	return dst, n.refusal.fault()
}

func (r *refusal) fault() *fault { return &fault{why: r.why} }

//go:noinline
func tooDeep() error {
	return &fault{why: fmt.Sprintf("nested deeper than %d, or a value that contains itself", maxDepth)}
}

// enter counts one more container around what follows.
func (a *appender) enter() error {
	if a.depth++; a.depth > maxDepth {
		return tooDeep()
	}
	return nil
}

func (a *appender) leave() { a.depth-- }

// sliceHeader is the memory of a slice.
type sliceHeader struct {
	data     unsafe.Pointer
	len, cap int
}

func appendString(dst []byte, s string) []byte {
	if free := dst[len(dst):cap(dst)]; len(s) <= scalar.MaxFixStr && len(s) < len(free) {
		free[0] = scalar.FixStrLow | byte(len(s))
		copyShort(free[1:], s)
		return dst[:len(dst)+1+len(s)]
	}
	return append(scalar.AppendStringHead(dst, len(s)), s...)
}

func appendStrings(dst []byte, list []string) []byte {
	for _, s := range list {
		dst = appendString(dst, s)
	}
	return dst
}

func appendStringMap(dst []byte, m map[string]string) []byte {
	for k, v := range m {
		n := len(k) + len(v) + 2*5
		if cap(dst)-len(dst) < n {
			dst = slices.Grow(dst, n)
		}
		dst = appendString(appendString(dst, k), v)
	}
	return dst
}

func appendArrayHead(dst []byte, n int) []byte {
	switch {
	case n < 16:
		return append(dst, scalar.FixArrayLow|byte(n))
	case n <= math.MaxUint16:
		return scalar.Append16(dst, scalar.Array16, uint16(n))
	}
	return scalar.Append32(dst, scalar.Array32, uint32(n))
}

func appendMapHead(dst []byte, n int) []byte {
	switch {
	case n < 16:
		return append(dst, scalar.FixMapLow|byte(n))
	case n <= math.MaxUint16:
		return scalar.Append16(dst, scalar.Map16, uint16(n))
	}
	return scalar.Append32(dst, scalar.Map32, uint32(n))
}

func (a *appender) appendElements(dst []byte, n *node, p unsafe.Pointer, count int) ([]byte, error) {
	if err := a.enter(); err != nil {
		return dst, err
	}
	var err error
	dst = appendArrayHead(dst, count)
	if n.elem.op == opStruct {
		for i := range count {
			if dst, err = a.appendStruct(dst, n.elem, unsafe.Add(p, uintptr(i)*n.size)); err != nil {
				return dst, within(err, fmt.Sprintf("[%d]", i))
			}
		}
	} else {
		for i := range count {
			if dst, err = a.append(dst, n.elem, unsafe.Add(p, uintptr(i)*n.size)); err != nil {
				return dst, within(err, fmt.Sprintf("[%d]", i))
			}
		}
	}
	a.leave()
	return dst, nil
}

func (a *appender) appendStruct(dst []byte, n *node, p unsafe.Pointer) ([]byte, error) {
	if err := a.enter(); err != nil {
		return dst, err
	}
	fs := n.fields
	switch {
	case fs.array:
		dst = appendArrayHead(dst, len(fs.list))
	case fs.omits:
		return a.appendSome(dst, fs, p)
	default:
		dst = append(dst, fs.head...)
	}
	if fs.array {
		return a.appendFields(dst, fs, p)
	}
	// b is dst with its free part. While there is enough of that for a name and a number, it is written without
	// further checks of the length. Names are stored as two words, whose end the next value overwrites.
	b, at := dst[:cap(dst)], len(dst)
	for i := range fs.list {
		f := &fs.list[i]
		q := unsafe.Add(p, f.offset)
		if len(b)-at < roomForField {
			b = grown(b, at, roomForField)
		}
		if f.nameSize > 0 {
			w := b[at : at+16]
			binary.LittleEndian.PutUint64(w, f.nameWords[0])
			binary.LittleEndian.PutUint64(w[8:], f.nameWords[1])
			at += int(f.nameSize)
		} else {
			if len(b)-at < len(f.head)+roomForField {
				b = grown(b, at, len(f.head)+roomForField)
			}
			at += copy(b[at:], f.head)
		}
		switch f.op {
		case opString:
			s := *(*string)(q)
			if len(s) <= scalar.MaxFixStr && len(s) < len(b)-at {
				b[at] = scalar.FixStrLow | byte(len(s))
				copyShort(b[at+1:], s)
				at += 1 + len(s)
				continue
			}
			b = appendString(b[:at], s)
			at, b = len(b), b[:cap(b)]
		case opInt64, opUint64, opFloat64:
			w := b[at : at+9]
			w[0] = wideCodes[f.op]
			binary.BigEndian.PutUint64(w[1:], *(*uint64)(q))
			at += 9
		case opBool:
			b[at] = scalar.False + *(*byte)(q)&1
			at++
		case opInt:
			n := *(*int)(q)
			if n >= 0 && n <= scalar.PosFixHigh {
				b[at] = byte(n)
				at++
				continue
			}
			at = len(scalar.AppendInt(b[:at], int64(n)))
		case opEmbedded:
			dst := b[:at]
			if q = f.follow(q); q == nil {
				dst = append(dst, scalar.Nil)
			} else {
				var err error
				if dst, err = a.append(dst, f.node, q); err != nil {
					return dst, within(err, "."+f.name)
				}
			}
			b, at = dst[:cap(dst)], len(dst)
		default:
			dst, err := a.append(b[:at], f.node, q)
			if err != nil {
				return dst, within(err, "."+f.name)
			}
			b, at = dst[:cap(dst)], len(dst)
		}
	}
	a.leave()
	return b[:at], nil
}

// copyShort copies s, which dst has room for, without a call if it has 8 to 16 bytes.
func copyShort(dst []byte, s string) {
	if n := len(s); n >= 8 && n <= 16 && n <= len(dst) {
		b := unsafe.Slice(unsafe.StringData(s), n)
		first, last := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[n-8:])
		binary.LittleEndian.PutUint64(dst, first)
		binary.LittleEndian.PutUint64(dst[n-8:], last)
		return
	}
	copy(dst, s)
}

// roomForField is room for a name of two words and a number.
const roomForField = 16 + 9

var wideCodes = [...]byte{opInt64: scalar.Int64, opUint64: scalar.Uint64, opFloat64: scalar.Float64}

// grown returns b, of which at bytes are used, with room for n more.
func grown(b []byte, at, n int) []byte {
	b = slices.Grow(b[:at], n)
	return b[:cap(b)]
}

// appendFields writes the fields of a struct that is written as an array.
func (a *appender) appendFields(dst []byte, fs *fields, p unsafe.Pointer) ([]byte, error) {
	var err error
	for i := range fs.list {
		f := &fs.list[i]
		if q := f.follow(unsafe.Add(p, f.offset)); q == nil {
			dst = append(dst, scalar.Nil)
		} else if dst, err = a.append(dst, f.node, q); err != nil {
			return dst, within(err, "."+f.name)
		}
	}
	a.leave()
	return dst, nil
}

// follow returns where the field is, beyond the embedded pointers that lead to it, or nil if one of them is nil.
func (f *field) follow(p unsafe.Pointer) unsafe.Pointer {
	for i := range f.via {
		if p = *(*unsafe.Pointer)(p); p == nil {
			return nil
		}
		p = unsafe.Add(p, f.via[i].offset)
	}
	return p
}

// appendSome writes the fields that are not to be left out.
func (a *appender) appendSome(dst []byte, fs *fields, p unsafe.Pointer) ([]byte, error) {
	start, count := len(dst), 0
	// Most structs have at most 15 fields, whose number takes one byte.
	dst = appendMapHead(dst, len(fs.list))
	head := len(dst) - start
	var err error
	for i := range fs.list {
		f := &fs.list[i]
		q := f.follow(unsafe.Add(p, f.offset))
		if q == nil || f.omit && a.isEmpty(f.node, q) {
			continue
		}
		count++
		if dst, err = a.append(append(dst, f.head...), f.node, q); err != nil {
			return dst, within(err, "."+f.name)
		}
	}
	a.leave()
	if count == len(fs.list) {
		return dst, nil
	}
	var shorter [5]byte
	actual := appendMapHead(shorter[:0], count)
	if len(actual) < head {
		dst = append(dst[:start+len(actual)], dst[start+head:]...)
	}
	copy(dst[start:], actual)
	return dst, nil
}

// isEmpty reports whether omitempty leaves the value out. Where the library takes a value with
// methods for encoding for a struct without fields, and so for empty, only the zero value is.
func (a *appender) isEmpty(n *node, p unsafe.Pointer) bool {
	if n.op == opTime {
		return (*time.Time)(p).IsZero()
	}
	if n.isZeroer {
		v := reflect.NewAt(n.typ, hide(p)).Elem()
		switch v.Kind() {
		case reflect.Pointer, reflect.Map, reflect.Slice:
			if v.IsNil() {
				return true
			}
		}
		return v.Interface().(isZeroer).IsZero()
	}
	switch n.op {
	case opBool, opInt8, opUint8:
		return *(*uint8)(p) == 0
	case opInt, opUint:
		return *(*uint)(p) == 0
	case opInt16, opUint16:
		return *(*uint16)(p) == 0
	case opInt32, opUint32:
		return *(*uint32)(p) == 0
	case opInt64, opUint64:
		return *(*uint64)(p) == 0
	case opFloat32:
		return *(*float32)(p) == 0
	case opFloat64:
		return *(*float64)(p) == 0
	case opString:
		return len(*(*string)(p)) == 0
	case opBytes, opSlice, opStrings:
		return (*sliceHeader)(p).len == 0
	case opArray, opByteArray:
		return n.length == 0
	case opPointer:
		return *(*unsafe.Pointer)(p) == nil
	case opStruct:
		return a.nothingToWrite(n.fields, p)
	}
	v := reflect.NewAt(n.typ, hide(p)).Elem()
	switch v.Kind() {
	case reflect.Map, reflect.Slice, reflect.String, reflect.Array:
		return v.Len() == 0
	case reflect.Float32, reflect.Float64:
		return v.Float() == 0
	case reflect.Interface:
		if v.IsNil() {
			return true
		}
		q := reflect.New(v.Elem().Type())
		q.Elem().Set(v.Elem())
		return a.isEmpty(planOf(q.Type().Elem()).program(a.jsonTags).root, q.UnsafePointer())
	case reflect.Struct:
		return v.IsZero() && (n.fields == nil || a.nothingToWrite(n.fields, p))
	}
	return v.IsZero()
}

// nothingToWrite reports whether all fields of the struct at p are left out.
func (a *appender) nothingToWrite(fs *fields, p unsafe.Pointer) bool {
	for i := range fs.list {
		f := &fs.list[i]
		if !fs.omits {
			return false
		}
		if q := f.follow(unsafe.Add(p, f.offset)); q != nil && !(f.omit && a.isEmpty(f.node, q)) {
			return false
		}
	}
	return true
}

// A mapPair is memory for one key and one value of a map.
type mapPair struct {
	m          unsafe.Pointer
	iter       reflect.MapIter
	key, value reflect.Value
}

func (a *appender) appendMap(dst []byte, n *node, m unsafe.Pointer) ([]byte, error) {
	if m == nil {
		return append(dst, scalar.Nil), nil
	}
	if err := a.enter(); err != nil {
		return dst, err
	}
	kv, ok := n.pairs.Get().(*mapPair)
	if !ok {
		kv = &mapPair{key: reflect.New(n.typ.Key()).Elem(), value: reflect.New(n.typ.Elem()).Elem()}
	}
	kv.m = m
	v := reflect.NewAt(n.typ, unsafe.Pointer(&kv.m)).Elem()
	dst = appendMapHead(dst, v.Len())
	kv.iter.Reset(v)
	key, value := kv.key.Addr().UnsafePointer(), kv.value.Addr().UnsafePointer()
	var err error
	var written map[string]bool // the keys, if two may be encoded alike
	if v.Len() > 1 && keysMayMeet(n.key) {
		written = make(map[string]bool, v.Len())
	}
	for kv.iter.Next() {
		kv.key.SetIterKey(&kv.iter)
		kv.value.SetIterValue(&kv.iter)
		start := len(dst)
		if dst, err = a.append(dst, n.key, key); err != nil {
			return dst, within(err, "[key]")
		}
		if (a.untyped || n.key.op == opAny) && len(dst) > start && !hashable(dst[start]) {
			return dst, &fault{why: fmt.Sprintf("a key of the %v would be decoded into something that cannot be a key", shortType(n.typ))}
		}
		if written != nil {
			key := dst[start:]
			if len(key) == 2 && key[0] == scalar.Int8 && (key[1] <= scalar.PosFixHigh || key[1] >= scalar.NegFixLow) {
				key = key[1:] // the same number in its short form, which is decoded into an int8 as well
			}
			if written[string(key)] {
				return dst, &fault{why: fmt.Sprintf("two keys of the %v are encoded alike, so that one would be lost", shortType(n.typ))}
			}
			written[string(key)] = true
		}
		if dst, err = a.append(dst, n.elem, value); err != nil {
			return dst, within(err, "[]")
		}
	}
	kv.iter.Reset(reflect.Value{})
	kv.key.SetZero()
	kv.value.SetZero()
	kv.m = nil
	n.pairs.Put(kv)
	a.leave()
	return dst, nil
}

// keysMayMeet reports whether two keys of a map may have one encoding, so that one of them would be lost. Examples
// are numbers of two types in an interface, times in two zones, values with methods, structs with fields that are
// not stored.
func keysMayMeet(key *node) bool {
	switch key.op {
	case opAny, opInterface, opError, opTime, opMarshaler, opLibrary, opStruct:
		return true
	case opArray:
		return keysMayMeet(key.elem)
	}
	return false
}

// hashable reports whether what begins with code can be the key of a map when it is decoded without
// its type.
func hashable(code byte) bool {
	switch {
	case code >= scalar.FixMapLow && code <= scalar.FixArrayHigh, code >= scalar.Array16 && code <= scalar.Map32, code >= scalar.Bin8 && code <= scalar.Bin32:
		return false
	}
	return true
}

func (a *appender) appendMapStringAny(dst []byte, m map[string]any) ([]byte, error) {
	if m == nil {
		return append(dst, scalar.Nil), nil
	}
	if err := a.enter(); err != nil {
		return dst, err
	}
	var err error
	dst = appendMapHead(dst, len(m))
	for k, v := range m {
		if dst, err = a.appendAny(appendString(dst, k), v); err != nil {
			return dst, within(err, "[]")
		}
	}
	a.leave()
	return dst, nil
}

// appendAny appends what an interface holds.
func (a *appender) appendAny(dst []byte, x any) ([]byte, error) {
	switch x := x.(type) {
	case nil:
		return append(dst, scalar.Nil), nil
	case string:
		return appendString(dst, x), nil
	case bool:
		if x {
			return append(dst, scalar.True), nil
		}
		return append(dst, scalar.False), nil
	case int:
		return scalar.AppendInt(dst, int64(x)), nil
	case int64:
		return scalar.Append64(dst, scalar.Int64, uint64(x)), nil
	case float64:
		return scalar.Append64(dst, scalar.Float64, math.Float64bits(x)), nil
	case time.Time:
		return scalar.AppendTime(dst, x), nil
	}
	if a.hops++; a.hops > maxHops {
		return dst, tooDeep()
	}
	was := a.untyped
	a.untyped = true
	dst, err := a.appendDynamic(dst, reflect.ValueOf(x))
	a.untyped = was
	a.hops--
	return dst, err
}

func (a *appender) appendDynamic(dst []byte, v reflect.Value) ([]byte, error) {
	prog := planOf(v.Type()).program(a.jsonTags)
	if prog.refusal != nil {
		return dst, prog.refusal.error(v.Type())
	}
	if prog.library {
		return dst, errWholeByLibrary
	}
	if n := prog.root; n.op == opPointer {
		if v.IsNil() {
			return append(dst, scalar.Nil), nil
		}
		return a.append(dst, n.elem, v.UnsafePointer())
	}
	p := reflect.New(v.Type())
	p.Elem().Set(v)
	return a.append(dst, prog.root, p.UnsafePointer())
}

// appendInterface appends a value of an interface type with methods. Only an extension that the program registered
// with the library may come back into it.
func (a *appender) appendInterface(dst []byte, n *node, p unsafe.Pointer) ([]byte, error) {
	v := reflect.NewAt(n.typ, hide(p)).Elem()
	if v.IsNil() {
		return append(dst, scalar.Nil), nil
	}
	start := len(dst)
	dst, err := a.appendAny(dst, v.Elem().Interface())
	if err != nil {
		return dst, err
	}
	if c := dst[start]; c != scalar.Nil && !isExtension(c) {
		return dst, &fault{why: fmt.Sprintf("a %v in the interface %v cannot come back, because its type is not stored", v.Elem().Type(), shortType(n.typ))}
	}
	return dst, nil
}

func isExtension(c byte) bool {
	return c >= scalar.Ext8 && c <= scalar.Ext32 || c >= scalar.FixExt1 && c <= scalar.FixExt16
}

// appendMarshaler appends what the methods of package encoding return.
func appendMarshaler(dst []byte, n *node, p unsafe.Pointer, pointer bool) ([]byte, error) {
	v := reflect.NewAt(n.typ, p)
	switch n.typ.Kind() {
	case reflect.Map, reflect.Slice:
		// The library writes nil if the method is one of the value.
		if !pointer && v.Elem().IsNil() && (n.typ.Implements(binaryMarshalerType) || n.typ.Implements(textMarshalerType)) {
			return append(dst, scalar.Nil), nil
		}
	}
	var b []byte
	err := guard(func() (err error) {
		if n.text.encode {
			b, err = v.Interface().(encoding.TextMarshaler).MarshalText()
		} else {
			b, err = v.Interface().(encoding.BinaryMarshaler).MarshalBinary()
		}
		return err
	})
	if err != nil {
		return dst, &fault{why: "encoding failed with " + cause(err), err: err}
	}
	if b == nil {
		return append(dst, scalar.Nil), nil
	}
	return append(scalar.AppendBytesHead(dst, len(b)), b...), nil
}

// appendByLibrary appends what the library writes for the value. untyped says that it will be decoded without its Go type.
func appendByLibrary(dst []byte, n *node, p unsafe.Pointer, jsonTags, untyped bool) ([]byte, error) {
	e := encoders.Get().(*encoder)
	e.out = dst
	e.enc.Reset(e) // also undoes options that a custom encoder set
	if jsonTags {
		e.enc.SetCustomStructTag("json")
	}
	err := guard(func() error { return e.enc.EncodeValue(reflect.NewAt(n.typ, p).Elem()) })
	out := e.out
	e.out = nil
	if err != nil {
		return dst, &fault{why: "encoding failed with " + cause(err), err: err}
	}
	e.enc.Reset(nil)
	encoders.Put(e)
	// A custom encoder may write several values for its decoder, but these methods, and what has no type, are read back as one.
	if untyped || n.typ == rawMessageType || reflect.PointerTo(n.typ).Implements(marshalerType) && !reflect.PointerTo(n.typ).Implements(customEncoderType) {
		d := taker{data: out, pos: len(dst)}
		if err := d.skip(); err != nil || d.pos != len(out) {
			return dst, &fault{why: "what " + shortType(n.typ) + " writes is not one msgpack value"}
		}
	}
	return out, nil
}
