package redisstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const someToken = "xV3R1oEJ0yb8dXpKk0-Zvw"

// aloneCache returns a cache over read, which is in use.
func aloneCache(o CacheOptions, read func(name any, fields []any) ([]any, error)) *cache {
	c := newCache(o)
	c.tracking = &tracking{closed: true}
	c.epoch.Store(1)
	c.read = func(_ context.Context, name any, fields []any) ([]any, error) { return read(name, fields) }
	return c
}

// valued returns a read that finds value under every field.
func valued(value func() string) func(any, []any) ([]any, error) {
	return func(_ any, fields []any) ([]any, error) {
		values := []any{someToken}
		for range fields[1:] {
			values = append(values, value())
		}
		return values, nil
	}
}

func handleOf(c *cache, i int) *handle {
	return &handle{b: &Backend{cache: c}, name: fmt.Sprint("chat:session-", i), token: someToken}
}

func readOne(t *testing.T, c *cache, s *handle, key string) {
	t.Helper()
	if _, err := c.fields(t.Context(), s, []any{tokenField, key}); err != nil {
		t.Fatal(err)
	}
}

func heap() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// The memory of a cache keeps to its bound, and is what it counts.
func TestCacheMemory(t *testing.T) {
	const most = 8 << 20
	for _, size := range []int{1, 100, 2000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			c := aloneCache(CacheOptions{MaxBytes: most, MaxStaleness: time.Hour}, valued(func() string { return strings.Repeat("x", size) }))
			before := heap()
			for i := range 30_000 {
				s := handleOf(c, i)
				readOne(t, c, s, "userId")
				readOne(t, c, s, "tenant")
			}
			taken, counted, slots := heap()-before, 0, 0
			for i := range c.shards {
				counted += c.shards[i].bytes
				slots += len(c.shards[i].slots)
			}
			runtime.KeepAlive(c)
			t.Logf("%d sessions, %d bytes counted, %d on the heap", slots, counted, taken)
			if counted > most || taken > most*5/4 {
				t.Errorf("the cache takes %d bytes, and counts %d, want %d at most", taken, counted, most)
			}
			if counted < most*3/4 || taken < most/2 {
				t.Errorf("the cache takes %d bytes, and counts %d, want it to use its %d", taken, counted, most)
			}
		})
	}
}

// What was not filled for long goes although there is room.
func TestCacheShrinks(t *testing.T) {
	c := aloneCache(CacheOptions{MaxStaleness: time.Nanosecond}, valued(func() string { return "v" }))
	for i := range 10_000 {
		readOne(t, c, handleOf(c, i), "k")
	}
	slots := 0
	for i := range c.shards {
		slots += len(c.shards[i].slots)
	}
	if slots > 10*shards {
		t.Errorf("%d sessions are kept that cannot serve any more, want %d at most", slots, 10*shards)
	}
}

// Errors, sessions that have ended, and what is too large are not kept.
func TestCacheDoesNotKeep(t *testing.T) {
	answers := map[string]func(any, []any) ([]any, error){
		"an error":       func(any, []any) ([]any, error) { return nil, errors.New("down") },
		"an end":         func(any, []any) ([]any, error) { return []any{nil, nil}, nil },
		"a large value":  valued(func() string { return strings.Repeat("x", 300<<10) }),
		"another's hash": func(any, []any) ([]any, error) { return []any{"foreign", "v"}, nil },
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			reads := 0
			c := aloneCache(CacheOptions{}, func(name any, fields []any) ([]any, error) { reads++; return answer(name, fields) })
			s := handleOf(c, 1)
			for range 3 {
				_, _ = c.fields(t.Context(), s, []any{tokenField, "k"})
				if v, ok := c.hit(s, "k"); ok {
					t.Errorf("hit() = %v, want nothing", v)
				}
			}
			if reads != 3 {
				t.Errorf("%d reads, want 3", reads)
			}
		})
	}
}

// A fetch that began under one connection for notices is not kept under the next.
func TestCacheKeepsNothingFromBefore(t *testing.T) {
	var c *cache
	c = aloneCache(CacheOptions{}, func(any, []any) ([]any, error) {
		c.epoch.Store(2)
		return []any{someToken, "v"}, nil
	})
	s := handleOf(c, 1)
	readOne(t, c, s, "k")
	if v, ok := c.hit(s, "k"); ok {
		t.Errorf("hit() = %v, want nothing", v)
	}
}

// GetMany is one step: values that were read in several are not put together.
func TestCacheKeepsStepsApart(t *testing.T) {
	reads := 0
	c := aloneCache(CacheOptions{}, func(name any, fields []any) ([]any, error) {
		reads++
		return valued(func() string { return fmt.Sprint(reads) })(name, fields)
	})
	s := handleOf(c, 1)
	readOne(t, c, s, "a")
	readOne(t, c, s, "b")
	both := []any{tokenField, "a", "b"}
	for range 2 {
		values, err := c.fields(t.Context(), s, both)
		if err != nil || values[1] != values[2] {
			t.Errorf("fields() = %v, %v, want both from one reading", values, err)
		}
	}
}

