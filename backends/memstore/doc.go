// Package memstore keeps sessions in the memory of this process.
//
// It is the backend to start with, for tests, and for servers that run as one process. It behaves
// as the backends on a server do: it stores encoded bytes, ends expired sessions, and fences the
// handles of earlier lives. So code that works on it works on the others. What it holds is gone
// when the process ends.
//
//	backend := memstore.New(nil)
//	defer backend.Close()
//
// # Performance
//
// Reads take no lock and do not allocate. Set on an existing key allocates once,
// for the bytes. Sessions lie in independent shards, so that work on different
// sessions does not meet.
//
// # Expiry
//
// Leases are counted on the monotonic clock and rounded up to whole
// milliseconds since [New]. One timer serves all sessions of a [Backend]; no
// goroutine runs while nothing expires. Under testing/synctest the fake clock
// drives it.
package memstore
