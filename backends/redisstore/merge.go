package redisstore

import (
	"context"
	"strings"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// A merger executes Sets of many sessions that are in one pipeline as one
// script, each with its own check. Most of what a script costs a server is its
// call, not its work. It implements batch.Merger.
type merger struct {
	asker
	known atomic.Bool // the server has the script, by what it answered last
	skip  atomic.Int64

	knowsRenew   atomic.Bool // the same of the script that renews,
	knowsRenewIf atomic.Bool // of the one that does so on a condition,
	knowsPut     atomic.Bool // and of the one that puts entries of an index
}

// newMerger returns a merger for the server that is asked what it is. Those of a cluster are
// alike.
func newMerger(server func(context.Context) (*redis.Client, error)) *merger {
	m := new(merger)
	m.start(server)
	return m
}

// skips is how many pipelines go without merging after a merged script failed: the server refused
// it as a whole, answered what it cannot answer, or called a life ended that goes on. Proxies in
// front of several servers do so: they refuse it, or have the server of the first key execute it.
const skips = 1000

// Fits reports whether cmd is a Set.
func (m *merger) Fits(cmd redis.Cmder) bool {
	c, ok := cmd.(*command)
	return ok && c.script == setScript && !c.fuse.teach
}

// Alike reports whether one script can do both Sets: whether their sessions may have the same number of keys.
func (m *merger) Alike(a, b redis.Cmder) bool { return a.Args()[maxKeysAt] == b.Args()[maxKeysAt] }

// maxKeysAt is the place of the limit, behind the value, among the arguments of a Set.
const maxKeysAt = 7

// Ready reports whether the server should get merged scripts at present.
func (m *merger) Ready() bool {
	return m.merges() && (m.skip.Load() <= 0 || m.skip.Add(-1) < 0)
}

// call returns the first arguments of a script with n keys, which the server has if it is known, and room for more.
func (m *merger) call(s *script, known bool, n, room int) []any {
	args := make([]any, 3, 3+room)
	args[0], args[1], args[2] = "evalsha", s.sha, n
	if !known {
		args[0], args[1] = "eval", s.source
	}
	return args
}

// Merge returns one command that does what cmds do.
func (m *merger) Merge(cmds []redis.Cmder) redis.Cmder {
	args := m.call(mergedSetScript, m.known.Load(), len(cmds), 1+4*len(cmds))
	for _, cmd := range cmds {
		args = append(args, cmd.Args()[3])
	}
	args = append(args, cmds[0].Args()[maxKeysAt])
	for _, cmd := range cmds {
		c := cmd.(*command)
		args = append(args, tokenFuse{c})
		args = append(args, c.Args()[5:maxKeysAt]...)
	}
	return newMerged(args)
}

func newMerged(args []any) *redis.Cmd {
	c := redis.NewCmd(context.Background(), args...)
	c.SetFirstKeyPos(3)
	return c
}

// A tokenFuse takes the place of the token of a Set within a merged script. If the Set was
// withdrawn meanwhile, it sends none, and the script lets the session be.
type tokenFuse struct{ c *command }

// MarshalBinary returns the token, or nothing for a withdrawn command.
func (f tokenFuse) MarshalBinary() ([]byte, error) {
	if !f.c.burn() {
		return nil, nil
	}
	return bytesOf(f.c.Args()[4]), nil
}

// String returns what hooks may show.
func (f tokenFuse) String() string { return "token" }

// Split gives each of cmds its outcome. It returns the places of those that the
// server has certainly not executed, and that have to be sent individually.
func (m *merger) Split(merged redis.Cmder, cmds []redis.Cmder) (rest []int) {
	err := merged.Err()
	if m.refused(err, &m.known) {
		for i, cmd := range cmds {
			cmd.(*command).spare()
			rest = append(rest, i)
		}
		return rest
	}
	var exceptions []int64
	if err == nil {
		if exceptions, err = exceptionsOf(merged, len(cmds), 2); err != nil {
			m.skip.Store(skips)
		} else {
			m.known.Store(true)
		}
	}
	for i, cmd := range cmds {
		c := cmd.(*command)
		switch {
		case err != nil:
			c.SetErr(err)
		case len(exceptions) == 0 || exceptions[0] != int64(i+1):
			c.Cmder.(*redis.Cmd).SetVal(int64(answerDone))
		default:
			if answer(exceptions[1]) == answerTooMany {
				c.Cmder.(*redis.Cmd).SetVal(int64(answerTooMany))
			} else {
				c.spare()
				rest = append(rest, i)
			}
			exceptions = exceptions[2:]
		}
	}
	return rest
}

// exceptionsOf returns what a merged script for n sessions has answered. That is the places of some
// of them, in ascending order from 1, each with what makes it up to width numbers. It fails where
// the script cannot have answered so.
func exceptionsOf(merged redis.Cmder, n, width int) ([]int64, error) {
	list, _ := merged.(*redis.Cmd).Val().([]any)
	if len(list)%width != 1%width || len(list) == 0 || list[0] != any(int64(n)) {
		return nil, errReply
	}
	reply := make([]int64, len(list)-1)
	for i, v := range list[1:] {
		var ok bool
		if reply[i], ok = v.(int64); !ok {
			return nil, errReply
		}
	}
	last := int64(0)
	for i := 0; i < len(reply); i += width {
		if reply[i] <= last || reply[i] > int64(n) {
			return nil, errReply
		}
		last = reply[i]
		if width == 2 && answer(reply[i+1]) != answerGone && answer(reply[i+1]) != answerTooMany {
			return nil, errReply
		}
	}
	return reply, nil
}

// refused reports whether err, with which a merged script failed, is the server's own refusal of
// the whole script. It notes what follows: the server has forgotten the script, or gets none for a
// while. An error from within the script, such as a lack of memory for Lua, is none: some sessions
// may be done.
func (m *merger) refused(err error, known *atomic.Bool) bool {
	reply, refused := replyError(err)
	switch {
	case !refused || err == redis.Nil:
		return false
	case strings.Contains(reply.Error(), "user_script"):
		m.skip.Store(skips)
		return false
	case redis.HasErrorPrefix(err, "NOSCRIPT"):
		known.Store(false)
	default:
		m.skip.Store(skips)
	}
	return true
}

// Learn stops merging for a while when Sets that were refused as part of a merged
// script were not refused individually.
func (m *merger) Learn(cmds []redis.Cmder) {
	for _, cmd := range cmds {
		if cmd.Err() != nil {
			continue
		}
		switch cmd.(*command).answer() {
		case answerDone, answerTooMany:
			m.skip.Store(skips)
			return
		}
	}
}
