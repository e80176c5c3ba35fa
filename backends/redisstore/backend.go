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
	merger    *merger            // nil where scripts have one key each
	cache     *Cache             // nil without client-side caching
	waits     bool               // writes wait for replicas
	gate      *gate              // nil for a cluster
	logger    *slog.Logger
	closed    atomic.Bool
}

// Namespace returns the namespace that the backend was made with.
func (b *Backend) Namespace() string { return string(b.namespace) }

// Create begins a new life of the session id; see [store.Backend].
func (b *Backend) Create(ctx context.Context, id string, initial []store.Entry, t store.Terms) (store.Store, error) {
	if err := b.check(ctx, id); err != nil {
		return nil, err
	}
	lease, err := leaseOf(t)
	if err != nil {
		return nil, err
	}
	args := make([]any, 1, 1+2*len(initial))
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
	defer s.forget()
	reply, err := b.eval(ctx, once, createScript, s.name, s.token, args...)
	if err != nil && !s.begun(ctx, err) {
		return nil, err
	}
	if err == nil && reply != int64(answerDone) {
		return nil, store.ErrExists
	}
	return s, nil
}

// Attach returns another handle to the session's current life; see
// [store.Backend].
func (b *Backend) Attach(ctx context.Context, id string, t store.Terms) (store.Store, error) {
	if err := b.check(ctx, id); err != nil {
		return nil, err
	}
	s := b.handle(id, "", t)
	s.forget() // what the cache has of an earlier life
	token, err := b.tokenOf(ctx, s)
	if err != nil {
		return nil, err
	}
	s.token = token
	return s, nil
}

// tokenOf asks the server for the token of the present life of s.
func (b *Backend) tokenOf(ctx context.Context, s *Store) (token any, err error) {
	values, err := b.hmget(ctx, read, s.name, tokenField)
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
// It is two round trips: the second replaces the token that the first has seen. So a
// Resume that is held up on the way and arrives late, perhaps after its caller has
// tried again, ends no life but the one that it was meant to end.
func (b *Backend) Resume(ctx context.Context, id string, t store.Terms) (store.Store, error) {
	if err := b.check(ctx, id); err != nil {
		return nil, err
	}
	lease, err := leaseOf(t)
	if err != nil {
		return nil, err
	}
	s := b.handle(id, newToken(), t)
	defer s.forget()
	seen, err := b.tokenOf(ctx, s)
	if err != nil {
		return nil, err
	}
	for {
		// With one token for all attempts, what an earlier one has done is done.
		answer, err := b.eval(ctx, again, resumeScript, s.name, s.token, lease, seen)
		if err != nil {
			if s.begun(ctx, err) {
				return s, nil
			}
			return nil, err
		}
		switch answer := answer.(type) {
		case []any: // somebody else has resumed it in between
			if answer[0] != s.token || answer[1] == seen {
				return nil, &unknownError{cause: errReply}
			}
			seen = answer[1]
		default:
			if answer != int64(answerDone) {
				return nil, store.ErrNoSession
			}
			return s, nil
		}
	}
}

// Suspend makes the session live for exactly grace from now; see
// [store.Backend].
func (b *Backend) Suspend(ctx context.Context, session store.Store, grace time.Duration) error {
	s, ok := session.(*Store)
	if !ok || s.b != b {
		return errForeign
	}
	if err := s.check(ctx); err != nil {
		return err
	}
	defer s.forget()
	_, err := s.eval(ctx, again, suspendScript, millis(max(grace, 0)))
	return err
}

// Close ends the use of the client, which stays open. Sessions stay on the
// server until their leases run out. Closing twice is harmless.
//
// It waits for operations that are under way, a few seconds at most: where a
// server hangs, they end with the timeouts of the client.
func (b *Backend) Close() error {
	b.closed.Store(true)
	if b.merger != nil {
		b.merger.stop()
	}
	if b.batcher != nil {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		_ = b.batcher.Close(ctx) // its error would say no more than that a server hangs
	}
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
	if b.closed.Load() {
		return store.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return b.gate.pass(ctx)
}

func (b *Backend) handle(id string, token string, t store.Terms) *Store {
	return &Store{b: b, name: b.namespace.Session(id), token: token, maxKeys: max(t.MaxKeys, 0)}
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
	return millis(t.Lease), nil
}

// millis rounds up to the server's granularity.
func millis(d time.Duration) int64 {
	ms := d.Milliseconds()
	if d%time.Millisecond > 0 {
		ms++
	}
	return ms
}
