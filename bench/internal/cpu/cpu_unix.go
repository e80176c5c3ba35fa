//go:build unix

package cpu

import (
	"syscall"
	"time"
)

// Used is the CPU time of this process so far.
func Used() (time.Duration, bool) {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0, false
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), true
}
