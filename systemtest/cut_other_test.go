//go:build !unix

package systemtest

import (
	"math/rand/v2"
	"testing"
)

func cutConnections(t testing.TB, _ []string, _ *rand.Rand, _ float64) (cut int) {
	t.Helper()
	t.Skip("connections of this process can be cut on Unix only")
	return 0
}
