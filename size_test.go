package store

import (
	"testing"
	"unsafe"
)

// A million sessions have a million handles: one more word would cost each of them 16
// bytes, the step between the allocator's sizes.
func TestHandleStaysSmall(t *testing.T) {
	const most = 96
	if got := unsafe.Sizeof(Session{}); got > most {
		t.Errorf("a Session takes %d bytes, want %d at most", got, most)
	}
}
