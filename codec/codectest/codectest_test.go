package codectest

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"slices"
	"strconv"
	"testing"

	"github.com/sessionkv/store/codec"
)

type claims struct {
	Subject string
	Roles   []string
	Token   []byte
	Level   int64
	Next    *claims
	Extra   map[string][]byte
}

func values() []any {
	return []any{
		claims{"u-1", []string{"admin", "user"}, []byte{0, 1, 255}, 1 << 40, &claims{Subject: "next"}, map[string][]byte{"k": []byte("v")}},
		"text", "", []byte("bytes"), 42, -1.5, true,
		[]string{"a", "b"},
		map[string]int{"a": 1},
		[2]bool{true, false},
	}
}

func TestCodecsOfTheStore(t *testing.T) {
	for name, c := range map[string]codec.Codec{
		"msgpack":   codec.Msgpack,
		"json":      codec.JSON,
		"versioned": codec.Versioned(codec.Msgpack, 300),
		"changing":  codec.DuringChange(codec.JSON, codec.Msgpack),
	} {
		t.Run(name, func(t *testing.T) { Run(t, c, values()...) })
	}
	t.Run("raw", func(t *testing.T) { Run(t, codec.Raw, "text", "", []byte("bytes"), []byte{}) })
}

// gobCodec is a correct codec over another library.
type gobCodec struct{}

func (gobCodec) Name() string { return "gob" }

func (gobCodec) Append(dst []byte, v any) ([]byte, error) {
	b := bytes.NewBuffer(dst)
	if err := gob.NewEncoder(b).Encode(v); err != nil {
		return dst, err
	}
	return b.Bytes(), nil
}

func (gobCodec) Decode(data []byte, v any) error {
	r := bytes.NewReader(data)
	if err := gob.NewDecoder(r).Decode(v); err != nil {
		return err
	}
	if r.Len() > 0 {
		return strconv.ErrSyntax
	}
	return nil
}

func TestCodecOfSomebodyElse(t *testing.T) {
	Run(t, gobCodec{}, claims{Subject: "u-1", Token: []byte{1}}, "text", []string{"a"}, 42)
}

// mutant is JSON with one fault.
type mutant struct {
	fault string
	state *state
}

type state struct {
	calls  int
	cached []byte
}

func (m mutant) Name() string {
	switch m.fault {
	case "no name":
		return ""
	case "the name changes":
		return "m" + strconv.Itoa(m.state.calls)
	}
	return "mutant"
}

func (m mutant) Append(dst []byte, v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		if m.fault == "a failure leaves bytes" {
			return append(dst, "half"...), err
		}
		if m.fault == "a failure returns nil" {
			return nil, err
		}
		return dst, err
	}
	switch m.fault {
	case "the name changes":
		m.state.calls++
	case "ignores dst":
		return b, nil
	case "overwrites dst":
		return append(dst[:0], b...), nil
	case "returns a cached slice":
		m.state.cached = append(m.state.cached[:0], b...)
		return append(dst, m.state.cached...)[:len(dst)+len(b)], nil
	case "returns what it goes on using":
		if len(dst) > 0 {
			break
		}
		m.state.cached = append(m.state.cached[:0], b...)
		return m.state.cached, nil
	case "keeps dst":
		for i := range m.state.cached {
			m.state.cached[i] = '!'
		}
		m.state.cached = append(dst, b...)
		return m.state.cached, nil
	case "changes the value":
		if c, ok := v.(*claims); ok && c.Token != nil {
			c.Roles = nil
		}
	case "loses numbers":
		if n, ok := v.(*int); ok && *n == 42 {
			b = []byte("41")
		}
	}
	return append(dst, b...), nil
}

func (m mutant) Decode(data []byte, v any) error {
	switch m.fault {
	case "ignores what follows":
		return json.NewDecoder(bytes.NewReader(data)).Decode(v)
	case "changes data":
		defer clear(data)
	case "panics":
		if !json.Valid(data) {
			panic("not JSON")
		}
	case "panics on nothing":
		_ = data[0]
	case "allocates what it is told":
		if n := len(data); n > 9 && data[n-1] == 0xff {
			m.state.cached = make([]byte, 8<<20)
		}
	case "shares byte slices":
		if p, ok := v.(*[]byte); ok {
			if err := json.Unmarshal(data, p); err != nil {
				return err
			}
			copy(data, *p)
			*p = data[:len(*p)]
			return nil
		}
	}
	return json.Unmarshal(data, v)
}

// incomparable is a codec with a slice in it.
type incomparable struct {
	mutant
	_ []int
}

// Each fault must be found by its rule, and the correct codec pass all.
func TestMutants(t *testing.T) {
	for _, m := range []struct{ fault, rule string }{
		{"no name", "Name is short and constant"},
		{"the name changes", "Name is short and constant"},
		{"incomparable", "the codec is comparable"},
		{"loses numbers", "a value comes back equal"},
		{"ignores dst", "Append keeps what dst holds and appends to it"},
		{"overwrites dst", "Append keeps what dst holds and appends to it"},
		{"returns what it goes on using", "Append retains no slice that it was given or returned"},
		{"keeps dst", "Append retains no slice that it was given or returned"},
		{"changes the value", "Append does not change the value"},
		{"a failure leaves bytes", "Append that fails returns dst with its length"},
		{"a failure returns nil", "Append that fails returns dst with its length"},
		{"changes data", "Decode does not change data"},
		{"shares byte slices", "Decode copies every byte slice"},
		{"ignores what follows", "Decode reads all of data"},
		{"panics", "bytes that are no encoding are errors without a panic"},
		{"panics on nothing", "bytes that are no encoding are errors without a panic"},
		{"allocates what it is told", "bytes that are no encoding are errors without a panic"},
		{"returns what it goes on using", "every method is safe for concurrent use"},
		{"", ""},
	} {
		t.Run(m.fault, func(t *testing.T) {
			if raceEnabled && m.rule == "every method is safe for concurrent use" {
				t.Skip("the race detector would find it first")
			}
			var c codec.Codec = mutant{m.fault, new(state)}
			if m.fault == "incomparable" {
				c = incomparable{mutant: mutant{"", new(state)}}
			}
			s := &suite{codec: c, values: values()}
			var broken []string
			for _, r := range rules {
				if r.name == "every method is safe for concurrent use" && m.rule != r.name {
					continue // faults with state would race
				}
				if guarded(func() error { return r.check(s) }) != nil {
					broken = append(broken, r.name)
				}
			}
			if m.rule == "" && len(broken) > 0 || m.rule != "" && !slices.Contains(broken, m.rule) {
				t.Errorf("codec that %q breaks %q, want %q", m.fault, broken, m.rule)
			}
		})
	}
}

func TestUnusableCallsAreRefused(t *testing.T) {
	for name, s := range map[string]*suite{
		"no codec":  {nil, values()},
		"one value": {codec.JSON, []any{1}},
		"nil":       {codec.JSON, []any{1, nil}},
	} {
		if err := s.usable(); err == nil {
			t.Errorf("%s: usable() = nil, want an error", name)
		}
	}
}
