// Command storectl looks at the sessions of a store, and ends, saves and restores them.
//
//	go install github.com/sessionkv/store/cmd/storectl@latest
//	export STORE_URL=redis://user:password@localhost:6379/0?namespace=chat
//	storectl stats
//
// storectl help lists the commands, and storectl help COMMAND explains one. It shows no session ID
// unless -ids is given: IDs are credentials. It exits with 0, with 1 when something failed, with 2
// when its input is wrong, and with 130 when it was interrupted.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

const (
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	signal.Ignore(syscall.SIGPIPE)
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run executes one command and returns the exit code.
func run(ctx context.Context, args []string, stdin *os.File, stdout, stderr *os.File) int {
	c, err := parse(args)
	if err != nil {
		return report(ctx, stderr, err)
	}
	c.stdin, c.stderr = stdin, stderr
	c.out = newOutput(stdout, c.flags)
	c.progress = newProgress(stderr, isTerminal(stdout))
	err = c.run(ctx, c)
	c.progress.clear()
	if err == nil {
		err = c.unread.err()
	}
	if flushed := c.out.flush(); err == nil {
		err = flushed
	}
	if cerr := c.close(); err == nil {
		err = cerr
	}
	return report(ctx, stderr, err)
}

// report says in one line why a command failed, and returns the exit code.
func report(ctx context.Context, stderr io.Writer, err error) int {
	var wrong *usageError
	switch {
	case err == nil, isClosedPipe(err):
		return 0
	case errors.As(err, &wrong):
		fmt.Fprintf(stderr, "storectl: %v\n", err)
		return exitUsage
	case ctx.Err() != nil:
		fmt.Fprintf(stderr, "storectl: interrupted%s\n", doneSoFar(err))
		return exitInterrupted
	}
	fmt.Fprintf(stderr, "storectl: %s\n", oneLine(err.Error()))
	return exitFailed
}

// A usageError is wrong input.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func wrongf(format string, args ...any) error {
	return &usageError{oneLine(fmt.Sprintf(format, args...))}
}

// A partError is a command that ended early, with what it had done by then.
type partError struct {
	done string
	err  error
}

func (e *partError) Error() string { return e.err.Error() + "; " + e.done }
func (e *partError) Unwrap() error { return e.err }

func doneSoFar(err error) string {
	if p, ok := errors.AsType[*partError](err); ok {
		return "; " + p.done
	}
	return ""
}
