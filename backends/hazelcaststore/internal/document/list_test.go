package document

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// goldenList is a wire format, as golden is.
const goldenList = "534b4c01" + // magic, format
	"00000000000000ee" + // nonce
	"0002" + // parts
	"0000019aba2f1a01" + // until
	"0000019aba2f1a00" + "03" + "61ff00"

func TestGoldenList(t *testing.T) {
	l := &List{Nonce: 0xee, Parts: 2, Until: 0x19aba2f1a01}
	l.Put("a\xff\x00", 0x19aba2f1a00)
	b := l.Encode()
	if got := hex.EncodeToString(b); got != goldenList {
		t.Fatalf("Encode() = %s\nwant %s", got, goldenList)
	}
	got, err := OpenList(b)
	if err != nil {
		t.Fatalf("OpenList = %v, want no error", err)
	}
	if diff := cmp.Diff(l, got); diff != "" {
		t.Errorf("OpenList (-want +got):\n%s", diff)
	}
	for n := range b {
		if n == listHeader {
			continue // a list without members
		}
		if _, err := OpenList(b[:n]); !errors.Is(err, ErrMalformed) {
			t.Errorf("OpenList(the first %d of %d bytes) = %v, want %v", n, len(b), err, ErrMalformed)
		}
	}
	for _, parts := range [][]byte{{0, 0}, {0xff, 0xff}} {
		bad := bytes.Clone(b)
		copy(bad[12:], parts)
		if _, err := OpenList(bad); !errors.Is(err, ErrMalformed) {
			t.Errorf("OpenList(parts %x) = %v, want %v", parts, err, ErrMalformed)
		}
	}
}

func TestListMembers(t *testing.T) {
	l := &List{Parts: 1}
	for _, step := range []struct {
		what string
		got  bool
		want bool
	}{
		{"Put(a, 5)", l.Put("a", 5), true},
		{"Put(a, 4)", l.Put("a", 4), false},
		{"Put(a, 6)", l.Put("a", 6), true},
		{"Put(b, 3)", l.Put("b", 3), true},
		{"Remove(c)", l.Remove("c"), false},
	} {
		if step.got != step.want {
			t.Errorf("%s = %v, want %v", step.what, step.got, step.want)
		}
	}
	l.Expire(3)
	if want := []Member{{6, "a"}}; !cmp.Equal(l.Members, want) {
		t.Errorf("members = %v, want %v", l.Members, want)
	}
	if got := l.Latest(); got != 6 {
		t.Errorf("Latest() = %d, want 6", got)
	}
}

func FuzzOpenList(f *testing.F) {
	b, _ := hex.DecodeString(goldenList)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := OpenList(b)
		if err != nil {
			return
		}
		again, err := OpenList(l.Encode())
		if err != nil || !cmp.Equal(l, again) {
			t.Errorf("OpenList(Encode()) = %v, %v, want %v", again, err, l)
		}
	})
}
