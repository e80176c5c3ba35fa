package redisstore_test

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/internal/testserver"
)

// The reply to a question of RefuseReplica that arrives after the client's timeout is
// not taken for that of a command.
func TestLateReplyToRefuseReplica(t *testing.T) {
	for _, question := range []struct {
		marker string
		args   []string
	}{
		{"hello", nil},
		{"role", []string{"--rename-command", "HELLO", ""}}, // where HELLO is refused
	} {
		t.Run(question.marker, func(t *testing.T) {
			server := testserver.Redis(t, testserver.WithArgs(question.args...))
			both(t, func(t *testing.T, o redisstore.Options) {
				p := newProxy(t, server.Addr)
				var once sync.Once
				client := dial(t, "redis://"+p.addr, func(o *redis.Options) {
					o.PoolSize, o.ReadTimeout = 1, 200*time.Millisecond
					o.OnConnect = func(ctx context.Context, conn *redis.Conn) error {
						once.Do(func() { p.arm(late, question.marker, nil) })
						err := redisstore.RefuseReplica(ctx, conn)
						p.release()
						return err
					}
				})
				_, s := create(t, open(t, client, o))
				if !p.sprung() {
					t.Fatalf("no new connection asked by %s", question.marker)
				}
				for i := range 20 {
					want := strconv.Itoa(i)
					if err := s.Set(t.Context(), "k", []byte(want)); err != nil {
						t.Errorf("Set() = %v", err)
					}
					wantGet(t, "after a late handshake", s, want)
					if has, err := s.Has(t.Context(), "absent"); has || err != nil {
						t.Errorf("Has() of an absent key = %t, %v, want false", has, err)
					}
				}
			})
		})
	}
}
