package codec

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"

	"github.com/sessionkv/store/internal/scalar"
)

// space goes on to what is not a space. It returns 0 at the end.
func (d *jsonTaker) space() byte {
	for d.pos < len(d.data) {
		c := d.data[d.pos]
		if c > ' ' || c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return c
		}
		d.pos++
	}
	return 0
}

func (d *jsonTaker) word(s string) bool {
	if len(d.data)-d.pos >= len(s) && string(d.data[d.pos:d.pos+len(s)]) == s {
		d.pos += len(s)
		return true
	}
	return false
}

// integer reads an integer into the memory at p. What follows it shows whether the number ends there.
func (d *jsonTaker) integer(k reflect.Kind, p unsafe.Pointer) error {
	i, negative := d.pos, false
	if i < len(d.data) && d.data[i] == '-' {
		negative = true
		i++
	}
	start := i
	var v int64
	for i < len(d.data) && d.data[i]-'0' <= 9 {
		v = v*10 + int64(d.data[i]-'0')
		i++
	}
	if n := i - start; n == 0 || n > 1 && d.data[start] == '0' {
		return errUnusual
	} else if n > 18 {
		var err error
		text := unsafe.String(unsafe.SliceData(d.data[d.pos:]), i-d.pos)
		if k == reflect.Uint64 || k == reflect.Uint {
			var u uint64
			u, err = strconv.ParseUint(text, 10, 64)
			v = int64(u)
		} else {
			v, err = strconv.ParseInt(text, 10, 64)
		}
		if err != nil {
			return errUnusual
		}
	} else if negative {
		v = -v
	}
	d.pos = i
	fits := !negative || k < reflect.Uint
	switch k {
	case reflect.Int64, reflect.Uint64:
		*(*int64)(p) = v
	case reflect.Int:
		*(*int)(p) = int(v)
		fits = int64(int(v)) == v
	case reflect.Uint:
		*(*uint)(p) = uint(v)
		fits = fits && uint64(uint(v)) == uint64(v)
	case reflect.Int32:
		*(*int32)(p) = int32(v)
		fits = fits && int64(int32(v)) == v
	case reflect.Int16:
		*(*int16)(p) = int16(v)
		fits = fits && int64(int16(v)) == v
	case reflect.Int8:
		*(*int8)(p) = int8(v)
		fits = fits && int64(int8(v)) == v
	case reflect.Uint32:
		*(*uint32)(p) = uint32(v)
		fits = fits && int64(uint32(v)) == v
	case reflect.Uint16:
		*(*uint16)(p) = uint16(v)
		fits = fits && int64(uint16(v)) == v
	case reflect.Uint8:
		*(*uint8)(p) = uint8(v)
		fits = fits && int64(uint8(v)) == v
	}
	if !fits {
		return errUnusual
	}
	return nil
}

// number returns the text of a number.
func (d *jsonTaker) number() ([]byte, error) {
	start := d.pos
	for d.pos < len(d.data) {
		switch c := d.data[d.pos]; {
		case c >= '0' && c <= '9', c == '-', c == '+', c == '.', c == 'e', c == 'E':
			d.pos++
			continue
		}
		break
	}
	if b := d.data[start:d.pos]; scalar.IsJSONNumber(b) {
		return b, nil
	}
	return nil, errUnusual
}

func (d *jsonTaker) float(n *jsonNode, size int) (float64, error) {
	b, err := d.number()
	if err != nil {
		return 0, err
	}
	f, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(b), len(b)), size)
	if err != nil {
		return 0, errUnusual
	}
	if scalar.CutsInteger(b, f, size) {
		return 0, &fault{why: fmt.Sprintf("found an integer of %d digits, does not fit %v", scalar.Digits(bytes.TrimPrefix(b, []byte("-"))), shortType(n.typ)), err: errOverflow}
	}
	return f, nil
}

// plain returns what is between the quotes of a string of printable ASCII without escapes.
func (d *jsonTaker) plain() ([]byte, error) {
	if d.pos >= len(d.data) || d.data[d.pos] != '"' {
		return nil, errUnusual
	}
	start := d.pos + 1
	end := unplain(d.data, start)
	if end >= len(d.data) || d.data[end] != '"' {
		return nil, errUnusual
	}
	d.pos = end + 1
	return d.data[start:end:end], nil
}

// unplain returns where the first byte from i on is that is a quote, a backslash, a control character or not ASCII.
func unplain(b []byte, i int) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for len(b)-i >= 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		// The lowest top bit that is set is right: a borrow reaches only the bytes above a match.
		found := (x | (x - ones*' ') | ((x ^ ones*'"') - ones) | ((x ^ ones*'\\') - ones)) & tops
		if found != 0 {
			return i + bits.TrailingZeros64(found)>>3
		}
		i += 8
	}
	for i < len(b) && scalar.PlainJSON(b[i]) {
		i++
	}
	return i
}

// string reads a string, which shares the memory of the data unless it has escapes.
func (d *jsonTaker) string() (string, error) {
	if d.pos >= len(d.data) || d.data[d.pos] != '"' {
		return "", errUnusual
	}
	start := d.pos + 1
	end := unplain(d.data, start)
	if end < len(d.data) && d.data[end] == '"' {
		d.pos = end + 1
		return unsafe.String(unsafe.SliceData(d.data[start:]), end-start), nil
	}
	ascii := true
	for end < len(d.data) {
		switch c := d.data[end]; {
		case c == '"':
			b := d.data[start:end]
			if !ascii && !utf8.Valid(b) {
				return "", errUnusual
			}
			d.pos = end + 1
			return unsafe.String(unsafe.SliceData(b), len(b)), nil
		case c == '\\':
			return d.escaped(start, end)
		case c < ' ':
			return "", errUnusual
		case c >= utf8.RuneSelf:
			ascii = false
		}
		end++
	}
	return "", errUnusual
}

