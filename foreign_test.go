package store_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/codec"
)

// careless is a codec with one fault against the contract of codec.Codec. State
// is behind a pointer so that it stays comparable.
type careless struct {
	fault  string
	cached *[]byte
}

func newCareless(fault string) careless {
	scratch := make([]byte, 0, 1024)
	return careless{fault, &scratch}
}

func (careless) Name() string { return "careless" }

func (c careless) Append(dst []byte, v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return dst, err
	}
	switch c.fault {
	case "ignores dst":
		return b, nil
	case "returns a cached slice":
		*c.cached = append((*c.cached)[:0], b...)
		return *c.cached, nil
	case "keeps dst":
		*c.cached = append(dst, b...)
		return *c.cached, nil
	case "writes into what it kept":
		for i := range *c.cached {
			(*c.cached)[i] = 'X'
		}
		*c.cached = append(dst, b...)
		return *c.cached, nil
	}
	return append(dst, b...), nil
}

func (c careless) Decode(data []byte, v any) error {
	err := json.Unmarshal(data, v)
	if c.fault == "changes the data" {
		clear(data)
	}
	if p, ok := v.(*[]byte); ok && c.fault == "hands out the data" && err == nil {
		*p = data
	}
	if c.fault == "panics" {
		panic("secret " + string(data))
	}
	return err
}

