package storetest

import (
	"fmt"
	"strings"

	"github.com/sessionkv/store"
)

// show writes a value so that nil and empty differ and nothing grows long.
func show(v any) string {
	switch v := v.(type) {
	case nil:
		return "nil"
	case string:
		return clip(v)
	case []byte:
		if v == nil {
			return "nil"
		}
		return clip(string(v))
	case [][]byte:
		if v == nil {
			return "nil"
		}
		return list(v)
	case []string:
		return list(v)
	case []error:
		if v == nil {
			return "nil"
		}
		return list(v)
	case []store.Entry:
		if v == nil {
			return "nil"
		}
		return list(v)
	case store.Entry:
		return show(v.Key) + "=" + show(v.Value)
	case store.Terms:
		if v.MaxKeys > 0 {
			return fmt.Sprintf("lease %v, at most %d keys", v.Lease, v.MaxKeys)
		}
		return fmt.Sprintf("lease %v", v.Lease)
	default:
		return fmt.Sprint(v)
	}
}

func clip(s string) string {
	const most = 48
	if len(s) <= most {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("%q… (%d bytes)", s[:most], len(s))
}

func list[T any](vs []T) string {
	const most = 12
	var b strings.Builder
	b.WriteByte('[')
	for i, v := range vs {
		if i > 0 {
			b.WriteByte(' ')
		}
		if i == most {
			fmt.Fprintf(&b, "… (%d in all)", len(vs))
			break
		}
		b.WriteString(show(v))
	}
	b.WriteByte(']')
	return b.String()
}
