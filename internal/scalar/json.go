package scalar

import (
	"bytes"
	"encoding/base64"
	"math"
	"strconv"
	"time"
	"unsafe"
)

// AppendJSON appends *v if v is a pointer to a predeclared scalar, []byte, time.Time or
// time.Duration whose encoding is obvious. Otherwise it is up to encoding/json.
func AppendJSON(dst []byte, v any) ([]byte, bool) {
	switch v := v.(type) {
	case *string:
		if !plainForEncoding(*v) {
			return dst, false
		}
		dst = append(dst, '"')
		dst = append(dst, *v...)
		return append(dst, '"'), true
	case *int64:
		return strconv.AppendInt(dst, *v, 10), true
	case *int:
		return strconv.AppendInt(dst, int64(*v), 10), true
	case *bool:
		return strconv.AppendBool(dst, *v), true
	case *[]byte:
		if *v == nil {
			return append(dst, "null"...), true
		}
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, *v)
		return append(dst, '"'), true
	case *time.Time:
		return appendJSONTime(dst, *v)
	case *time.Duration:
		return strconv.AppendInt(dst, int64(*v), 10), true
	case *float64:
		return appendJSONFloat(dst, *v, 64)
	case *float32:
		return appendJSONFloat(dst, float64(*v), 32)
	case *int8:
		return strconv.AppendInt(dst, int64(*v), 10), true
	case *int16:
		return strconv.AppendInt(dst, int64(*v), 10), true
	case *int32:
		return strconv.AppendInt(dst, int64(*v), 10), true
	case *uint:
		return strconv.AppendUint(dst, uint64(*v), 10), true
	case *uint8:
		return strconv.AppendUint(dst, uint64(*v), 10), true
	case *uint16:
		return strconv.AppendUint(dst, uint64(*v), 10), true
	case *uint32:
		return strconv.AppendUint(dst, uint64(*v), 10), true
	case *uint64:
		return strconv.AppendUint(dst, *v, 10), true
	}
	return dst, false
}

// DecodeJSON stores the value of data in *v. For that v must be a pointer as for AppendJSON, and
// data exactly one value of an obvious form. Otherwise it leaves *v alone and returns false, and
// what data means is up to encoding/json.
func DecodeJSON(data []byte, v any) bool {
	if len(data) == 0 {
		return false
	}
	switch v := v.(type) {
	case *string:
		b, ok := plainString(data)
		if ok {
			*v = unsafe.String(unsafe.SliceData(b), len(b))
		}
		return ok
	case *int64:
		return setJSONInt(v, data)
	case *int:
		return setJSONInt(v, data)
	case *bool:
		switch string(data) {
		case "true":
			*v = true
			return true
		case "false":
			*v = false
			return true
		}
		return false
	case *[]byte:
		return setJSONBytes(v, data)
	case *time.Time:
		b, ok := plainString(data)
		if !ok {
			return false
		}
		var t time.Time
		if t.UnmarshalText(b) != nil {
			return false
		}
		*v = t
		return true
	case *time.Duration:
		return setJSONInt(v, data)
	case *float64:
		f, ok := jsonFloat(data, 64)
		if ok {
			*v = f
		}
		return ok
	case *float32:
		f, ok := jsonFloat(data, 32)
		if ok {
			*v = float32(f)
		}
		return ok
	case *int8:
		return setJSONInt(v, data)
	case *int16:
		return setJSONInt(v, data)
	case *int32:
		return setJSONInt(v, data)
	case *uint:
		return setJSONInt(v, data)
	case *uint8:
		return setJSONInt(v, data)
	case *uint16:
		return setJSONInt(v, data)
	case *uint32:
		return setJSONInt(v, data)
	case *uint64:
		return setJSONInt(v, data)
	}
	return false
}

// Bytes that represent themselves within the quotes of a JSON string.
const (
	plainDecoded = 1 << iota // when reading
	plainEncoded             // when writing, where encoding/json escapes <, > and & as well
)

var plain = func() (t [256]uint8) {
	for c := ' '; c <= 0x7f; c++ {
		switch c {
		case '"', '\\':
		case '<', '>', '&':
			t[c] = plainDecoded
		default:
			t[c] = plainDecoded | plainEncoded
		}
	}
	return t
}()

// PlainJSON reports whether c represents itself within the quotes of a JSON string that is read.
func PlainJSON(c byte) bool { return plain[c]&plainDecoded != 0 }

func plainForEncoding(s string) bool {
	for i := range len(s) {
		if plain[s[i]]&plainEncoded == 0 {
			return false
		}
	}
	return true
}

