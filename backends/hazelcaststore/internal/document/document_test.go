package document

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
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
	second := first.Encode(0xaa).Draft()
	second.Put("tenant", []byte("acme"))
	return second
}

func TestGolden(t *testing.T) {
	got := hex.EncodeToString(goldenDraft().Encode(0xbb).Bytes())
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

// goldenOwned is the same session with an owner.
const goldenOwned = "534b5602" +
	"000102030405060708090a0b0c0d0e0f" +
	"0000019aba2f1a00" +
	"0000000000000002" +
	"00000000000000dd" + // owner
	"02" +
	"00000000000000bb" + "0000000000000002" +
	"00000000000000aa" + "0000000000000001" +
	"02" +
	"06" + "74656e616e74" + "04" + "61636d65" +
	"06" + "757365724964" + "00"

func TestGoldenOwned(t *testing.T) {
	d := goldenDraft()
	d.SetOwner(0xdd)
	v := d.Encode(0xbb)
	if got := hex.EncodeToString(v.Bytes()); got != goldenOwned {
		t.Fatalf("Encode(0xbb) with an owner = %s\nwant %s", got, goldenOwned)
	}
	opened, err := Open(v.Bytes())
	if err != nil || opened.Owner() != 0xdd || string(opened.Get("tenant")) != "acme" {
		t.Errorf("Open = owner %#x, tenant %q, %v, want 0xdd, acme", opened.Owner(), opened.Get("tenant"), err)
	}
	d = opened.Draft()
	d.SetOwner(0)
	if got := d.Encode(0xbb).Bytes(); got[formatAt] != plain {
		t.Errorf("without an owner the format is %d, want %d", got[formatAt], plain)
	}
}

// Whatever a later version writes, this one can judge and destroy.
func TestOpenOfANewerFormat(t *testing.T) {
	b, _ := hex.DecodeString(goldenOwned)
	b[formatAt] = newest + 1
	b = append(b[:frozenSize+ownerSize], "something else"...)
	v, err := Open(b)
	if !errors.Is(err, ErrNewer) {
		t.Fatalf("Open(a newer format) = %v, want %v", err, ErrNewer)
	}
	want := goldenDraft()
	if v.Token() != want.token || v.Deadline() != want.deadline || v.Revision() != 2 || v.Owner() != 0xdd || !bytes.Equal(v.Bytes(), b) {
		t.Errorf("the View has token %x, deadline %d, revision %d, owner %#x", v.Token(), v.Deadline(), v.Revision(), v.Owner())
	}
	if _, ok := v.Wrote(0xbb); ok || v.Len() != 0 || len(v.Keys()) != 0 {
		t.Errorf("the View has writers or keys, want none")
	}
}

// A draft patches the document so that it comes out as one made anew.
func TestDraftBesideAMap(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	model := map[string]string{}
	v := New(Token{1}, 7).Encode(1)
	for range 2000 {
		d := v.Draft()
		for range rng.IntN(7) {
			key := strings.Repeat(string(rune('a'+rng.IntN(20))), 1+rng.IntN(3))
			if rng.IntN(3) == 0 {
				delete(model, key)
				d.Delete(key)
			} else {
				model[key] = strings.Repeat("v", rng.IntN(200))
				want := d.Size() + d.Growth(key, []byte(model[key]))
				d.Put(key, []byte(model[key]))
				if got := d.Size(); got != want {
					t.Fatalf("after Put Size() = %d, want %d as Growth said", got, want)
				}
			}
			if got := d.Get(key); string(got) != model[key] || d.Len() != len(model) {
				t.Fatalf("Get(%q) = %q of %d keys, want %q of %d", key, got, d.Len(), model[key], len(model))
			}
		}
		most := d.Size()
		v = d.Encode(2)
		if n := len(v.Bytes()); n > most || n < most-200 {
			t.Fatalf("Size() = %d, want a little more than %d", most, n)
		}
		opened, err := Open(v.Bytes())
		if err != nil {
			t.Fatalf("Open(Encode()) = %v, want no error", err)
		}
		if opened.at != v.at || opened.keys != v.keys || opened.writers != v.writers {
			t.Fatalf("Encode() = %d, %d, %d, want what Open finds: %d, %d, %d", v.writers, v.keys, v.at, opened.writers, opened.keys, opened.at)
		}
		if v.index != nil && !slices.Equal(v.index, opened.indexed().index) {
			t.Fatalf("Encode() has the index %v, want %v", v.index, opened.indexed().index)
		}
		if rng.IntN(2) == 0 {
			v = v.indexed() // handed on from here
		} else if rng.IntN(4) == 0 {
			v = opened
		}
		keys := append(slices.Sorted(maps.Keys(model)), "absent")
		for i, value := range v.GetMany(keys) {
			if want, ok := model[keys[i]]; string(value) != want || (value != nil) != ok {
				t.Fatalf("GetMany at %q = %q, want %q, %v", keys[i], value, want, ok)
			}
		}
	}
}

// large returns a document of n keys with values of size bytes.
func large(n, size int) View {
	d := New(Token{1}, 7)
	for i := range n {
		d.Put(fmt.Sprintf("key-%04d", i), make([]byte, size))
	}
	return d.Encode(1)
}

func TestSmallChangeAllocates(t *testing.T) {
	v := large(1024, 20)
	value := []byte("value")
	if n := testing.AllocsPerRun(100, func() {
		d := v.Draft()
		d.Put("key-0512", value)
		v = d.Encode(1)
	}); n > 3 {
		t.Errorf("a change of one of 1024 keys took %v allocations, want 3 at most", n)
	}
}

func BenchmarkSmallChange(b *testing.B) {
	v := large(1024, 20)
	value := []byte("value")
	b.ReportAllocs()
	for b.Loop() {
		d := v.Draft()
		d.Put("key-0512", value)
		v = d.Encode(1)
	}
}

func BenchmarkGetMany(b *testing.B) {
	for _, n := range []int{64, 1024, 4096} {
		v := large(n, 20)
		keys := v.Keys()
		slices.Reverse(keys)
		b.Run(fmt.Sprint("keys=", n), func(b *testing.B) {
			for b.Loop() {
				v.GetMany(keys)
			}
		})
	}
}

func TestWritersAreForgottenOldestFirst(t *testing.T) {
	v, err := Open(New(Token{}, 1).Encode(100).Bytes())
	if err != nil {
		t.Fatal(err)
	}
	for w := range uint64(MaxWriters) {
		if v, err = Open(v.Draft().Encode(200 + w).Bytes()); err != nil {
			t.Fatal(err)
		}
	}
	if r, ok := v.Wrote(100); ok {
		t.Errorf("Wrote(100) after %d others = %d, true, want it forgotten", MaxWriters, r)
	}
	if r, ok := v.Wrote(200); !ok || r != 2 {
		t.Errorf("Wrote(200) = %d, %v, want 2, true", r, ok)
	}
	if v, err = Open(v.Draft().Encode(200).Bytes()); err != nil {
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
	keysAt := (frozenSize + 1) + 2*writerSize
	for name, bad := range map[string][]byte{
		"nothing":                   nil,
		"another magic":             change(0, 'X'),
		"format 0":                  change(3, 0),
		"an owner of zero":          append(append(bytes.Clone(change(3, 2)[:frozenSize]), make([]byte, 8)...), b[frozenSize:]...),
		"a byte too many":           append(bytes.Clone(b), 0),
		"too many writers":          change(frozenSize, MaxWriters+1),
		"a writer from the future":  change((frozenSize+1)+15, 3),
		"writers out of order":      change((frozenSize+1)+writerSize+15, 2),
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
	owned, _ := hex.DecodeString(goldenOwned)
	for n := range owned {
		if _, err := Open(owned[:n]); !errors.Is(err, ErrMalformed) {
			t.Errorf("Open(the first %d of %d bytes with an owner) = %v, want %v", n, len(owned), err, ErrMalformed)
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
	f.Add(New(Token{}, -1).Encode(1).Bytes())
	o, _ := hex.DecodeString(goldenOwned)
	f.Add(o)
	f.Add([]byte(magic + strings.Repeat("\xff", (frozenSize+1))))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := Open(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrNewer) {
				t.Fatalf("Open = %v, want %v or %v", err, ErrMalformed, ErrNewer)
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
		next, err := Open(d.Encode(42).Bytes())
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
