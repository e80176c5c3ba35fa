package redisstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/sessionkv/store"
)

var (
	errReply   = errors.New("the server's reply is none that this package understands; is there a proxy that changes replies?")
	errNoReply = errors.New("the client returned without a reply; is there a hook that keeps commands back?")
	errForeign = fmt.Errorf("redis: %w", store.ErrForeignStore)
	errLease   = errors.New("redis: the lease must be positive")
)

// unknownError is a write whose reply was lost.
type unknownError struct {
	cause  error // how it was lost
	ctxErr error // the context's error, if its end is how
}

func (e *unknownError) Error() string {
	why := e.cause
	if e.ctxErr != nil {
		why = e.ctxErr
	}
	return store.ErrUnknownOutcome.Error() + ": " + describe(why)
}

func (e *unknownError) Unwrap() []error {
	if e.ctxErr != nil {
		return []error{store.ErrUnknownOutcome, e.ctxErr, e.cause}
	}
	return []error{store.ErrUnknownOutcome, e.cause}
}

// A clientError says in words of ours what went wrong. The client's own error
// stays reachable, but its text is not shown: a server may repeat in it the
// arguments of the command, and with them the session's ID.
type clientError struct {
	text  string
	cause error
}

func (e *clientError) Error() string { return e.text }
func (e *clientError) Unwrap() error { return e.cause }

// explain puts the errors of run into words, without what was sent: secrets are
// the names and values of the command.
func (b *Backend) explain(err error, secrets ...string) error {
	var (
		unknown     *unknownError
		unconfirmed *unconfirmedError
	)
	if errors.As(err, &unknown) || errors.As(err, &unconfirmed) || errors.Is(err, store.ErrClosed) || err == context.Canceled || err == context.DeadlineExceeded {
		return err
	}
	if refusedWith(err, "READONLY") {
		b.gate.close() // it was a primary when it was asked
	}
	return &clientError{text: "redis: " + describe(err, secrets...), cause: err}
}
