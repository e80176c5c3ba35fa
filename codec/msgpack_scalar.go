package codec

import (
	"encoding/binary"
	"math"
	"time"
	"unsafe"
)

// appendMsgpackScalar appends *v if v is a pointer to a predeclared scalar, []byte, time.Time or
// time.Duration. The bytes are those of the library with its defaults: int
// and uint as short as they fit, the sized integers at full width.
func appendMsgpackScalar(dst []byte, v any) ([]byte, bool) {
	switch v := v.(type) {
	case *string:
		return append(appendStringHead(dst, len(*v)), *v...), true
	case *int64:
		return append64(dst, codeInt64, uint64(*v)), true
	case *int:
		return appendInt(dst, int64(*v)), true
	case *bool:
		if *v {
			return append(dst, codeTrue), true
		}
		return append(dst, codeFalse), true
	case *[]byte:
		if *v == nil {
			return append(dst, codeNil), true
		}
		return append(appendBytesHead(dst, len(*v)), *v...), true
	case *time.Time:
		return appendTime(dst, *v), true
	case *time.Duration:
		return append64(dst, codeInt64, uint64(*v)), true
	case *float64:
		return append64(dst, codeFloat64, math.Float64bits(*v)), true
	case *float32:
		return append32(dst, codeFloat32, math.Float32bits(*v)), true
	case *int8:
		return append(dst, codeInt8, byte(*v)), true
	case *int16:
		return append16(dst, codeInt16, uint16(*v)), true
	case *int32:
		return append32(dst, codeInt32, uint32(*v)), true
	case *uint:
		return appendUint(dst, uint64(*v)), true
	case *uint8:
		return append(dst, codeUint8, *v), true
	case *uint16:
		return append16(dst, codeUint16, *v), true
	case *uint32:
		return append32(dst, codeUint32, *v), true
	case *uint64:
		return append64(dst, codeUint64, *v), true
	}
	return dst, false
}

// decodeMsgpackScalar stores the value of data in *v if v is a pointer as for appendMsgpackScalar and
// data is exactly one value of an obvious form. Otherwise it leaves *v alone, and
// the library decides what data means.
func decodeMsgpackScalar(data []byte, v any) bool {
	if len(data) == 0 {
		return false
	}
	switch v := v.(type) {
	case *string:
		b, ok := stringBody(data)
		if ok {
			*v = unsafe.String(unsafe.SliceData(b), len(b))
		}
		return ok
	case *int64:
		return setInt(v, data)
	case *int:
		return setInt(v, data)
	case *bool:
		if len(data) != 1 || data[0] != codeTrue && data[0] != codeFalse {
			return false
		}
		*v = data[0] == codeTrue
		return true
	case *[]byte:
		b, ok := stringBody(data)
		if ok {
			*v = append(make([]byte, 0, len(b)), b...)
		}
		return ok
	case *time.Time:
		return setTime(v, data)
	case *time.Duration:
		return setInt(v, data)
	case *float64:
		switch {
		case data[0] == codeFloat64 && len(data) == 9:
			*v = math.Float64frombits(binary.BigEndian.Uint64(data[1:]))
			return true
		case data[0] == codeFloat32 && len(data) == 5:
			*v = float64(math.Float32frombits(binary.BigEndian.Uint32(data[1:])))
			return true
		}
		return setInt(v, data)
	case *float32:
		if data[0] == codeFloat32 && len(data) == 5 {
			*v = math.Float32frombits(binary.BigEndian.Uint32(data[1:]))
			return true
		}
		return setInt(v, data) // a float of 64 bits is for the program to judge
	case *int8:
		return setInt(v, data)
	case *int16:
		return setInt(v, data)
	case *int32:
		return setInt(v, data)
	case *uint:
		return setInt(v, data)
	case *uint8:
		return setInt(v, data)
	case *uint16:
		return setInt(v, data)
	case *uint32:
		return setInt(v, data)
	case *uint64:
		return setInt(v, data)
	}
	return false
}

func append16(dst []byte, code byte, n uint16) []byte {
	return append(dst, code, byte(n>>8), byte(n))
}

