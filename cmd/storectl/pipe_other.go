//go:build !windows

package main

import (
	"errors"
	"syscall"
)

// isClosedPipe reports whether the reader of the output has gone, as head does: no error.
func isClosedPipe(err error) bool { return errors.Is(err, syscall.EPIPE) }
