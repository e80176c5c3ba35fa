package keyspace

import "strings"

// ID returns the session ID whose name [Namespace.Session] is name, and reports whether there is one: names of
// lists and of others' keys have none.
func (n Namespace) ID(name string) (id string, ok bool) {
	escaped, ok := strings.CutPrefix(name, string(n)+":")
	if !ok {
		return "", false
	}
	return Unescape(escaped)
}

// Unescape returns the ID that [Escape] has written so, and reports whether there is one. An ID is not empty.
func Unescape(escaped string) (id string, ok bool) {
	if escaped == "" {
		return "", false
	}
	if strings.IndexByte(escaped, '%') < 0 {
		for i := range len(escaped) {
			if !plain(escaped[i]) {
				return "", false
			}
		}
		return escaped, true
	}
	b := make([]byte, 0, len(escaped))
	for i := 0; i < len(escaped); i++ {
		c := escaped[i]
		if c != '%' {
			if !plain(c) {
				return "", false
			}
			b = append(b, c)
			continue
		}
		if i+2 >= len(escaped) {
			return "", false
		}
		high, low := digit(escaped[i+1]), digit(escaped[i+2])
		if high < 0 || low < 0 || plain(byte(high<<4|low)) {
			return "", false
		}
		b = append(b, byte(high<<4|low))
		i += 2
	}
	return string(b), true
}

// digit returns the value of a hexadecimal digit as Escape writes it, and -1 for all else.
func digit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
