package hazelcaststore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hazelcast/hazelcast-go-client/hzerrors"
	"github.com/sessionkv/store"
)

// ErrMapConfig: the members' configuration of the map, or the client's, does not
// allow sessions to be kept safely. The error's text has the lines to change.
var ErrMapConfig = errors.New("the Hazelcast map is not configured for sessions")

var (
	errNearCache    = fmt.Errorf("%w: the client has a near cache for it, from which ended sessions could be read; remove it from the client's configuration, or set Options.NearCache", ErrMapConfig)
	errLittleEndian = fmt.Errorf("%w: the client's Serialization.LittleEndian is set, so that other processes would not find its sessions, nor it theirs; leave it off", ErrMapConfig)
	errNotMade      = errors.New("hazelcaststore: this Backend is nil or was not made by New or Open")
	errClient       = errors.New("hazelcaststore: the client is nil; start one with hazelcast.StartNewClient")
	errLease        = errors.New("the lease must be positive; give the time that the session lives without a renewal")
	errGrace        = errors.New("the grace period must be positive; to end a session now, destroy it")
	errForeign      = fmt.Errorf("%w; renew and suspend it through its own", store.ErrForeignStore)
)

// A clusterError is a failed call to the cluster, with a text that has no name of
// an entry in it.
type clusterError struct {
	text string
	err  error
}

func (e *clusterError) Error() string { return e.text }
func (e *clusterError) Unwrap() error { return e.err }

// describe makes the error of a call about the entry key presentable. The
// client's error stays reachable.
func (b *Backend) describe(key string, err error) error {
	var done *clusterError
	switch {
	case err == nil || errors.As(err, &done) || errors.Is(err, ErrMapConfig) || errors.Is(err, ErrClocks):
		return err
	case b.closed.Load():
		return store.ErrClosed
	case !b.running():
		return &clusterError{
			"the Hazelcast client was shut down while the backend uses it; close the backend first",
			errors.Join(store.ErrClosed, hzerrors.ErrClientNotActive, err),
		}
	case errors.Is(err, context.DeadlineExceeded):
		// Only the backend's own limit ends a call with this error.
		text := noAnswer(b.timeout)
		if o := b.own.Load(); o != nil && o.words.last() != "" {
			text += "; the client's last words: " + redact(o.words.last(), key)
		}
		return &clusterError{text, err}
	}
	return &clusterError{"hazelcast: " + redact(summary(err.Error()), key), err}
}

// redact puts … in the place of name wherever text has it as a whole word. So a name of one letter
// leaves the other words alone.
func redact(text, name string) string {
	var b strings.Builder
	for at := 0; ; {
		i := strings.Index(text[at:], name)
		if i < 0 || name == "" {
			return b.String() + text[at:]
		}
		from, to := at+i, at+i+len(name)
		if (from == 0 || !wordByte(text[from-1])) && (to == len(text) || !wordByte(text[to])) {
			b.WriteString(text[at:from])
			b.WriteString("…")
			at = to
			continue
		}
		b.WriteString(text[at : from+1])
		at = from + 1
	}
}

func wordByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == '_'
}

// summary returns the one line of text that says what went wrong. The client puts a
// member's whole stack trace before it.
func summary(text string) string {
	last := text
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, "\r\n"); line != "" && !strings.HasPrefix(line, "\t") {
			last = line
		}
	}
	return strings.TrimPrefix(last, ": ")
}

func noAnswer(limit time.Duration) string {
	return fmt.Sprintf("no answer from the Hazelcast cluster within %v; see whether a member can be reached and whether the cluster's name is right", limit)
}

// rejected reports whether err says that the cluster did not carry out the
// operation and will not.
func rejected(err error) bool {
	for _, final := range [...]error{
		hzerrors.ErrSplitBrainProtection, hzerrors.ErrAccessControl, hzerrors.ErrSecurity,
		hzerrors.ErrHazelcastSerialization, hzerrors.ErrIllegalArgument, hzerrors.ErrMaxMessageSizeExceeded,
	} {
		if errors.Is(err, final) {
			return true
		}
	}
	return false
}

// A sizeError is a write that would make the session's document larger than the limit.
type sizeError struct{ limit int }

func (e *sizeError) Error() string {
	return fmt.Sprintf("%v: all keys and values of the session together would take more than %d bytes; keep less in a session, or raise Options.DocumentSize", store.ErrTooLarge, e.limit)
}
func (e *sizeError) Unwrap() error { return store.ErrTooLarge }

// An unknownError is a write of which nobody can tell whether it took effect.
type unknownError struct{ cause error }

func unknown(cause error) error { return &unknownError{cause} }

func (e *unknownError) Error() string {
	return store.ErrUnknownOutcome.Error() + ": " + e.cause.Error()
}
func (e *unknownError) Unwrap() []error { return []error{store.ErrUnknownOutcome, e.cause} }
