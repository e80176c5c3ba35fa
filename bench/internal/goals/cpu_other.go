//go:build !unix

package goals

import "time"

// processCPU says that the CPU time is not known.
func processCPU() (time.Duration, bool) { return 0, false }
