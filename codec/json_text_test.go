package codec

import (
	"encoding/json"
	"strings"
	"testing"
)

type withText struct {
	Name  string
	Named roleName
	List  []string
	Map   map[string]string
	Keys  map[roleName]int
	Any   any
	Ptr   *string
	Twice [2]string
	Raw   json.RawMessage
	Skip  string `json:"-"`
}

type roleName string

// Text that encoding/json would replace by U+FFFD is refused wherever a string would hold it, and kept where a method takes it.
func TestJSONTextThatIsNotUTF8(t *testing.T) {
	for _, bad := range []string{"caf\xe9", `\ud800`, `\udc00`, `\ud83dx`, `\ud83d\u0041`, `\ud83d\ud83d`, "\xed\xa0\x80", `a\\\ud800`} {
		for path, data := range map[string]string{
			"withText.Name":     `{"Name":"BAD"}`,
			"withText.Named":    `{"Name":"x","Named":"BAD"}`,
			"withText.List":     `{"List":["x","BAD"]}`,
			"withText.Map":      `{"Map":{"x":"BAD"}}`,
			"withText.Map ":     `{"Map":{"BAD":"x"}}`,
			"withText.Keys":     `{"Keys":{"BAD":1}}`,
			"withText.Any":      `{"Any":[{"x":["BAD"]}]}`,
			"withText.Any ":     `{"Any":{"BAD":1}}`,
			"withText.Ptr":      `{"Ptr":"BAD"}`,
			"withText.Twice[1]": `{"Twice":["x","BAD"]}`,
		} {
			_, err := Decode[withText](JSON, []byte(strings.ReplaceAll(data, "BAD", bad)))
			if err == nil || !strings.Contains(err.Error(), strings.TrimSpace(path)) || !strings.Contains(err.Error(), "not UTF-8") {
				t.Errorf("Decode(%s) with %q = %v, want an error at %s for text that is not UTF-8", data, bad, err, path)
			}
		}
		for _, whole := range []string{`"BAD"`, ` "BAD" `} {
			if v, err := Decode[string](JSON, []byte(strings.ReplaceAll(whole, "BAD", bad))); err == nil {
				t.Errorf("Decode[string](%s) with %q = %q, %v, want an error", whole, bad, v, err)
			}
		}
	}
	for _, good := range []string{"café", `caf\u00e9`, `\ud83d\ude00`, `\uD83D\uDE00`, `\\ud800`, `\\\\ud800`, "\U0001f600", `\ufffd`, "\ufffd"} {
		data := []byte(`{"Name":"` + good + `","List":["` + good + `"],"Map":{"` + good + `":"x"},"Any":"` + good + `"}`)
		got, err := Decode[withText](JSON, data)
		var want withText
		if werr := json.Unmarshal(data, &want); err != nil || werr != nil || got.Name != want.Name || got.List[0] != want.Name || got.Map[want.Name] != "x" || got.Any != any(want.Name) {
			t.Errorf("Decode(%s) = %+v, %v, want %+v, %v", data, got, err, want, werr)
		}
	}
	// What no string holds is not looked at: a field that the type does not have, JSON that is kept as it is.
	for _, data := range []string{`{"Name":"x","Other":"\ud800"}`, `{"Name":"x","Raw":{"a":"\ud800"}}`} {
		if got, err := Decode[withText](JSON, []byte(data)); err != nil || got.Name != "x" {
			t.Errorf("Decode(%s) = %+v, %v, want no error", data, got, err)
		}
	}
}
