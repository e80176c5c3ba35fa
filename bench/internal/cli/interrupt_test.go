//go:build unix

package cli

import (
	"bufio"
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sessionkv/store/internal/testserver"
)

func TestInterruptShowsResultsAndLeavesNothing(t *testing.T) {
	server := testserver.Redis(t)
	program := filepath.Join(t.TempDir(), "bench")
	if out, err := exec.Command("go", "build", "-o", program, "../..").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	cmd := exec.Command(program, "-store", server.URL, "-against", "all", "-sessions", "500", "-duration", "100ms", "-repeat", "1000", "-workload", "d,life", "-delay", "1ms")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill() // in case the test ends early
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "round 2 ") {
			if n := keysOn(t, server.URL); n == 0 {
				t.Error("there are no keys while the tool runs")
			}
			// As a terminal does: to all processes of the tool.
			if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
		}
	}
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != interrupted {
		t.Errorf("exit code %d, want %d", code, interrupted)
	}
	for _, want := range []string{"interrupted", "ops/s", "store redis://", "goredis"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("the output has no %q:\n%s", want, stdout.String())
		}
	}
	if n := keysOn(t, server.URL); n != 0 {
		t.Errorf("%d keys are left on the server", n)
	}
}
