package batch

import "github.com/redis/go-redis/v9"

// A Foreteller says how large the replies to commands are. Its methods are called
// by several goroutines, and are quick.
type Foreteller interface {
	// Expect returns the bytes that the reply to cmd may have; a negative number
	// if it cannot say yet.
	Expect(cmd redis.Cmder) int
	// Learn looks at the reply to cmd, which was read.
	Learn(cmd redis.Cmder)
}

const (
	// A reply of this size travels alone: sharing a pipeline would save next to
	// nothing, and everybody else in it would wait.
	largeReply = 64 << 10

	// A reply of at most this size has no values in it.
	smallReply = 64

	// A reply of unknown size takes this part of a pipeline.
	unknownShare = 4
)

// expect returns how much of MaxReplyBytes the reply to cmd takes, and whether it
// is known to be large.
func (o *Options) expect(cmd redis.Cmder) (bytes int, large bool) {
	if o.Replies == nil {
		return 0, false
	}
	bytes = o.Replies.Expect(cmd)
	if bytes < 0 {
		return o.MaxReplyBytes / unknownShare, false
	}
	return bytes, bytes >= largeReply
}

// learn remembers the size of the reply to cmd.
func (o *Options) learn(cmd redis.Cmder, err error) {
	if o.Replies != nil && err == nil {
		o.Replies.Learn(cmd)
	}
}
