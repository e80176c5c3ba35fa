package redisstore

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore/internal/batch"
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
		case s.over() != nil:
			r.errs[i] = s.over()
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
	teach   bool // its server has forgotten the script
}

// renew renews the sessions of one chunk. To repeat a renewal is harmless.
func (r *renewal) renew(chunk []target) {
	if m := r.b.merger; m != nil && r.lease > 0 && len(chunk) > 1 && m.Ready() {
		if chunk = r.merged(m, chunk); len(chunk) == 0 {
			return
		}
	}
	var alone []target
	for attempt := 1; len(chunk) > 0; attempt++ {
		var later []target
		for i, err := range r.pipeline(chunk) {
			t := chunk[i]
			switch reply, _ := replyError(err); {
			case err == nil:
				if t.doubted {
					r.b.merger.skip.Store(skips)
				}
			case errors.Is(err, store.ErrDestroyed):
				r.errs[t.at] = err
			case reply != nil && (redis.HasErrorPrefix(reply, "NOSCRIPT") || batch.Redirected(reply)):
				t.teach = !batch.Redirected(reply)
				alone = append(alone, t)
			default:
				r.errs[t.at] = r.b.explain(err)
				if reply == nil && !errors.Is(err, redis.ErrClosed) || reply != nil && r.b.passing(reply) {
					later = append(later, t)
				}
			}
		}
		if chunk = later; len(chunk) == 0 || attempt == attempts {
			break
		}
		r.b.lookAround()
		if err := pause(r.ctx, attempt); err != nil {
			break
		}
		for _, t := range chunk {
			r.errs[t.at] = nil
		}
	}
	r.each(alone)
}

// merged renews many sessions with few scripts, and returns those that have to be
// asked about by themselves: that a life has ended is not believed before the
// session says so on the server of its own key, see merger.
func (r *renewal) merged(m *merger, chunk []target) (rest []target) {
	groups := slices.Collect(slices.Chunk(chunk, renewGroup))
	cmds := make([]redis.Cmder, len(groups))
	for i, group := range groups {
		args := m.call(mergedRenewScript, &m.knowsRenew, len(group), 1+2*len(group))
		for _, t := range group {
			args = append(args, t.s.name)
		}
		args = append(args, r.lease)
		for _, t := range group {
			args = append(args, t.s.token)
		}
		cmds[i] = newMerged(args)
	}
	err := await(r.ctx, func() error { batch.Run(r.ctx, m.client, cmds...); return nil })
	if err != nil {
		return chunk // the context has ended, and cmds belong to what still runs
	}
	for i, cmd := range cmds {
		var places []int64
		if err := cmd.Err(); err != nil {
			m.knowsRenew.Store(false)
			m.refused(err, &m.knowsRenew)
			rest = append(rest, groups[i]...)
			continue
		}
		if places, err = exceptionsOf(cmd, len(groups[i]), 1); err != nil {
			m.skip.Store(skips)
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

// pipeline executes a command for each session of chunk, in one round trip for each
// node, and returns the outcomes: nil, one that satisfies ErrDestroyed, or the
// client's error.
func (r *renewal) pipeline(chunk []target) []error {
	outcomes := make(chan []error, 1)
	// When the context ends, what still runs keeps its commands.
	err := await(r.ctx, func() error { outcomes <- r.execute(chunk); return nil })
	if err == nil {
		return <-outcomes
	}
	return slices.Repeat([]error{err}, len(chunk))
}

func (r *renewal) execute(chunk []target) []error {
	errs := make([]error, len(chunk))
	cmds := make([]*command, len(chunk))
	nodes := make(map[*redis.Client][]redis.Cmder, 1)
	for i, t := range chunk {
		node, err := nodeOf(r.ctx, r.b.client, r.b.nodes, t.s.name)
		if err != nil {
			// Nobody knows the nodes, so that asking for each session would take long.
			for j := range chunk[i:] {
				errs[i+j] = err
			}
			break
		}
		cmds[i] = r.request(t.s).command(r.ctx)
		nodes[node] = append(nodes[node], cmds[i])
	}
	var wg sync.WaitGroup
	for node, cmds := range nodes {
		wg.Go(func() { batch.Run(r.ctx, node, cmds...) })
	}
	wg.Wait()
	for i, cmd := range cmds {
		if cmd != nil {
			errs[i] = chunk[i].s.outcomeOf(cmd)
		}
	}
	return errs
}

// request is what renews, or only looks at, the session s.
func (r *renewal) request(s *Store) *request {
	if r.lease == 0 {
		return &request{name: s.name, args: []any{tokenField}}
	}
	return &request{script: renewScript, name: s.name, args: []any{s.token, r.lease}}
}

// outcomeOf returns what the reply of a renewal, or of a look, says of this life.
func (s *Store) outcomeOf(c *command) error {
	err := c.Err()
	if err == nil {
		err = c.check()
	}
	if err != nil {
		return err
	}
	if c.script != nil {
		return s.endBy(c.Cmder.(*redis.Cmd).Val())
	}
	if token := c.Cmder.(*redis.SliceCmd).Val()[0]; token != s.token {
		return s.endSeen(token)
	}
	return nil
}

// renewers is how many sessions are asked about by themselves at a time.
const renewers = 16

// each asks about sessions one by one: those that another node serves, or whose server
// has forgotten the script.
func (r *renewal) each(chunk []target) {
	var (
		wg   sync.WaitGroup
		next atomic.Int64
	)
	for range min(renewers, len(chunk)) {
		wg.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(chunk); i = next.Add(1) - 1 {
				t := chunk[i]
				r.errs[t.at] = r.alone(t)
				if t.doubted && r.errs[t.at] == nil {
					r.b.merger.skip.Store(skips)
				}
			}
		})
	}
	wg.Wait()
}

// alone is pipeline for one session.
func (r *renewal) alone(t target) error {
	request := r.request(t.s)
	request.teach = t.teach
	cmd, err := r.b.run(r.ctx, read, request)
	if err == nil {
		err = t.s.outcomeOf(cmd)
	}
	if err != nil && !errors.Is(err, store.ErrDestroyed) {
		err = r.b.explain(err)
	}
	return err
}
