package redisstore

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// Sizes are learned by key; one of late that was larger counts for longer than those
// that are smaller.
func TestRepliesLearn(t *testing.T) {
	s := newReplies()
	read := func(key string, size int) *command {
		r := &request{name: "session" + fmt.Sprint(size), args: []any{tokenField, key}}
		c := r.command(context.Background())
		c.class = s.classOf(r)
		c.Cmder.(*redis.Cmd).SetVal([]any{strings.Repeat("t", 22), strings.Repeat("x", size)})
		return c
	}
	if got := s.Expect(read("avatar", 0)); got >= 0 {
		t.Errorf("Expect() of what was never read = %d, want a negative number", got)
	}
	s.Learn(read("avatar", 100_000))
	if got := s.Expect(read("avatar", 7)); got < 100_000 || got > 101_000 {
		t.Errorf("Expect() after 100000 bytes = %d, want about as many", got)
	}
	for range 10 {
		s.Learn(read("avatar", 10))
	}
	if got := s.Expect(read("avatar", 7)); got < 10_000 || got > 50_000 {
		t.Errorf("Expect() after 10 small ones more = %d, want less but not small", got)
	}
	for range 200 {
		s.Learn(read("avatar", 10))
	}
	if got := s.Expect(read("avatar", 7)); got > 200 {
		t.Errorf("Expect() after 200 small ones more = %d, want a small one", got)
	}
	for _, script := range []*script{setScript, hasScript, deleteScript, destroyScript, destroyIfScript, renewScript} {
		r := &request{script: script, name: "session", args: []any{"token"}}
		if c := s.classOf(r); c != noClass {
			t.Errorf("the reply of %q has class %d, want none", script.source[:30], c)
		}
	}
}
