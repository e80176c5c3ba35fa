package keyspace_test

import (
	"testing"

	"github.com/sessionkv/store/internal/keyspace"
)

func TestID(t *testing.T) {
	for _, tt := range golden {
		ns := keyspace.Namespace(tt.namespace)
		if id, ok := ns.ID(tt.want); id != tt.id || !ok {
			t.Errorf("Namespace(%q).ID(%q) = %q, %t, want %q", ns, tt.want, id, ok, tt.id)
		}
	}
	ns := keyspace.Namespace("chat")
	for _, other := range []string{
		ns.List("gh0F"), ns.Ends(), "", "chat", "chat:", "chat2:abc", "Chat:abc", "chat:a:b", "chat:a b", "chat:é", "chat:\x00",
		"chat:%", "chat:%3", "chat:%3a", "chat:%41", "chat:%G0", "chat:a%", "chat:{a}", "chat:*",
	} {
		if id, ok := ns.ID(other); ok {
			t.Errorf("Namespace(%q).ID(%q) = %q, true, want none: no session has this name", ns, other, id)
		}
	}
}

// What reads as an ID is written as it was read.
func FuzzIDIsTheInverse(f *testing.F) {
	for _, tt := range golden {
		f.Add(tt.want)
	}
	f.Fuzz(func(t *testing.T, name string) {
		const ns = keyspace.Namespace("chat")
		if id, ok := ns.ID(name); ok && ns.Session(id) != name {
			t.Errorf("ID(%q) = %q, whose name is %q", name, id, ns.Session(id))
		}
		if id, ok := ns.ID(ns.Session("x" + name)); id != "x"+name || !ok {
			t.Errorf("ID(Session(%q)) = %q, %t", "x"+name, id, ok)
		}
	})
}

// Names of namespaces and sessions have no character that a pattern of SCAN treats specially.
func TestNamesArePatterns(t *testing.T) {
	for c := range 256 {
		if _, err := keyspace.Parse("a" + string([]byte{byte(c)})); err == nil {
			switch c {
			case '*', '?', '[', ']', '^', '\\':
				t.Errorf("Parse accepts %q, which patterns treat specially", rune(c))
			}
		}
	}
}
