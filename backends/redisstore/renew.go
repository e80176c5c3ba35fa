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

// renewGroup is the number of sessions renewed by one script. It is large enough that the call of a
// script does not count, and small enough that it is over in a moment.
const renewGroup = 64

// Renew makes each of the sessions live for at least lease from now; see
// [store.Backend]. It is one round trip for every 1024 sessions.
func (b *Backend) Renew(ctx context.Context, sessions []store.Store, lease time.Duration) []error {
	return b.renewAll(sessions, &renewal{b: b, ctx: ctx, lease: expiryOf(lease), script: renewScript})
}

// renewAll does with each session what r says.
func (b *Backend) renewAll(sessions []store.Store, r *renewal) []error {
	r.errs, r.todo = make([]error, len(sessions)), make([]target, 0, len(sessions))
	refused := b.open(r.ctx)
	for i, session := range sessions {
		s := b.ours(session)
		switch {
		case s == nil:
			r.errs[i] = errForeign
		case refused != nil:
			r.errs[i] = refused
		case s.over() != nil:
			r.errs[i] = s.over()
		default:
			r.todo = append(r.todo, target{at: i, name: s.name, s: s})
		}
	}
	r.all()
	return r.outcomes()
}

// all does what there is to do, in few round trips.
func (r *renewal) all() {
	r.inOrder()
	for chunk := range slices.Chunk(r.todo, renewChunk) {
		r.renew(chunk)
	}
	if r.lease > 0 {
		for _, t := range r.todo {
			if t.s != nil && r.errs[t.at] == nil {
				t.s.lasts(time.Duration(r.lease) * time.Millisecond)
			}
		}
	}
}

// outcomes returns the errors, nil when there are none.
func (r *renewal) outcomes() []error {
	if !slices.ContainsFunc(r.errs, func(err error) bool { return err != nil }) {
		return nil
	}
	return r.errs
}

// A renewal is one call of Renew or RenewIf, or of what does the same to entries of indexes.
type renewal struct {
	b      *Backend
	ctx    context.Context
	script *script
	lease  int64           // milliseconds; zero only looks which sessions live
	expect [][]store.Entry // of RenewIf, by the places of the sessions
	todo   []target
	errs   []error

	refused error // why nothing can be done
}

// A target is a session or an entry, and its place among the errors.
type target struct {
	at      int
	name    any
	s       *handle // nil for an entry
	member  string  // of an entry
	slot    uint16  // of a cluster
	doubted bool    // a merged script has called its life ended
	teach   bool    // its server has forgotten the script
}

// secrets are what no error about t may show.
func (t target) secrets() []string {
	if t.s == nil {
		return secretsOf(t.name, []any{t.member})
	}
	return secretsOf(t.s.name, []any{t.s.token})
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
			case errors.Is(err, store.ErrDestroyed), errors.Is(err, store.ErrConflict):
				r.errs[t.at] = err
			case reply != nil && (redis.HasErrorPrefix(reply, "NOSCRIPT") || batch.Redirected(reply)):
				t.teach = !batch.Redirected(reply)
				alone = append(alone, t)
			default:
				r.errs[t.at] = r.b.explain(err, t.secrets()...)
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

// merged renews many sessions with few scripts, and returns those that have to be asked about
// individually. That a life has ended does not count before the server of the session's own key
// says so; see merger.
func (r *renewal) merged(m *merger, chunk []target) (rest []target) {
	script, known := r.mergedScript(m)
	if script == nil {
		return chunk
	}
	groups, rest := r.groups(chunk)
	nodes := make(map[*redis.Client][]redis.Cmder, 1)
	cmds := make([]redis.Cmder, len(groups))
	for i, group := range groups {
		if r.expect != nil && !r.sameKeys(group) {
			return chunk
		}
		node, err := nodeOf(r.ctx, r.b.client, r.b.nodes, group[0].name)
		if err != nil {
			return chunk
		}
		// The first script of a pipeline teaches a node of a cluster what the others are.
		taught := known.Load() && r.b.nodes == nil || len(nodes[node]) > 0
		args := m.call(script, taught, len(group), 1+(2+r.width())*len(group))
		for _, t := range group {
			args = append(args, t.name)
		}
		cmds[i] = newMerged(r.mergedArgs(args, group))
		nodes[node] = append(nodes[node], cmds[i])
	}
	err := await(r.ctx, func() error { runOn(r.ctx, nodes); return nil })
	if err != nil {
		return chunk // the context has ended, and cmds belong to what still runs
	}
	for i, cmd := range cmds {
		var places []int64
		if err := cmd.Err(); err != nil {
			known.Store(false)
			if r.b.nodes == nil || !ofTheSlot(err) {
				m.refused(err, known)
			}
			rest = append(rest, groups[i]...)
			continue
		}
		if places, err = exceptionsOf(cmd, len(groups[i]), 1); err != nil {
			m.skip.Store(skips)
			rest = append(rest, groups[i]...)
			continue
		}
		known.Store(true)
		for _, place := range places {
			t := groups[i][place-1]
			t.doubted = true
			rest = append(rest, t)
		}
	}
	return rest
}

// mergedScript returns the script that does for many what r does for one, and whether the server has it. It is nil where
// there is none.
func (r *renewal) mergedScript(m *merger) (*script, *atomic.Bool) {
	switch r.script {
	case renewScript:
		return mergedRenewScript, &m.knowsRenew
	case renewIfScript:
		return mergedRenewIfScript, &m.knowsRenewIf
	case putScript:
		return mergedPutScript, &m.knowsPut
	}
	return nil, nil
}

// width is how many arguments beyond its token each session of a merged script has.
func (r *renewal) width() int {
	if len(r.expect) == 0 {
		return 0
	}
	return 1 + len(r.expect[0])
}

// mergedArgs appends what follows the names in a merged script.
func (r *renewal) mergedArgs(args []any, group []target) []any {
	if r.expect != nil {
		return r.mergedRenewIf(args, group)
	}
	args = append(args, r.lease)
	for i := range group {
		if t := &group[i]; t.s == nil {
			args = append(args, &t.member) // whose address takes no memory of its own
		} else {
			args = append(args, t.s.token)
		}
	}
	return args
}

// pipeline executes a command for each session of chunk, in one round trip for each node. It
// returns the outcomes: nil, one that satisfies ErrDestroyed, or the client's error.
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
	lefts := make(map[int]*redis.DurationCmd)
	nodes := make(map[*redis.Client][]redis.Cmder, 1)
	for i, t := range chunk {
		node, err := nodeOf(r.ctx, r.b.client, r.b.nodes, t.name)
		if err != nil {
			// No node answers, so that asking for each session would take long.
			for j := range chunk[i:] {
				errs[i+j] = err
			}
			break
		}
		request, err := r.request(t)
		if err != nil {
			errs[i] = err
			continue
		}
		cmds[i] = request.command(r.ctx)
		nodes[node] = append(nodes[node], cmds[i])
		if r.lease > 0 || t.s == nil {
			continue
		}
		if left := t.s.leftOf(r.ctx); left != nil {
			lefts[i] = left
			nodes[node] = append(nodes[node], left)
		}
	}
	runOn(r.ctx, nodes)
	for i, cmd := range cmds {
		if cmd != nil {
			errs[i] = chunk[i].outcomeOf(cmd)
		}
		if errs[i] == nil && lefts[i] != nil {
			chunk[i].s.tookIn(lefts[i])
		}
	}
	return errs
}

