package hazelcaststore

import (
	"context"
	"errors"
	"hash/fnv"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/sessionkv/store/backends/hazelcaststore/internal/document"
)

// A list of an index is one entry of the map, or several when it has many members. Their number is a power of two,
// which is in the first. A member is in the part that its hash says. Parts are added and never taken away while
// there are members. So a member may be in a part where it belonged when there were fewer. Whoever reads takes all
// parts, and whoever removes tries each where it can be.
//
// Each part is replaced by a compare-and-swap. Members whose deadline has come are left out then; a part without
// members is removed. Its entry's time to live is the map's default, or until its last member's deadline.
type list struct {
	b    *Backend
	name string
}

const (
	// fullPart is the number of members at which a list gets twice as many parts.
	fullPart = 256

	// partsStay is how much longer than needed the first part says that there are others: it is written
	// seldom therefore.
	partsStay = 10 * time.Minute
)

// key returns the key of a part. Session IDs are escaped and have no colon.
func (l list) key(part int) string { return ":i:" + l.name + ":" + strconv.Itoa(part) }

// part returns where name belongs in a list of so many parts.
func part(name string, parts int) int {
	h := fnv.New64a()
	h.Write([]byte(name))
	sum := h.Sum64()
	sum ^= sum >> 29
	return int(sum % uint64(parts))
}

// put makes names members until deadline.
func (l list) put(ctx context.Context, names []string, deadline int64) error {
	// The first part answers how many there are, or becomes the list.
	parts := 1
	var elsewhere map[int][]string
	err := l.change(ctx, 0, true, func(p *document.List) bool {
		parts = p.Parts
		elsewhere = byPart(names, parts)
		here := elsewhere[0]
		delete(elsewhere, 0)
		changed := false
		for _, name := range here {
			changed = p.Put(name, deadline) || changed
		}
		if len(p.Members) > fullPart && p.Parts < document.MaxParts {
			p.Parts *= 2
		}
		if (p.Parts > parts || len(elsewhere) > 0) && p.Until < deadline {
			p.Until = deadline + partsStay.Milliseconds()
			changed = true
		}
		return changed
	})
	for at, names := range elsewhere {
		if err != nil {
			break
		}
		full := false
		err = l.change(ctx, at, true, func(p *document.List) bool {
			changed := false
			for _, name := range names {
				changed = p.Put(name, deadline) || changed
			}
			full = len(p.Members) > fullPart
			return changed
		})
		if full && err == nil {
			err = l.change(ctx, 0, true, func(p *document.List) bool {
				if p.Parts > parts || p.Parts >= document.MaxParts {
					return false
				}
				p.Parts = 2 * parts
				p.Until = max(p.Until, deadline+partsStay.Milliseconds())
				return true
			})
		}
	}
	return err
}

// byPart sorts names by the part where they belong.
func byPart(names []string, parts int) map[int][]string {
	by := make(map[int][]string, 1)
	for _, name := range names {
		at := part(name, parts)
		by[at] = append(by[at], name)
	}
	return by
}

// remove removes names.
func (l list) remove(ctx context.Context, names []string) error {
	parts := 1
	err := l.change(ctx, 0, false, func(p *document.List) bool {
		parts = p.Parts
		return p.Remove(names...)
	})
	for n := 2; n <= parts; n *= 2 {
		for at, names := range byPart(names, n) {
			if err == nil && at >= n/2 { // where the smaller numbers of parts have not led
				err = l.change(ctx, at, false, func(p *document.List) bool { return p.Remove(names...) })
			}
		}
	}
	return err
}

