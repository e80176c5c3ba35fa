package codec

import (
	"encoding/json"
	"math/big"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
)

// chained, treed, mapped, pointed and arrayed are types that contain themselves in different ways.
type (
	chained struct {
		N    int
		Next *chained
	}
	treed   struct{ All []treed }
	mapped  struct{ By map[string]*mapped }
	pointed struct{ P **pointed }
	arrayed struct{ A [1]*arrayed }
)

// storedOrRefused checks that v comes back from c, or is refused. It reports whether it was stored.
func storedOrRefused[T any](t *testing.T, c Codec, v T) bool {
	t.Helper()
	b, err := Append(c, nil, &v)
	if err != nil {
		return false
	}
	if got, err := Decode[T](c, b); err != nil || !reflect.DeepEqual(got, v) {
		t.Errorf("%s stores %T in %d bytes and reads it as %.40v, %v", c.Name(), v, len(b), got, err)
	}
	return true
}

// TestNestingThatIsStoredIsRead: pointers, which leave no trace in the data, do not count when decoding if they do not when encoding.
func TestNestingThatIsStoredIsRead(t *testing.T) {
	for _, depth := range []int{1, 333, 334, 499, 500, 501, 999, 1000, 1001, 3400, 4001, 9999, 10001} {
		chain, tree, maps, pointers, arrays := &chained{}, treed{}, &mapped{}, &pointed{}, &arrayed{}
		for i := range depth - 1 {
			chain, tree, maps, arrays = &chained{i, chain}, treed{[]treed{tree}}, &mapped{map[string]*mapped{"x": maps}}, &arrayed{[1]*arrayed{arrays}}
			p := pointers
			pointers = &pointed{&p}
		}
		for _, c := range []Codec{Msgpack, MsgpackJSONTags, JSON} {
			most := maxDepth
			if c == JSON {
				most = maxJSONDepth
			}
			for each, stored := range map[string]bool{
				"chain": storedOrRefused(t, c, *chain), "pointer to a chain": storedOrRefused(t, c, chain), "pointers": storedOrRefused(t, c, pointers),
			} {
				if stored != (depth <= most) {
					t.Errorf("%s of depth %d is stored by %s: %v, want %v", each, depth, c.Name(), stored, depth <= most)
				}
			}
			storedOrRefused(t, c, tree)
			storedOrRefused(t, c, maps)
			storedOrRefused(t, c, arrays)
		}
	}
}

// A several is what a custom encoder writes: several values, for its own decoder.
type several struct{ n int }

func (s several) EncodeMsgpack(e *msgpack.Encoder) error { return e.EncodeMulti(s.n, s.n) }

func (s *several) DecodeMsgpack(d *msgpack.Decoder) error { return d.DecodeMulti(&s.n, &s.n) }

// An unended is a custom encoder that announces more than it writes.
type unended struct{}

func (unended) EncodeMsgpack(e *msgpack.Encoder) error { return e.EncodeArrayLen(3) }

func (u *unended) DecodeMsgpack(d *msgpack.Decoder) error {
	_, err := d.DecodeArrayLen()
	return err
}

// A nesting writes itself as so many arrays within each other.
type nesting int

func (n nesting) EncodeMsgpack(e *msgpack.Encoder) error {
	for range n {
		if err := e.EncodeArrayLen(1); err != nil {
			return err
		}
	}
	return e.EncodeNil()
}

func (n *nesting) DecodeMsgpack(d *msgpack.Decoder) error {
	for *n = 0; ; *n++ {
		if count, err := d.DecodeArrayLen(); err != nil || count < 0 {
			return err
		}
	}
}

