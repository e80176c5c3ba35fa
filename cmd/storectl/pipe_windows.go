package main

import (
	"errors"
	"syscall"
)

// isClosedPipe reports whether the reader of the output has gone, as head does: no error.
func isClosedPipe(err error) bool {
	const noData = syscall.Errno(232) // ERROR_NO_DATA: the pipe is being closed
	return errors.Is(err, syscall.ERROR_BROKEN_PIPE) || errors.Is(err, noData)
}
