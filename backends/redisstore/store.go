package redisstore

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/sessionkv/store"
)

var (
	_ store.Store      = (*handle)(nil)
	_ store.ManyGetter = (*handle)(nil)
	_ store.Committer  = (*handle)(nil)
	_ store.KeyLister  = (*handle)(nil)

	_ store.ConditionalDestroyer = (*handle)(nil)
)

// A handle is a [store.Store]: it holds the values of one life of one session in one hash on the
// server. A [Backend] hands it out. Every method is safe for concurrent use and
// is one round trip.
type handle struct {
	b       *Backend
	name    any          // string, boxed once: the hash
	token   any          // string, boxed once: the life
	maxKeys any          // int, boxed once; zero: no limit
	ended   atomic.Int32 // how this life is known to have ended; it never comes back
	keys    keySet       // that probably have a value

	slot     atomic.Pointer[slot] // of the cache; nil where it has not been looked for
	watchers atomic.Int32         // of this handle; see Watch
}

// How a life ended, as a server has answered.
const (
	lives     = iota
	gone      // no life goes on
	resumed   // another one does
	destroyed // Destroy on this handle has ended it
)

// endedAs are the errors of a handle by how its life ended.
var endedAs = [...]error{gone: store.ErrDestroyed, resumed: store.ErrResumed, destroyed: store.ErrDestroyed}

// Get returns the value under key; see [store.Store].
func (s *handle) Get(ctx context.Context, key string) ([]byte, error) {
	if err := s.checkKey(ctx, key); err != nil {
		return nil, err
	}
	if s.b.cache != nil {
		if value, ok := s.b.cache.hit(s, key); ok {
			return found(value)
		}
	}
	values, err := s.cachedFields(ctx, tokenField, key)
	if err != nil {
		return nil, err
	}
	return found(values[1])
}

// GetCurrent is Get that asks the server, also where the cache of Options.Cache has an
// answer. Typed writes that depend on a value begin with it.
func (s *handle) GetCurrent(ctx context.Context, key string) ([]byte, error) {
	if err := s.checkKey(ctx, key); err != nil {
		return nil, err
	}
	values, err := s.fields(ctx, tokenField, key)
	if err != nil {
		return nil, err
	}
	return found(values[1])
}

// found returns the value in a reply, or ErrNotFound for an absent one.
func found(reply any) ([]byte, error) {
	value := bytesOf(reply)
	if value == nil {
		return nil, store.ErrNotFound
	}
	return value, nil
}

// GetMany returns the values of keys as they were at one instant; see
// [store.ManyGetter].
func (s *handle) GetMany(ctx context.Context, keys []string) ([][]byte, error) {
	if err := s.b.open(ctx); err != nil {
		return nil, err
	}
	fields := make([]any, 1, 1+len(keys))
	fields[0] = tokenField
	for _, key := range keys {
		if err := store.CheckKey(key); err != nil {
			return nil, err
		}
		fields = append(fields, key)
	}
	if err := s.over(); err != nil {
		return nil, err
	}
	replies, err := s.cachedFields(ctx, fields...)
	if err != nil {
		return nil, err
	}
	values := make([][]byte, len(keys))
	for i := range values {
		values[i] = bytesOf(replies[1+i])
	}
	return values, nil
}

// Has reports whether key has a value; see [store.Store]. The value stays on
// the server.
func (s *handle) Has(ctx context.Context, key string) (bool, error) {
	if err := s.checkKey(ctx, key); err != nil {
		return false, err
	}
	answer, err := s.eval(ctx, read, hasScript, key)
	return answer == answerPresent, err
}

// Keys returns the keys that have a value; see [store.KeyLister].
func (s *handle) Keys(ctx context.Context) ([]string, error) {
	if err := s.check(ctx); err != nil {
		return nil, err
	}
	answer, err := s.eval(ctx, read, keysScript)
	if err != nil {
		return nil, err
	}
	fields := answer.([]any)
	keys := make([]string, 0, len(fields))
	for _, field := range fields {
		if name := field.(string); !strings.HasPrefix(name, "\x00") {
			keys = append(keys, name)
		}
	}
	slices.Sort(keys)
	return keys, nil
}

// Set stores value under key; see [store.Store].
func (s *handle) Set(ctx context.Context, key string, value []byte) error {
	if err := s.checkKey(ctx, key); err != nil {
		return err
	}
	defer s.forget()
	value = lend(ctx, value)
	fence := ""
	if s.b.native.ready() && s.keys.has(key) {
		if written, err := s.setNative(ctx, key, value); written || err != nil {
			return err
		}
		// The script finds out why: this life has ended, the key is new, the session has no fence,
		// or the server does not take native writes any more.
		fence = s.fence()
	}
	var answer any
	var err error
	if fence != "" {
		answer, err = s.eval(ctx, once, fencingSetScript, key, value, s.maxKeys, fence)
	} else {
		answer, err = s.eval(ctx, once, setScript, key, value, s.maxKeys)
	}
	switch {
	case err != nil:
		return err
	case answer == answerTooMany:
		s.keys.remove(key)
		return store.ErrTooManyKeys
	}
	s.keys.add(key)
	return nil
}

