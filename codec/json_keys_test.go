package codec

import (
	"encoding/json"
	"strings"
	"testing"
)

// Errors of encoding/json name the way to a value, from Go 1.27 on with the keys of maps in it, which are data.
func TestErrorsOfJSONNameNoKeysOfMaps(t *testing.T) {
	const secret = "s3cret"
	err := json.Unmarshal([]byte(`{"`+secret+`":"x"}`), new(map[string]int))
	if err == nil {
		t.Fatal("encoding/json decodes a string into an int")
	}
	if text := cause(err); strings.Contains(text, secret) {
		t.Errorf("cause(%T) = %q, which has a key of the data", err, text)
	}
	type loop struct {
		Next map[string]*loop
		N    int
	}
	data := `{"Next":{"` + secret + `":{"Next":{"` + secret + `":{"N":"` + secret + `"}}}}}`
	for _, c := range []Codec{JSON, JSONStrict} {
		if _, err := Decode[loop](c, []byte(data)); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("Decode(%s, %s) = %v, want an error without the key", c.Name(), data, err)
		}
		if _, err := Decode[map[string]map[string]map[int]loop](c, []byte(`{"`+secret+`":{"`+secret+`":{"7":`+data+`}}}`)); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("Decode(%s) of maps = %v, want an error without the key", c.Name(), err)
		}
		if _, err := Decode[any](c, []byte(`{"`+secret+`":1e999}`)); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("Decode(%s) of any = %v, want an error without the key", c.Name(), err)
		}
	}
}
