package pause

import (
	"syscall"
	"time"
)

// fine sleeps in the kernel, for which the goroutine keeps its thread.
func fine(d time.Duration) {
	t := syscall.NsecToTimespec(d.Nanoseconds())
	syscall.Nanosleep(&t, nil) // when a signal interrupts it, the caller calls again
}