func TestWhatCustomEncodersWriteIsRead(t *testing.T) {
	type in struct{ V several }
	kept := func(ok bool) {
		t.Helper()
		if !ok {
			t.Error("refused, want it stored")
		}
	}
	refused := func(ok bool) {
		t.Helper()
		if ok {
			t.Error("stored, want it refused")
		}
	}
	kept(storedOrRefused(t, Msgpack, several{7}))
	kept(storedOrRefused(t, Msgpack, []in{{several{7}}, {several{8}}}))
	kept(storedOrRefused(t, Msgpack, map[several]int{{7}: 1}))
	// Without its Go type nothing tells how many values there are.
	refused(storedOrRefused(t, Msgpack, []any{several{7}}))
	refused(storedOrRefused(t, Msgpack, []any{&several{7}, 1}))
	refused(storedOrRefused(t, Msgpack, map[string]any{"x": []in{{several{7}}}}))
	refused(storedOrRefused(t, Msgpack, map[any]int{several{7}: 1}))
	refused(storedOrRefused(t, Msgpack, struct{ A any }{map[several]int{{7}: 1}}))
	refused(storedOrRefused(t, Msgpack, unended{}))
	refused(storedOrRefused(t, Msgpack, []unended{{}, {}}))
	kept(storedOrRefused(t, Msgpack, nesting(1000)))
	refused(storedOrRefused(t, Msgpack, nesting(1001)))
	kept(storedOrRefused(t, Msgpack, []nesting{999}))
	refused(storedOrRefused(t, Msgpack, []nesting{1000}))
	raw := msgpack.RawMessage(strings.Repeat("\x91", 1000) + "\xc0")
	kept(storedOrRefused(t, Msgpack, raw))
	refused(storedOrRefused(t, Msgpack, struct{ R msgpack.RawMessage }{raw}))
}

// A byPointer encodes itself through methods of its pointer, which encoding/json cannot call on values in maps and interfaces.
type byPointer struct{ text string }

func (p *byPointer) MarshalText() ([]byte, error) { return []byte(p.text), nil }

func (p *byPointer) UnmarshalText(b []byte) error {
	p.text = string(b)
	return nil
}

// A jsonByPointer has exported fields as well, which encoding/json would write instead.
type jsonByPointer struct{ N int }

func (p *jsonByPointer) MarshalJSON() ([]byte, error) { return json.Marshal(p.N) }

func (p *jsonByPointer) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &p.N) }

func TestMethodsOfPointersInMapsAndInterfaces(t *testing.T) {
	type in[T any] struct{ V T }
	v, j, n := byPointer{"x"}, jsonByPointer{7}, *big.NewInt(7)
	refused := func(name string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), "pointer") {
			t.Errorf("%s: %v, want an error that speaks of the pointer", name, err)
		}
	}
	refused("map", appendTo(JSON, map[string]byPointer{"k": v}))
	refused("map of structs", appendTo(JSON, map[string]in[jsonByPointer]{"k": {j}}))
	refused("map of arrays in a list", appendTo(JSON, []map[int][1]big.Int{{1: {n}}}))
	refused("field", appendTo(JSON, in[map[string]big.Int]{map[string]big.Int{"k": n}}))
	refused("interface", appendTo(JSON, []any{v}))
	refused("interface in a map", appendTo(JSON, map[string]any{"k": j}))
	refused("struct in an interface", appendTo(JSON, in[any]{in[big.Int]{n}}))
	refused("array in an interface", appendTo(JSON, in[any]{[1]byPointer{v}}))
	refused("map in an interface", appendTo(JSON, in[any]{map[string]byPointer{"k": v}}))
	refused("regexp", appendTo(JSON, map[string]regexp.Regexp{"k": *regexp.MustCompile("a")}))
	for name, err := range map[string]error{
		"pointer in an interface": appendTo(JSON, []any{&v, &j, &n}),
		"slice in an interface":   appendTo(JSON, []any{[]byPointer{v}, &in[jsonByPointer]{j}, []in[big.Int]{{n}}}),
	} {
		if err != nil {
			t.Errorf("%s: %v, want no error", name, err)
		}
	}
	kept(t, map[string]*byPointer{"k": &v})
	kept(t, map[string][]jsonByPointer{"k": {j}})
	kept(t, map[string]in[*big.Int]{"k": {&n}})
	kept(t, []in[byPointer]{{v}})
	kept(t, [1]jsonByPointer{j})
	if err := CheckType(JSON, reflect.TypeFor[map[string]byPointer]()); err == nil {
		t.Errorf("CheckType = nil, want an error")
	}
	for _, c := range []Codec{Msgpack, MsgpackJSONTags} {
		storedOrRefused(t, c, map[string]byPointer{"k": v})
		storedOrRefused(t, c, map[string]in[big.Int]{"k": {n}})
	}
}
