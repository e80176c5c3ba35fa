// Package cli is the command line of the benchmark tool.
package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store/bench/internal/address"
	"github.com/sessionkv/store/bench/internal/report"
)

// The exit codes.
const (
	done        = 0
	failed      = 1
	wrongUsage  = 2
	interrupted = 130
)

// Main runs the tool until it is done or ctx ends, and returns the exit code.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	redis.SetLogger(quiet{})
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return done
	}
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return wrongUsage
	}
	// Before anything is measured, so that no result is lost for want of a place.
	out, err := openOutputs(o)
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return failed
	}
	r := &report.Report{Time: time.Now().UTC().Truncate(time.Second), Command: commandLine(args), Machine: report.ThisMachine()}
	err = run(ctx, o, r, newProgress(stderr))
	r.Interrupted = ctx.Err() != nil
	if r.Interrupted && errors.Is(err, context.Canceled) {
		err = nil
	}
	if werr := r.Text(stdout); err == nil {
		err = werr
	}
	if werr := writeOutputs(out, r); err == nil {
		err = werr
	}
	switch {
	case err != nil:
		fmt.Fprintln(stderr, "bench:", oneLine(err))
		return failed
	case r.Interrupted:
		return interrupted
	}
	return done
}

// quiet keeps the Redis client from logging into the output: what matters comes back as an error.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

// commandLine repeats the command without passwords.
func commandLine(args []string) string {
	return "go run ./bench " + regexp.MustCompile(`[\w+]+://\S*`).ReplaceAllStringFunc(strings.Join(args, " "), address.Redact)
}

// oneLine joins the lines of an error.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