// A codec of somebody else cannot spoil the values of others.
func TestCarelessCodecsSpoilNothing(t *testing.T) {
	ctx := t.Context()
	for _, fault := range []string{"", "ignores dst", "returns a cached slice", "keeps dst", "writes into what it kept", "changes the data"} {
		t.Run(fault, func(t *testing.T) {
			s := create(t, open(t, &store.Options{Codec: newCareless(fault)}))
			const n1, n2, n3 = store.Key[int]("n1"), store.Key[int]("n2"), store.Key[int]("n3")
			list := store.Key[[]string]("list").With(codec.Msgpack)
			changes := []store.Change{n1.To(1), n2.To(23), list.To([]string{"a", "b"}), n3.To(456)}
			check := func(call string) {
				t.Helper()
				var (
					got  [3]int
					tags []string
				)
				for range 2 {
					err := store.Load(ctx, s, n1.Into(&got[0]), n2.Into(&got[1]), n3.Into(&got[2]), list.Into(&tags))
					if want := [3]int{1, 23, 456}; got != want || !cmp.Equal(tags, []string{"a", "b"}) || err != nil {
						t.Errorf("Load() after %s = %v with %v, %q, want %v, %q", call, err, got, tags, want, []string{"a", "b"})
					}
				}
			}
			if err := store.Save(ctx, s, changes...); err != nil {
				t.Fatal(err)
			}
			check("Save")
			if _, err := n1.Update(ctx, create(t, open(t, &store.Options{Codec: newCareless(fault)})), func(int, bool) (int, error) { return 9, nil }); err != nil {
				t.Fatal(err)
			}
			check("Update elsewhere")
			s = create(t, open(t, &store.Options{Codec: newCareless(fault)}), changes...)
			check("Create")
			err := s.Update(ctx, func(tx *store.Tx) error {
				for i, key := range []store.Key[int]{n1, n2, n3} {
					if err := key.In(tx).Set([]int{1, 23, 456}[i]); err != nil {
						return err
					}
					if v, err := key.In(tx).Get(); err != nil || v != []int{1, 23, 456}[i] {
						return fmt.Errorf("%q within the transaction = %d, %v", key, v, err)
					}
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
			check("Session.Update")
		})
	}
}

func TestCarelessCodecHandsOutNoStoredBytes(t *testing.T) {
	ctx := t.Context()
	s := create(t, open(t, nil))
	blob := store.Key[[]byte]("blob").With(newCareless("hands out the data"))
	if err := blob.Set(ctx, s, []byte("abc")); err != nil {
		t.Fatal(err)
	}
	first, err := blob.Get(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	want := string(first)
	clear(first)
	if got, err := blob.Get(ctx, s); string(got) != want || err != nil {
		t.Errorf("Get() after the caller changed what an earlier one returned = %q, %v, want %q", got, err, want)
	}
}

func TestPanicOfACodecIsErrDecode(t *testing.T) {
	ctx := t.Context()
	s := create(t, open(t, &store.Options{Codec: newCareless("panics")}), userID.To("u-42"))
	_, err := userID.Get(ctx, s)
	wantErr(t, "Get()", err, store.ErrDecode)
	if err != nil && strings.Contains(err.Error(), "u-42") {
		t.Errorf("Get() = %q, which shows the value", err)
	}
}

// nothing encodes every value as nil.
type nothing struct{}

func (nothing) Name() string                           { return "nothing" }
func (nothing) Append(_ []byte, _ any) ([]byte, error) { return nil, nil }
func (nothing) Decode(_ []byte, _ any) error           { return nil }

// An encoding that is nil is an empty value, never an absent one.
func TestNilEncodingIsAnEmptyValue(t *testing.T) {
	ctx := t.Context()
	for name, opts := range map[string]*store.Options{
		"codec":  {Codec: nothing{}},
		"sealer": {Sealer: noSealer{}},
	} {
		s := create(t, open(t, opts), claims.To(tokenClaims{}))
		const other = store.Key[tokenClaims]("other")
		check := func(call string, err error, keys ...string) {
			t.Helper()
			got, errKeys := s.Keys(ctx)
			if err != nil || errKeys != nil || !cmp.Equal(got, keys) {
				t.Errorf("%s: Keys() after %s = %q, %v, want %q", name, call, got, err, keys)
			}
		}
		check("Create", nil, "tokenClaims")
		stored, err := other.SetIfAbsent(ctx, s, tokenClaims{})
		if !stored {
			t.Errorf("%s: SetIfAbsent() = false, %v, want true", name, err)
		}
		check("SetIfAbsent", err, "other", "tokenClaims")
		if stored, err = other.SetIfAbsent(ctx, s, tokenClaims{}); stored {
			t.Errorf("%s: second SetIfAbsent() = true, %v, want false", name, err)
		}
		check("Delete", other.Delete(ctx, s), "tokenClaims")
		check("Save", store.Save(ctx, s, other.To(tokenClaims{}), userID.Unset()), "other", "tokenClaims")
		check("Delete", other.Delete(ctx, s), "tokenClaims")
		_, err = other.Update(ctx, s, func(tokenClaims, bool) (tokenClaims, error) { return tokenClaims{}, nil })
		check("Update", err, "other", "tokenClaims")
		check("Delete", other.Delete(ctx, s), "tokenClaims")
		err = s.Update(ctx, func(tx *store.Tx) error { return other.In(tx).Set(tokenClaims{}) })
		check("Session.Update", err, "other", "tokenClaims")
	}
}

type noSealer struct{}

func (noSealer) Seal(_, _, _ []byte) ([]byte, error) { return nil, nil }
func (noSealer) Open(_, _, _ []byte) ([]byte, error) { return []byte("\x85"), nil }

// carelessSealer works in the slices that it gets, and in one of its own.
type carelessSealer struct{ scratch *[]byte }

func (c carelessSealer) Seal(_, plaintext, _ []byte) ([]byte, error) {
	for i := range plaintext {
		plaintext[i] ^= 0x55
	}
	*c.scratch = append((*c.scratch)[:0], plaintext...)
	return *c.scratch, nil
}

func (c carelessSealer) Open(_, sealed, _ []byte) ([]byte, error) {
	for i := range sealed {
		sealed[i] ^= 0x55
	}
	*c.scratch = append((*c.scratch)[:0], sealed...)
	return *c.scratch, nil
}

func TestCarelessSealerSpoilsNothing(t *testing.T) {
	ctx := t.Context()
	s := create(t, open(t, &store.Options{Sealer: carelessSealer{new([]byte)}}), userID.To("u-42"))
	const tenant = store.Key[string]("tenant")
	if err := store.Save(ctx, s, userID.To("u-42"), tenant.To("acme"), claims.To(sampleClaims)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		var id, name string
		var c tokenClaims
		err := store.Load(ctx, s, userID.Into(&id), tenant.Into(&name), claims.Into(&c))
		if id != "u-42" || name != "acme" || c != sampleClaims || err != nil {
			t.Errorf("Load() = %v with %q, %q, %v, want %q, %q, %v", err, id, name, c, "u-42", "acme", sampleClaims)
		}
	}
}

// handMade has the methods of generated code, written without care for b.
type handMade struct {
	N      int
	cached []byte
}

func (h *handMade) MarshalMsg([]byte) ([]byte, error) {
	if h.cached == nil {
		h.cached = make([]byte, 0, 1024)
	}
	h.cached = append(h.cached[:0], 0xd1, byte(h.N>>8), byte(h.N)) // an int16
	return h.cached, nil
}

func (h *handMade) UnmarshalMsg(b []byte) ([]byte, error) {
	if len(b) < 3 {
		return b, fmt.Errorf("%d bytes, want 3", len(b))
	}
	h.N = int(b[1])<<8 | int(b[2])
	return b[3:], nil
}

func TestHandMadeMethodsSpoilNothing(t *testing.T) {
	ctx := t.Context()
	s := create(t, open(t, nil))
	const a, b = store.Key[*handMade]("a"), store.Key[*handMade]("b")
	one := &handMade{N: 1}
	if err := store.Save(ctx, s, userID.To("u-42"), a.To(one), b.To(&handMade{N: 300}), logins.To(7)); err != nil {
		t.Fatal(err)
	}
	clear(one.cached[:cap(one.cached)])
	if err := a.Set(ctx, s, one); err != nil {
		t.Fatal(err)
	}
	if err := store.Save(ctx, s, userID.To("u-43"), logins.To(8)); err != nil { // may get the buffer of a
		t.Fatal(err)
	}
	if got := one.cached; len(got) != 3 || got[2] != 1 {
		t.Errorf("the slice that MarshalMsg returned is %x now, want it untouched", got)
	}
	for key, want := range map[store.Key[*handMade]]int{a: 1, b: 300} {
		if got, err := key.Get(ctx, s); err != nil || got.N != want {
			t.Errorf("%q.Get() = %v, %v, want %d", key, got, err, want)
		}
	}
}

// carrier is a codec whose type can be compared, while its values may hold one that
// cannot.
type carrier struct{ codec.Codec }

// listed is a codec that cannot be compared.
type listed struct {
	codec.Codec
	_ []string
}

func TestCodecsThatCannotBeCompared(t *testing.T) {
	for name, c := range map[string]codec.Codec{
		"a slice inside":              listed{Codec: codec.JSON},
		"a slice behind an interface": carrier{listed{Codec: codec.JSON}},
	} {
		s := create(t, open(t, &store.Options{Codec: c}), claims.To(tokenClaims{Subject: "s"}))
		for range 4 { // the memo looks at the codec from the third read on
			if got, err := claims.Get(t.Context(), s); got.Subject != "s" || err != nil {
				t.Fatalf("%s: Get() = %v, %v, want the claims", name, got, err)
			}
			if got, err := claims.With(c).Get(t.Context(), s); got.Subject != "s" || err != nil {
				t.Fatalf("%s: Get() with the codec of the key = %v, %v, want the claims", name, got, err)
			}
		}
	}
}
