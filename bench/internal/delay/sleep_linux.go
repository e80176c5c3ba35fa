package delay

import (
	"syscall"
	"time"
)

// sleepUntil waits for the moment at. The timers of Go are as late as a
// millisecond on an idle machine, because epoll counts in those.
func sleepUntil(at time.Time) {
	for d := time.Until(at); d > 0; d = time.Until(at) {
		t := syscall.NsecToTimespec(int64(d))
		if err := syscall.Nanosleep(&t, nil); err != nil && err != syscall.EINTR {
			time.Sleep(d)
		}
	}
}
