package redisstore_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/internal/testserver"
)

// After a failover the cache follows to the new primary: what others write there comes to notice.
func TestCacheFollowsAFailover(t *testing.T) {
	for _, killed := range []bool{true, false} {
		t.Run(fmt.Sprint("killed=", killed), func(t *testing.T) {
			t.Parallel()
			s := testserver.RedisSentinel(t)
			client := func() redis.UniversalClient {
				c := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: s.MasterName, SentinelAddrs: s.SentinelAddrs})
				t.Cleanup(func() { c.Close() })
				return c
			}
			ns := namespace(t)
			b := open(t, client(), redisstore.Options{Namespace: ns, Cache: &redisstore.CacheOptions{MaxStaleness: time.Hour}})
			elsewhere := open(t, client(), redisstore.Options{Namespace: ns})
			id, mine := create(t, b, store.Entry{Key: "k", Value: []byte("old")})
			other, err := elsewhere.Attach(t.Context(), id, store.Terms{})
			if err != nil {
				t.Fatalf("Attach() = %v", err)
			}
			caches := func() {
				eventually(t, "a cache", func() error {
					if _, err := mine.Get(t.Context(), "k"); err != nil {
						return err
					}
					if !redisstore.Caches(b) {
						return errNoCache
					}
					return nil
				}, func(err error) bool { return err == nil })
			}
			caches()
			if err := mine.Set(t.Context(), "k", []byte("old")); err != nil {
				t.Fatalf("Set() = %v", err)
			}
			wantGet(t, "before", mine, "old")
			before := s.Primary()
			if killed {
				s.KillPrimary()
			} else {
				sentinel := redis.NewSentinelClient(&redis.Options{Addr: s.SentinelAddrs[0]})
				defer sentinel.Close()
				if err := sentinel.Failover(t.Context(), s.MasterName).Err(); err != nil {
					t.Fatal(err)
				}
				eventually(t, "another primary", func() error {
					if s.Primary() == before {
						return errors.New("not yet")
					}
					return nil
				}, func(err error) bool { return err == nil })
			}
			for i := range 3 {
				want := fmt.Sprint(i)
				eventually(t, "writing after a failover", func() error { return other.Set(t.Context(), "k", []byte(want)) }, func(err error) bool { return err == nil })
				eventually(t, "reading what another process wrote after a failover", func() error {
					value, err := mine.Get(t.Context(), "k")
					if err == nil && string(value) != want {
						return fmt.Errorf("Get() = %q", value)
					}
					return err
				}, func(err error) bool { return err == nil })
				caches()
			}
		})
	}
}
