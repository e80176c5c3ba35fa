package document

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// golden is what a session with two keys looks like. These bytes are a wire
// format: other processes, older versions and other languages read them.
const golden = "534b5601" + // magic, format
	"000102030405060708090a0b0c0d0e0f" + // token
	"0000019aba2f1a00" + // deadline
	"0000000000000002" + // revision
	"02" +
	"00000000000000bb" + "0000000000000002" +
	"00000000000000aa" + "0000000000000001" +
	"02" +
	"06" + "74656e616e74" + "04" + "61636d65" +
	"06" + "757365724964" + "00"

func goldenDraft() *Draft {
	var token Token
	for i := range token {
		token[i] = byte(i)
	}
	first := New(token, 0x19aba2f1a00)
	first.Put("userId", []byte{})
	v, err := Open(first.Encode(0xaa))
	if err != nil {
		panic(err)
	}
	second := v.Draft()
	second.Put("tenant", []byte("acme"))
	return second
}

func TestGolden(t *testing.T) {
	got := hex.EncodeToString(goldenDraft().Encode(0xbb))
	if got != golden {
		t.Fatalf("Encode(0xbb) = %s\nwant %s", got, golden)
	}
	b, _ := hex.DecodeString(golden)
	v, err := Open(b)
	if err != nil {
		t.Fatalf("Open(golden) = %v, want no error", err)
	}
	if diff := cmp.Diff([]string{"tenant", "userId"}, v.Keys()); diff != "" {
		t.Errorf("Keys() (-want +got):\n%s", diff)
	}
	for key, want := range map[string][]byte{"tenant": []byte("acme"), "userId": {}, "a": nil, "tenantx": nil, "z": nil} {
		if got := v.Get(key); !bytes.Equal(got, want) || (got == nil) != (want == nil) {
			t.Errorf("Get(%q) = %#v, want %#v", key, got, want)
		}
	}
	if got := v.Revision(); got != 2 {
		t.Errorf("Revision() = %d, want 2", got)
	}
	for writer, want := range map[uint64]uint64{0xaa: 1, 0xbb: 2, 0xcc: 0} {
		if got, ok := v.Wrote(writer); got != want || ok != (want != 0) {
			t.Errorf("Wrote(%#x) = %d, %v, want %d, %v", writer, got, ok, want, want != 0)
		}
	}
}

func TestWritersAreForgottenOldestFirst(t *testing.T) {
	v, err := Open(New(Token{}, 1).Encode(100))
	if err != nil {
		t.Fatal(err)
	}
	for w := range uint64(MaxWriters) {
		if v, err = Open(v.Draft().Encode(200 + w)); err != nil {
			t.Fatal(err)
		}
	}
	if r, ok := v.Wrote(100); ok {
		t.Errorf("Wrote(100) after %d others = %d, true, want it forgotten", MaxWriters, r)
	}
	if r, ok := v.Wrote(200); !ok || r != 2 {
		t.Errorf("Wrote(200) = %d, %v, want 2, true", r, ok)
	}
	if v, err = Open(v.Draft().Encode(200)); err != nil {
		t.Fatal(err)
	}
	if r, ok := v.Wrote(200); !ok || r != 2+MaxWriters {
		t.Errorf("Wrote(200) after it wrote again = %d, %v, want %d, true", r, ok, 2+MaxWriters)
	}
}

func TestOpenRefuses(t *testing.T) {
	b, _ := hex.DecodeString(golden)
	change := func(at int, to ...byte) []byte {
		c := bytes.Clone(b)
		copy(c[at:], to)
		return c
	}
	keysAt := headerSize + 2*writerSize
	for name, bad := range map[string][]byte{
		"nothing":                   nil,
		"another magic":             change(0, 'X'),
		"another format":            change(3, 2),
		"a byte too many":           append(bytes.Clone(b), 0),
		"too many writers":          change(writersAt, MaxWriters+1),
		"a writer from the future":  change(headerSize+15, 3),
		"writers out of order":      change(headerSize+writerSize+15, 2),
		"more keys than bytes":      change(keysAt, 0x7f),
		"a longer form of a number": change(keysAt, 0x82, 0x00),
		"an empty key":              change(keysAt+1, 0),
		"keys out of order":         change(keysAt+2, 'v'),
		"a huge length":             append(bytes.Clone(b[:len(b)-1]), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01),
	} {
		if _, err := Open(bad); !errors.Is(err, ErrMalformed) {
			t.Errorf("Open(%s) = %v, want %v", name, err, ErrMalformed)
		}
	}
	for n := range b {
		if _, err := Open(b[:n]); !errors.Is(err, ErrMalformed) {
			t.Errorf("Open(the first %d of %d bytes) = %v, want %v", n, len(b), err, ErrMalformed)
		}
	}
}

func FuzzOpen(f *testing.F) {
	b, _ := hex.DecodeString(golden)
	f.Add(b)
	f.Add(New(Token{}, -1).Encode(1))
	f.Add([]byte(magic + strings.Repeat("\xff", headerSize)))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := Open(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("Open = %v, want %v", err, ErrMalformed)
			}
			return
		}
		keys := v.Keys()
		if len(keys) != v.Len() {
			t.Fatalf("Len() = %d, want %d, the length of Keys()", v.Len(), len(keys))
		}
		d := v.Draft()
		for _, key := range keys {
			value := v.Get(key)
			if value == nil || !bytes.Equal(value, d.Get(key)) {
				t.Fatalf("Get(%q) = %q, and %q in the draft", key, value, d.Get(key))
			}
			d.Put(key, bytes.Clone(value))
		}
		if v.Revision() == ^uint64(0) {
			return // no further revision can be written
		}
		next, err := Open(d.Encode(42))
		if err != nil {
			t.Fatalf("Open(Encode()) = %v, want no error", err)
		}
		if next.Revision() != v.Revision()+1 || next.Token() != v.Token() || next.Deadline() != v.Deadline() {
			t.Fatal("the next document has another header")
		}
		if diff := cmp.Diff(keys, next.Keys()); diff != "" {
			t.Fatalf("keys of the next document (-want +got):\n%s", diff)
		}
	})
}
