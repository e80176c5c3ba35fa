package redisstore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// GetMany of no keys tells that the session lives, which gets old as well.
func TestCacheDoesNotAnswerForNoKeys(t *testing.T) {
	reads := 0
	c := aloneCache(CacheOptions{MaxStaleness: time.Nanosecond}, func(any, []any) ([]any, error) {
		if reads++; reads > 1 {
			return []any{nil}, nil // another process has destroyed it
		}
		return []any{someToken, "v"}, nil
	})
	s := handleOf(c, 1)
	readOne(t, c, s, "k")
	time.Sleep(time.Microsecond)
	if values, err := c.fields(t.Context(), s, []any{tokenField}); err != nil || values[0] != nil {
		t.Errorf("fields() of the token alone, when what was read is too old = %v, %v, want that it is gone", values, err)
	}
}

// The longest times there are make a cache keep what it has.
func TestCacheKeepsForLong(t *testing.T) {
	for _, staleness := range []time.Duration{math.MaxInt64, math.MaxInt64 / 2, 100 * 365 * 24 * time.Hour} {
		reads := 0
		c := aloneCache(CacheOptions{MaxStaleness: staleness}, func(any, []any) ([]any, error) { reads++; return []any{someToken, "v"}, nil })
		const sessions = 1000
		for range 2 {
			for i := range sessions {
				readOne(t, c, handleOf(c, i), "k")
			}
		}
		if reads != sessions {
			t.Errorf("MaxStaleness %v: %d reads of %d sessions, want one for each", staleness, reads, sessions)
		}
	}
}

// Slots of what was asked for and did not come count as others.
func TestCacheMemoryOfFailures(t *testing.T) {
	const most = 1 << 20
	for name, answer := range map[string]func(c *cache, s *handle) ([]any, error){
		"errors":    func(*cache, *handle) ([]any, error) { return nil, errors.New("down") },
		"overtaken": func(c *cache, s *handle) ([]any, error) { c.forget(s); return []any{someToken, "v"}, nil },
	} {
		t.Run(name, func(t *testing.T) {
			var s *handle
			var c *cache
			c = aloneCache(CacheOptions{MaxBytes: most, MaxStaleness: time.Hour}, func(any, []any) ([]any, error) { return answer(c, s) })
			for i := range 20_000 {
				s = handleOf(c, i)
				_, _ = c.fields(t.Context(), s, []any{tokenField, "k"})
			}
			counted := 0
			for i := range c.shards {
				counted += c.shards[i].bytes
			}
			if counted > most {
				t.Errorf("the cache counts %d bytes, want %d at most", counted, most)
			}
		})
	}
}

// The fields of a session are few enough to find one among them, however many are read one by one.
func TestCacheBoundsFields(t *testing.T) {
	c := aloneCache(CacheOptions{MaxBytes: 1 << 30, MaxStaleness: time.Hour}, valued(func() string { return "v" }))
	s := handleOf(c, 1)
	for i := range 5000 {
		readOne(t, c, s, fmt.Sprint("key-", i))
	}
	if n := len(s.slot.Load().kept.Load().fields); n > maxFields {
		t.Errorf("%d fields are kept of a session, want %d at most", n, maxFields)
	}
	if _, ok := c.hit(s, "key-4999"); !ok {
		t.Error("the field that was read last is not kept")
	}
}

// However little memory there is, reads are answered.
func TestCacheWithoutRoom(t *testing.T) {
	for _, most := range []int{-1, 1, 63, 64, 1000, 100_000} {
		c := aloneCache(CacheOptions{MaxBytes: most}, valued(func() string { return strings.Repeat("x", 100) }))
		for i := range 1000 {
			readOne(t, c, handleOf(c, i), "k")
		}
		counted := 0
		for i := range c.shards {
			sh := &c.shards[i]
			sum := 0
			for _, slot := range sh.slots {
				sum += slot.bytes
			}
			if sum != sh.bytes {
				t.Errorf("MaxBytes %d: a shard counts %d bytes, and its slots %d", most, sh.bytes, sum)
			}
			counted += sh.bytes
		}
		if most > 0 && counted > most+shards*(slotBytes+20) {
			t.Errorf("MaxBytes %d: %d bytes", most, counted)
		}
	}
}

