package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/testserver"
)

// terminal returns both ends of a terminal.
func terminal(t *testing.T) (master, end *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("there are no terminals here: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	control := func(request uintptr, arg *int32) {
		t.Helper()
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, master.Fd(), request, uintptr(unsafe.Pointer(arg))); errno != 0 {
			t.Skipf("there are no terminals here: %v", errno)
		}
	}
	var locked, number int32
	control(syscall.TIOCSPTLCK, &locked)
	control(syscall.TIOCGPTN, &number)
	end, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("there are no terminals here: %v", err)
	}
	t.Cleanup(func() { end.Close() })
	return master, end
}

// On a terminal end asks, and only y and yes are yes.
func TestQuestion(t *testing.T) {
	b := newBench(t, testserver.SharedRedis(t).URL)
	for _, tt := range []struct {
		answer string
		code   int
	}{{"n\n", 1}, {"\n", 1}, {"maybe\n", 1}, {"y\n", 0}, {"YES\n", 0}} {
		for _, user := range []bool{false, true} {
			id := store.NewID()
			b.create(id, userID.To(id))
			args := []string{"end", id}
			if user {
				args = []string{"end", "-user", "userId", id}
			}
			master, end := terminal(t)
			cmd := exec.CommandContext(t.Context(), program, args...)
			cmd.Env = append(os.Environ(), "STORE_URL="+b.url)
			cmd.Stdin = end
			var errOut bytes.Buffer
			cmd.Stderr = &errOut
			if _, err := io.WriteString(master, tt.answer); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Run() // the exit code says it
			if got := cmd.ProcessState.ExitCode(); got != tt.code || b.lives(id) == (tt.code == 0) {
				t.Errorf("end with the answer %q exits with %d, and the session lives: %t; want %d", tt.answer, got, b.lives(id), tt.code)
			}
			if text := errOut.String(); !strings.Contains(text, "[y/N]") || strings.Contains(text, id) {
				t.Errorf("end asks %q, want a question without the ID", text)
			}
		}
	}
}

// On a terminal a line says how far a command is, and goes away in the end.
func TestProgress(t *testing.T) {
	b := newBench(t, testserver.SharedRedis(t).URL)
	for range 3000 {
		b.create(store.NewID())
	}
	master, end := terminal(t)
	cmd := exec.CommandContext(t.Context(), program, "stats", "-keys")
	cmd.Env = append(os.Environ(), "STORE_URL="+b.url)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, end
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	end.Close()
	said := make([]byte, 1<<16)
	n, _ := master.Read(said) // an error once all has been read
	if text := string(said[:n]); n > 0 && !strings.HasSuffix(text, "\r\x1b[K") {
		t.Errorf("the line of progress stays: %q", text)
	}
	if !strings.Contains(out.String(), "3000") {
		t.Errorf("stats of 3000 sessions says %s", out.String())
	}
}

// awaitReading returns when a process waits for its standard input.
func awaitReading(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		for _, task := range tasks {
			call, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/syscall", pid, task.Name()))
			if strings.HasPrefix(string(call), fmt.Sprintf("%d 0x0 ", syscall.SYS_READ)) {
				return
			}
		}
	}
	t.Skip("it cannot be told here when a process reads")
}
