package redisstore_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/internal/testserver"
)

type callerKey struct{}

// callersHook notes for which callers commands were sent.
type callersHook struct {
	mu     sync.Mutex
	seen   map[any]int
	most   int // operations of one pipeline
	merged int // of one command
}

func (h *callersHook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *callersHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		h.note(ctx)
		return next(ctx, cmd)
	}
}

func (h *callersHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			of := 0
			for caller := range redisstore.Callers(cmd) {
				h.note(caller)
				of++
			}
			h.mu.Lock()
			h.merged = max(h.merged, of)
			h.mu.Unlock()
		}
		return next(ctx, cmds)
	}
}

func (h *callersHook) note(ctx context.Context) {
	if who := ctx.Value(callerKey{}); who != nil {
		h.mu.Lock()
		h.seen[who]++
		h.mu.Unlock()
	}
}

func (h *callersHook) pipeline(operations int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.most = max(h.most, operations)
}

func (h *callersHook) sent(who string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.seen[who]
}

func (h *callersHook) largest() (most, merged int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.most, h.merged
}

// A hook of the client gets each operation: alone under the caller's context, or in a pipeline through Callers. It does so
// also where several are one script, and where each caller's context ends meanwhile.
func TestCallers(t *testing.T) {
	client := dial(t, testserver.SharedRedis(t).URL, func(o *redis.Options) { o.PoolSize = 2 })
	hook := &callersHook{seen: make(map[any]int)}
	client.AddHook(hook)
	client.AddHook(batchSizes{hook.pipeline})
	b := open(t, client, redisstore.Options{Namespace: namespace(t)})
	const callers = 40
	sessions := make([]store.Store, callers)
	for i := range sessions {
		_, sessions[i] = create(t, b)
	}
	deadline := time.Now().Add(30 * time.Second)
	for round := 0; ; round++ {
		most, merged := hook.largest()
		if round >= 3 && most >= 2 && merged >= 4 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %d rounds %d operations at most share a pipeline, and %d a command; want 2 and 4", round, most, merged)
		}
		var wg sync.WaitGroup
		for i, s := range sessions {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), callerKey{}, fmt.Sprint(round, "/", i)), time.Minute)
				defer cancel()
				if err := s.Set(ctx, fmt.Sprint("k", round), []byte("v")); err != nil { // of a new key, so it is a script
					t.Errorf("Set() = %v", err)
				}
			})
		}
		wg.Wait()
		for i := range callers {
			if who := fmt.Sprint(round, "/", i); hook.sent(who) == 0 {
				t.Errorf("no hook has seen the operation of caller %s", who)
			}
		}
		// Callers who leave while their batch runs.
		for _, s := range sessions {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), callerKey{}, "leaves"), time.Duration(round%5)*100*time.Microsecond)
				defer cancel()
				_, _ = s.Get(ctx, "k0")
			})
		}
		wg.Wait()
	}
	for range redisstore.Callers(redis.NewCmd(t.Context(), "ping")) {
		t.Error("Callers() of a command of somebody else yields a context")
	}
	for range redisstore.Callers(nil) {
		t.Error("Callers(nil) yields a context")
	}
}
