//go:build !unix

package cpu

import "time"

// Used says that the CPU time is not known.
func Used() (time.Duration, bool) { return 0, false }
