package hazelcaststore

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/hazelcast/hazelcast-go-client/aggregate"
	"github.com/hazelcast/hazelcast-go-client/predicate"
	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/keyspace"
)

var _ store.Scanner = (*Backend)(nil)

// scanMost is the most IDs on a page: replies that are much larger are slow, and other sessions of the
// member wait for them.
const scanMost = 10_000

// scanAttempt is the number of the attempt whose time the first look at all keys takes: it is slower than other calls.
const scanAttempt = 4

var errScanCursor = errors.New("the cursor does not come from Scan")

// Scan implements [store.Scanner]. The client has no page of a map's keys. So a page is a range of keys in byte order, with 10 000 at
// most, which members count before they send it. Each page costs them two looks at every key of the map, and some more where the
// range has to be narrowed. Documents are not loaded. A session that expired is named until its entry goes, by the map's default time
// to live after the last write.
func (b *Backend) Scan(ctx context.Context, cursor string) (ids []string, next string, err error) {
	if err := b.usable(ctx); err != nil {
		return nil, "", err
	}
	at := keyRange{to: len(keyBytes)}
	if cursor != "" {
		var ok bool
		if at, ok = parseRange(cursor); !ok {
			return nil, "", errScanCursor
		}
	}
	type page struct {
		ids  []string
		next string
	}
	p, err := await(b, ctx, func(ctx context.Context) (page, error) {
		ids, next, err := pageFrom(ctx, b, at, scanMost)
		return page{ids, next}, err
	})
	return p.ids, p.next, err
}

// keys are those of a map.
type keys interface {
	// count returns how many keys of sessions are in a range.
	count(context.Context, keyRange) (int64, error)
	// keysIn returns the IDs of a range.
	keysIn(context.Context, keyRange) ([]string, error)
}

// pageFrom returns a page of most IDs at most, from the range that at begins with.
func pageFrom(ctx context.Context, in keys, at keyRange, most int64) (ids []string, next string, err error) {
	for {
		n, err := in.count(ctx, at)
		if err != nil {
			return nil, "", err
		}
		if n > most {
			at = at.narrower()
			continue
		}
		if n > 0 {
			if ids, err = in.keysIn(ctx, at); err != nil {
				return nil, "", err
			}
		}
		following, ok := at.following(n <= most/2)
		if !ok {
			return ids, "", nil
		}
		if len(ids) > 0 {
			return ids, following.String(), nil
		}
		at = following
	}
}

func (b *Backend) count(ctx context.Context, r keyRange) (n int64, err error) {
	err = b.lookAtKeys(ctx, func(ctx context.Context) error {
		v, err := b.grid.AggregateWithPredicate(ctx, aggregate.Count("__key"), r.predicate())
		n, _ = v.(int64)
		return err
	})
	return n, err
}

func (b *Backend) keysIn(ctx context.Context, r keyRange) (ids []string, err error) {
	var keys []any
	err = b.lookAtKeys(ctx, func(ctx context.Context) (err error) {
		keys, err = b.grid.GetKeySetWithPredicate(ctx, r.predicate())
		return err
	})
	for _, key := range keys {
		name, _ := key.(string)
		if id, ok := keyspace.Unescape(name); ok && store.CheckID(id) == nil {
			ids = append(ids, id)
		}
	}
	return ids, err
}

// lookAtKeys calls look until it succeeds, as other reads are.
func (b *Backend) lookAtKeys(ctx context.Context, look func(context.Context) error) error {
	for n := 1; ; n++ {
		err := look(b.attempt(ctx, n+scanAttempt-1))
		if err == nil {
			b.succeeded()
			return nil
		}
		b.failed()
		if b.final(err) || b.closed.Load() || !b.running() || !pause(ctx, n, failurePause, failurePauseMost) {
			return b.describe("", err)
		}
	}
}

// keyBytes are those that keys of sessions consist of, in their order.
const keyBytes = "%-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"

// A keyRange is the keys that begin with prefix and go on with one of keyBytes[from:to]. From 0 on, prefix itself is among
// them.
type keyRange struct {
	prefix   string
	from, to int
}

// bounds returns the first key and the one after the last, "" for none.
func (r keyRange) bounds() (first, after string) {
	if r.from > 0 {
		first = r.prefix + keyBytes[r.from:r.from+1]
	} else {
		// The first range behind a longer prefix takes along what is no longer than the prefix.
		first = strings.TrimRight(r.prefix, keyBytes[:1])
	}
	switch last := len(r.prefix) - 1; {
	case r.to < len(keyBytes):
		after = r.prefix + keyBytes[r.to:r.to+1]
	case last >= 0:
		after = r.prefix[:last] + string(r.prefix[last]+1)
	}
	return first, after
}

// predicate accepts the range. Lists of indexes, records of owners and probes begin with a colon.
func (r keyRange) predicate() predicate.Predicate {
	all := []predicate.Predicate{predicate.Not(predicate.Like("__key", ":%"))}
	first, after := r.bounds()
	if first != "" {
		all = append(all, predicate.GreaterOrEqual("__key", first))
	}
	if after != "" {
		all = append(all, predicate.Less("__key", after))
	}
	return predicate.And(all...)
}

// narrower returns the first half of r, or, where that is one byte wide, all with a longer prefix.
func (r keyRange) narrower() keyRange {
	if r.to-r.from > 1 {
		r.to = r.from + (r.to-r.from)/2
		return r
	}
	return keyRange{r.prefix + keyBytes[r.from:r.from+1], 0, len(keyBytes)}
}

// following returns the range behind r, as wide as r or twice as wide, and false behind the last.
func (r keyRange) following(wider bool) (keyRange, bool) {
	width := r.to - r.from
	if wider {
		width *= 2
	}
	for r.to == len(keyBytes) {
		last := len(r.prefix) - 1
		if last < 0 {
			return keyRange{}, false
		}
		r.to = strings.IndexByte(keyBytes, r.prefix[last]) + 1
		r.prefix = r.prefix[:last]
		width = 1
	}
	return keyRange{r.prefix, r.to, min(r.to+width, len(keyBytes))}, true
}

func (r keyRange) String() string {
	return r.prefix + "/" + strconv.Itoa(r.from) + "/" + strconv.Itoa(r.to)
}

func parseRange(text string) (r keyRange, ok bool) {
	f := strings.Split(text, "/")
	if len(f) != 3 || len(f[0]) > 3*store.MaxIDLength || strings.Trim(f[0], keyBytes) != "" {
		return r, false
	}
	from, err1 := strconv.Atoi(f[1])
	to, err2 := strconv.Atoi(f[2])
	return keyRange{f[0], from, to}, err1 == nil && err2 == nil && 0 < from && from < to && to <= len(keyBytes)
}