func append32(dst []byte, code byte, n uint32) []byte {
	return append(dst, code, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

func append64(dst []byte, code byte, n uint64) []byte {
	return append(dst, code, byte(n>>56), byte(n>>48), byte(n>>40), byte(n>>32), byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

func appendUint(dst []byte, n uint64) []byte {
	switch {
	case n <= math.MaxInt8:
		return append(dst, byte(n))
	case n <= math.MaxUint8:
		return append(dst, codeUint8, byte(n))
	case n <= math.MaxUint16:
		return append16(dst, codeUint16, uint16(n))
	case n <= math.MaxUint32:
		return append32(dst, codeUint32, uint32(n))
	}
	return append64(dst, codeUint64, n)
}

func appendInt(dst []byte, n int64) []byte {
	switch {
	case n >= 0:
		return appendUint(dst, uint64(n))
	case n >= -32:
		return append(dst, byte(n))
	case n >= math.MinInt8:
		return append(dst, codeInt8, byte(n))
	case n >= math.MinInt16:
		return append16(dst, codeInt16, uint16(n))
	case n >= math.MinInt32:
		return append32(dst, codeInt32, uint32(n))
	}
	return append64(dst, codeInt64, uint64(n))
}

func appendStringHead(dst []byte, n int) []byte {
	switch {
	case n < 32:
		return append(dst, fixStrLow|byte(n))
	case n <= math.MaxUint8:
		return append(dst, codeStr8, byte(n))
	case n <= math.MaxUint16:
		return append16(dst, codeStr16, uint16(n))
	}
	return append32(dst, codeStr32, uint32(n))
}

func appendBytesHead(dst []byte, n int) []byte {
	switch {
	case n <= math.MaxUint8:
		return append(dst, codeBin8, byte(n))
	case n <= math.MaxUint16:
		return append16(dst, codeBin16, uint16(n))
	}
	return append32(dst, codeBin32, uint32(n))
}

// appendTime appends t in the shortest of the specification's three timestamp formats.
func appendTime(dst []byte, t time.Time) []byte {
	secs, nanos := uint64(t.Unix()), uint64(t.Nanosecond())
	switch {
	case secs>>32 == 0 && nanos == 0:
		dst = append(dst, codeFixExt4, extTimeByte)
		return binary.BigEndian.AppendUint32(dst, uint32(secs))
	case secs>>34 == 0:
		dst = append(dst, codeFixExt8, extTimeByte)
		return binary.BigEndian.AppendUint64(dst, nanos<<34|secs)
	}
	dst = append(dst, codeExt8, 12, extTimeByte)
	dst = binary.BigEndian.AppendUint32(dst, uint32(nanos))
	return binary.BigEndian.AppendUint64(dst, secs)
}

// setTime reads the three timestamp formats.
func setTime(t *time.Time, data []byte) bool {
	switch {
	case len(data) == 6 && data[0] == codeFixExt4 && data[1] == extTimeByte:
		*t = time.Unix(int64(binary.BigEndian.Uint32(data[2:])), 0)
	case len(data) == 10 && data[0] == codeFixExt8 && data[1] == extTimeByte:
		n := binary.BigEndian.Uint64(data[2:])
		*t = time.Unix(int64(n&(1<<34-1)), int64(n>>34))
	case len(data) == 15 && data[0] == codeExt8 && data[1] == 12 && data[2] == extTimeByte:
		nanos := int64(binary.BigEndian.Uint32(data[3:]))
		*t = time.Unix(int64(binary.BigEndian.Uint64(data[7:])), nanos)
	default:
		return false
	}
	if t.IsZero() {
		*t = t.UTC() // as the library does: the zero time has no zone
	}
	return true
}

type number interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~float32 | ~float64
}

// setInt stores an integer that fits.
func setInt[N number](v *N, data []byte) bool {
	n, ok := integer(data)
	if ok && fits[N](n, data[0]) {
		*v = N(n)
		return true
	}
	return false
}

// fits reports whether the integer n, read behind code, is one that an N can hold. The library cuts
// off what does not fit; a session that reads another number than was written is worse
// than an error.
func fits[N number](n int64, code byte) bool {
	var zero N
	beyondInt64 := code == codeUint64 && n < 0
	switch {
	case N(1)/2 != 0: // a float
		return !beyondInt64 && exactFloat(float64(N(n)), n, false)
	case zero-1 < 0:
		return !beyondInt64 && int64(N(n)) == n
	case beyondInt64:
		return unsafe.Sizeof(zero) == 8
	}
	return n >= 0 && uint64(N(n)) == uint64(n)
}

func integer(data []byte) (int64, bool) {
	c := data[0]
	switch len(data) {
	case 1:
		if c <= posFixHigh || c >= negFixLow {
			return int64(int8(c)), true
		}
	case 2:
		switch c {
		case codeUint8:
			return int64(data[1]), true
		case codeInt8:
			return int64(int8(data[1])), true
		}
	case 3:
		n := binary.BigEndian.Uint16(data[1:])
		switch c {
		case codeUint16:
			return int64(n), true
		case codeInt16:
			return int64(int16(n)), true
		}
	case 5:
		n := binary.BigEndian.Uint32(data[1:])
		switch c {
		case codeUint32:
			return int64(n), true
		case codeInt32:
			return int64(int32(n)), true
		}
	case 9:
		if c == codeInt64 || c == codeUint64 {
			return int64(binary.BigEndian.Uint64(data[1:])), true
		}
	}
	return 0, false
}

// stringBody returns the content of data if it is one string or one binary.
func stringBody(data []byte) ([]byte, bool) {
	head, n := 0, 0
	switch c := data[0]; {
	case c >= fixStrLow && c <= fixStrHigh:
		head, n = 1, int(c&0x1f)
	case (c == codeStr8 || c == codeBin8) && len(data) >= 2:
		head, n = 2, int(data[1])
	case (c == codeStr16 || c == codeBin16) && len(data) >= 3:
		head, n = 3, int(binary.BigEndian.Uint16(data[1:]))
	case (c == codeStr32 || c == codeBin32) && len(data) >= 5:
		head, n = 5, int(binary.BigEndian.Uint32(data[1:]))
	default:
		return nil, false
	}
	if len(data)-head != n {
		return nil, false
	}
	return data[head:], true
}