// page returns the members of the part that cursor says: its number and that of all.
func (l list) page(ctx context.Context, cursor string) (members []string, next string, err error) {
	at, parts := 0, 0
	if cursor != "" {
		a, p, _ := strings.Cut(cursor, "/")
		if at, err = strconv.Atoi(a); err == nil {
			parts, err = strconv.Atoi(p)
		}
		if err != nil || at < 1 || parts <= at || parts > document.MaxParts {
			return nil, "", errCursor
		}
	}
	doc, err := l.b.read(ctx, l.key(at))
	if err != nil {
		return nil, "", err
	}
	if doc != nil {
		p, err := document.OpenList(doc)
		if err != nil {
			return nil, "", err
		}
		if at == 0 {
			parts = p.Parts
		}
		earliest, _ := l.b.clock.now()
		p.Expire(earliest)
		for _, m := range p.Members {
			members = append(members, m.Name)
		}
	}
	if at+1 < parts {
		next = strconv.Itoa(at+1) + "/" + strconv.Itoa(parts)
	}
	return members, next, nil
}

// change replaces a part by what f makes of it, unless f says that nothing changes. A part that is not there is an empty one, or, without create,
// left alone. f may be called several times. To change a part in the same way again is harmless, so
// that a call whose reply was lost is repeated.
func (l list) change(ctx context.Context, at int, create bool, f func(*document.List) bool) error {
	b, key := l.b, l.key(at)
	var doc []byte
	known := false // doc is what the cluster has, or had a moment ago
	unlock := func() {}
	defer func() { unlock() }()
	for n := 1; ; n++ {
		var err error
		switch {
		case !known && create:
			// A list usually has no member yet.
			p := &document.List{Nonce: rand.Uint64(), Parts: 1}
			if !f(p) {
				return nil
			}
			var there any
			if there, err = b.grid.PutIfAbsentWithTTL(b.attempt(ctx, n), key, p.Encode(), b.firstTTL(p.Latest())); err == nil {
				if doc, err = bytesOf(there); err != nil {
					return err
				}
				if doc == nil {
					b.succeeded()
					return nil
				}
			}
		case !known:
			doc, err = b.read(ctx, key)
		}
		if err == nil {
			if doc == nil && !create {
				return nil
			}
			var done bool
			if done, err = l.replace(ctx, n, key, doc, f, &unlock); done && err == nil {
				b.succeeded()
				return nil
			}
		}
		known = false
		if errors.Is(err, document.ErrMalformed) {
			return err
		}
		most := rivalPauseMost
		if err != nil {
			b.failed()
			if b.final(err) {
				return b.describe(key, err)
			}
			most = failurePauseMost
		}
		if n == patience {
			ctx, unlock = b.lock(ctx, key)
		}
		if b.closed.Load() || !b.running() || !pause(ctx, n, rivalPause, most) {
			if err == nil {
				err = ctx.Err()
			}
			return unknown(b.describe(key, err))
		}
	}
}

// replace makes one attempt at changing the part that is there as doc. It calls unlock before it sets a time to live.
func (l list) replace(ctx context.Context, n int, key string, doc []byte, f func(*document.List) bool, unlock *func()) (done bool, err error) {
	b := l.b
	if doc == nil {
		return false, nil
	}
	p, err := document.OpenList(doc)
	if err != nil {
		return false, err
	}
	earliest, _ := b.clock.now()
	p.Expire(earliest)
	if !f(p) {
		return true, l.stretch(ctx, key, p.Latest()) // which an attempt before may not have done
	}
	if len(p.Members) == 0 && (p.Parts == 1 || p.Until <= earliest) {
		return b.grid.RemoveIfSame(b.attempt(ctx, n), key, doc)
	}
	p.Nonce = rand.Uint64()
	done, err = b.grid.ReplaceIfSame(b.attempt(ctx, n), key, doc, p.Encode())
	if !done || err != nil {
		return false, err
	}
	(*unlock)()
	*unlock = func() {}
	return true, l.stretch(ctx, key, p.Latest())
}

// stretch lets a part stay until the given time, after it was replaced: that left it the map's default time to live. As with
// sessions, what is there is looked at afterwards.
func (l list) stretch(ctx context.Context, key string, until int64) error {
	return l.b.stretchTo(ctx, key, until, func(doc []byte) (int64, error) {
		p, err := document.OpenList(doc)
		if err != nil {
			return 0, err
		}
		return p.Latest(), nil
	})
}
