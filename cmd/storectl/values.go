package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/sessionkv/store/inspect"
)

// jsonOf returns what package inspect has decoded as JSON. What JSON does not have is an object with one name, which
// begins with $.
func jsonOf(data any) []byte {
	switch v := data.(type) {
	case string:
		if !utf8.ValidString(v) {
			return jsonOf([]byte(v))
		}
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return special("float", encoded(strconv.FormatFloat(v, 'g', -1, 64)))
		}
	case []byte:
		return special("bytes", encoded(base64.StdEncoding.EncodeToString(v)))
	case time.Time:
		return special("time", encoded(v.UTC().Format(time.RFC3339Nano)))
	case inspect.Omitted:
		return special("omitted", encoded(string(v)))
	case inspect.Extension:
		return special("extension", encoded([]any{v.Type, v.Data}))
	case []any:
		b := []byte{'['}
		for i, element := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, jsonOf(element)...)
		}
		return append(b, ']')
	case inspect.Object:
		b := []byte{'{'}
		for i, f := range v {
			if i > 0 {
				b = append(b, ',')
			}
			name := jsonOf(f.Name)
			if name[0] != '"' { // as the text of its JSON
				name = encoded(string(name))
			}
			b = append(append(append(b, name...), ':'), jsonOf(f.Value)...)
		}
		return append(b, '}')
	}
	return encoded(data)
}

func special(name string, inner []byte) []byte {
	return append(append([]byte(`{"$`+name+`":`), inner...), '}')
}

// encoded returns what encoding/json makes of v, without a line's end.
func encoded(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return special("omitted", []byte(`"it cannot be written as JSON"`))
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}
