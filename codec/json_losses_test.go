package codec

import (
	"encoding/json"
	"testing"
)

// A type for each road: the program, encoding/json because of an embedded pointer or the option string, and into memory that is not zero.
type (
	losing struct {
		F float64
		G []float32
		A [2]int
		M map[string]*[1]float64
	}
	losingExported struct {
		F float64
		A [2]int
	}
	losingSlow struct {
		*losingExported
		N int `json:",string"`
		K map[uint8][]losing
	}
)

func TestJSONLosesNothingOnAnyRoad(t *testing.T) {
	for _, text := range []string{
		`{"F":9007199254740993}`, `{"F":-9007199254740993}`, `{"G":[1,16777217]}`, `{"A":[1,2,3]}`, `{"M":{"x":[1,null]}}`, `{"M":{"x":[9007199254740993]}}`,
		`{"f":9007199254740993}`, `{"F":1,"F":9007199254740993}`, "{\"M\":{\"\\ud800\":[9007199254740993]}}", ` { "F" : 123456789012345678901234567890 } `,
	} {
		if err := json.Unmarshal([]byte(text), new(losing)); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		refusedData[losing](t, "", text, "losing")
		v := losing{F: 1}
		if err := JSON.Decode([]byte(text), &v); err == nil {
			t.Errorf("Decode(%s) into memory that was not zero = %+v, want an error", text, v)
		}
	}
	for _, text := range []string{`{"F":9007199254740993}`, `{"N":"1","A":[1,2,3]}`, `{"K":{"7":[{},{"F":9007199254740993}]}}`} {
		refusedData[losingSlow](t, "", text, "losingSlow")
	}
	for text, want := range map[string]float64{
		"9007199254740993.0": 9007199254740992, "9007199254740993e0": 9007199254740992, "9007199254740992": 9007199254740992,
		"123456789012345680000": 123456789012345683968, "123456789012345683968": 123456789012345683968, "-0": 0, "100000000000000000000000": 1e23,
	} {
		if v, err := Decode[losing](JSON, []byte(`{"F":`+text+`}`)); err != nil || v.F != want {
			t.Errorf("Decode of F %s = %v, %v, want %v", text, v.F, err, want)
		}
		if v, err := Decode[float64](JSON, []byte(text)); err != nil || v != want {
			t.Errorf("Decode[float64] of %s = %v, %v, want %v", text, v, err, want)
		}
	}
}

type pointsToItselfOnly *pointsToItselfOnly

func TestPointersWithoutEndAreRefused(t *testing.T) {
	type within struct{ L []pointsToItselfOnly }
	refusedData[pointsToItselfOnly](t, "\x01", "1", "pointsToItself")
	refusedData[within](t, "\x81\xa1L\x91\x01", `{"L":[1]}`, "within")
	if v, err := Append(JSON, nil, new(within)); err == nil {
		t.Errorf("Append of a type with pointers without end = %q, want an error", v)
	}
}

// TestJSONNumbersInStrings: fields with the option string lose nothing either.
func TestJSONNumbersInStrings(t *testing.T) {
	type floats struct {
		F float64   `json:",string"`
		G *float32  `json:",string"`
		H **float64 `json:"h,string"`
	}
	type within struct {
		In map[string][]struct{ losingFloat }
	}
	for text, part := range map[string]string{
		`{"F":"9007199254740993"}`: "floats.F: found an integer of 16 digits, does not fit float64",
		`{"G":"16777217"}`:         "floats.G: found an integer of 8 digits, does not fit float32",
		`{"G":"1e300"}`:            "floats.G: found a number that does not fit float32",
	} {
		refusedData[floats](t, "", text, part)
	}
	refusedData[within](t, "", `{"In":{"x":[{},{"F":"9007199254740993"}]}}`, "F: found an integer of 16 digits")
	refusedData[struct {
		N int8 `json:",string"`
	}](t, "", `{"N":"1000"}`, "N: found 1000, does not fit int8")
	g, h := float32(1.5), 2.5
	q := &h
	kept(t, floats{0.1, &g, &q})
	kept(t, floats{})
}

type losingFloat struct {
	F float64 `json:",string"`
}
