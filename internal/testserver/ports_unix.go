//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package testserver

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// portLocks is a file of which test processes lock the byte at every port they use. The kernel drops the locks of a
// process that dies, and keeps them for a server that is down for a restart.
var portLocks = sync.OnceValue(func() *os.File {
	name := filepath.Join(os.TempDir(), fmt.Sprintf("sessionkv-store-ports-%d.lock", os.Getuid()))
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil // then only the attempt to listen tells whether a port is free
	}
	return f
})

func lockPort(port int) bool { return portLock(port, syscall.F_WRLCK) }

func unlockPort(port int) { portLock(port, syscall.F_UNLCK) }

func portLock(port int, kind int16) bool {
	f := portLocks()
	if f == nil {
		return true
	}
	lock := syscall.Flock_t{Type: kind, Whence: io.SeekStart, Start: int64(port), Len: 1}
	return syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &lock) == nil
}
