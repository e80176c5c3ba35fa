package redisstore

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/sessionkv/store"
)

// renewChunk is the number of sessions renewed in one pipeline: enough that the
// round trip does not count. Others do not wait for all of it: a server serves
// its clients in turn, some 16 KiB of commands at a time.
const renewChunk = 1024

// renewGroup is the number of sessions renewed by one script: many enough that
// the call of a script does not count, few enough that it is over in a moment.
const renewGroup = 64

// Renew makes each of the sessions live for at least lease from now; see
// [store.Backend]. It is one round trip for every 1024 sessions.
func (b *Backend) Renew(ctx context.Context, sessions []store.Store, lease time.Duration) []error {
	r := &renewal{b: b, ctx: ctx, errs: make([]error, len(sessions)), lease: millis(max(lease, 0))}
	refused := b.open(ctx)
	for i, session := range sessions {
		s, ok := session.(*Store)
		switch {
		case !ok || s.b != b:
			r.errs[i] = errForeign
		case refused != nil:
			r.errs[i] = refused
		case s.ended.Load():
			r.errs[i] = store.ErrDestroyed
		default:
			r.todo = append(r.todo, target{at: i, s: s})
		}
	}
	for chunk := range slices.Chunk(r.todo, renewChunk) {
		r.renew(chunk)
	}
	if !slices.ContainsFunc(r.errs, func(err error) bool { return err != nil }) {
		return nil
	}
	return r.errs
}

// A renewal is one call of Renew.
type renewal struct {
	b     *Backend
	ctx   context.Context
	lease int64 // milliseconds; zero only looks which sessions live
	todo  []target
	errs  []error
}

// A target is a session and its place among the errors.
type target struct {
	at      int
	s       *Store
	doubted bool // a merged script has called its life ended
}

// renew renews the sessions of one chunk. To repeat a renewal is harmless, so
// go-redis repeats the pipeline after a network error.
func (r *renewal) renew(chunk []target) {
	if m := r.b.merger; m != nil && r.lease > 0 && len(chunk) > 1 && m.Ready() {
		if chunk = r.merged(m, chunk); len(chunk) == 0 {
			return
		}
	}
	errs := r.pipeline(chunk, r.command)
	var forgotten []target // by a server that knows the script no more
	for i, err := range errs {
		if err != nil && redis.HasErrorPrefix(err, "NOSCRIPT") {
			forgotten = append(forgotten, chunk[i])
			continue
		}
		r.settle(chunk[i], err)
	}
	if len(forgotten) > 0 {
		for i, err := range r.pipeline(forgotten, r.teach) {
			r.settle(forgotten[i], err)
		}
	}
}

// merged renews many sessions with few scripts, and returns those that have to be
// asked about by themselves: that a life has ended is not believed before the
// session says so on the server of its own key, see merger.
func (r *renewal) merged(m *merger, chunk []target) (rest []target) {
	groups := slices.Collect(slices.Chunk(chunk, renewGroup))
	cmds := make([]*redis.IntSliceCmd, len(groups))
	pipe := r.b.client.Pipeline()
	for i, group := range groups {
		args := make([]any, 3, 4+2*len(group))
		args[0], args[1], args[2] = "evalsha", mergedRenewScript.sha, len(group)
		if !m.knowsRenew.Load() {
			args[0], args[1] = "eval", mergedRenewScript.source
		}
		for _, t := range group {
			args = append(args, t.s.name)
		}
		args = append(args, r.lease)
		for _, t := range group {
			args = append(args, t.s.token)
		}
		cmds[i] = redis.NewIntSliceCmd(r.ctx, args...)
		cmds[i].SetFirstKeyPos(3)
		_ = pipe.Process(r.ctx, cmds[i])
	}
	if err := await(r.ctx, func() error { _, _ = pipe.Exec(r.ctx); return nil }); err != nil {
		return chunk // the context has ended, and cmds belong to what still runs
	}
	for i, cmd := range cmds {
		places, err := cmd.Result()
		if err != nil {
			m.knowsRenew.Store(false)
			m.refused(err, &m.knowsRenew)
			rest = append(rest, groups[i]...)
			continue
		}
		m.knowsRenew.Store(true)
		for _, place := range places {
			t := groups[i][place-1]
			t.doubted = true
			rest = append(rest, t)
		}
	}
	return rest
}

// settle records the outcome for one session.
func (r *renewal) settle(t target, err error) {
	switch {
	case err == nil:
		if t.doubted {
			r.b.merger.skip.Store(skips)
		}
	case errors.Is(err, store.ErrDestroyed):
		r.errs[t.at] = t.s.end()
	case r.ctx.Err() != nil:
		r.errs[t.at] = r.ctx.Err()
	default:
		r.errs[t.at] = r.b.explain(err)
	}
}

// command returns what renews, or only looks at, the session s.
func (r *renewal) command(s *Store) *redis.Cmd {
	if r.lease == 0 {
		return redis.NewCmd(r.ctx, "hmget", s.name, tokenField)
	}
	return redis.NewCmd(r.ctx, "evalsha", renewScript.sha, 1, s.name, s.token, r.lease)
}

// teach returns command with the script itself.
func (r *renewal) teach(s *Store) *redis.Cmd {
	return redis.NewCmd(r.ctx, "eval", renewScript.source, 1, s.name, s.token, r.lease)
}

// pipeline executes a command for each session of chunk in one round trip, and
// returns the outcomes: nil, ErrDestroyed, or the client's error.
func (r *renewal) pipeline(chunk []target, command func(*Store) *redis.Cmd) []error {
	cmds := make([]*redis.Cmd, len(chunk))
	pipe := r.b.client.Pipeline()
	for i, t := range chunk {
		cmds[i] = command(t.s)
		_ = pipe.Process(r.ctx, cmds[i])
	}
	errs := make([]error, len(chunk))
	if err := await(r.ctx, func() error { _, _ = pipe.Exec(r.ctx); return nil }); err != nil {
		// The context has ended, and cmds belong to what still runs.
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	for i, cmd := range cmds {
		switch reply, err := cmd.Result(); {
		case err != nil:
			errs[i] = err
		case !chunk[i].s.livesBy(reply):
			errs[i] = store.ErrDestroyed
		}
	}
	return errs
}

// livesBy reports whether the reply to a renewal, or to a look, says that this
// life goes on.
func (s *Store) livesBy(reply any) bool {
	if values, ok := reply.([]any); ok {
		return len(values) == 1 && values[0] == s.token
	}
	return reply == int64(answerDone)
}
