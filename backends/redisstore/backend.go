package redisstore

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore/internal/batch"
	"github.com/sessionkv/store/internal/keyspace"
)

var _ store.Backend = (*Backend)(nil)

// A Backend keeps sessions on a Redis, Valkey or DragonflyDB server, or a
// cluster of them. It is made by [New] and is a [store.Backend], whose contract
// it keeps. Every method is safe for concurrent use.
type Backend struct {
	client    redis.UniversalClient
	namespace keyspace.Namespace
	executors [once + 1]executor // by kind of command
	batcher   *batch.Batcher     // nil when batching is off
	replies   *replies           // nil when batching is off
	nodes     *batch.Nodes       // nil for one server
	merger    *merger            // nil when batching is off
	native    *native            // nil where every write is a script
	cache     *cache             // nil without client-side caching
	waits     bool               // writes wait for replicas
	password  string             // of the client, which no error may show
	gate      *gate              // nil for a cluster
	notices   *notices
	logger    *slog.Logger
	closed    atomic.Bool
}

// Namespace returns the namespace that the backend was made with.
func (b *Backend) Namespace() string {
	if !b.made() {
		return ""
	}
	return string(b.namespace)
}

// made reports whether b was made by New.
func (b *Backend) made() bool { return b != nil && b.client != nil }

// Create begins a new life of the session id; see [store.Backend].
func (b *Backend) Create(ctx context.Context, id string, initial []store.Entry, t store.Terms) (store.Store, error) {
	if err := b.check(ctx, id); err != nil {
		return nil, err
	}
	lease, err := leaseOf(t)
	if err != nil {
		return nil, err
	}
	args := make([]any, 1, 1+2*len(initial)+4)
	for _, e := range initial {
		if err := store.CheckKey(e.Key); err != nil {
			return nil, err
		}
		if e.Value != nil {
			args = append(args, e.Key, lend(ctx, e.Value))
		}
	}
	if t.MaxKeys > 0 && (len(args)-1)/2 > t.MaxKeys {
		return nil, store.ErrTooManyKeys
	}
	s := b.handle(id, newToken(), t)
	args[0] = lease
	for _, e := range initial {
		if e.Value != nil {
			s.keys.add(e.Key)
		}
	}
	if fence := s.fence(); fence != "" {
		args = append(args, fenceField, "", fence, "")
	}
	defer s.forget()
	reply, err := b.eval(ctx, once, createScript, s.name, s.token, args...)
	if err != nil && !s.begun(ctx, err) {
		return nil, err
	}
	switch {
	case err != nil, reply == answerDone:
		return s, nil
	case reply == answerForeign:
		return nil, &clientError{text: "redis: " + ErrNotASession.Error(), cause: ErrNotASession}
	default:
		return nil, store.ErrExists
	}
}

// Attach returns another handle to the session's current life; see
// [store.Backend].
func (b *Backend) Attach(ctx context.Context, id string, t store.Terms) (store.Store, error) {
	if err := b.check(ctx, id); err != nil {
		return nil, err
	}
	s := b.handle(id, "", t)
	s.keys.bits.Store(allKeys)
	s.forget() // what the cache has of an earlier life
	token, err := b.tokenOf(ctx, s)
	if err != nil {
		return nil, err
	}
	s.token = token
	return s, nil
}

// tokenOf asks the server for the token of the present life of s.
func (b *Backend) tokenOf(ctx context.Context, s *handle) (token any, err error) {
	values, err := b.hmget(ctx, s.name, tokenField)
	switch {
	case err != nil:
		return nil, err
	case values[0] == nil:
		return nil, store.ErrNoSession
	case !isToken(values[0]):
		return nil, b.explain(errReply)
	}
	return values[0], nil
}

