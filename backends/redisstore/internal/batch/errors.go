package batch

import (
	"errors"
	"fmt"
	"net"

	"github.com/redis/go-redis/v9"
)

// ErrNotSent is wrapped by the errors of commands that no server has seen:
// their context ended while they were queued, or the Batcher is closed.
var ErrNotSent = errors.New("redis command was not sent")

// ErrQueueFull is wrapped, beside [ErrNotSent], by the errors of commands for which too many others
// wait already. The server hangs, or is too slow for its callers.
var ErrQueueFull = errors.New("too many commands wait for the server")

var errClosed = errors.New("batcher is closed")

func notSent(cause error) error { return fmt.Errorf("%w: %w", ErrNotSent, cause) }

// errAbandoned marks the error of a caller that left before the outcome of
// its command was known.
var errAbandoned = errors.New("redis command is in progress, its outcome is unknown")

func abandoned(cause error) error { return fmt.Errorf("%w: %w", errAbandoned, cause) }

// Unknown reports whether a command that ended with err may or may not have been executed. It is
// false for a nil err, for a reply of the server (including [redis.Nil] and refusals), and for a
// command that certainly was not sent. That is [ErrNotSent], no connection to the server, or none
// free in the pool. When in doubt it is true.
func Unknown(err error) bool {
	var reply redis.Error
	var op *net.OpError
	switch {
	case err == nil,
		errors.As(err, &reply),
		errors.Is(err, ErrNotSent),
		errors.Is(err, redis.ErrPoolTimeout),
		errors.Is(err, redis.ErrPoolExhausted),
		errors.Is(err, redis.ErrClosed):
		return false
	case errors.As(err, &op) && op.Op == "dial":
		return false
	}
	return true
}

// fromServer reports whether err is a reply, as opposed to a failure to get
// one.
func fromServer(err error) bool {
	if err == redis.Nil { // by far the most frequent
		return true
	}
	var reply redis.Error
	return errors.As(err, &reply)
}