// Whoever has read a field of a session finds no older one of another, in whatever order replies to reads that overlap come,
// and whoever asked first. No notice comes meanwhile.
func TestCacheReadsOneFieldAfterAnother(t *testing.T) {
	const both = 2
	for _, tt := range []struct {
		name  string
		seen  [both]int // by the server when it executes the reads, the first and the second that began
		first int       // the reply that comes first
	}{
		{"the first saw the older, and its reply comes last", [both]int{1, 2}, 1},
		{"the first saw the older, and its reply comes first", [both]int{1, 2}, 0},
		{"the first saw the newer, and its reply comes last", [both]int{2, 1}, 1},
		{"the first saw the newer, and its reply comes first", [both]int{2, 1}, 0},
	} {
		for _, between := range []bool{false, true} { // what is asked for before the other reply comes
			t.Run(fmt.Sprintf("%s, between: %t", tt.name, between), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					now, reads := 2, 0
					var reply [both]chan struct{}
					for i := range reply {
						reply[i] = make(chan struct{})
					}
					c := aloneCache(CacheOptions{MaxStaleness: time.Hour}, func(name any, fields []any) ([]any, error) {
						saw := now
						if reads < both {
							saw = tt.seen[reads]
							wait := reply[reads]
							reads++
							<-wait
						}
						return valued(func() string { return fmt.Sprint(saw) })(name, fields)
					})
					s := handleOf(c, 1)
					get := func(key string) string {
						if v, ok := c.hit(s, key); ok {
							return v.(string)
						}
						values, err := c.fields(t.Context(), s, []any{tokenField, key})
						if err != nil {
							t.Fatal(err)
						}
						return values[1].(string)
					}
					keys := [both]string{"a", "b"}
					var got [both]string
					for i := range both {
						go func() { got[i] = get(keys[i]) }()
						synctest.Wait()
					}
					newest := "1"
					check := func(when string) {
						t.Helper()
						for _, key := range keys {
							asked := make(chan string, 1)
							go func() { asked <- get(key) }()
							synctest.Wait()
							select {
							case v := <-asked:
								if v < newest {
									t.Errorf("%s, Get(%s) = %s, after %s was read", when, key, v, newest)
								}
								newest = max(newest, v)
							default:
								t.Errorf("%s, Get(%s) waits for a read that began before", when, key)
							}
						}
					}
					close(reply[tt.first])
					synctest.Wait()
					newest = got[tt.first]
					if between {
						check("after the first reply")
					}
					close(reply[1-tt.first])
					synctest.Wait()
					newest = max(newest, got[1-tt.first])
					check("after both replies")
					check("later")
				})
			})
		}
	}
}

// What concerns one session waits for no session of another shard.
func TestCacheLocksOneShard(t *testing.T) {
	c := aloneCache(CacheOptions{}, valued(func() string { return "v" }))
	s := handleOf(c, 1)
	readOne(t, c, s, "k")
	for i := range c.shards {
		if sh := &c.shards[i]; sh != c.shardOf(s.name.(string)) {
			sh.mu.Lock()
			defer sh.mu.Unlock()
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.forget(s)
		c.changed(s.name.(string))
		readOne(t, c, s, "k")
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Error("forget waits for another shard")
	}
}

// A hook of the client that panics leaves nobody waiting.
func TestCacheSurvivesPanics(t *testing.T) {
	c := aloneCache(CacheOptions{}, func(any, []any) ([]any, error) { panic("a hook") })
	s := handleOf(c, 1)
	func() {
		defer func() { _ = recover() }()
		_, _ = c.fields(context.Background(), s, []any{tokenField, "k"})
	}()
	c.read = func(context.Context, any, []any) ([]any, error) { return []any{someToken, "v"}, nil }
	if values, err := c.fields(context.Background(), s, []any{tokenField, "k"}); err != nil || values[1] != "v" {
		t.Errorf("fields() after a panic = %v, %v, want v", values, err)
	}
}

func BenchmarkCacheHit(b *testing.B) {
	c := aloneCache(CacheOptions{MaxStaleness: time.Hour}, valued(func() string { return "v" }))
	s := handleOf(c, 1)
	keys := []string{"userId", "tenant", "tokenClaims"}
	for _, key := range keys {
		if _, err := c.fields(b.Context(), s, []any{tokenField, key}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if v, ok := c.hit(s, "tokenClaims"); !ok || !bytes.Equal(bytesOf(v), []byte("v")) {
			b.Fatal("no hit")
		}
	}
}
