package redisstore_test

import (
	"testing"

	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/internal/zerotest"
)

// TestNothingPanicsOnZeroValues finds all that the package exports.
func TestNothingPanicsOnZeroValues(t *testing.T) {
	zerotest.Run(t, map[string]any{
		"Backend":           (*redisstore.Backend)(nil),
		"Callers":           redisstore.Callers,
		"New":               redisstore.New,
		"Options":           redisstore.Options{},
		"CacheOptions":      redisstore.CacheOptions{},
		"RefuseReplica":     redisstore.RefuseReplica,
		"RefuseReplicaOver": redisstore.RefuseReplicaOver,
	})
}
