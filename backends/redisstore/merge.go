package redisstore

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// A merger executes Sets of many sessions that are in one pipeline as one
// script, each with its own check. Most of what a script costs a server is its
// call, not its work. It implements batch.Merger.
type merger struct {
	client *redis.Client
	ask    sync.Once
	never  bool        // this kind of server had better be spared
	known  atomic.Bool // the server has the script, as far as we know
	skip   atomic.Int64

	knowsRenew atomic.Bool // the same of the script that renews
}

// skips is how many pipelines go without merging after a server has refused a
// merged script as a whole, or has called a life ended that goes on. Proxies in
// front of several servers do so: they refuse it, or have the server of the first
// key execute it.
const skips = 1000

// Fits reports whether cmd is a Set.
func (m *merger) Fits(cmd redis.Cmder) bool {
	args := cmd.Args()
	return len(args) == 8 && args[1] == setScript.sha
}

// Ready reports whether the server should get merged scripts at present.
func (m *merger) Ready() bool {
	m.ask.Do(func() {
		// Dragonfly spreads keys over threads, and a script that has keys of
		// several of them stops them all. A user who may not ask has to do with it.
		info, _ := m.client.Info(context.Background(), "server").Result()
		m.never = strings.Contains(info, "dragonfly_version")
	})
	return !m.never && (m.skip.Load() <= 0 || m.skip.Add(-1) < 0)
}

// Merge returns one command that does what cmds do.
func (m *merger) Merge(cmds []redis.Cmder) redis.Cmder {
	args := make([]any, 3, 3+5*len(cmds))
	args[0], args[1], args[2] = "evalsha", mergedSetScript.sha, len(cmds)
	if !m.known.Load() {
		args[0], args[1] = "eval", mergedSetScript.source
	}
	for _, cmd := range cmds {
		args = append(args, cmd.Args()[3])
	}
	for _, cmd := range cmds {
		args = append(args, cmd.Args()[4:]...)
	}
	c := redis.NewIntSliceCmd(context.Background(), args...)
	c.SetFirstKeyPos(3)
	return mergedSet{c}
}

// Split gives each of cmds its outcome. It returns those that the server has
// surely not executed, and that have to be sent by themselves.
func (m *merger) Split(merged redis.Cmder, cmds []redis.Cmder) (rest []redis.Cmder) {
	err := merged.Err()
	if m.refused(err, &m.known) {
		return cmds
	}
	if err == nil {
		m.known.Store(true)
	}
	for _, cmd := range cmds {
		cmd.(*command).Cmder.(*redis.Cmd).SetVal(int64(answerDone))
		cmd.SetErr(err)
	}
	exceptions := merged.(mergedSet).Val()
	for ; err == nil && len(exceptions) >= 2; exceptions = exceptions[2:] {
		cmd := cmds[exceptions[0]-1]
		if exceptions[1] == answerTooMany {
			cmd.(*command).Cmder.(*redis.Cmd).SetVal(int64(answerTooMany))
		} else {
			rest = append(rest, cmd)
		}
	}
	return rest
}

// refused reports whether err, with which a merged script failed, is the server's
// own, and remembers what follows: that it has forgotten the script, or that it had
// better get none for a while.
func (m *merger) refused(err error, known *atomic.Bool) bool {
	_, refused := replyError(err)
	switch {
	case !refused:
	case redis.HasErrorPrefix(err, "NOSCRIPT"):
		known.Store(false)
	default:
		m.skip.Store(skips)
	}
	return refused
}

// Learn stops merging for a while when Sets that were refused as part of a merged
// script were not refused by themselves.
func (m *merger) Learn(cmds []redis.Cmder) {
	for _, cmd := range cmds {
		if cmd.Err() == nil && cmd.(*command).Cmder.(*redis.Cmd).Val() != any(int64(answerEnded)) {
			m.skip.Store(skips)
			return
		}
	}
}

// A mergedSet answers a list of those that were not simply done: the place of
// each, from one, and its answer. That a life has ended is not believed before the
// Set says so by itself, on the server of its own key.
type mergedSet struct{ *redis.IntSliceCmd }

// NoRetry keeps go-redis from repeating the Sets.
func (mergedSet) NoRetry() bool { return true }

// Clone keeps the copy from being repeated as well.
func (s mergedSet) Clone() redis.Cmder { return mergedSet{s.IntSliceCmd.Clone().(*redis.IntSliceCmd)} }
