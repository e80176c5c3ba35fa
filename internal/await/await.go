// Package await lets tests wait for a condition.
package await

import (
	"testing"
	"time"
)

// Patience is how long Until waits for what comes at once unless something is broken.
const Patience = 30 * time.Second

// Until waits until ok returns true. It fails t, which names what was waited for, if that takes longer than [Patience].
func Until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(Patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", Patience, what)
		}
	}
}
