package quiet

import (
	"errors"
	"testing"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/storetest"
)

// Tests may be about wrong keys.
func TestWrongKeys(t *testing.T) {
	s := storetest.NewSession(t)
	if _, err := store.Key[int]("tenant").Get(t.Context(), s); err == nil || errors.Is(err, store.ErrInvalidKey) {
		t.Error(err)
	}
	if err := store.Key[int]("").Set(t.Context(), s, 1); err == nil {
		t.Error("no error")
	}
	if err := store.Key[chan int]("chan").Set(t.Context(), s, nil); err == nil {
		t.Error("no error")
	}
}