// escaped reads the string that begins at start and whose first escape is at i.
func (d *jsonTaker) escaped(start, i int) (string, error) {
	b := append(make([]byte, 0, i-start+16), d.data[start:i]...)
	for i < len(d.data) {
		c := d.data[i]
		i++
		switch {
		case c == '"':
			if !utf8.Valid(b) {
				return "", errUnusual
			}
			d.pos = i
			return unsafe.String(unsafe.SliceData(b), len(b)), nil
		case c < ' ':
			return "", errUnusual
		case c != '\\':
			b = append(b, c)
			continue
		case i >= len(d.data):
			return "", errUnusual
		}
		c = d.data[i]
		i++
		switch c {
		case '"', '\\', '/':
			b = append(b, c)
		case 'b':
			b = append(b, '\b')
		case 'f':
			b = append(b, '\f')
		case 'n':
			b = append(b, '\n')
		case 'r':
			b = append(b, '\r')
		case 't':
			b = append(b, '\t')
		case 'u':
			r := hex4(d.data[i:])
			i += 4
			if utf16.IsSurrogate(r) {
				if len(d.data)-i < 6 || d.data[i] != '\\' || d.data[i+1] != 'u' {
					return "", errUnusual
				}
				if r = utf16.DecodeRune(r, hex4(d.data[i+2:])); r == utf8.RuneError {
					return "", errUnusual
				}
				i += 6
			}
			if r < 0 {
				return "", errUnusual
			}
			b = utf8.AppendRune(b, r)
		default:
			return "", errUnusual
		}
	}
	return "", errUnusual
}

// hex4 returns the number of four hexadecimal digits, or −1.
func hex4(b []byte) (r rune) {
	if len(b) < 4 {
		return -1
	}
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// open goes into a container. empty says that it ends at once.
func (d *jsonTaker) open(begin, end byte) (empty bool, err error) {
	if d.pos >= len(d.data) || d.data[d.pos] != begin {
		return false, errUnusual
	}
	d.pos++
	if d.space() == end {
		d.pos++
		return true, nil
	}
	if d.depth++; d.depth > maxJSONDepth {
		return false, errUnusual
	}
	return false, nil
}

// more goes on to the next element of a container, or out of it.
func (d *jsonTaker) more(end byte) (bool, error) {
	switch d.space() {
	case ',':
		d.pos++
		return true, nil
	case end:
		d.pos++
		d.depth--
		return false, nil
	}
	return false, errUnusual
}

// notText takes the place of a name that is not UTF-8. No field has it.
const notText = "\xff"

// lossOfText is the loss of text for which encoding/json puts U+FFFD in its place.
func lossOfText() error { return &fault{why: "found text that is not UTF-8"} }

// plainText reports whether data has no text that encoding/json would change. It may report false for other data.
func plainText(data []byte) bool {
	return utf8.Valid(data) && !bytes.Contains(data, []byte(`\ud`)) && !bytes.Contains(data, []byte(`\uD`))
}

// skipText is skip for what is decoded as text.
func (d *jsonTaker) skipText() error {
	d.texts = true
	err := d.skip()
	d.texts = false
	return err
}

// name reads the name of a field or the key of a map, up to the value.
func (d *jsonTaker) name() (string, error) {
	if d.pos < len(d.data) && d.data[d.pos] != '"' {
		d.space()
	}
	start := d.pos
	s, err := d.string()
	if err != nil {
		if !d.looks {
			return "", err
		}
		d.pos = start
		if err := d.skip(); err != nil {
			return "", err
		}
		s = notText
	}
	if d.pos < len(d.data) && d.data[d.pos] == ':' || d.space() == ':' {
		d.pos++
		return s, nil
	}
	return "", errUnusual
}

// skip passes over one value. What is not JSON at all is unusual.
func (d *jsonTaker) skip() error {
	switch d.space() {
	case '"':
		return d.skipString()
	case '{':
		empty, err := d.open('{', '}')
		if err != nil {
			return err
		}
		for more := !empty; more; {
			if d.space() != '"' {
				return errUnusual
			}
			if err := d.skipString(); err != nil {
				return err
			}
			if d.space() != ':' {
				return errUnusual
			}
			d.pos++
			if err := d.skip(); err != nil {
				return err
			}
			if more, err = d.more('}'); err != nil {
				return err
			}
		}
		return nil
	case '[':
		empty, err := d.open('[', ']')
		if err != nil {
			return err
		}
		for more := !empty; more; {
			if err := d.skip(); err != nil {
				return err
			}
			if more, err = d.more(']'); err != nil {
				return err
			}
		}
		return nil
	case 't', 'f', 'n':
		if d.word("true") || d.word("false") || d.word("null") {
			return nil
		}
		return errUnusual
	}
	_, err := d.number()
	return err
}

func (d *jsonTaker) skipString() error {
	if d.texts {
		if _, err := d.string(); err != nil { // of what encoding/json decodes, string reads all but such text
			return lossOfText()
		}
		return nil
	}
	for i := unplain(d.data, d.pos+1); i < len(d.data); {
		switch c := d.data[i]; {
		case c == '"':
			d.pos = i + 1
			return nil
		case c < ' ':
			return errUnusual
		case c == '\\':
			i++
			if i >= len(d.data) || !strings.ContainsRune(`"\/bfnrtu`, rune(d.data[i])) || d.data[i] == 'u' && hex4(d.data[i+1:]) < 0 {
				return errUnusual
			}
		}
		i++
	}
	return errUnusual
}
