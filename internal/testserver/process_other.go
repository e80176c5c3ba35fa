//go:build !linux && !darwin && !dragonfly && !freebsd && !netbsd && !openbsd

package testserver

import "os/exec"

func dieWithParent(*exec.Cmd) {}

func watch(int) (disarm func(), err error) { return func() {}, nil }
