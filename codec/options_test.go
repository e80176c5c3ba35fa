package codec

import (
	"strings"
	"testing"
)

func TestStrictCodecsRefuseUnknownFields(t *testing.T) {
	for c, data := range map[Codec]string{
		MsgpackStrict: "\x82\xa7Subject\xa1x\xa6s3cret\x01",
		JSONStrict:    `{"Subject":"x","s3cret":1}`,
	} {
		v, err := Decode[claims](c, []byte(data))
		if err == nil || v != (claims{}) || !strings.Contains(err.Error(), "does not have") || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("Decode(%q) = %v, %v, want an error that does not quote the name", data, v, err)
		}
		b, err := Append(c, nil, &benchClaims)
		if err != nil {
			t.Fatal(err)
		}
		if v, err := Decode[claims](c, b); v != benchClaims || err != nil {
			t.Errorf("Decode(%q) = %v, %v, want %v", b, v, err, benchClaims)
		}
	}
	if _, err := Decode[claims](JSONStrict, []byte(`{"Subject":"x"} 1`)); err == nil {
		t.Error("bytes after the value: want an error")
	}
}

func TestMsgpackByJSONTags(t *testing.T) {
	type inner struct {
		N int `json:"n,omitempty"`
	}
	type both struct {
		Subject string `json:"sub"`
		Hidden  string `json:"-"`
		Own     string `json:"no" msgpack:"own"`
		Any     any    `json:"any"`
	}
	v := both{"x", "hidden", "y", inner{}}
	b, err := Append(MsgpackJSONTags, nil, &v)
	if want := "\x83\xa3sub\xa1x\xa3own\xa1y\xa3any\x80"; string(b) != want || err != nil {
		t.Errorf("Append = %q, %v, want %q", b, err, want)
	}
	if got, err := Decode[both](MsgpackJSONTags, b); err != nil || got.Subject != "x" || got.Own != "y" || got.Hidden != "" {
		t.Errorf("Decode(%q) = %+v, %v", b, got, err)
	}
	if b, err := Append(Msgpack, nil, &inner{}); string(b) != "\x81\xa1N\x00" || err != nil {
		t.Errorf("Append by Msgpack = %q, %v: json tags count", b, err)
	}
}

// TestJSONTagThatNamesAFieldDash: encoding/json stores the field under "-", the msgpack library leaves it out.
func TestJSONTagThatNamesAFieldDash(t *testing.T) {
	type dash struct {
		Kept string `json:"kept"`
		Lost string `json:"-,"`
	}
	type around struct{ dash }
	type outer struct{ List []dash }
	for _, v := range []any{&dash{"x", "y"}, &outer{[]dash{{"x", "y"}}}, &around{dash{"x", "y"}}} {
		if b, err := MsgpackJSONTags.Append(nil, v); err == nil || !strings.Contains(err.Error(), "Lost") {
			t.Errorf("Append(%+v) = %q, %v, want an error that names the field", v, b, err)
		}
	}
	for _, c := range []Codec{Msgpack, JSON} {
		want := dash{"x", "y"}
		b, err := Append(c, nil, &want)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Decode[dash](c, b); err != nil || got != want {
			t.Errorf("%s: Decode(%q) = %v, %v, want %v", c.Name(), b, got, err, want)
		}
	}
	if got, err := Decode[dash](MsgpackJSONTags, []byte("\x81\xa4kept\xa1x")); err != nil || got.Kept != "x" {
		t.Errorf("Decode() of what is stored already = %v, %v", got, err)
	}
}
