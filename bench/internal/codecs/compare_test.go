package codecs

import (
	"testing"
	"time"
)

func TestOwnCodecsWriteTheBytesOfTheLibraries(t *testing.T) {
	all, err := Compare(t.Context(), time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if want := 4*len(libraries[string]()) + 3; len(all) != want {
		t.Fatalf("%d results, want %d", len(all), want)
	}
	same := map[string]string{"vmihailenco/msgpack": "store msgpack", "encoding/json": "store json"}
	for _, c := range all {
		if c.Size == 0 || c.EncodeNs <= 0 || c.DecodeNs <= 0 {
			t.Errorf("%s of the %s: nothing was measured: %+v", c.Codec, c.Value, c)
		}
		// A map's keys come in any order from msgpack.
		if want := same[c.Codec]; want != "" && c.Identical != want && c.Value != "handshake" {
			t.Errorf("%s of the %s has the bytes of %q, want %q", c.Codec, c.Value, c.Identical, want)
		}
	}
}
