package codec

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
	"unsafe"
)

// badText returns text that is not UTF-8.
type badText struct{ N int }

func (badText) MarshalText() ([]byte, error)  { return []byte("caf\xe9"), nil }
func (*badText) UnmarshalText(b []byte) error { return nil }

type badJSON struct{ N int }

func (badJSON) MarshalJSON() ([]byte, error)  { return []byte("\"caf\xe9\""), nil }
func (*badJSON) UnmarshalJSON(b []byte) error { return nil }

func TestJSONRefusesWhatWouldBeLost(t *testing.T) {
	type list struct {
		Next *list
		V    any
	}
	deep := &list{}
	for range maxJSONDepth {
		deep = &list{Next: deep}
	}
	x := 1
	var self any
	self = &self
	for name, tt := range map[string]struct {
		err   error
		parts []string
	}{
		"uintptr":             {appendTo(JSON, []any{uintptr(1)}), []string{"[0]uintptr"}},
		"struct with uintptr": {appendTo(JSON, map[string]any{"x": struct{ U uintptr }{}}), []string{"[]struct { U uintptr }.U"}},
		"unsafe.Pointer":      {appendTo(JSON, []any{unsafe.Pointer(&x)}), []string{"[0]"}},
		"reflect.Value":       {appendTo(JSON, []any{reflect.ValueOf(1)}), []string{"[0]Value.flag"}},
		"reflect.Type":        {appendTo(JSON, []any{reflect.TypeFor[int]()}), []string{"[0]*reflect.rtype"}},
		"error":               {appendTo(JSON, struct{ V any }{errors.New("x")}), []string{".V*errors.errorString"}},
		"channel":             {appendTo(JSON, []any{map[string]any{"x": make(chan int)}}), []string{"[0][]chan int"}},
		"clash in any":        {appendTo(JSON, []any{conflict{}}), []string{"[0]conflict"}},
		"deep list":           {appendTo(JSON, deep), []string{"nested deeper than 10000"}},
		"deep slices":         {appendTo(JSON, nestedIn(maxJSONDepth+1)), []string{"nested deeper than 10000"}},
		"deep raw message":    {appendTo(JSON, [][]json.RawMessage{{json.RawMessage(strings.Repeat("[", maxJSONDepth-1) + strings.Repeat("]", maxJSONDepth-1))}}), []string{"deep"}},
		"pointer to itself":   {appendTo(JSON, self), []string{"contains itself"}},
		"text method":         {appendTo(JSON, struct{ B []badText }{[]badText{{}}}), []string{".B[0]", "UTF-8"}},
		"text method of key":  {appendTo(JSON, map[badText]int{{}: 1}), []string{"[key]", "UTF-8"}},
		"key with methods":    {appendTo(JSON, map[plainKey]int{"caf\xe9": 1}), []string{"[key]", "UTF-8"}},
		"JSON method":         {appendTo(JSON, []badJSON{{}}), []string{"UTF-8"}},
		"raw message":         {appendTo(JSON, json.RawMessage("\"caf\xe9\"")), []string{"UTF-8"}},
		"keys in any":         {appendTo(JSON, []any{map[string]any{"caf\xe9": 1, "caf\xe8": 2}}), []string{"[0][key]", "UTF-8"}},
		"NaN":                 {appendTo(JSON, struct{ L []map[string]float32 }{[]map[string]float32{{"x": float32(math.NaN())}}}), []string{".L[0][]", "finite"}},
		"Inf in any":          {appendTo(JSON, []any{1.5, math.Inf(1)}), []string{"[1]", "finite"}},
		"json.Number":         {appendTo(JSON, struct{ N json.Number }{"s3cret"}), []string{".N", "no number"}},
		"RawMessage":          {appendTo(JSON, struct{ R json.RawMessage }{json.RawMessage("{s3cret")}), []string{".R"}},
		"time":                {appendTo(JSON, struct{ T time.Time }{time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC)}), []string{".T"}},
	} {
		for _, part := range tt.parts {
			if tt.err == nil || !strings.Contains(tt.err.Error(), part) {
				t.Errorf("%s: %v, want an error with %q in it", name, tt.err, part)
			}
		}
		if tt.err != nil && (strings.Contains(tt.err.Error(), "s3cret") || strings.Contains(tt.err.Error(), "caf") || len(tt.err.Error()) > 400) {
			t.Errorf("%s: %v, want a short error without the value", name, tt.err)
		}
	}
	shallow := &list{}
	for range 1000 {
		shallow = &list{Next: shallow}
	}
	if err := appendTo(JSON, shallow); err != nil {
		t.Errorf("a list of 1000: %v, want no error", err)
	}
	if _, err := Append(JSON, nil, new(nestedIn(maxJSONDepth))); err != nil {
		t.Errorf("nested %d deep: %v, want no error", maxJSONDepth, err)
	}
}
