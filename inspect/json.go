package inspect

import (
	"encoding/json"
	"errors"
)

var errJSON = errors.New("these bytes are not JSON")

// A jsonReader reads one JSON value within the same bounds as a msgpackReader. It is given
// what json.Valid accepts, so it looks only for where things end.
type jsonReader struct {
	*decoder
	b   []byte
	pos int
}

// json returns the value that b encodes, all of it.
func (d *decoder) json(b []byte) (any, error) {
	if !json.Valid(b) {
		return nil, errJSON
	}
	r := jsonReader{decoder: d, b: b}
	return r.value(0)
}

// next returns the next byte that is not a space, and stays before it. The end is a zero byte.
func (r *jsonReader) next() byte {
	for ; r.pos < len(r.b); r.pos++ {
		switch c := r.b[r.pos]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// more reports whether the innermost container has a further element, and goes behind what comes before it, or
// behind the end.
func (r *jsonReader) more() bool {
	c := r.next()
	if c == ',' {
		r.pos++
		c = r.next()
	}
	if c == ']' || c == '}' || c == 0 {
		r.pos++
		return false
	}
	return true
}

func (r *jsonReader) value(depth int) (any, error) {
	if !r.node() {
		r.skip()
		return omittedNodes, nil
	}
	c := r.next()
	if c != '[' && c != '{' {
		return r.scalar()
	}
	if depth == maxDepth {
		r.skip()
		return omittedDepth, nil
	}
	r.pos++
	if c == '[' {
		all := []any{}
		for r.more() {
			if r.nodes <= 0 {
				r.leave()
				return append(all, omittedNodes), nil
			}
			v, err := r.value(depth + 1)
			if err != nil {
				return nil, err
			}
			all = append(all, v)
		}
		return all, nil
	}
	all := Object{}
	for r.more() {
		if r.nodes <= 1 {
			r.leave()
			return append(all, Field{omittedNodes, omittedNodes}), nil
		}
		var f Field
		var err error
		if f.Name, err = r.value(depth + 1); err == nil {
			r.next()
			r.pos++ // the colon
			f.Value, err = r.value(depth + 1)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	return all, nil
}

// scalar reads what is not a container.
func (r *jsonReader) scalar() (any, error) {
	start := r.pos
	r.skip()
	text := r.b[start:r.pos]
	switch c := text[0]; c {
	case '"':
		var s string
		if err := json.Unmarshal(text, &s); err != nil {
			return nil, err
		}
		return r.text([]byte(s)), nil
	case 't', 'f':
		return c == 't', nil
	case 'n':
		return nil, nil
	}
	if len(text) > maxString {
		return omittedBytes(len(text)), nil
	}
	return r.number(json.Number(text)), nil
}

// skip goes behind the next value, however deep it is.
func (r *jsonReader) skip() {
	switch r.next() {
	case '[', '{':
		r.pos++
		r.leave()
	case '"':
		r.string()
	default:
		for ; r.pos < len(r.b); r.pos++ {
			switch r.b[r.pos] {
			case ' ', '\t', '\n', '\r', ',', ':', ']', '}':
				return
			}
		}
	}
}

// leave goes behind the end of the innermost container.
func (r *jsonReader) leave() {
	for depth := 1; depth > 0 && r.pos < len(r.b); {
		switch r.b[r.pos] {
		case '"':
			r.string()
			continue
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		}
		r.pos++
	}
}

// string goes behind a string.
func (r *jsonReader) string() {
	for r.pos++; r.pos < len(r.b); r.pos++ {
		switch r.b[r.pos] {
		case '\\':
			r.pos++
		case '"':
			r.pos++
			return
		}
	}
}