// request is what renews, or only looks at, the session of t, or what there is to do with its entry.
func (r *renewal) request(t target) (*request, error) {
	switch {
	case r.script == removeScript:
		return &request{script: removeScript, name: t.name, args: []any{t.member}}, nil
	case r.script == putScript:
		return &request{script: putScript, name: t.name, args: []any{r.lease, t.member}}, nil
	case r.script == renewIfScript:
		args, err := expected([]any{t.s.token, r.lease}, r.expect[t.at])
		return &request{script: renewIfScript, name: t.name, args: args}, err
	case r.lease == 0:
		return &request{name: t.name, args: []any{tokenField}}, nil
	}
	return &request{script: renewScript, name: t.name, args: []any{t.s.token, r.lease}}, nil
}

// outcomeOf returns what the reply says of what was done with t.
func (t *target) outcomeOf(c *command) error {
	if t.s != nil {
		return t.s.outcomeOf(c)
	}
	if err := c.Err(); err != nil {
		return err
	}
	return c.check()
}

// outcomeOf returns what the reply of a renewal, or of a look, says of this life.
func (s *handle) outcomeOf(c *command) error {
	err := c.Err()
	if err == nil {
		err = c.check()
	}
	if err != nil {
		return err
	}
	if c.script != nil {
		answer := c.answer()
		if answer == answerOtherValues {
			return store.ErrConflict
		}
		return s.endBy(answer)
	}
	if token := c.values()[0]; token != s.token {
		return s.endSeen(token)
	}
	return nil
}

// renewers is how many sessions are asked about individually at a time.
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
	request, err := r.request(t)
	if err != nil {
		return err
	}
	request.teach = t.teach
	k := read // to repeat a renewal is harmless
	if t.s == nil {
		k = again // and the replicas are to have an entry before its value
	}
	cmd, err := r.b.run(r.ctx, k, request)
	if err != nil && t.s == nil && redis.HasErrorPrefix(err, "NOSCRIPT") && !errors.Is(err, store.ErrUnknownOutcome) {
		request.teach = true
		cmd, err = r.b.run(r.ctx, k, request)
	}
	if err == nil {
		err = t.outcomeOf(cmd)
	}
	if err == nil && r.lease == 0 && t.s != nil {
		if left := t.s.leftOf(r.ctx); left != nil {
			_ = await(r.ctx, func() error { return r.b.client.Process(r.ctx, left) })
			if r.ctx.Err() == nil { // else left may belong to what still runs
				t.s.tookIn(left)
			}
		}
	}
	if err != nil && !errors.Is(err, store.ErrDestroyed) && !errors.Is(err, store.ErrConflict) {
		err = r.b.explain(err, t.secrets()...)
	}
	return err
}
