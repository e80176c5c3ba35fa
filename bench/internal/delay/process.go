package delay

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"time"
)

// proxyFor makes this program a proxy: the server's address and the round trip.
const proxyFor = "STORE_BENCH_DELAY"

// Main is to be called first by every program that uses a [Pool]. In a process
// that a Pool has started it serves, and never returns.
//
// A proxy is a process of its own, because its goroutines would be busy in the
// scheduler of the clients that are measured, and the more precisely they sleep,
// the longer they would hold it up.
func Main() {
	server, lag, ok := strings.Cut(os.Getenv(proxyFor), " ")
	if !ok {
		return
	}
	roundTrip, err := time.ParseDuration(lag)
	if err != nil {
		os.Exit(2)
	}
	// Ctrl-C reaches the whole group of processes, and the tool that it asks to
	// clean up still needs its proxies. They end with their standard input.
	signal.Ignore(os.Interrupt)
	// Enough that those who sleep in the system keep nobody from running.
	runtime.GOMAXPROCS(64)
	p, err := listen(server, roundTrip)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(p.addr())
	_, _ = io.Copy(io.Discard, os.Stdin) // until the parent ends
	os.Exit(0)
}

// A process is a proxy in a process of its own.
type process struct {
	cmd   *exec.Cmd
	stdin io.Closer
	addr  string
}

func start(server string, roundTrip time.Duration) (*process, error) {
	if os.Getenv(proxyFor) != "" {
		return nil, fmt.Errorf("this program cannot start a proxy for network delay: its main function has to call delay.Main")
	}
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), proxyFor+"="+server+" "+roundTrip.String())
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, stdin: stdin}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		p.close()
		return nil, fmt.Errorf("the proxy for network delay did not start: %w", err)
	}
	p.addr = strings.TrimSpace(line)
	return p, nil
}

func (p *process) close() {
	p.stdin.Close()
	p.cmd.Wait()
}
