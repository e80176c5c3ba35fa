package storetest_test

import (
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
	"github.com/sessionkv/store/storetest"
)

// A backend in the memory of the process: time is that of testing/synctest.
func ExampleRun() {
	// func TestContract(t *testing.T) {
	contract := func(t *testing.T) {
		storetest.Run(t, storetest.Harness{
			Open:     func(testing.TB) store.Backend { return memstore.New(nil) },
			Synctest: true,
		})
	}
	_ = contract // go test calls it
	// Output:
}

// A backend on a server gets a client of its own for each node, closed when the test ends. Leases
// are kept to a fraction of a second.
func ExampleHarness() {
	var newBackend func(t testing.TB, namespace string) store.Backend // dials; closes with t.Cleanup

	namespace, other := "storetest-"+store.NewID(), "storetest-"+store.NewID()
	h := storetest.Harness{
		Open:  func(t testing.TB) store.Backend { return newBackend(t, namespace) },
		Other: func(t testing.TB) store.Backend { return newBackend(t, other) },
		Lease: 200 * time.Millisecond,
	}
	_ = h // storetest.Run(t, h)
	// Output:
}

// The same bodies measure every backend.
func ExampleBenchmark() {
	// func BenchmarkBackend(b *testing.B) {
	benchmark := func(b *testing.B) {
		storetest.Benchmark(b, storetest.Harness{
			Open: func(testing.TB) store.Backend { return memstore.New(nil) },
		})
	}
	_ = benchmark // go test -bench . calls it
	// Output:
}