// Delete removes key; see [store.Store].
func (s *handle) Delete(ctx context.Context, key string) error {
	if err := s.checkKey(ctx, key); err != nil {
		return err
	}
	defer s.forget()
	s.keys.remove(key)
	script := deleteScript
	if s.b.waits {
		script = confirmedDeleteScript
	}
	_, err := s.eval(ctx, once, script, key)
	return err
}

// Destroy ends this life of the session; see [store.Store].
func (s *handle) Destroy(ctx context.Context) error {
	if err := s.b.open(ctx); err != nil {
		return err
	}
	script := destroyScript
	if s.b.waits {
		// That the life has ended, perhaps by an earlier attempt, says nothing of the replicas.
		script = confirmedDestroyScript
	}
	if how := s.ended.Load(); how == destroyed || how != lives && !s.b.waits {
		return nil
	}
	_, err := s.b.eval(ctx, again, script, s.name, s.token)
	s.forget() // before another Destroy returns because ended is set
	s.tell(err)
	if err == nil {
		s.ended.Store(destroyed)
	}
	return err
}

// DestroyIf ends this life of the session if it has exactly the given values; see
// [store.ConditionalDestroyer]. Where the reply was lost, it fails with
// [store.ErrUnknownOutcome]: what has ended leaves no trace.
func (s *handle) DestroyIf(ctx context.Context, values []store.Entry) error {
	if err := s.b.open(ctx); err != nil {
		return err
	}
	args := make([]any, 1, 1+2*len(values))
	present := 0
	for _, e := range values {
		if err := store.CheckKey(e.Key); err != nil {
			return err
		}
		if e.Value != nil { // an absent one shows in the number of keys
			args = append(args, e.Key, lend(ctx, e.Value))
			present++
		}
	}
	args[0] = present
	if err := s.over(); err != nil {
		return err
	}
	answer, err := s.eval(ctx, once, destroyIfScript, args...)
	s.forget() // before Destroy returns because ended is set
	if answer == answerOtherValues {
		return store.ErrConflict
	}
	s.tell(err)
	if err != nil {
		return err
	}
	s.ended.Store(destroyed)
	return nil
}

// Commit writes conditionally; see [store.Committer].
//
// Where the reply was lost, Commit looks whether the server has executed it and tells so. It fails
// with [store.ErrUnknownOutcome] when another Commit or the end of the session has covered its
// trace, or the server stays silent.
func (s *handle) Commit(ctx context.Context, expect, write []store.Entry) ([][]byte, error) {
	current, _, err := s.commit(ctx, commitScript, expect, write)
	return current, err
}

// CommitTimed is Commit, in the same round trip; see [store.TimedCommitter].
func (s *handle) CommitTimed(ctx context.Context, expect, write []store.Entry) ([][]byte, time.Duration, error) {
	return s.commit(ctx, commitTimedScript, expect, write)
}

func (s *handle) commit(ctx context.Context, script *script, expect, write []store.Entry) ([][]byte, time.Duration, error) {
	if err := s.b.open(ctx); err != nil {
		return nil, 0, err
	}
	args := make([]any, 4, 4+3*len(expect)+2*len(write))
	for _, e := range expect {
		if err := store.CheckKey(e.Key); err != nil {
			return nil, 0, err
		}
		present := 0
		if e.Value != nil {
			present = 1
		}
		args = append(args, e.Key, present, lend(ctx, e.Value))
	}
	sets := 0
	for _, e := range write {
		if err := store.CheckKey(e.Key); err != nil {
			return nil, 0, err
		}
		if e.Value != nil {
			args = append(args, e.Key, lend(ctx, e.Value))
			sets++
		}
	}
	for _, e := range write {
		if e.Value == nil {
			args = append(args, e.Key)
		}
	}
	if err := s.over(); err != nil {
		return nil, 0, err
	}
	k, nonce := once, ""
	if len(write) == 0 {
		k = read
	} else {
		nonce = random()
		defer s.forget()
	}
	args[0], args[1], args[2], args[3] = s.maxKeys, nonce, len(expect), sets
	answer, err := s.b.evalList(ctx, k, script, len(expect), s.name, s.token, args...)
	if err != nil && !s.committed(ctx, err, nonce) {
		return nil, 0, err
	}
	list, _ := answer.([]any)
	if err != nil || answer == answerDone || milliseconds(list, 0) {
		for _, e := range write {
			if e.Value != nil {
				s.keys.add(e.Key)
			} else {
				s.keys.remove(e.Key)
			}
		}
		if list == nil {
			return nil, 0, nil
		}
		left, _ := timeOf(list) // the write took effect all the same
		return nil, left, nil
	}
	switch {
	case list != nil:
		if list[0] != s.token {
			return nil, 0, &unknownError{cause: errReply}
		}
		current := make([][]byte, len(expect))
		for i := range current {
			current[i] = bytesOf(list[1+i])
		}
		return current, 0, store.ErrConflict
	case answer == answerTooMany:
		return nil, 0, store.ErrTooManyKeys
	}
	return nil, 0, s.endBy(answer)
}

