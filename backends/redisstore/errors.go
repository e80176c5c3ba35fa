package redisstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/sessionkv/store"
)

// ErrNotASession is returned by Create when another program has written to the hash of
// that name while no session lived there. Such a hash belongs to no life and usually has no
// expiry, so nothing removes it but a DEL. See the package comment for how to write from elsewhere.
var ErrNotASession = errors.New("the hash of this session's name holds fields of another program and no session; delete it, and let that program write only while the session lives")

var (
	errReply   = errors.New("this package cannot read the server's reply; is there a proxy that changes replies?")
	errNoReply = errors.New("the client returned without a reply; is there a hook that keeps commands back?")
	errSince   = errors.New("the connection failed, and when the server answered again the life of the session had ended")
	errNotMade = errors.New("redisstore: this Backend is nil or was not made by New")
	errNoConn  = errors.New("redisstore: the connection is nil; RefuseReplica is the OnConnect of a client")

	errCacheProtocol = errors.New("redis: Options.Cache needs a client with Protocol 3, by which the server tells what has changed")
	errCacheCluster  = errors.New("redis: Options.Cache is for a client of a single server, not of a Cluster")

	errForeign = fmt.Errorf("redis: %w", store.ErrForeignStore)
	errLease   = errors.New("redis: the lease must be positive")
)

// unknownError is a write whose reply was lost.
type unknownError struct {
	cause  error  // how it was lost
	ctxErr error  // the context's error, if its end is how
	text   string // by explain, which alone has what was sent
}

func (e *unknownError) Error() string {
	if e.text != "" {
		return e.text
	}
	return e.describe()
}

func (e *unknownError) describe(secrets ...string) string {
	why := e.cause
	if e.ctxErr != nil {
		why = e.ctxErr
	}
	return store.ErrUnknownOutcome.Error() + ": " + describe(why, secrets...)
}

// GoString shows with %#v no more than Error, as that of the others does: the causes
// can have in them what was sent.
func (e *unknownError) GoString() string { return e.Error() }

func (e *unknownError) Unwrap() []error {
	if e.ctxErr != nil {
		return []error{store.ErrUnknownOutcome, e.ctxErr, e.cause}
	}
	return []error{store.ErrUnknownOutcome, e.cause}
}

// A clientError says in words of ours what went wrong. The client's own error stays reachable, but
// its text is not shown. A server may repeat in it the arguments of the command, and with them the
// session's ID.
type clientError struct {
	text  string
	cause error
}

func (e *clientError) Error() string    { return e.text }
func (e *clientError) GoString() string { return e.Error() }
func (e *clientError) Unwrap() error    { return e.cause }

// explain puts the errors of run into words, without what was sent: secrets are
// the names and values of the command. The client's password is one in any case.
func (b *Backend) explain(err error, secrets ...string) error {
	var (
		unknown     *unknownError
		unconfirmed *unconfirmedError
	)
	if explained, ok := errors.AsType[*clientError](err); ok {
		return explained
	}
	secrets = append(secrets, b.password)
	if errors.As(err, &unknown) && unknown.text == "" {
		unknown.text = unknown.describe(secrets...)
	}
	if errors.As(err, &unknown) || errors.As(err, &unconfirmed) || errors.Is(err, store.ErrClosed) {
		return err
	}
	if err == context.Canceled || err == context.DeadlineExceeded { //nolint:errorlint // the text around a wrapped one may hold a secret
		return err
	}
	if refusedWith(err, "READONLY") {
		b.gate.close() // it was a primary when it was asked
		if b.cache != nil {
			b.cache.tracking.reset()
		}
		b.native.forget()
	}
	return &clientError{text: "redis: " + describe(err, secrets...), cause: err}
}
