//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package testserver

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

func dieWithParent(*exec.Cmd) {}

// watch starts a shell that waits for the end of its standard input, and then kills pid. That comes when this
// process dies, however it may. It has a process group of its own so that an interrupt from the terminal spares
// it.
func watch(pid int) (disarm func(), err error) {
	dog := exec.Command("/bin/sh", "-c", `cat >/dev/null; kill -9 "$0"`, strconv.Itoa(pid))
	dog.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	leash, err := dog.StdinPipe()
	if err != nil {
		return func() {}, err
	}
	if err := dog.Start(); err != nil {
		return func() {}, err
	}
	return func() {
		_ = dog.Process.Kill() // first the shell, so that it does not see the end of its input
		_ = leash.Close()
		_ = dog.Wait()
	}, nil
}

// stopped reports whether a process has stopped.
func stopped(pid int) (bool, error) {
	state, err := exec.Command("ps", "-o", "state=", "-p", strconv.Itoa(pid)).Output()
	return strings.HasPrefix(strings.TrimSpace(string(state)), "T"), err
}
