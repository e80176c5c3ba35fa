package redisstore

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/internal/panics"
	"github.com/sessionkv/store/backends/redisstore/internal/batch"
)

// An executor brings one command to the server and its reply back.
type executor interface {
	// Process returns when the reply is in cmd, or when ctx ends. It returns the
	// error that it sets on cmd.
	Process(ctx context.Context, cmd redis.Cmder) error
}

// A kind says what may happen to a command whose reply was lost.
type kind int

const (
	read  kind = iota // it changes nothing: repeat it
	again             // repeating it changes nothing more: repeat it
	once              // never repeat it
)

const (
	attempts = 3
	minPause = 8 * time.Millisecond
	maxPause = 128 * time.Millisecond
)

// A request is what run makes a new command of for every attempt, so that nothing
// read in one of them is taken for the outcome of another.
type request struct {
	script *script // nil: HMGET of the fields in args
	teach  bool    // send the script's source
	lists  int     // the entries of a list in the reply
	name   any
	args   []any

	// Those of nativeSet.
	token any
	key   string
	value []byte
}

func (r *request) command(ctx context.Context) *command {
	switch r.script {
	case nil:
		return newHash(ctx, r.name, r.args)
	case nativeSet:
		return newNative(ctx, r.name, r.token, r.key, r.value)
	}
	return newEval(ctx, r.script, r.teach, r.lists, r.name, r.args)
}

// eval runs s on the session called name with the token of a life. Its reply is
// one that s can give.
func (b *Backend) eval(ctx context.Context, k kind, s *script, name, token any, args ...any) (any, error) {
	return b.evalList(ctx, k, s, 0, name, token, args...)
}

// evalList is eval for a script that may answer a list with n entries.
func (b *Backend) evalList(ctx context.Context, k kind, s *script, n int, name, token any, args ...any) (any, error) {
	cmd, err := b.evalCommand(ctx, k, s, n, name, token, args...)
	if err != nil {
		return nil, err
	}
	return cmd.answer(), nil
}

// evalCommand is evalList for those who ask whether the answer is that of a repetition.
func (b *Backend) evalCommand(ctx context.Context, k kind, s *script, n int, name, token any, args ...any) (*command, error) {
	var room [8]any
	r := request{script: s, lists: n, name: name, args: append(append(room[:0], token), args...)}
	cmd, err := b.run(ctx, k, &r)
	if err != nil && redis.HasErrorPrefix(err, "NOSCRIPT") && !errors.Is(err, store.ErrUnknownOutcome) {
		// The server has restarted or forgotten its scripts, or is another one
		// since a failover. It has executed nothing. EVAL also teaches it.
		b.native.forget()
		r.teach = true
		cmd, err = b.run(ctx, k, &r)
	}
	if err != nil {
		return nil, b.explain(err, secretsOf(name, r.args)...)
	}
	return cmd, nil
}

// hmget reads fields of the session called name.
func (b *Backend) hmget(ctx context.Context, name any, fields ...any) ([]any, error) {
	cmd, err := b.run(ctx, read, &request{name: name, args: fields})
	if err != nil {
		return nil, b.explain(err, secretsOf(name, fields)...)
	}
	return cmd.values(), nil
}

// run executes a command once, and again where that is harmless. It is when the command certainly
// was not sent, when the server certainly refused it for the moment, or when k allows it. Its
// errors satisfy errors.Is(err, store.ErrUnknownOutcome) where the server may have executed the
// command without our knowing. Without an error the reply was read and is one that the command can
// have.
func (b *Backend) run(ctx context.Context, k kind, r *request) (*command, error) {
	class := noClass
	if b.replies != nil {
		class = b.replies.classOf(r)
	}
	maybe := false // an earlier attempt may have been executed
	for attempt := 1; ; attempt++ {
		cmd := r.command(ctx)
		cmd.class = class
		err := b.executors[k].Process(ctx, cmd)
		if err == nil {
			err = cmd.check()
		}
		if err == nil {
			cmd.repeated = maybe
			return cmd, nil
		}
		if b.closed.Load() && errors.Is(err, batch.ErrNotSent) && !maybe {
			return nil, store.ErrClosed
		}
		if unconfirmed := (*unconfirmedError)(nil); errors.As(err, &unconfirmed) {
			return nil, err
		}
		if err == redis.Nil {
			err = errReply // no command of ours is answered by nil
		}
		var (
			reply, _ = replyError(err)
			lost     = reply == nil && !cmd.withdraw()
		)
		maybe = maybe || lost && k > read
		if reply == nil {
			b.native.forget()
		}
		if ctxErr := ctx.Err(); ctxErr != nil && reply == nil {
			return nil, outcome(maybe, err, ctxErr)
		}
		var worthwhile bool
		switch {
		case reply != nil:
			worthwhile = b.passing(reply)
		case lost:
			worthwhile = k != once
		default:
			worthwhile = !errors.Is(err, redis.ErrClosed)
		}
		if worthwhile && attempt < attempts {
			b.lookAround()
			if ctxErr := pause(ctx, attempt); ctxErr != nil {
				return nil, outcome(maybe, err, ctxErr)
			}
			continue
		}
		return nil, outcome(maybe, err, nil)
	}
}

