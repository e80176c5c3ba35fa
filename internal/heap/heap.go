// Package heap measures memory, for tests and benchmarks.
package heap

import "runtime"

// Live returns the bytes of live objects.
func Live() uint64 {
	runtime.GC()
	runtime.GC() // what finalizers and pools have let go of
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
