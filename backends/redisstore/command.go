package redisstore

import (
	"context"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// A command is one attempt at something. go-redis sends it at most once. For a write a second
// execution would turn "stored" into "refused". So run repeats what may be repeated, with another
// command.
//
// What became of it is recorded where it happens and not taken from what go-redis
// leaves behind. That it was sent is known from its fuse. That its reply was read
// is known from its value: a reply always sets one, which check compares with
// what the script can answer.
//
// The commands of go-redis for one type of reply leave the rest of another type on the connection.
// The next command of the pipeline takes that for its own reply.
type command struct {
	redis.Cmder         // *redis.Cmd, which alone reads whatever comes as a whole
	script      *script // nil for a command on a hash
	lists       int     // the length of a list as the reply
	state       atomic.Int32
	fuse        fuse
	class       class // of its reply, when batching is on
	repeated    bool  // the server may have executed an attempt before this one
}

// A roomyCommand is a command with room for the arguments of most.
type roomyCommand struct {
	command
	few [9]any
}

// States of a command.
const (
	fresh     = iota // no connection has got it, or the server has refused it
	sent             // the server may execute it
	withdrawn        // if a connection still gets it, it does nothing
)

// newHash returns an HMGET of fields.
func newHash(ctx context.Context, name any, fields []any) *command {
	roomy := &roomyCommand{command: command{lists: len(fields)}}
	c := &roomy.command
	args := append(roomy.few[:0], "hmget", name)
	c.Cmder = redis.NewCmd(ctx, append(args, fields...)...)
	c.SetFirstKeyPos(1)
	return c
}

// newEval returns a command that runs s. With teach it carries the source. lists
// is the length of a list among the answers of s, if there is one.
func newEval(ctx context.Context, s *script, teach bool, lists int, name any, argv []any) *command {
	roomy := &roomyCommand{command: command{script: s, lists: lists}}
	c := &roomy.command
	c.fuse = fuse{c, teach}
	verb := any("evalsha")
	if teach {
		verb = "eval"
	}
	args := append(roomy.few[:0], verb, &c.fuse, 1, name)
	c.Cmder = redis.NewCmd(ctx, append(args, argv...)...)
	c.SetFirstKeyPos(3)
	return c
}

// A fuse takes the place of the script among the arguments of a command. go-redis asks for its
// bytes when it writes the command to a connection, and at no other time. A command whose fuse has
// not burned was not sent. Args, which hooks and routing call as well, says nothing.
type fuse struct {
	c     *command
	teach bool
}

// MarshalBinary returns the script, or its hash, or for a withdrawn command what
// does nothing.
func (f *fuse) MarshalBinary() ([]byte, error) {
	switch burned := f.c.burn(); {
	case f.teach && burned:
		return f.c.script.source, nil
	case f.teach:
		return noSource, nil
	case burned:
		return f.c.script.sha, nil
	default:
		return noScript, nil
	}
}

var (
	noSource = []byte("return 0")
	noScript = []byte("0000000000000000000000000000000000000000")
)

// String returns the script's hash, for hooks that show commands.
func (f *fuse) String() string { return string(f.c.script.sha) }

// burn marks the command as sent. It reports false if it was withdrawn.
func (c *command) burn() bool {
	return c.state.CompareAndSwap(fresh, sent) || c.state.Load() == sent
}

// withdraw reports whether the server certainly executes nothing of the command,
// and makes sure of it.
func (c *command) withdraw() bool {
	return c.state.CompareAndSwap(fresh, withdrawn) || c.state.Load() == withdrawn
}

// spare makes the command fresh again: what was sent of it was not executed.
func (c *command) spare() { c.state.CompareAndSwap(sent, fresh) }

// SetErr also notes a refusal. A cluster's client sends a command that one node
// has redirected to another.
func (c *command) SetErr(err error) {
	if _, refused := err.(redis.Error); refused && err != redis.Nil && !lostBehind(err) {
		c.spare()
	}
	c.Cmder.SetErr(err)
}

// check requires a reply that was read and that the server can give.
func (c *command) check() error {
	switch reply := c.answer().(type) {
	case nil:
		return errNoReply
	case []any:
		if c.script == nil && !values(reply, c.lists) || c.script != nil && !c.script.lists(reply, c.lists) {
			return errReply
		}
	case answer:
		if c.script == nil || !c.script.answers(reply) {
			return errReply
		}
	default:
		return errReply
	}
	return nil
}

// answer returns the reply: a number as an answer.
func (c *command) answer() any {
	reply := c.Cmder.(*redis.Cmd).Val()
	if n, ok := reply.(int64); ok {
		return answer(n)
	}
	return reply
}

// values returns the reply to an HMGET, which check has accepted.
func (c *command) values() []any { return c.answer().([]any) }

func stringsOrNil(values []any) bool {
	for _, v := range values {
		if _, ok := v.(string); !ok && v != nil {
			return false
		}
	}
	return true
}

// NoRetry keeps go-redis from repeating the command, and from answering it from a cache of
// its own.
func (c *command) NoRetry() bool { return true }

// Clone keeps the copy from being repeated as well.
func (c *command) Clone() redis.Cmder {
	return &command{Cmder: c.Cmder.Clone(), script: c.script, lists: c.lists}
}