// plainString returns what is between the quotes if data is one string of plain bytes.
func plainString(data []byte) ([]byte, bool) {
	n := len(data)
	if n < 2 || data[0] != '"' || data[n-1] != '"' {
		return nil, false
	}
	data = data[1 : n-1]
	for _, c := range data {
		if !PlainJSON(c) {
			return nil, false
		}
	}
	return data, true
}

func appendJSONTime(dst []byte, t time.Time) ([]byte, bool) {
	out, err := t.AppendText(append(dst, '"'))
	if err != nil {
		return dst, false
	}
	return append(out, '"'), true
}

// appendJSONFloat follows encoding/json, which follows ECMAScript: an exponent
// only for very small and very large numbers, and without leading zeros.
func appendJSONFloat(dst []byte, f float64, bits int) ([]byte, bool) {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return dst, false
	}
	small, large := 1e-6, 1e21
	if bits == 32 {
		small, large = float64(float32(1e-6)), float64(float32(1e21))
	}
	abs := math.Abs(f)
	if abs == 0 || abs >= small && abs < large {
		return strconv.AppendFloat(dst, f, 'f', -1, bits), true
	}
	dst = strconv.AppendFloat(dst, f, 'e', -1, bits)
	// "e-07" becomes "e-7". Only negative exponents have one digit here.
	if n := len(dst); dst[n-4] == 'e' && dst[n-3] == '-' && dst[n-2] == '0' {
		dst[n-2] = dst[n-1]
		dst = dst[:n-1]
	}
	return dst, true
}

func setJSONBytes(v *[]byte, data []byte) bool {
	text, ok := plainString(data)
	if !ok {
		return false
	}
	out := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(out, text)
	if err != nil {
		return false
	}
	*v = out[:n]
	return true
}

// setJSONInt stores an integer of at most 18 digits that fits.
func setJSONInt[N number](v *N, data []byte) bool {
	digits, negative := data, data[0] == '-'
	if negative {
		digits = data[1:]
	}
	if len(digits) == 0 || len(digits) > 18 || digits[0] == '0' && len(data) > 1 {
		return false
	}
	var n int64
	for _, c := range digits {
		if c < '0' || c > '9' {
			return false
		}
		n = n*10 + int64(c-'0')
	}
	if negative {
		n = -n
	}
	if int64(N(n)) != n || negative && N(n) > 0 {
		return false
	}
	*v = N(n)
	return true
}

func jsonFloat(data []byte, bits int) (float64, bool) {
	if !IsJSONNumber(data) {
		return 0, false
	}
	f, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(data), len(data)), bits)
	return f, err == nil && !CutsInteger(data, f, bits)
}

// IsJSONNumber reports whether data is one number by the grammar of JSON, which is narrower than that of strconv.
func IsJSONNumber(data []byte) bool {
	if len(data) > 0 && data[0] == '-' {
		data = data[1:]
	}
	whole := Digits(data)
	if whole == 0 || data[0] == '0' && whole > 1 {
		return false
	}
	data = data[whole:]
	if len(data) > 0 && data[0] == '.' {
		n := Digits(data[1:])
		if n == 0 {
			return false
		}
		data = data[1+n:]
	}
	if len(data) > 0 && (data[0] == 'e' || data[0] == 'E') {
		data = data[1:]
		if len(data) > 0 && (data[0] == '+' || data[0] == '-') {
			data = data[1:]
		}
		n := Digits(data)
		if n == 0 {
			return false
		}
		data = data[n:]
	}
	return len(data) == 0
}

// Digits returns how many digits data begins with.
func Digits(data []byte) int {
	for i, c := range data {
		if c < '0' || c > '9' {
			return i
		}
	}
	return len(data)
}

// CutsInteger reports whether text is an integer that f is not. It is not if neither exactly f, nor the shortest form that is read
// back as f, in which encoders write large floats. Fractions and exponents are always those of a float.
func CutsInteger(text []byte, f float64, size int) bool {
	exact := 15 // digits that every float of the size can hold
	if size == 32 {
		exact = 7
	}
	if whole := bytes.TrimPrefix(text, []byte("-")); len(whole) <= exact || Digits(whole) < len(whole) {
		return false
	}
	var b [400]byte
	return !bytes.Equal(strconv.AppendFloat(b[:0], f, 'f', -1, size), text) && !bytes.Equal(strconv.AppendFloat(b[:0], f, 'f', 0, size), text)
}
