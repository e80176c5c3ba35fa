package testserver

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"
)

const (
	startTimeout = 2 * time.Minute // a loaded machine may need 20 s for a Java process
	stopTimeout  = 10 * time.Second
	pollInterval = 10 * time.Millisecond
)

// errPortTaken says that a server could not bind its port because another process was faster.
var errPortTaken = errors.New("port taken")

// process is one server process that can be started again after it has ended.
type process struct {
	name    string // for messages
	path    string
	args    []string
	dir     string
	logPath string

	mu   sync.Mutex
	cmd  *exec.Cmd     // nil before the first start
	skip int64         // length of the log before the last start
	held bool          // paused
	done chan struct{} // closed when cmd has ended and been reaped
}

// start starts the process; it must not be running.
func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil && !ended(p.done) {
		return fmt.Errorf("%s is running already", p.name)
	}
	log, err := os.OpenFile(p.logPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if p.skip, err = log.Seek(0, io.SeekEnd); err != nil {
		return errors.Join(err, log.Close())
	}
	cmd := exec.Command(p.path, p.args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.dir, log, log
	done, started := make(chan struct{}), make(chan error, 1)
	go run(cmd, started, done)
	err = <-started
	log.Close()
	if err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	p.cmd, p.done, p.held = cmd, done, false
	return nil
}

// run starts cmd and waits for its end on one and the same thread. On Linux the kernel kills the server when the
// thread that started it ends. So that thread must live, held by this goroutine, for as long as the server does.
func run(cmd *exec.Cmd, started chan<- error, done chan<- struct{}) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	dieWithParent(cmd)
	if err := cmd.Start(); err != nil {
		started <- err
		return
	}
	disarm, err := watch(cmd.Process.Pid)
	if err != nil {
		err = errors.Join(err, cmd.Process.Kill())
	}
	started <- err
	_ = cmd.Wait() // the exit code of a server that was killed says nothing
	disarm()
	close(done)
}

// pid returns the process ID, or 0 while the process is not running.
func (p *process) pid() int {
	if !p.running() {
		return 0
	}
	return p.cmd.Process.Pid
}

func (p *process) running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd != nil && !ended(p.done)
}

// kill ends the process at once, also while it is stopped, and waits until it is reaped.
func (p *process) kill() {
	if p.running() {
		_ = p.cmd.Process.Kill() // it fails only if the process has just ended
		<-p.done
	}
}

// stop asks the process to end, and kills it if it does not.
func (p *process) stop() {
	if !p.running() {
		return
	}
	_ = p.resume()
	if p.cmd.Process.Signal(terminate) == nil {
		select {
		case <-p.done:
			return
		case <-time.After(stopTimeout):
		}
	}
	p.kill()
}

// pause freezes the process, and returns when each of its threads has stopped. The signal alone says nothing of
// when they do, and one of many may answer meanwhile.
func (p *process) pause() error {
	if err := p.hold(pauseSignal, true); err != nil {
		return err
	}
	return poll(stopTimeout, func() (error, bool) {
		pid := p.pid()
		if pid == 0 {
			return fmt.Errorf("%s has ended", p.name), true
		}
		ok, err := stopped(pid)
		if err == nil && !ok {
			err = fmt.Errorf("%s still runs", p.name)
		}
		return err, ok
	})
}

func (p *process) resume() error { return p.hold(resumeSignal, false) }

func (p *process) hold(s os.Signal, held bool) error {
	if s == nil {
		return errors.ErrUnsupported
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil || ended(p.done) {
		return fmt.Errorf("%s is not running", p.name)
	}
	p.held = held
	return p.cmd.Process.Signal(s)
}

// active says whether the process runs and is not paused.
func (p *process) active() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd != nil && !ended(p.done) && !p.held
}

func (p *process) log() string {
	data, err := os.ReadFile(p.logPath)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// await polls ready until it returns nil. It gives up when the process ends or takes too long.
func (p *process) await(ready func() error) error {
	return poll(startTimeout, func() (error, bool) {
		err := ready()
		if err != nil && !p.running() {
			return p.exitError(), true
		}
		return err, err == nil
	})
}

func (p *process) exitError() error {
	log := p.log()
	log = log[min(p.skip, int64(len(log))):]
	if strings.Contains(log, "already in use") {
		return fmt.Errorf("%s: %w", p.name, errPortTaken)
	}
	return fmt.Errorf("%s ended while starting; its log:\n%s", p.name, tail(log, logTail))
}

// poll calls f until it says it is done, and returns its last error when that takes longer than limit.
func poll(limit time.Duration, f func() (err error, done bool)) error {
	deadline := time.Now().Add(limit)
	for {
		err, done := f()
		if done {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not ready after %v: %w", limit, err)
		}
		time.Sleep(pollInterval)
	}
}

func ended(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}
