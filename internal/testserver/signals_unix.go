//go:build unix

package testserver

import "syscall"

const (
	terminate    = syscall.SIGTERM
	pauseSignal  = syscall.SIGSTOP
	resumeSignal = syscall.SIGCONT
)
