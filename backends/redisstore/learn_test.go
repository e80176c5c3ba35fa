package redisstore

import (
	"errors"
	"testing"

	"github.com/redis/go-redis/v9"
)

// Merging stops for a while when a Set that was refused as part of a merged script
// succeeds individually, and only then.
func TestMergerLearns(t *testing.T) {
	set := func(a answer, err error) redis.Cmder {
		c := newEval(t.Context(), setScript, false, 0, "name", []any{"token", "key", []byte("v"), 0})
		c.Cmder.(*redis.Cmd).SetVal(int64(a))
		c.SetErr(err)
		return c
	}
	for _, c := range []struct {
		name string
		cmds []redis.Cmder
		want bool
	}{
		{"ended", []redis.Cmder{set(answerGone, nil), set(answerGone, nil), set(answerGone, nil)}, true},
		{"failed", []redis.Cmder{set(answerGone, errors.New("WRONGTYPE")), set(answerDone, errors.New("lost"))}, true},
		{"done after all", []redis.Cmder{set(answerGone, nil), set(answerDone, nil)}, false},
		{"too many keys after all", []redis.Cmder{set(answerTooMany, nil)}, false},
	} {
		m := new(merger)
		m.told.Store(gains)
		m.asking.Store(true) // there is no server to ask
		m.Learn(c.cmds)
		if got := m.Ready(); got != c.want {
			t.Errorf("%s: Ready() = %t, want %t", c.name, got, c.want)
		}
	}
}
