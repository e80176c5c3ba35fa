package store_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sessionkv/store"
)

// listedClaims share a list when they are copied.
type listedClaims struct {
	Subject, Issuer, Tenant string
	IssuedAt, Expires       int64
	Admin                   bool
	Scopes                  []string
}

// sameClaims is another type for what is stored of listedClaims.
type sameClaims listedClaims

var sampleListed = listedClaims{
	"u-000042", "https://login.example.com", "acme", 1_789_000_042, 1_789_003_642, true,
	[]string{"chat:read", "chat:write", "presence"},
}

// memoCases are sequences of operations on one session, after which the memo has paid or not. Each
// function does operation i of its sequence.
var memoCases = []struct {
	name string
	do   func(ctx context.Context, s *store.Session, i int) error
}{
	{"get", func(ctx context.Context, s *store.Session, i int) error { return getListed(ctx, s, "k0") }},
	{"set-get", func(ctx context.Context, s *store.Session, i int) error { return setGet(ctx, s, i, 1) }},
	{"set-get-get", func(ctx context.Context, s *store.Session, i int) error { return setGet(ctx, s, i, 2) }},
	{"set-3-gets", func(ctx context.Context, s *store.Session, i int) error { return setGet(ctx, s, i, 3) }},
	{"set-6-gets", func(ctx context.Context, s *store.Session, i int) error { return setGet(ctx, s, i, 6) }},
	{"half-writes", func(ctx context.Context, s *store.Session, i int) error {
		dice := uint64(i+1) * 0x9e3779b97f4a7c15
		dice ^= dice >> 29
		dice *= 0xbf58476d1ce4e5b9
		key := memoKeys[dice>>40%3]
		if dice>>63 == 0 {
			return key.Set(ctx, s, sampleListed)
		}
		return getListed(ctx, s, key)
	}},
	{"four-in-turn", func(ctx context.Context, s *store.Session, i int) error { return getListed(ctx, s, memoKeys[i%4]) }},
	{"eight-in-turn", func(ctx context.Context, s *store.Session, i int) error { return getListed(ctx, s, memoKeys[i%8]) }},
	{"nine-in-turn", func(ctx context.Context, s *store.Session, i int) error { return getListed(ctx, s, memoKeys[i%9]) }},
	{"two-types", func(ctx context.Context, s *store.Session, i int) error {
		if i%2 == 0 {
			return getListed(ctx, s, "k0")
		}
		_, err := store.Key[sameClaims]("k0").Get(ctx, s)
		return err
	}},
}

var memoKeys = [9]store.Key[listedClaims]{"k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8"}

func getListed(ctx context.Context, s *store.Session, key store.Key[listedClaims]) error {
	v, err := key.Get(ctx, s)
	if err == nil && len(v.Scopes) != 3 {
		err = fmt.Errorf("%s = %+v, want %+v", key, v, sampleListed)
	}
	return err
}

// setGet writes once and reads so many times, in turn.
func setGet(ctx context.Context, s *store.Session, i, reads int) error {
	if i%(reads+1) == 0 {
		return memoKeys[0].Set(ctx, s, sampleListed)
	}
	return getListed(ctx, s, memoKeys[0])
}

// memoSession is a session with all of memoKeys.
func memoSession(tb testing.TB, memo bool) *store.Session {
	var changes []store.Change
	for _, k := range memoKeys {
		changes = append(changes, k.To(sampleListed))
	}
	s := create(tb, open(tb, nil), changes...)
	if !memo {
		store.RememberNothing(s)
	}
	return s
}

// BenchmarkMemo has each sequence with and without the memo. Each round of a benchmark does a part of
// both, so that a busy machine slows both, and reports the medians.
func BenchmarkMemo(b *testing.B) {
	ctx := context.Background()
	for _, c := range memoCases {
		b.Run(c.name, func(b *testing.B) {
			sessions := []*store.Session{memoSession(b, true), memoSession(b, false)}
			times := make([][]float64, len(sessions))
			const batch = 2520
			for b.Loop() {
				for i, s := range sessions {
					start := time.Now()
					for n := range batch {
						if err := c.do(ctx, s, n); err != nil {
							b.Fatal(err)
						}
					}
					times[i] = append(times[i], float64(time.Since(start).Nanoseconds())/batch)
				}
			}
			for i := range times {
				slices.Sort(times[i])
			}
			with, without := times[0], times[1]
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(with[len(with)/4], "ns-with")
			b.ReportMetric(without[len(without)/4], "ns-without")
			b.ReportMetric(with[0], "best-with")
			b.ReportMetric(without[0], "best-without")
		})
	}
}