// outcome is the error of a command that failed with err, and for which there
// was no time left when ctxErr is not nil.
func outcome(maybe bool, err, ctxErr error) error {
	switch {
	case maybe:
		return &unknownError{cause: err, ctxErr: ctxErr}
	case ctxErr != nil:
		return ctxErr
	default:
		return err
	}
}

// lookAround makes a cluster's client ask who serves what now. go-redis itself does so only for
// commands that it may repeat.
func (b *Backend) lookAround() {
	if cluster, ok := b.client.(*redis.ClusterClient); ok {
		cluster.ReloadState(context.Background())
	}
}

// nodeOf returns the client of the node that serves the session called name. nodes
// is nil for a client of one server.
func nodeOf(ctx context.Context, client redis.UniversalClient, nodes *batch.Nodes, name any) (*redis.Client, error) {
	if nodes != nil {
		return nodes.Master(ctx, name.(string))
	}
	return client.(*redis.Client), nil
}

// pause waits longer from attempt to attempt, by chance, so that callers who
// failed together do not come back together.
func pause(ctx context.Context, attempt int) error {
	longest := min(minPause<<(attempt-1), maxPause)
	timer := time.NewTimer(longest/2 + rand.N(longest/2))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// replyError returns the server's own error in err, if it is one. Then the server has refused the
// command and nothing of it remains; see script. It may also have refused the connection, on which
// the command was not even sent. What a proxy answers in the server's place, see lostBehind, is
// none.
func replyError(err error) (redis.Error, bool) {
	var reply redis.Error
	if !errors.As(err, &reply) || lostBehind(reply) {
		return nil, false
	}
	return reply, true
}

// proxyLosses are the beginnings of what proxies (predixy, Envoy, twemproxy) answer when they have
// passed on a command and lose their connection to the server.
var proxyLosses = []string{"server connection close", "deliver request fail", "upstream failure", "Connection timed out", "Connection reset by peer"}

// lostBehind reports whether a proxy has answered so because it lost its connection to
// the server, which may have executed the command.
func lostBehind(err error) bool {
	var reply redis.Error
	if !errors.As(err, &reply) {
		return false
	}
	text := strings.TrimPrefix(reply.Error(), "ERR ")
	return slices.ContainsFunc(proxyLosses, func(loss string) bool { return strings.HasPrefix(text, loss) })
}

// passing reports whether a server that refused a command so may well take it a
// moment later. Redirections of a cluster are followed, but a slot may move on
// meanwhile.
func (b *Backend) passing(err error) bool {
	if _, ok := b.client.(*redis.ClusterClient); ok && batch.Redirected(err) {
		return true
	}
	return redis.IsLoadingError(err) || refusedWith(err, "READONLY") || redis.IsClusterDownError(err) ||
		redis.IsMasterDownError(err) || redis.IsTryAgainError(err) || redis.IsMaxClientsError(err)
}

// direct executes each command individually, on a connection of the pool.
type direct struct{ client redis.UniversalClient }

func (d direct) Process(ctx context.Context, cmd redis.Cmder) error {
	return await(ctx, func() error { return batch.Process(ctx, d.client, cmd) })
}

// await runs f and returns its error, or the context's when that ends first. Without it go-redis
// waits for a reply until its read timeout, whatever the context says. When go-redis panics in f,
// that is an error of the connection.
func await(ctx context.Context, f func() error) error {
	if ctx.Done() == nil {
		return panics.Guard(f)
	}
	done := make(chan error, 1)
	go func() { done <- panics.Guard(f) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
