// Package delay puts a network between a client and a Redis server on one machine. Its proxies deliver each byte some time after
// it came; they delay and do not throttle: any number of bytes may be on their way.
//
// A proxy is a process of its own, because its goroutines would be busy in the scheduler of the clients that are measured, and the
// more precisely they sleep, the longer they would hold it up.
package delay

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"time"

	"github.com/sessionkv/store/bench/internal/address"
)

// proxyFor makes this program a proxy: the server's address and the round trip.
const proxyFor = "STORE_BENCH_DELAY"

// Main is to be called first by every program that uses a [Pool]. In a process that a Pool has started it serves, and never returns.
func Main() {
	server, lag, ok := strings.Cut(os.Getenv(proxyFor), " ")
	if !ok {
		return
	}
	// Ctrl-C reaches the whole group of processes, and the tool that it asks to clean up still needs its proxies. They end with
	// their standard input.
	signal.Ignore(os.Interrupt)
	// Enough that those who sleep in the system keep nobody from running.
	runtime.GOMAXPROCS(64)
	roundTrip, err := time.ParseDuration(lag)
	l, lerr := net.Listen("tcp", "127.0.0.1:0")
	if err := errors.Join(err, lerr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(l.Addr())
	go serve(l, server, roundTrip/2)
	_, _ = io.Copy(io.Discard, os.Stdin) // until the parent ends
	os.Exit(0)
}

func serve(l net.Listener, server string, oneWay time.Duration) {
	for {
		near, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			far, err := net.Dial("tcp", server)
			if err != nil {
				near.Close()
				return
			}
			go carry(far, near, oneWay)
			carry(near, far, oneWay)
		}()
	}
}

// carry moves bytes from one side to the other and closes both at the end.
func carry(to, from net.Conn, oneWay time.Duration) {
	type chunk struct {
		data []byte
		due  time.Time
	}
	chunks := make(chan chunk, 1<<12)
	go func() {
		defer close(chunks)
		buf := make([]byte, 64<<10)
		for {
			n, err := from.Read(buf)
			if n > 0 {
				chunks <- chunk{bytes.Clone(buf[:n]), time.Now().Add(oneWay)}
			}
			if err != nil {
				return
			}
		}
	}()
	defer to.Close()
	defer from.Close()
	var err error
	for c := range chunks {
		if err != nil {
			continue // the reader must not stay blocked
		}
		sleepUntil(c.due)
		if _, err = to.Write(c.data); err != nil {
			from.Close()
		}
	}
}

// A Pool has a proxy for each Redis server that is asked for.
type Pool struct {
	delay   time.Duration
	proxies map[string]*proxy
}

// A proxy is a process.
type proxy struct {
	cmd   *exec.Cmd
	stdin io.Closer
	addr  string
}

// NewPool returns a pool; with a delay of zero it makes no proxies.
func NewPool(delay time.Duration) *Pool { return &Pool{delay, map[string]*proxy{}} }

// URL returns url with the address of a proxy in it.
func (p *Pool) URL(url string) (string, error) {
	if p.delay == 0 || !address.Single(url) {
		return url, nil
	}
	o, err := address.Redis(url)
	if err != nil {
		return "", err
	}
	host := o.Addrs[0]
	if p.proxies[host] == nil {
		proxy, err := start(host, p.delay)
		if err != nil {
			return "", fmt.Errorf("the proxy for network delay did not start: %w", err)
		}
		p.proxies[host] = proxy
	}
	return address.WithHost(url, p.proxies[host].addr), nil
}

// Close ends the proxies.
func (p *Pool) Close() {
	for _, proxy := range p.proxies {
		proxy.stdin.Close()
		proxy.cmd.Wait()
	}
}

func start(server string, roundTrip time.Duration) (*proxy, error) {
	if os.Getenv(proxyFor) != "" {
		return nil, errors.New("the main function of this program has to call delay.Main")
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
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		stdin.Close()
		cmd.Wait()
		return nil, err
	}
	return &proxy{cmd, stdin, strings.TrimSpace(line)}, nil
}
