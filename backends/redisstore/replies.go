package redisstore

import (
	"hash/maphash"
	"math"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// replies remembers how large the replies to reads were, by what was read. The values of one key
// are of about one size in all sessions. It implements batch.Foreteller.
//
// Keys share the places of a small table, so that any number of them takes no more memory. A place
// holds the largest reply of late. One that is smaller moves it by an eighth of the difference, so
// it is never below the mean.
type replies struct {
	seed  maphash.Seed
	sizes [1024]atomic.Uint32 // zero: none was read yet
}

func newReplies() *replies { return &replies{seed: maphash.MakeSeed()} }

// classOf returns the place for the replies to r, and noClass if they are small.
func (s *replies) classOf(r *request) class {
	switch {
	case r.script == nil:
		h := uint64(0)
		for _, field := range r.args {
			name, _ := field.(string)
			h = h*31 + maphash.String(s.seed, name)
		}
		return class(1 + h%uint64(len(s.sizes)))
	case r.script.list != nil:
		return class(1 + maphash.Bytes(s.seed, r.script.sha)%uint64(len(s.sizes)))
	}
	return noClass
}

// A class is one more than a place of replies.
type class uint16

const noClass class = 0

// smallReply is the size of a reply without values.
const smallReply = 16

// Expect implements batch.Foreteller.
func (s *replies) Expect(cmd redis.Cmder) int {
	c, ok := cmd.(*command)
	if !ok || c.class == noClass {
		return smallReply
	}
	if n := s.sizes[c.class-1].Load(); n > 0 {
		return int(n)
	}
	return -1
}

// Learn implements batch.Foreteller.
func (s *replies) Learn(cmd redis.Cmder) {
	c, ok := cmd.(*command)
	if !ok || c.class == noClass {
		return
	}
	values, _ := c.answer().([]any)
	size := smallReply
	for _, v := range values {
		text, _ := v.(string)
		size += smallReply + len(text)
	}
	place := &s.sizes[c.class-1]
	switch was := place.Load(); {
	case uint32(size) > was:
		place.Store(uint32(min(size, math.MaxInt32)))
	case was-uint32(size) >= 64:
		place.Store(was - (was-uint32(size))/8)
	}
}
