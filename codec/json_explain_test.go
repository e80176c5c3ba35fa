package codec

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestErrorsOfJSONNameThePath(t *testing.T) {
	type inner struct {
		Exp   int8 `json:"exp"`
		Tags  map[string]float32
		By    map[int8]string
		Addr  []netip.Addr
		Bytes []byte
		Q     *uint16 `json:",string"`
		When  time.Time
		Deep  *[2]struct{ B []bool }
		Any   any
		Words []string
	}
	type outer struct {
		In   inner
		List []*inner
	}
	for _, tt := range []struct{ data, want string }{
		{`{"In":{"exp":300}}`, "outer.In.exp: found 300, does not fit int8"},
		{`{"In":{"exp":1.5}}`, "outer.In.exp: found a number that does not fit int8"},
		{`{"In":{"exp":1000000000000000000000000}}`, "outer.In.exp: found a number that does not fit int8"},
		{`{"In":{"exp":"s3cret"}}`, "outer.In.exp: found a string, which is no int8"},
		{`{"List":[{"exp":1},null,{"exp":true}]}`, "outer.List[2].exp: found a bool, which is no int8"},
		{`{"List":[{"Tags":{"s3cret":"x"}}]}`, "outer.List[0].Tags[]: found a string, which is no float32"},
		{`{"In":{"Tags":{"s3cret":1e300}}}`, "outer.In.Tags[]: found a number that does not fit float32"},
		{`{"In":{"Tags":["s3cret"]}}`, "outer.In.Tags: found an array, which is no map[string]float32"},
		{`{"In":{"By":{"7":"","300":""}}}`, "outer.In.By[key]: found 300, does not fit int8"},
		{`{"In":{"By":{"s3cret":""}}}`, "outer.In.By[key]: found a string, which is no int8"},
		{`{"In":{"Addr":["192.0.2.1","s3cret"]}}`, "outer.In.Addr[1]: decoding failed with a netip.parseAddrError, which errors.As can reach"},
		{`{"In":{"Bytes":"s3cret!"}}`, "outer.In.Bytes: decoding failed with a base64.CorruptInputError, which errors.As can reach"},
		{`{"In":{"Q":"s3cret"}}`, "outer.In.Q: found a string, which is no *uint16 in a string"},
		{`{"In":{"Q":7}}`, "outer.In.Q: found a number, which is no *uint16 in a string"},
		{`{"In":{"When":"s3cret"}}`, "outer.In.When: decoding failed with a *time.ParseError, which errors.As can reach"},
		{`{"In":{"Deep":[{"B":[true]},{"B":[true,false,1]}]}}`, "outer.In.Deep[1].B[2]: found a number, which is no bool"},
		{`{"In":{"Any":[1e999]}}`, "outer.In.Any: found a number that does not fit interface {}"},
		{`{"In":{"Words":["x",7]}}`, "outer.In.Words: found an array, which is no []string"},
		{`{"List":{"s3cret":1}}`, "outer.List: found an object, which is no []*codec.inner"},
		{`["s3cret"]`, "outer: found an array, which is no codec.outer"},
		{`{"In":{"Deep":[{"s3cret":1}]}}`, "outer.In.Deep[0]: found an object without any field of struct { B []bool }"},
		{`{"In":{"exp":1}`, "not valid JSON at byte 15"},
	} {
		_, err := Decode[outer](JSON, []byte(tt.data))
		if err == nil || !strings.HasSuffix(err.Error(), ": "+tt.want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("Decode(%s): %v, want …: %s", tt.data, err, tt.want)
		}
	}
	_, err := Decode[outer](JSON, []byte(`{"In":{"When":"x"}}`))
	if _, ok := errors.AsType[*time.ParseError](err); !ok {
		t.Errorf("errors.As does not reach the cause of %v", err)
	}
	_, err = Decode[outer](JSONStrict, []byte(`{"List":[{"exp":1},{"exp":1,"s3cret":1}]}`))
	if err == nil || !strings.HasSuffix(err.Error(), ": outer.List[1]: found a field that the type does not have") {
		t.Errorf("strict: %v, want the path of the struct", err)
	}
}
