package redisstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/internal/testserver"
	"github.com/sessionkv/store/storetest"
)

// flavoursWithCache are the servers that have CLIENT TRACKING with the mode BCAST.
var flavoursWithCache = slices.DeleteFunc(slices.Clone(testserver.Flavours), func(f testserver.Flavour) bool {
	return f == testserver.FlavourDragonfly
})

// cacheRights returns the rights that the package comment names for client-side caching.
func cacheRights(t *testing.T) []string {
	t.Helper()
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`Client-side caching needs\n\n\t(.*)\n`).FindSubmatch(doc)
	if m == nil {
		t.Fatal("doc.go has no line with the rights for client-side caching")
	}
	return strings.Fields(string(m[1]))
}

// A logged has the lines of a logger.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// contractOfOne runs the suite for one process that reads through a cache: both nodes are one backend. What
// another process does, it may see late.
func contractOfOne(t *testing.T, o redisstore.Options, dial func(testing.TB) redis.UniversalClient) {
	const staleness = 200 * time.Millisecond
	o.Cache = &redisstore.CacheOptions{MaxStaleness: staleness}
	mine, other := o, o
	mine.Namespace, other.Namespace = namespace(t), namespace(t)
	one, err := redisstore.New(dial(t), &mine)
	if err != nil {
		t.Fatal(err)
	}
	var opened atomic.Int32
	storetest.Run(t, storetest.Harness{
		Open: func(t testing.TB) store.Backend {
			if opened.Add(1) <= 2 { // the two nodes of all rules
				return one
			}
			return open(t, dial(t), mine)
		},
		Other: func(t testing.TB) store.Backend { return open(t, dial(t), other) },
		// A server tells of a lease that ran out when it has noticed itself.
		Granularity: staleness + 500*time.Millisecond,
	})
}

// The contract holds for one process with a cache, also where the user may do no more than it needs.
func TestContractWithCache(t *testing.T) {
	for _, flavour := range flavoursWithCache {
		t.Run(string(flavour), func(t *testing.T) {
			t.Parallel()
			rights := slices.Concat(rule(t, "test-*"), indexRule(t), scanRule(t), noticeRights(t, "test-*"), cacheRights(t))
			server := testserver.RedisTLS(t, []string{"user app on >pw " + strings.Join(rights, " ")}, testserver.WithFlavour(flavour))
			contractOfOne(t, redisstore.Options{}, func(t testing.TB) redis.UniversalClient {
				return dial(t, server.URLFor("app", "pw"), func(o *redis.Options) { o.TLSConfig = server.TLS })
			})
		})
	}
	t.Run("without batching", func(t *testing.T) {
		t.Parallel()
		server := testserver.SharedRedis(t)
		contractOfOne(t, redisstore.Options{DisableBatching: true}, func(t testing.TB) redis.UniversalClient { return dial(t, server.URL) })
	})
}

// The rights that the package comment names suffice for a cache. Without them there is none, reads go on, and one
// line says why.
func TestCacheRights(t *testing.T) {
	for _, flavour := range flavoursWithCache {
		t.Run(string(flavour), func(t *testing.T) {
			server := testserver.SharedRedis(t, flavour)
			ns := namespace(t)
			elsewhere := open(t, dial(t, server.URL), redisstore.Options{Namespace: ns})
			for _, with := range []bool{true, false} {
				t.Run(fmt.Sprint("with them=", with), func(t *testing.T) {
					rights := append([]string{"ACL", "SETUSER", ns, "reset", "on", ">hunter2"}, rule(t, ns)...)
					if with {
						rights = append(rights, cacheRights(t)...)
					}
					if _, err := server.Do(rights...); err != nil {
						t.Fatal(err)
					}
					defer server.Do("ACL", "DELUSER", ns)
					var lines logged
					b := open(t, dial(t, server.URL, func(o *redis.Options) { o.Username, o.Password = ns, "hunter2" }),
						redisstore.Options{Namespace: ns, Cache: &redisstore.CacheOptions{MaxStaleness: time.Hour}, Logger: slog.New(slog.NewTextHandler(&lines, nil))})
					id, s := create(t, b, store.Entry{Key: "k", Value: []byte("v")})
					wantGet(t, "at first", s, "v")
					eventually(t, "a cache or a line", func() error {
						if _, err := s.Get(t.Context(), "k"); err != nil {
							return err
						}
						if redisstore.Caches(b) == with && strings.Contains(lines.String(), "the cache is off") != with {
							return nil
						}
						return errors.New("not yet: " + lines.String())
					}, func(err error) bool { return err == nil })
					if text := lines.String(); strings.Contains(text, "hunter2") || strings.Contains(text, id) || !with && !strings.Contains(text, "+client|tracking") {
						t.Errorf("the log has %q, want the missing right and no secret", text)
					}
					readsWhatIsWritten(t, s, elsewhere, id)
				})
			}
		})
	}
}
