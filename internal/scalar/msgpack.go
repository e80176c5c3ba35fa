package scalar

import (
	"encoding/binary"
	"math"
	"time"
	"unsafe"
)

// AppendMsgpack appends *v if v is a pointer to a predeclared scalar, []byte, time.Time or
// time.Duration. The bytes are those of the library with its defaults: int
// and uint as short as they fit, the sized integers at full width.
func AppendMsgpack(dst []byte, v any) ([]byte, bool) {
	switch v := v.(type) {
	case *string:
		return append(AppendStringHead(dst, len(*v)), *v...), true
	case *int64:
		return Append64(dst, Int64, uint64(*v)), true
	case *int:
		return AppendInt(dst, int64(*v)), true
	case *bool:
		if *v {
			return append(dst, True), true
		}
		return append(dst, False), true
	case *[]byte:
		if *v == nil {
			return append(dst, Nil), true
		}
		return append(AppendBytesHead(dst, len(*v)), *v...), true
	case *time.Time:
		return AppendTime(dst, *v), true
	case *time.Duration:
		return Append64(dst, Int64, uint64(*v)), true
	case *float64:
		return Append64(dst, Float64, math.Float64bits(*v)), true
	case *float32:
		return Append32(dst, Float32, math.Float32bits(*v)), true
	case *int8:
		return append(dst, Int8, byte(*v)), true
	case *int16:
		return Append16(dst, Int16, uint16(*v)), true
	case *int32:
		return Append32(dst, Int32, uint32(*v)), true
	case *uint:
		return AppendUint(dst, uint64(*v)), true
	case *uint8:
		return append(dst, Uint8, *v), true
	case *uint16:
		return Append16(dst, Uint16, *v), true
	case *uint32:
		return Append32(dst, Uint32, *v), true
	case *uint64:
		return Append64(dst, Uint64, *v), true
	}
	return dst, false
}

