package goals

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// listeners returns the processes of this machine that listen on the ports of hosts, as far as Linux tells them.
func listeners(hosts []string) (pids []int) {
	sockets := make(map[string]bool)
	for _, host := range hosts {
		name, port, _ := net.SplitHostPort(host)
		if ip := net.ParseIP(name); name != "localhost" && (ip == nil || !ip.IsLoopback()) {
			continue // another machine may use the same port
		}
		n, _ := strconv.Atoi(port)
		for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
			for _, inode := range listening(table, n) {
				sockets["socket:["+inode+"]"] = true
			}
		}
	}
	files, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, file := range files {
		target, _ := os.Readlink(file)
		pid, err := strconv.Atoi(strings.Split(file, "/")[2])
		if err == nil && sockets[target] && !slices.Contains(pids, pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// listening returns the inodes of sockets in a table of the kernel that listen on port.
func listening(table string, port int) (inodes []string) {
	f, err := os.Open(table)
	if err != nil {
		return nil
	}
	defer f.Close()
	suffix := fmt.Sprintf(":%04X", port)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		const local, state, inode, listen = 1, 3, 9, "0A"
		fields := strings.Fields(lines.Text())
		if len(fields) > inode && strings.HasSuffix(fields[local], suffix) && fields[state] == listen {
			inodes = append(inodes, fields[inode])
		}
	}
	return inodes
}

// cpuOf returns the CPU time of a process so far, zero when it is not there.
func cpuOf(pid int) time.Duration {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(text), ") ") // the name may have spaces in it
	fields := strings.Fields(rest)
	const user, system, tick = 11, 12, 10 * time.Millisecond
	if len(fields) <= system {
		return 0
	}
	u, _ := strconv.Atoi(fields[user])
	s, _ := strconv.Atoi(fields[system])
	return time.Duration(u+s) * tick
}

// The CPU time of a member is that of the process that listens.
func TestListeners(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("processes are looked up on Linux only")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer l.Close()
	if got, want := listeners([]string{l.Addr().String()}), []int{os.Getpid()}; !slices.Equal(got, want) {
		t.Errorf("listeners() = %v, want %v", got, want)
	}
	l.Close()
	if got := listeners([]string{l.Addr().String(), "192.0.2.1:22"}); len(got) != 0 {
		t.Errorf("listeners() of nobody = %v, want none", got)
	}
	for before := cpuOf(os.Getpid()); cpuOf(os.Getpid()) == before; { // ends, because it takes CPU time itself
	}
}
