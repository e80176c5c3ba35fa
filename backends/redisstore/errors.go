package redisstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/redis/go-redis/v9"
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

// explain puts the errors of run into words.
func (b *Backend) explain(err error) error {
	var (
		unknown     *unknownError
		unconfirmed *unconfirmedError
	)
	if errors.As(err, &unknown) || errors.As(err, &unconfirmed) || errors.Is(err, store.ErrClosed) || err == context.Canceled || err == context.DeadlineExceeded {
		return err
	}
	return &clientError{text: "redis: " + describe(err), cause: err}
}

// refusals are the texts for what servers answer, by the first word of their
// errors, which alone is the same on all of them.
var refusals = []struct{ word, text string }{
	{"WRONGTYPE", "the name of this session is taken by a key that is no hash; give the backend a namespace of its own"},
	{"NOPERM", "the ACL user may not do this; the documentation of redisstore has the rule that it needs"},
	{"NOAUTH", "the server wants a user and password; give them to the client"},
	{"WRONGPASS", "the server does not accept the user or password of the client"},
	{"READONLY", "the server is a read-only replica; connect to the primary, through Sentinel or Cluster where it can move"},
	{"OOM", "the server has no memory left for writes; raise its maxmemory or shorten the leases"},
	{"LOADING", "the server is loading its data; try again in a moment"},
	{"CLUSTERDOWN", "the cluster does not serve the session's slot at present"},
	{"MASTERDOWN", "the server is a replica without a link to its primary"},
	{"TRYAGAIN", "the session's slot is being moved; try again in a moment"},
	{"MOVED", "the server is a cluster node that does not serve the session's slot; use a cluster client"},
	{"ASK", "the session's slot is being moved; use a cluster client"},
	{"NOREPLICAS", "the server has fewer replicas than it demands for a write"},
	{"MISCONF", "the server refuses writes because it cannot save its data to disk"},
	{"BUSY", "the server is busy with a script of somebody else"},
	{"NOSCRIPT", "the server forgets scripts as soon as it runs them"},
	{"unknown command", "the server lacks a command that redisstore needs; it needs Redis 6.0 or later, Valkey or DragonflyDB"},
	{"ERR max number of clients", "the server has no connection left; raise its maxclients or lower the pool size"},
}

// describe says in one line what err means, without repeating any argument.
func describe(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "the deadline passed before the server answered"
	}
	if errors.Is(err, context.Canceled) {
		return "canceled before the server answered"
	}
	if reply, ok := replyError(err); ok {
		text := reply.Error()
		if strings.Contains(text, "ACL failure in script") || strings.Contains(text, "The user executing the script can't") {
			text = "NOPERM" // which not every version says
		}
		for _, r := range refusals {
			if saysFirst(text, r.word) {
				return r.text
			}
		}
		code, _, _ := strings.Cut(text, " ")
		return fmt.Sprintf("the server refused the command with the error %q (its text may name the session, so it is not shown; errors.As finds it)", code)
	}
	var op *net.OpError
	switch {
	case errors.Is(err, redis.ErrClosed):
		return "the client was closed; close the backend before its client"
	case errors.Is(err, redis.ErrPoolTimeout), errors.Is(err, redis.ErrPoolExhausted):
		return "no connection of the client's pool became free in time; raise PoolSize or PoolTimeout"
	case errors.Is(err, errReply), errors.Is(err, errNoReply):
		return err.Error()
	case errors.As(err, &op) && op.Op == "dial":
		return "the server cannot be reached: " + op.Error()
	case isTimeout(err):
		return "the server did not answer within the client's read timeout"
	default:
		return "the connection failed: " + strings.Join(strings.Fields(err.Error()), " ") // one line
	}
}

// saysFirst reports whether an error text begins with word, or has it where
// Redis before 7.0 puts the error of a command within a script:
// "ERR Error running script (call to f_…): @user_script:1: OOM …".
func saysFirst(text, word string) bool {
	if strings.HasPrefix(strings.TrimPrefix(text, "ERR "), word) || strings.HasPrefix(text, word) {
		return true
	}
	_, inner, found := strings.Cut(text, "@user_script")
	if !found {
		return false
	}
	_, inner, _ = strings.Cut(inner, ": ")
	inner = strings.TrimPrefix(strings.TrimSpace(inner), "-")
	return strings.HasPrefix(inner, word)
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}
