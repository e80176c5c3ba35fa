package document

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// goldenRecord is a wire format, as golden is.
const goldenRecord = "534b4f01" + // magic, format
	"0000019aba2f1a00" + // deadline
	"0000000000000003" + // revision
	"00000000000000ee" + // nonce
	"00" + "0001" +
	"000102030405060708090a0b0c0d0e0f"

func TestGoldenRecord(t *testing.T) {
	r := &Record{Deadline: 0x19aba2f1a00, Revision: 3, Nonce: 0xee}
	r.Tell(goldenDraft().token)
	b := r.Encode()
	if got := hex.EncodeToString(b); got != goldenRecord {
		t.Fatalf("Encode() = %s\nwant %s", got, goldenRecord)
	}
	got, err := OpenRecord(b)
	if err != nil {
		t.Fatalf("OpenRecord = %v, want no error", err)
	}
	if diff := cmp.Diff(r, got); diff != "" {
		t.Errorf("OpenRecord (-want +got):\n%s", diff)
	}
	for n := range b {
		if _, err := OpenRecord(b[:n]); !errors.Is(err, ErrMalformed) {
			t.Errorf("OpenRecord(the first %d of %d bytes) = %v, want %v", n, len(b), err, ErrMalformed)
		}
	}
	if _, err := OpenRecord(append(bytes.Clone(b), 0)); !errors.Is(err, ErrMalformed) {
		t.Errorf("OpenRecord(a byte too many) = %v, want %v", err, ErrMalformed)
	}
}

func TestRecordIsBounded(t *testing.T) {
	var r Record
	for range maxEnded {
		r.Tell(Token{1})
	}
	if r.Full || len(r.Ended) != maxEnded {
		t.Errorf("after %d tokens Full = %v with %d, want room for them", maxEnded, r.Full, len(r.Ended))
	}
	r.Tell(Token{2})
	got, err := OpenRecord(r.Encode())
	if err != nil || !got.Full || len(got.Ended) != maxEnded {
		t.Errorf("after one more OpenRecord = %v, %v with %d, want it full", err, got.Full, len(got.Ended))
	}
}