// A read that does not come back holds up those who came with it, and nobody who comes long after.
func TestCacheDoesNotWaitForOldReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reads atomic.Int32
		hang := make(chan struct{})
		c := aloneCache(CacheOptions{MaxStaleness: time.Hour}, func(any, []any) ([]any, error) {
			if reads.Add(1) == 1 {
				<-hang
				return []any{someToken, "old"}, nil
			}
			return []any{someToken, "v"}, nil
		})
		s := handleOf(c, 1)
		get := func() ([]any, error) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			return c.fields(ctx, s, []any{tokenField, "k"})
		}
		go func() {
			if values, err := get(); err != nil || values[1] != "old" {
				t.Errorf("fields() while the server hangs = %v, %v, want old", values, err)
			}
		}()
		time.Sleep(time.Second)
		if values, err := get(); err != nil || values[1] != "v" {
			t.Errorf("fields() when the server goes on = %v, %v, want v", values, err)
		}
		close(hang)
		synctest.Wait()
		if v, ok := c.hit(s, "k"); ok && v != "v" {
			t.Errorf("hit() after the first read came back = %v, which was asked for before v", v)
		}
		if values, err := get(); err != nil || values[1] != "v" {
			t.Errorf("fields() after the first read came back = %v, %v, want v", values, err)
		}
	})
}

// A read goes on while anybody waits for it, and no longer. A server that is too slow is not asked for what
// nobody waits for.
func TestCacheEndsReadsThatAreLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := aloneCache(CacheOptions{MaxStaleness: time.Hour}, nil)
		running, reply := 0, make(chan struct{})
		c.read = func(ctx context.Context, _ any, fields []any) ([]any, error) {
			running++
			defer func() { running-- }()
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-reply:
				return []any{someToken, "v"}, nil
			}
		}
		s := handleOf(c, 1)
		get := func(ctx context.Context, want error) {
			if _, err := c.fields(ctx, s, []any{tokenField, "k"}); err != want {
				t.Errorf("fields() = %v, want %v", err, want)
			}
		}
		first, leaveFirst := context.WithCancel(t.Context())
		second, leaveSecond := context.WithCancel(t.Context())
		go get(first, context.Canceled)
		synctest.Wait()
		go get(second, context.Canceled)
		synctest.Wait()
		leaveFirst()
		synctest.Wait()
		if running != 1 {
			t.Errorf("%d reads are in progress while one of two callers waits, want 1", running)
		}
		leaveSecond()
		synctest.Wait()
		if running != 0 || len(s.slot.Load().fetches) != 0 {
			t.Errorf("%d reads are in progress while nobody waits, want 0", running)
		}
		go get(t.Context(), nil)
		synctest.Wait()
		if running != 1 {
			t.Errorf("%d reads are in progress for a new caller, want 1", running)
		}
		close(reply)
		synctest.Wait()
		if v, ok := c.hit(s, "k"); !ok || v != "v" {
			t.Errorf("hit() = %v, %t, want v", v, ok)
		}
	})
}

// A read that was left is not kept, even if its reply comes: no write makes it stale any more.
func TestCacheKeepsNoReadThatWasLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reply := make(chan struct{})
		c := aloneCache(CacheOptions{MaxStaleness: time.Hour}, func(any, []any) ([]any, error) { <-reply; return []any{someToken, "old"}, nil })
		s := handleOf(c, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.fields(ctx, s, []any{tokenField, "k"}); err != context.DeadlineExceeded {
			t.Errorf("fields() = %v, want %v", err, context.DeadlineExceeded)
		}
		c.forget(s) // a write
		close(reply)
		synctest.Wait()
		if v, ok := c.hit(s, "k"); ok {
			t.Errorf("hit() = %v, want nothing", v)
		}
	})
}