// Resume begins a new life of a living session; see [store.Backend].
//
// It is two round trips: the second replaces the token that the first has seen. So a Resume that
// arrives late, perhaps after its caller has tried again, ends no life but the one that it was
// meant to end.
func (b *Backend) Resume(ctx context.Context, id string, t store.Terms) (_ store.Store, err error) {
	if err := b.check(ctx, id); err != nil {
		return nil, err
	}
	lease, err := leaseOf(t)
	if err != nil {
		return nil, err
	}
	s := b.handle(id, newToken(), t)
	s.keys.bits.Store(allKeys)
	defer s.forget()
	seen, err := b.tokenOf(ctx, s)
	if err != nil {
		return nil, err
	}
	defer func() { s.tell(err) }()
	for {
		// With one token for all attempts, what an earlier one has done is done.
		cmd, err := b.evalCommand(ctx, again, resumeScript, 0, s.name, s.token, lease, seen, s.fence())
		if err != nil {
			if s.begun(ctx, err) {
				return s, nil
			}
			return nil, err
		}
		answer := cmd.answer()
		if cmd.repeated && answer != answerDone {
			// The attempt before may have begun this life, and others may have ended it
			// since. To take the session over once more would end theirs as well.
			return nil, &unknownError{cause: errSince}
		}
		switch answer := answer.(type) {
		case []any: // somebody else has resumed it in between
			if answer[0] != s.token || answer[1] == seen {
				return nil, &unknownError{cause: errReply}
			}
			seen = answer[1]
		default:
			if answer != answerDone {
				return nil, store.ErrNoSession
			}
			return s, nil
		}
	}
}

// Suspend makes the session live for exactly grace from now; see
// [store.Backend].
func (b *Backend) Suspend(ctx context.Context, session store.Store, grace time.Duration) error {
	s := b.ours(session)
	if s == nil {
		return errForeign
	}
	if err := s.check(ctx); err != nil {
		return err
	}
	defer s.forget()
	cmd, err := b.evalCommand(ctx, again, suspendScript, 0, s.name, s.token, expiryOf(grace))
	s.tell(err)
	if err != nil {
		return err
	}
	err = s.endBy(cmd.answer())
	if err != nil && cmd.repeated {
		// The attempt before may have suspended the session, and others may have resumed
		// or destroyed it since.
		return &unknownError{cause: errSince}
	}
	return err
}

// Close ends the use of the client, which stays open. Sessions stay on the
// server until their leases run out. Closing twice is harmless.
//
// With batching it waits for the operations in progress, a few seconds at most. Where a server
// hangs, they end with the timeouts of the client. Other operations in progress (without batching,
// with WaitReplicas) go on and end with their contexts or with the client.
func (b *Backend) Close() error {
	if !b.made() {
		return nil
	}
	b.closed.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	told := make(chan struct{})
	go func() {
		defer close(told)
		b.notices.hub.Close(ctx)
	}()
	if b.cache != nil {
		b.cache.tracking.close(ctx)
	}
	if b.merger != nil {
		b.merger.stop()
	}
	if b.native != nil {
		b.native.stop()
	}
	if b.batcher != nil {
		_ = b.batcher.Close(ctx) // its error would say no more than that a server hangs
	}
	<-told
	return nil
}

const closeTimeout = 5 * time.Second

func (b *Backend) check(ctx context.Context, id string) error {
	if err := b.open(ctx); err != nil {
		return err
	}
	return store.CheckID(id)
}

// open refuses an operation on a closed backend, with an ended context, or on a
// server that is a replica.
func (b *Backend) open(ctx context.Context) error {
	if !b.made() {
		return errNotMade
	}
	if b.closed.Load() {
		return store.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return b.gate.pass(ctx)
}

// ours returns session if this Backend handed it out, and nil otherwise.
func (b *Backend) ours(session store.Store) *handle {
	if s, ok := session.(*handle); ok && s.b == b {
		return s
	}
	return nil
}

// handle returns a handle to the life of the session that token names.
func (b *Backend) handle(id string, token string, t store.Terms) *handle {
	return &handle{b: b, name: b.namespace.Session(id), token: token, maxKeys: max(t.MaxKeys, 0)}
}

// newToken names a new life: 128 random bits that nobody can guess or repeat.
func newToken() string { return random() }

func random() string {
	var bits [16]byte
	rand.Read(bits[:])
	return base64.RawURLEncoding.EncodeToString(bits[:])
}

func leaseOf(t store.Terms) (int64, error) {
	if t.Lease <= 0 {
		return 0, errLease
	}
	return expiryOf(t.Lease), nil
}

// longestExpiry is eight years. Dragonfly cuts off what is more than 2^28-1 seconds,
// without a word, and Redis refuses what is more than 2^63 milliseconds after 1970.
const longestExpiry = 8 * 365 * 24 * time.Hour

// expiryOf returns a lease or a grace in milliseconds, as it is sent.
func expiryOf(d time.Duration) int64 { return millis(min(max(d, 0), longestExpiry)) }

// millis rounds up to the server's granularity.
func millis(d time.Duration) int64 {
	ms := d.Milliseconds()
	if d%time.Millisecond > 0 {
		ms++
	}
	return ms
}