// DecodeMsgpack stores the value of data in *v. For that v must be a pointer as for AppendMsgpack,
// and data exactly one value of an obvious form. Otherwise it leaves *v alone and returns false,
// and what data means is up to the library.
func DecodeMsgpack(data []byte, v any) bool {
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
		if len(data) != 1 || data[0] != True && data[0] != False {
			return false
		}
		*v = data[0] == True
		return true
	case *[]byte:
		b, ok := stringBody(data)
		if ok {
			*v = append(make([]byte, 0, len(b)), b...)
		}
		return ok
	case *time.Time:
		return SetTime(v, data)
	case *time.Duration:
		return setInt(v, data)
	case *float64:
		switch {
		case data[0] == Float64 && len(data) == 9:
			*v = math.Float64frombits(binary.BigEndian.Uint64(data[1:]))
			return true
		case data[0] == Float32 && len(data) == 5:
			*v = float64(math.Float32frombits(binary.BigEndian.Uint32(data[1:])))
			return true
		}
		return setInt(v, data)
	case *float32:
		if data[0] == Float32 && len(data) == 5 {
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

// Append16 appends code and the two bytes of n.
func Append16(dst []byte, code byte, n uint16) []byte {
	return append(dst, code, byte(n>>8), byte(n))
}

// Append32 appends code and the four bytes of n.
func Append32(dst []byte, code byte, n uint32) []byte {
	return append(dst, code, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

// Append64 appends code and the eight bytes of n.
func Append64(dst []byte, code byte, n uint64) []byte {
	return append(dst, code, byte(n>>56), byte(n>>48), byte(n>>40), byte(n>>32), byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

// AppendUint appends n as short as it fits.
func AppendUint(dst []byte, n uint64) []byte {
	switch {
	case n <= math.MaxInt8:
		return append(dst, byte(n))
	case n <= math.MaxUint8:
		return append(dst, Uint8, byte(n))
	case n <= math.MaxUint16:
		return Append16(dst, Uint16, uint16(n))
	case n <= math.MaxUint32:
		return Append32(dst, Uint32, uint32(n))
	}
	return Append64(dst, Uint64, n)
}

// AppendInt appends n as short as it fits.
func AppendInt(dst []byte, n int64) []byte {
	switch {
	case n >= 0:
		return AppendUint(dst, uint64(n))
	case n >= -32:
		return append(dst, byte(n))
	case n >= math.MinInt8:
		return append(dst, Int8, byte(n))
	case n >= math.MinInt16:
		return Append16(dst, Int16, uint16(n))
	case n >= math.MinInt32:
		return Append32(dst, Int32, uint32(n))
	}
	return Append64(dst, Int64, uint64(n))
}

// AppendStringHead appends what precedes a string of n bytes.
func AppendStringHead(dst []byte, n int) []byte {
	switch {
	case n < 32:
		return append(dst, FixStrLow|byte(n))
	case n <= math.MaxUint8:
		return append(dst, Str8, byte(n))
	case n <= math.MaxUint16:
		return Append16(dst, Str16, uint16(n))
	}
	return Append32(dst, Str32, uint32(n))
}

// AppendBytesHead appends what precedes a binary of n bytes.
func AppendBytesHead(dst []byte, n int) []byte {
	switch {
	case n <= math.MaxUint8:
		return append(dst, Bin8, byte(n))
	case n <= math.MaxUint16:
		return Append16(dst, Bin16, uint16(n))
	}
	return Append32(dst, Bin32, uint32(n))
}

// AppendTime appends t in the shortest of the specification's three timestamp formats.
func AppendTime(dst []byte, t time.Time) []byte {
	secs, nanos := uint64(t.Unix()), uint64(t.Nanosecond())
	switch {
	case secs>>32 == 0 && nanos == 0:
		dst = append(dst, FixExt4, ExtTimeByte)
		return binary.BigEndian.AppendUint32(dst, uint32(secs))
	case secs>>34 == 0:
		dst = append(dst, FixExt8, ExtTimeByte)
		return binary.BigEndian.AppendUint64(dst, nanos<<34|secs)
	}
	dst = append(dst, Ext8, 12, ExtTimeByte)
	dst = binary.BigEndian.AppendUint32(dst, uint32(nanos))
	return binary.BigEndian.AppendUint64(dst, secs)
}

// SetTime stores in *t the timestamp that data holds in one of the three formats, and reports whether it does.
func SetTime(t *time.Time, data []byte) bool {
	switch {
	case len(data) == 6 && data[0] == FixExt4 && data[1] == ExtTimeByte:
		*t = time.Unix(int64(binary.BigEndian.Uint32(data[2:])), 0)
	case len(data) == 10 && data[0] == FixExt8 && data[1] == ExtTimeByte:
		n := binary.BigEndian.Uint64(data[2:])
		*t = time.Unix(int64(n&(1<<34-1)), int64(n>>34))
	case len(data) == 15 && data[0] == Ext8 && data[1] == 12 && data[2] == ExtTimeByte:
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
	beyondInt64 := code == Uint64 && n < 0
	switch {
	case N(1)/2 != 0: // a float
		return !beyondInt64 && ExactFloat(float64(N(n)), n, false)
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
		if c <= PosFixHigh || c >= NegFixLow {
			return int64(int8(c)), true
		}
	case 2:
		switch c {
		case Uint8:
			return int64(data[1]), true
		case Int8:
			return int64(int8(data[1])), true
		}
	case 3:
		n := binary.BigEndian.Uint16(data[1:])
		switch c {
		case Uint16:
			return int64(n), true
		case Int16:
			return int64(int16(n)), true
		}
	case 5:
		n := binary.BigEndian.Uint32(data[1:])
		switch c {
		case Uint32:
			return int64(n), true
		case Int32:
			return int64(int32(n)), true
		}
	case 9:
		if c == Int64 || c == Uint64 {
			return int64(binary.BigEndian.Uint64(data[1:])), true
		}
	}
	return 0, false
}

// stringBody returns the content of data if it is one string or one binary.
func stringBody(data []byte) ([]byte, bool) {
	head, n := 0, 0
	switch c := data[0]; {
	case c >= FixStrLow && c <= FixStrHigh:
		head, n = 1, int(c&0x1f)
	case (c == Str8 || c == Bin8) && len(data) >= 2:
		head, n = 2, int(data[1])
	case (c == Str16 || c == Bin16) && len(data) >= 3:
		head, n = 3, int(binary.BigEndian.Uint16(data[1:]))
	case (c == Str32 || c == Bin32) && len(data) >= 5:
		head, n = 5, int(binary.BigEndian.Uint32(data[1:]))
	default:
		return nil, false
	}
	if len(data)-head != n {
		return nil, false
	}
	return data[head:], true
}

// ExactFloat reports whether f is the integer v. high means that v holds the bits of one beyond an int64.
func ExactFloat(f float64, v int64, high bool) bool {
	if high {
		return f < 1<<64 && uint64(f) == uint64(v)
	}
	return f < 1<<63 && int64(f) == v
}
