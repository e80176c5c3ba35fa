package codec

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

// Types whose methods go one way.
type (
	encodesOnly struct{ n int }
	writesOnly  struct{ N int }
	readsOnly   struct{ N int }
	// freeText is written by its method and read as the string that it is.
	freeText string
	// withDefault is written as a struct; only reading it is special.
	withDefault struct{ N int }
)

func (encodesOnly) MarshalText() ([]byte, error)    { return []byte("x"), nil }
func (writesOnly) MarshalText() ([]byte, error)     { return []byte("x"), nil }
func (*readsOnly) UnmarshalText(b []byte) error     { return nil }
func (t freeText) MarshalText() ([]byte, error)     { return []byte(t), nil }
func (d *withDefault) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &d.N) }
func (d withDefault) MarshalJSON() ([]byte, error)  { return json.Marshal(d.N) }

func TestMethodsOfOneDirectionAreRefused(t *testing.T) {
	refusedValue(t, encodesOnly{1}, "none that decode")
	refusedValue(t, writesOnly{1}, "cannot be decoded")
	refusedValue(t, readsOnly{1}, "without one that encodes")
	refusedValue(t, struct{ L []map[string]*writesOnly }{}, ".L[][]", "cannot be decoded")
	refusedValue(t, []any{writesOnly{}}, "[0]writesOnly", "cannot be decoded")
	kept(t, freeText("x"))
	kept(t, struct{ D withDefault }{withDefault{7}})
}

type (
	stampedAlone  struct{ time.Time }
	stampedTagged struct {
		time.Time
		Note string `msgpack:"-" json:"-"`
	}
	stampedInside struct {
		time.Time
		In struct{ Note []string }
	}
	// amount has methods of its own, so that the embedded ones do not matter.
	amount struct {
		big.Int
		Currency string
	}
	pointsToInt struct{ *big.Int }
	address     struct {
		*netip.Addr
		Port int
	}
)

func (a *amount) MarshalText() ([]byte, error) { return []byte(a.Int.String() + " " + a.Currency), nil }

func (a *amount) UnmarshalText(b []byte) error {
	_, err := fmt.Sscan(string(b), &a.Int, &a.Currency)
	return err
}

func (a *amount) MarshalJSON() ([]byte, error) {
	b, err := a.MarshalText()
	return []byte(`"` + string(b) + `"`), err
}
func (a *amount) UnmarshalJSON(b []byte) error { return a.UnmarshalText(b[1 : len(b)-1]) }

func TestMethodsOfAnEmbeddedFieldAreRefusedIfOthersWouldBeLost(t *testing.T) {
	refusedValue(t, stampedNote{time.Unix(5, 0), "x"}, "embedded Time", "Note")
	refusedValue(t, stampedInside{}, "embedded Time", "In")
	refusedValue(t, map[string][]stampedNote{}, "[][]", "Note")
	refusedValue(t, address{}, "embedded")
	refusedValue(t, pointsToInt{big.NewInt(3)}, "embedded pointer Int")
	refusedValue(t, struct {
		time.Time
		N int
	}{}, "embedded Time", "N")
	kept(t, stampedAlone{time.Unix(5, 0).UTC()})
	kept(t, stampedTagged{time.Unix(5, 0).UTC(), ""})
	kept(t, amount{*big.NewInt(5), "EUR"})
	// What an earlier version stored can still be read.
	if v, err := Decode[stampedNote](JSON, []byte(`"2026-01-01T00:00:00Z"`)); err != nil || v.Year() != 2026 {
		t.Errorf("Decode = %v, %v, want the time", v, err)
	}
	b, err := Append(Msgpack, nil, &stampedAlone{time.Unix(5, 0)})
	if err != nil {
		t.Fatal(err)
	}
	if v, err := Decode[stampedNote](Msgpack, b); err != nil || v.Unix() != 5 {
		t.Errorf("Decode(%q) = %v, %v, want the time", b, v, err)
	}
	if v, err := Decode[map[*int]int](Msgpack, []byte("\x81\x01\x02")); err != nil || len(v) != 1 {
		t.Errorf("Decode = %v, %v, want a map whose key is a pointer", v, err)
	}
}

func TestKeysWithPointersAreRefused(t *testing.T) {
	refusedValue(t, map[*int]int{}, "keys of")
	refusedValue(t, struct{ M map[[1]*string]bool }{}, ".M", "keys of")
	refusedValue(t, []any{map[struct{ P *int }]int{}}, "[0]", "keys of")
	if err := appendTo(Msgpack, map[time.Time]int{time.Unix(1, 0): 1}); err != nil {
		t.Errorf("Append of a map with times as keys: %v, want no error", err)
	}
}

// optional is null unless it was set; its zero value is set.
type optional struct{ unset bool }

func (o optional) MarshalJSON() ([]byte, error) {
	if o.unset {
		return []byte("null"), nil
	}
	return []byte("1"), nil
}
func (o *optional) UnmarshalJSON(b []byte) error { o.unset = string(b) == "null"; return nil }
func (o optional) MarshalBinary() ([]byte, error) {
	if o.unset {
		return nil, nil
	}
	return []byte("1"), nil
}
func (o *optional) UnmarshalBinary(b []byte) error { o.unset = b == nil; return nil }

func TestWhatIsEncodedAsNilIsNoWholeValue(t *testing.T) {
	refusedValue(t, new(*int), "nil")
	refusedValue(t, new(any), "nil")
	refusedValue(t, new([]int), "nil")
	refusedValue(t, any((*int)(nil)), "nil")
	refusedValue(t, optional{true}, "nil")
	kept(t, optional{})
	refusedData[optional](t, "\xc0", "null", "nil")
	refusedData[netip.Addr](t, "\xc0", "null", "nil")
	refusedData[big.Int](t, "\xc0", " null", "nil")
	kept(t, json.RawMessage("1"))
}

func TestErrorsOfMethodsDoNotQuoteData(t *testing.T) {
	for _, c := range []Codec{Msgpack, JSON} {
		for name, err := range map[string]error{
			"decode": func() error {
				_, err := Decode[quoting](c, map[Codec][]byte{Msgpack: []byte("\xc4\x06s3cret"), JSON: []byte(`"s3cret"`)}[c])
				return err
			}(),
			"encode": appendTo(c, quoting("s3cret")),
		} {
			if err == nil || strings.Contains(err.Error(), "s3cret") || !errors.Is(err, errOverflow) {
				t.Errorf("%s by %s: %v, want an error without the data that reaches its cause", name, c.Name(), err)
			}
		}
	}
}

// quoting quotes data around an error of this package.
type quoting string

func (q quoting) MarshalText() ([]byte, error) {
	return nil, fmt.Errorf("cannot write %s: %w", string(q), &fault{why: "does not fit", err: errOverflow})
}

func (q *quoting) UnmarshalText(b []byte) error {
	return fmt.Errorf("cannot read %s: %w", b, &fault{why: "does not fit", err: errOverflow})
}

func TestCheckTypeSeesMethods(t *testing.T) {
	for _, typ := range []reflect.Type{reflect.TypeFor[writesOnly](), reflect.TypeFor[[]stampedNote](), reflect.TypeFor[map[*int]bool]()} {
		for _, c := range []Codec{Msgpack, JSON, MsgpackJSONTags, MsgpackStrict, JSONStrict} {
			if err := CheckType(c, typ); err == nil {
				t.Errorf("CheckType(%s, %v) = nil, want an error", c.Name(), typ)
			}
		}
	}
}
