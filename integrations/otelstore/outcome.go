package otelstore

import (
	"context"
	"errors"
	"io"
	"net"
	"os"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.40.0"

	"github.com/sessionkv/store"
)

// refusalKey is the attribute that says which answer other than yes a backend gave.
const refusalKey = attribute.Key("store.refusal")

// An outcome is how an operation ended.
type outcome uint8

const done outcome = 0

// other is the outcome of an error that nothing is known about.
var other = outcome(len(outcomes) - 1)

// outcomes are in the order in which an error is compared with them: the more special ones come
// before those that they satisfy as well.
var outcomes = [...]struct {
	name   string
	err    error
	failed bool // what the backend is for was not done
}{
	{}, // done
	{"unknown_outcome", store.ErrUnknownOutcome, true},
	{"foreign_store", store.ErrForeignStore, true},
	{"closed", store.ErrClosed, true},
	{"not_found", store.ErrNotFound, false},
	{"no_session", store.ErrNoSession, false},
	{"exists", store.ErrExists, false},
	{"conflict", store.ErrConflict, false},
	{"expired", store.ErrExpired, false},
	{"resumed", store.ErrResumed, false},
	{"destroyed", store.ErrDestroyed, false},
	{"too_many_keys", store.ErrTooManyKeys, false},
	{"too_large", store.ErrTooLarge, false},
	{"invalid", store.ErrInvalidKey, false},
	{"invalid", store.ErrInvalidID, false},
	{"unsupported", errors.ErrUnsupported, false},
	{"canceled", context.Canceled, true},
	{"timeout", context.DeadlineExceeded, true},
	{"timeout", os.ErrDeadlineExceeded, true},
	{"connection", io.EOF, true},
	{"connection", io.ErrUnexpectedEOF, true},
	{"connection", net.ErrClosed, true},
	{"_OTHER", nil, true},
}

// outcomeOf returns the outcome of an operation that returned err.
func outcomeOf(err error) outcome {
	if err == nil {
		return done
	}
	for i := range outcomes[1:other] {
		if errors.Is(err, outcomes[1+i].err) {
			return outcome(1 + i)
		}
	}
	if n, ok := errors.AsType[net.Error](err); ok && n.Timeout() {
		return outcomeOf(context.DeadlineExceeded)
	}
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return outcomeOf(io.EOF)
	}
	return other
}

// worst returns the outcome of an operation on many: its first failure, or else done, since a refusal is
// about one of them.
func worst(errs []error) outcome {
	for _, err := range errs {
		if o := outcomeOf(err); outcomes[o].failed {
			return o
		}
	}
	return done
}

// attribute returns what says how an operation ended, and false where it is done.
func (o outcome) attribute() (attribute.KeyValue, bool) {
	switch {
	case o == done:
		return attribute.KeyValue{}, false
	case outcomes[o].failed:
		return semconv.ErrorTypeKey.String(outcomes[o].name), true
	}
	return refusalKey.String(outcomes[o].name), true
}
