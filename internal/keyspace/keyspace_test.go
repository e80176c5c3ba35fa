package keyspace_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/sessionkv/store/internal/keyspace"
)

// The names are read by other nodes and other versions: a change here is a
// change of the wire format.
var golden = []struct{ namespace, id, want string }{
	{"store", "abc", "store:abc"},
	{"chat", "u:1", "chat:u%3A1"},
	{"chat", "A-Z_a.z0-9", "chat:A-Z_a.z0-9"},
	{"chat", "{tag}", "chat:%7Btag%7D"},
	{"chat", "a b/c", "chat:a%20b%2Fc"},
	{"chat", "100%", "chat:100%25"},
	{"chat", "%41", "chat:%2541"},
	{"chat", "\x00\xff", "chat:%00%FF"},
	{"chat", "é", "chat:%C3%A9"},
	{"chat", "a\r\nb", "chat:a%0D%0Ab"},
}

func TestGoldenNames(t *testing.T) {
	for _, tt := range golden {
		ns, err := keyspace.Parse(tt.namespace)
		if err != nil {
			t.Fatalf("Parse(%q) = %v", tt.namespace, err)
		}
		if got := ns.Session(tt.id); got != tt.want {
			t.Errorf("Namespace(%q).Session(%q) = %q, want %q", tt.namespace, tt.id, got, tt.want)
		}
		if got, want := ns.Ends(), tt.namespace+":/ends"; got != want {
			t.Errorf("Namespace(%q).Ends() = %q, want %q", tt.namespace, got, want)
		}
	}
}

func TestParse(t *testing.T) {
	if got, err := keyspace.Parse(""); got != keyspace.DefaultNamespace || err != nil {
		t.Errorf("Parse(%q) = %q, %v, want %q", "", got, err, keyspace.DefaultNamespace)
	}
	for _, bad := range []string{"a:b", "a b", "é", "a{b}", "a%3A", "\x00", strings.Repeat("n", keyspace.MaxNamespace+1)} {
		if got, err := keyspace.Parse(bad); err == nil {
			t.Errorf("Parse(%q) = %q, nil, want an error", bad, got)
		}
	}
}

// A name that reads back to the ID it was made of cannot be shared by two IDs.
func FuzzSessionIsInjective(f *testing.F) {
	for _, tt := range golden {
		f.Add(tt.id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		name := keyspace.Namespace("ns").Session(id)
		escaped, ok := strings.CutPrefix(name, "ns:")
		if !ok {
			t.Fatalf("Session(%q) = %q, want the prefix %q", id, name, "ns:")
		}
		if strings.ContainsAny(escaped, ":{}/\x00 \r\n") {
			t.Errorf("Session(%q) = %q, want no separator in the ID's part", id, name)
		}
		back, err := url.PathUnescape(escaped)
		if err != nil || back != id {
			t.Errorf("Session(%q) = %q, which reads back as %q, %v", id, name, back, err)
		}
	})
}

func BenchmarkSession(b *testing.B) {
	for _, bb := range []struct{ name, id string }{
		{"id=plain", "MFRGGZDFMZTWQ2LKNNWG23TPOA"},
		{"id=escaped", "MFRGGZDF:ZTWQ2LK/NWG23TPOA"},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				keyspace.Namespace("store").Session(bb.id)
			}
		})
	}
}
