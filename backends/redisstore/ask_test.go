package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/internal/testserver"
)

// question is INFO on the wire, which does not belong to a handshake.
const question = "$4\r\ninfo\r\n"

// A server or proxy that swallows the question whether to merge keeps nobody
// waiting: not Sets, not renewals, not Close. It is asked again later.
func TestMergingIsAskedAside(t *testing.T) {
	t.Parallel()
	server := testserver.Redis(t, testserver.WithArgs("--loglevel", "warning"))
	p := newProxy(t, server.Addr)
	// Only the question's own timeout ends it.
	client := dial(t, "redis://"+p.addr, func(o *redis.Options) { o.ReadTimeout, o.WriteTimeout = -1, -1 })
	b := open(t, client, redisstore.Options{})
	sessions := make([]store.Store, setters)
	for i := range setters {
		_, sessions[i] = create(t, b)
	}
	p.arm(swallow, question, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	set := func(i int) error { return sessions[i].Set(ctx, "k", fmt.Append(nil, i)) }
	if err := errors.Join(together(t, server, set)...); err != nil {
		t.Fatalf("Set() beside a question without an answer = %v, want nil", err)
	}
	if errs := b.Renew(ctx, sessions, time.Hour); errs != nil {
		t.Fatalf("Renew() beside a question without an answer = %v, want nil", errors.Join(errs...))
	}
	if redisstore.Merges(b) || p.count(question) == 0 {
		t.Errorf("the server was asked %d times without an answer, want at least once, and no merging", p.count(question))
	}
	p.arm(nothing, "", nil)
	awaitMerging(t, b)
	before := scripts(t, server)
	if err := errors.Join(together(t, server, set)...); err != nil {
		t.Fatalf("Set() = %v, want nil", err)
	}
	if n := scripts(t, server) - before; n >= setters {
		t.Errorf("%d Sets took %d scripts after the answer, want fewer", setters, n)
	}

	p.arm(swallow, question, nil)
	other := open(t, client, redisstore.Options{})
	redisstore.Merges(other)
	if err := other.Close(); err != nil {
		t.Errorf("Close() beside a question without an answer = %v, want nil", err)
	}
}

// A user who may not ask has to do with merged scripts.
func TestMergingWhereAskingIsForbidden(t *testing.T) {
	t.Parallel()
	server := testserver.Redis(t, testserver.WithACL("user app on >pw ~* +@all -info -hello"))
	b := open(t, dial(t, "redis://app:pw@"+server.Addr), redisstore.Options{})
	awaitMerging(t, b)
}
