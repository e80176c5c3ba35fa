package redisstore

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/sessionkv/store/backends/internal/panics"
)

const (
	askTimeout  = 2 * time.Second
	minAskPause = time.Second
	maxAskPause = time.Minute

	// An answer holds for a while: another server may take the place of this one, or
	// the same come back with another number of threads.
	holdsFor = 10 * time.Minute
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
//  1. It asks in the background: operations go on without merging until it has an
//     answer, whatever the server or a proxy makes of the question.
//  2. After a failure it asks again, at first after a second and then ever later, and
//     what it was told before holds meanwhile.
//  3. It asks again when an answer has held for ten minutes, and after a minute where
//     the user may not ask: rights change.
type asker struct {
	server func(context.Context) (*redis.Client, error) // that is asked
	ctx    context.Context                              // of the questions
	stop   func()                                       // ends ctx
	begun  time.Time
	told   atomic.Int32
	next   atomic.Int64 // when to ask again, from begun
	asking atomic.Bool

	failures int // of the one who has set asking
}

func (a *asker) start(server func(context.Context) (*redis.Client, error)) {
	a.server, a.begun = server, time.Now()
	a.ctx, a.stop = context.WithCancel(context.Background())
}

// merges reports whether the server is known to gain, and asks it if that is not
// known, or not known anew. It never waits.
func (a *asker) merges() bool {
	if time.Since(a.begun) >= time.Duration(a.next.Load()) && a.asking.CompareAndSwap(false, true) {
		go a.ask()
	}
	return a.told.Load() == gains
}

func (a *asker) ask() {
	defer a.asking.Store(false)
	ctx, cancel := context.WithTimeout(a.ctx, askTimeout)
	defer cancel()
	var (
		told int32
		sure bool
	)
	err := panics.Guard(func() error {
		server, err := a.server(ctx)
		if err != nil {
			return err
		}
		// The client's own timeouts may be longer, or none at all.
		told, sure, err = question(ctx, server.WithTimeout(askTimeout))
		return err
	})
	pause := holdsFor
	switch {
	case err != nil:
		pause = min(minAskPause<<min(a.failures, 16), maxAskPause)
		a.failures++
	case !sure:
		pause = maxAskPause
		fallthrough
	default:
		a.failures = 0
		a.told.Store(told)
	}
	a.next.Store(int64(time.Since(a.begun) + pause))
}

// question asks the server what it is, by INFO, and where the user may not use that
// by HELLO. It is sure of nothing but an answer to INFO.
func question(ctx context.Context, client *redis.Client) (told int32, sure bool, err error) {
	info, err := client.Info(ctx, "server").Result()
	switch {
	case err == nil && field(info, "dragonfly_version") == "" && field(info, "server_name") != "dragonfly":
		return gains, true, nil
	case err == nil && field(info, "thread_count") == "1":
		return gains, true, nil
	case err == nil: // managed ones do not tell their threads
		return loses, true, nil
	case !mayNotAsk(err):
		return notTold, false, err
	}
	hello, err := askHello(ctx, client, client.Options().Protocol)
	switch {
	case err == nil && isDragonfly(hello):
		return loses, false, nil
	case err != nil && !mayNotAsk(err):
		return notTold, false, err
	}
	return gains, false, nil
}

// mayNotAsk reports whether a server has refused a question for good.
func mayNotAsk(err error) bool {
	reply, refused := replyError(err)
	return refused && !redis.IsMaxClientsError(err) &&
		(redis.HasErrorPrefix(reply, "NOPERM") || strings.HasPrefix(reply.Error(), "ERR "))
}
