package backends

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sessionkv/store"
)

// defaultConnectTimeout bounds the connecting of every scheme. Left alone, the
// clients try for half a minute (Redis) or two (Hazelcast).
const defaultConnectTimeout = 10 * time.Second

// A dial connects. It may outlast its context, as the dialling of the clients does.
type dial func(context.Context) (store.Backend, error)

// An opener opens the backends of one scheme.
type opener struct {
	// open reads the rest of the URL, and connects to nothing yet.
	open func(*address, *Options) (dial, error)

	// silence says what is wrong when nobody has answered in time, and what to
	// look at. It is empty for a scheme that connects to nothing.
	silence string
}

// connect opens a, and returns when its connect_timeout or ctx ends at the
// latest. The dialling runs aside, so what it brings later is closed.
func (o opener) connect(ctx context.Context, a *address, opts *Options) (store.Backend, error) {
	if o.silence != "" {
		a.connect = cmp.Or(a.params.duration("connect_timeout"), defaultConnectTimeout)
	}
	dial, err := o.open(a, opts)
	if err != nil {
		return nil, urlError{err}
	}
	if o.silence == "" {
		return dial(ctx)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, a.connect, passedError(a.connect))
	defer cancel()
	if ctx.Err() != nil {
		return nil, o.late(ctx, a, nil)
	}
	type result struct {
		b   store.Backend
		err error
	}
	opened := make(chan result, 1)
	go func() {
		b, err := dial(ctx)
		opened <- result{b, err}
	}()
	select {
	case r := <-opened:
		if at, ok := ctx.Deadline(); ok && !time.Now().Before(at) {
			<-ctx.Done() // a client may notice a deadline a moment before it
		}
		if r.err != nil && ctx.Err() != nil {
			return nil, o.late(ctx, a, r.err)
		}
		return r.b, r.err
	case <-ctx.Done():
		go func() {
			if r := <-opened; r.b != nil {
				_ = r.b.Close() // nobody waits for it
			}
		}()
		return nil, o.late(ctx, a, nil)
	}
}

// late is the error for a server that did not answer in time. err is what came
// of the opening, if that has ended.
func (o opener) late(ctx context.Context, a *address, err error) error {
	cause := context.Cause(ctx)
	if err == nil || errors.Is(err, ctx.Err()) {
		if a.trouble != nil {
			if trouble := a.trouble(); trouble != nil {
				// As text: a deadline of the trouble's own is not why the wait ended.
				return fmt.Errorf("%s (%v): %w", o.silence, trouble, cause) //nolint:errorlint // see above
			}
		}
		return fmt.Errorf("%s: %w", o.silence, cause)
	}
	return fmt.Errorf("%w: %w", cause, err)
}

// A passedError says that this connect_timeout has passed.
type passedError time.Duration

func (e passedError) Error() string {
	return fmt.Sprintf("connect_timeout (%v) has passed", time.Duration(e))
}

// Is makes it a context.DeadlineExceeded, as it would be without a cause.
func (e passedError) Is(target error) bool { return target == context.DeadlineExceeded }
