//go:build !linux && !darwin && !dragonfly && !freebsd && !netbsd && !openbsd

package testserver

import (
	"errors"
	"os/exec"
)

func dieWithParent(*exec.Cmd) {}

func watch(int) (disarm func(), err error) { return func() {}, nil }

func stopped(int) (bool, error) { return false, errors.ErrUnsupported }
