package inspect

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	maxText   = 64 << 10 // bytes of the text of a value
	maxBinary = 256      // bytes of binary data that the text shows
)

func omittedBytes(n int) Omitted { return Omitted(fmt.Sprintf("%d bytes more", n)) }

// Text returns Data for people to read: like JSON over several lines, with what JSON does not
// have in angle brackets. It is at most some 64 KiB long, and all of its
// characters can be printed.
func (v Value) Text() string {
	w := writer{most: maxText, indent: true}
	w.value(v.Data, 0)
	return w.String()
}

// line returns Data on one line of at most some n bytes.
func (v Value) line(n int) string {
	w := writer{most: n}
	w.value(v.Data, 0)
	return w.String()
}

// A writer writes data as text until there is enough.
type writer struct {
	strings.Builder
	most   int
	indent bool
	full   bool
}

// add writes s as far as there is room.
func (w *writer) add(s string) {
	if w.full {
		return
	}
	if room := w.most - w.Len(); len(s) > room {
		for room > 0 && !utf8.RuneStart(s[room]) {
			room--
		}
		w.WriteString(s[:max(room, 0)])
		w.WriteString("…")
		w.full = true
		return
	}
	w.WriteString(s)
}

func (w *writer) value(v any, depth int) {
	switch v := v.(type) {
	case []any:
		w.container("[", "]", len(v), depth, func(i int) { w.value(v[i], depth+1) })
	case Object:
		w.container("{", "}", len(v), depth, func(i int) {
			w.value(v[i].Name, depth+1)
			w.add(": ")
			w.value(v[i].Value, depth+1)
		})
	default:
		w.add(scalar(v))
	}
}

// container writes n elements. Anybody can make Data, so its depth is bounded here too.
func (w *writer) container(open, end string, n, depth int, element func(i int)) {
	if n == 0 || depth > maxDepth {
		if n > 0 {
			open += "…"
		}
		w.add(open + end)
		return
	}
	w.add(open)
	for i := range n {
		if i > 0 {
			w.add(",")
			if !w.indent {
				w.add(" ")
			}
		}
		w.line(depth + 1)
		element(i)
		if w.full {
			return
		}
	}
	w.line(depth)
	w.add(end)
}

func (w *writer) line(depth int) {
	if w.indent {
		w.add("\n" + strings.Repeat("  ", depth))
	}
}

// scalar returns the text of what is not a container.
func scalar(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return strconv.Quote(v)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case json.Number:
		return printable(v.String())
	case time.Time:
		return "<" + v.Format(time.RFC3339Nano) + ">"
	case []byte:
		return "<" + binaryText(v) + ">"
	case Extension:
		return fmt.Sprintf("<extension %d, %s>", v.Type, binaryText(v.Data))
	case Omitted:
		return "<" + printable(string(v)) + ">"
	}
	return printable(fmt.Sprint(v))
}

func binaryText(b []byte) string {
	dots := ""
	n := len(b)
	if n > maxBinary {
		b, dots = b[:maxBinary], "…"
	}
	if n == 0 {
		return "0 bytes"
	}
	return fmt.Sprintf("%d bytes: %s%s", n, hex.EncodeToString(b), dots)
}

// printable returns s with what cannot be printed, or changes how the text around it is
// shown, escaped.
func printable(s string) string {
	q := strconv.Quote(s)
	q = q[1 : len(q)-1]
	return strings.ReplaceAll(q, `\"`, `"`)
}
