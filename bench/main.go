// Bench compares backends and other libraries for session state. Run it
// with -h for its flags, and see the README beside it.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/sessionkv/store/bench/internal/cli"
	"github.com/sessionkv/store/bench/internal/delay"
)

func main() {
	delay.Main()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the tool at once
	os.Exit(cli.Main(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
