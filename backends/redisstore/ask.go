package redisstore

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	askTimeout  = 2 * time.Second
	minAskPause = time.Second
	maxAskPause = time.Minute
)

// What an asker has been told.
const (
	notTold int32 = iota
	gains         // the server gains by merged scripts
	loses         // it loses by them
)

// An asker finds out whether a server gains by scripts with several keys. Dragonfly
// with several threads spreads keys over them, and such a script stops all of these.
//
// It asks in the background: operations go on without merging until it has an
// answer, whatever the server or a proxy makes of the question. After a failure
// it asks again, at first after a second and then ever later.
type asker struct {
	client *redis.Client
	ctx    context.Context // of the questions
	stop   func()          // ends ctx
	told   atomic.Int32
	asking atomic.Bool

	// Of the one who has set asking.
	failures int
	next     time.Time
}

// merges reports whether the server is known to gain, and asks it if it is not
// known at all. It never waits.
func (a *asker) merges() bool {
	told := a.told.Load()
	if told == notTold && a.asking.CompareAndSwap(false, true) {
		if time.Now().Before(a.next) {
			a.asking.Store(false)
		} else {
			go a.ask()
		}
	}
	return told == gains
}

func (a *asker) ask() {
	defer a.asking.Store(false)
	ctx, cancel := context.WithTimeout(a.ctx, askTimeout)
	defer cancel()
	// The client's own timeouts may be longer, or none at all.
	told, err := question(ctx, a.client.WithTimeout(askTimeout))
	if err != nil {
		a.next = time.Now().Add(min(minAskPause<<min(a.failures, 16), maxAskPause))
		a.failures++
		return
	}
	a.told.Store(told)
}

// question asks the server what it is. Where the user may not ask, it has to do
// with merged scripts.
func question(ctx context.Context, client *redis.Client) (int32, error) {
	info, err := client.Info(ctx, "server").Result()
	switch {
	case err == nil && !strings.Contains(info, "dragonfly_version:"):
		return gains, nil
	case err == nil && strings.Contains(info, "\nthread_count:1\r"):
		return gains, nil
	case err == nil:
		return loses, nil
	case !mayNotAsk(err):
		return notTold, err
	}
	hello, err := client.Do(ctx, "hello").Result()
	switch {
	case err == nil && strings.Contains(strings.ToLower(serverOf(hello)), "dragonfly"):
		return loses, nil
	case err != nil && !mayNotAsk(err):
		return notTold, err
	}
	return gains, nil
}

// serverOf returns the server's name in its answer to HELLO: a map, or in the older
// protocol a list of names and values in turn.
func serverOf(hello any) string {
	switch h := hello.(type) {
	case map[any]any:
		name, _ := h["server"].(string)
		return name
	case []any:
		for i := 0; i+1 < len(h); i += 2 {
			if h[i] == any("server") {
				name, _ := h[i+1].(string)
				return name
			}
		}
	}
	return ""
}

// mayNotAsk reports whether a server has refused a question for good.
func mayNotAsk(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply) && !redis.IsMaxClientsError(err) &&
		(redis.HasErrorPrefix(reply, "NOPERM") || strings.HasPrefix(reply.Error(), "ERR "))
}
