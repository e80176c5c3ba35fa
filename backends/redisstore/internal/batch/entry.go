package batch

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store/backends/internal/panics"
)

// An entry takes the place of its command in one pipeline. It records whether the
// command's reply was read.
//
// The client calls SetErr with nil, or with the server's own error, right after
// it has read a reply, and at no other time. It calls SetErr with an error of
// the connection for every command without an error, those with a reply
// included. When opening the connection fails with an error of the server (a
// wrong password, no such database), it calls SetErr not at all, and only Exec
// returns the error. So the commands themselves do not tell what happened.
type entry struct {
	redis.Cmder
	answered bool
}

// SetErr keeps the reply that was read first.
func (e *entry) SetErr(err error) {
	if e.answered {
		return
	}
	_, refused := err.(redis.Error)
	e.answered = err == nil || refused
	e.Cmder.SetErr(err)
}

// NoRetry keeps the client from sending the pipeline again: what was read would
// then belong to one attempt and the error to another.
func (e *entry) NoRetry() bool { return true }

// settle gives a command without a reply an error. err is what Exec returned.
func (e *entry) settle(err error) {
	switch {
	case e.answered || e.Err() != nil:
	case err == nil:
		e.Cmder.SetErr(errNoReply)
	default:
		e.Cmder.SetErr(err)
	}
}

// errNoReply is the outcome of a command for which the client has neither a reply
// nor an error, as hooks can bring about.
var errNoReply = errors.New("the client returned without a reply")

// Run executes cmds in one pipeline of client. Each is sent at most once. Each
// then has an error, or its own reply was read.
func Run(ctx context.Context, client *redis.Client, cmds ...redis.Cmder) {
	entries := make([]entry, len(cmds))
	pipe := client.Pipeline()
	for i, cmd := range cmds {
		cmd.SetErr(nil) // the client keeps an error of an earlier attempt
		entries[i].Cmder = cmd
		_ = pipe.Process(ctx, &entries[i])
	}
	err := exec(ctx, pipe)
	answered := false
	for i := range entries {
		answered = answered || entries[i].answered
	}
	lost := execError(err, answered)
	for i := range entries {
		entries[i].settle(lost)
	}
}

// flush executes calls, which then have their outcomes. A batch outlives any of
// its callers, so it runs under the context of none of them.
func flush(pipe redis.Pipeliner, calls []redis.Cmder) {
	_ = pipe.BatchProcess(context.Background(), calls...)
	err := exec(context.Background(), pipe)
	answered := false
	for _, c := range calls {
		answered = answered || c.(*call).answered
	}
	lost := execError(err, answered)
	for _, c := range calls {
		c.(*call).settle(lost)
	}
}

// execError is the error of a pipeline for its commands without a reply. Once
// replies were read, Exec returns the first of the commands' own errors, which
// says nothing about another command.
func execError(err error, answered bool) error {
	if err != nil && answered && fromServer(err) {
		return errNoReply
	}
	return err
}

// exec executes pipe.
func exec(ctx context.Context, pipe redis.Pipeliner) error {
	return panics.Guard(func() error {
		_, err := pipe.Exec(ctx)
		return err
	})
}

// Process executes cmd alone.
func Process(ctx context.Context, client redis.UniversalClient, cmd redis.Cmder) error {
	err := panics.Guard(func() error { return client.Process(ctx, cmd) })
	if err == panics.Err {
		cmd.SetErr(err)
	}
	return err
}