// committed reports whether the server has executed the commit with this nonce
// although its reply was lost, as err says.
func (s *handle) committed(ctx context.Context, err error, nonce string) bool {
	values, ok := s.trace(ctx, err)
	return ok && values[0] == s.token && values[1] == any(nonce)
}

// begun reports whether the server has begun this life although the reply was
// lost, as err says.
func (s *handle) begun(ctx context.Context, err error) bool {
	values, ok := s.trace(ctx, err)
	return ok && values[0] == s.token
}

// trace reads what a write whose reply was lost leaves behind. What is not
// there proves nothing: the server may still execute the write. Where replicas
// have to confirm writes, they confirm what was read.
func (s *handle) trace(ctx context.Context, err error) ([]any, bool) {
	if _, ok := errors.AsType[*unknownError](err); !ok {
		return nil, false
	}
	if !s.b.waits {
		values, err := s.b.hmget(ctx, s.name, tokenField, commitField)
		return values, err == nil
	}
	answer, err := s.b.evalList(ctx, again, confirmedTraceScript, 2, s.name, s.token)
	values, ok := answer.([]any)
	return values, err == nil && ok
}

// cachedFields is fields that may be answered by the cache. That this life has ended is
// taken from the server only: the cache may be older than the handle.
func (s *handle) cachedFields(ctx context.Context, fields ...any) ([]any, error) {
	if s.b.cache == nil {
		return s.fields(ctx, fields...)
	}
	values, err := s.b.cache.fields(ctx, s, fields)
	if err == nil && values[0] != s.token {
		s.forget()
		return s.fields(ctx, fields...)
	}
	return values, err
}

// fields reads fields of the hash, the first of which is the token's.
func (s *handle) fields(ctx context.Context, fields ...any) ([]any, error) {
	values, err := s.b.hmget(ctx, s.name, fields...)
	if err != nil {
		return nil, err
	}
	if values[0] != s.token {
		return nil, s.endSeen(values[0])
	}
	return values, nil
}

// eval runs a guarded script with the token and args. It fails with
// ErrDestroyed when the script says that this life has ended.
func (s *handle) eval(ctx context.Context, k kind, script *script, args ...any) (any, error) {
	answer, err := s.b.eval(ctx, k, script, s.name, s.token, args...)
	if err == nil {
		err = s.endBy(answer)
	}
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// endBy returns the error of a life that a script calls ended, and remembers it. It
// is nil for any other answer.
func (s *handle) endBy(answer any) error {
	switch answer {
	case answerGone:
		return s.end(gone)
	case answerOther:
		return s.end(resumed)
	default:
		return nil
	}
}

// endSeen is endBy for a token that was read and is not this life's.
func (s *handle) endSeen(token any) error {
	switch {
	case token == nil:
		return s.end(gone)
	case isToken(token):
		return s.end(resumed)
	default:
		return s.b.explain(errReply)
	}
}

// end remembers how this life has ended. No other handle of this process reads it from the
// cache then: Destroy has nothing to do any more, and must not return before.
func (s *handle) end(how int32) error {
	s.forget()
	s.ended.CompareAndSwap(lives, how)
	return endedAs[how]
}

// over returns the error of a life that is known to have ended.
func (s *handle) over() error { return endedAs[s.ended.Load()] }

// forget drops what the cache has of this session, after a write or the end of a life.
func (s *handle) forget() {
	if s.b.cache != nil {
		s.b.cache.forget(s)
	}
}

func (s *handle) check(ctx context.Context) error {
	if err := s.b.open(ctx); err != nil {
		return err
	}
	return s.over()
}

func (s *handle) checkKey(ctx context.Context, key string) error {
	if err := s.b.open(ctx); err != nil {
		return err
	}
	if err := store.CheckKey(key); err != nil {
		return err
	}
	return s.over()
}

// bytesOf returns a value of a reply, without a copy: nobody else has the
// string, and nobody may change what Get returns. It is nil for an absent one.
func bytesOf(reply any) []byte {
	s, ok := reply.(string)
	switch {
	case !ok:
		return nil
	case s == "":
		return []byte{}
	default:
		return unsafe.Slice(unsafe.StringData(s), len(s))
	}
}

// lend returns value as it may be given to a command. When ctx can end before the command has been
// written, the caller may change its slice meanwhile. So the command gets a copy.
func lend(ctx context.Context, value []byte) []byte {
	if ctx.Done() == nil {
		return value
	}
	return bytes.Clone(value)
}
