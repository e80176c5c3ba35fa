package main

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/sessionkv/store/inspect"
)

func TestJSONOf(t *testing.T) {
	for _, tt := range []struct {
		data any
		want string
	}{
		{nil, "null"},
		{true, "true"},
		{int64(-5), "-5"},
		{uint64(math.MaxUint64), "18446744073709551615"},
		{1.5, "1.5"},
		{json.Number("1e400"), "1e400"},
		{"<a>\n", `"<a>\n"`},
		{"\xff", `{"$bytes":"/w=="}`},
		{math.NaN(), `{"$float":"NaN"}`},
		{math.Inf(-1), `{"$float":"-Inf"}`},
		{[]byte{0, 1}, `{"$bytes":"AAE="}`},
		{time.Unix(0, 1).In(time.FixedZone("x", 3600)), `{"$time":"1970-01-01T00:00:00.000000001Z"}`},
		{inspect.Omitted("too large"), `{"$omitted":"too large"}`},
		{inspect.Extension{Type: -3, Data: []byte{9}}, `{"$extension":[-3,"CQ=="]}`},
		{[]any{}, "[]"},
		{[]any{nil, []any{"x"}}, `[null,["x"]]`},
		{inspect.Object(nil), "{}"},
		{inspect.Object{{Name: "b", Value: int64(1)}, {Name: int64(2), Value: "c"}, {Name: "b", Value: nil}}, `{"b":1,"2":"c","b":null}`},
		{json.Number("no number"), `{"$omitted":"it cannot be written as JSON"}`},
	} {
		got := string(jsonOf(tt.data))
		if got != tt.want || !json.Valid([]byte(got)) {
			t.Errorf("jsonOf(%#v) = %s, want %s", tt.data, got, tt.want)
		}
	}
}
