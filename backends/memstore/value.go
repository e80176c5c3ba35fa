package memstore

import (
	"encoding/binary"
	"unsafe"
)

// A value is a pointer to one block that holds a length and the bytes. It is a single allocation
// without pointers inside, which the garbage collector need not scan.
//
// The block begins with one byte for a length below longValue, or with that byte
// and eight more.
type value = *byte

const (
	longValue  = 0xff
	longHeader = 9
)

// empty is what readers get for a value of no bytes. Its block ends where the bytes would begin,
// and a pointer must not point there.
var empty = []byte{}

// newValue copies b, which may be nil, into a block.
func newValue(b []byte) value {
	if len(b) < longValue {
		block := make([]byte, 1+len(b))
		block[0] = byte(len(b))
		copy(block[1:], b)
		return &block[0]
	}
	block := make([]byte, longHeader+len(b))
	block[0] = longValue
	binary.LittleEndian.PutUint64(block[1:], uint64(len(b)))
	copy(block[longHeader:], b)
	return &block[0]
}

// bytesOf returns the bytes of v, which is not nil. It returns the same slice
// every time, with no spare capacity to append to.
func bytesOf(v value) []byte {
	n := int(*v)
	switch n {
	case 0:
		return empty
	case longValue:
		n = int(binary.LittleEndian.Uint64(unsafe.Slice(v, longHeader)[1:]))
		return unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(v), longHeader)), n)
	}
	return unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(v), 1)), n)
}

// orNil returns the bytes of v, or nil for no value.
func orNil(v value) []byte {
	if v == nil {
		return nil
	}
	return bytesOf(v)
}
