package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sessionkv/store"
)

// errEnough ends a scan early, without an error.
var errEnough = errors.New("enough")

const (
	scanPatience = 15 * time.Second // for a server that does not answer, as during a failover
	scanPause    = 250 * time.Millisecond
)

// scan calls visit with the IDs of all sessions, each once, page by page.
func (c *call) scan(ctx context.Context, visit func(ids []string) error) error {
	scanner, err := store.AsScanner(c.store)
	if err != nil {
		return err
	}
	seen := make(map[[16]byte]struct{})
	for cursor, more := "", true; more; {
		var page []string
		var next string
		err := patiently(ctx, func() (err error) {
			page, next, err = scanner.Scan(ctx, cursor)
			return err
		})
		if err != nil {
			return err
		}
		fresh := page[:0]
		for _, id := range page {
			sum := sha256.Sum256([]byte(id))
			key := [16]byte(sum[:])
			if _, twice := seen[key]; !twice {
				seen[key] = struct{}{}
				fresh = append(fresh, id)
			}
		}
		c.progress.say("%s so far", many(len(seen), "session"))
		if len(fresh) > 0 {
			if err := visit(fresh); err == errEnough {
				return nil
			} else if err != nil {
				return err
			}
		}
		cursor, more = next, next != ""
	}
	return nil
}

// patiently calls f again while the server is away, for a while.
func patiently(ctx context.Context, f func() error) error {
	for begun := time.Now(); ; {
		err := f()
		if err == nil || ctx.Err() != nil || !away(err) || time.Since(begun) > scanPatience {
			return err
		}
		select {
		case <-time.After(scanPause):
		case <-ctx.Done():
		}
	}
}

// away reports whether err says that a server could not be reached, which another try may mend.
func away(err error) bool {
	var n net.Error
	return errors.As(err, &n) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// together is how many sessions are looked at at once.
const together = 32

// each calls f(0) … f(n-1), some at a time, until one fails, and returns its error.
func each(ctx context.Context, n int, f func(i int) error) error {
	var (
		next  atomic.Int64
		wg    sync.WaitGroup
		mu    sync.Mutex
		first error
	)
	for range min(together, n) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				err := ctx.Err()
				if err == nil {
					err = f(i)
				}
				if err != nil {
					next.Store(int64(n))
					mu.Lock()
					if first == nil {
						first = err
					}
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return first
}

// unread counts sessions that could not be read while others can.
type unread struct {
	mu    sync.Mutex
	n     int   // guarded by mu
	first error // guarded by mu
}

// skip reports whether err is of one session, which is counted, and the others can be read.
func (u *unread) skip(ctx context.Context, err error) bool {
	if ctx.Err() != nil || away(err) || errors.Is(err, store.ErrClosed) {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.n++
	if u.first == nil {
		u.first = err
	}
	return true
}

// err returns what is to be said of them, nil without any.
func (u *unread) err() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.n == 0 {
		return nil
	}
	return fmt.Errorf("%s could not be read; the first error: %w", many(u.n, "session"), u.first)
}

// living calls visit with the sessions of each page that live and can be read.
func (c *call) living(ctx context.Context, visit func([]*session) error) error {
	return c.scan(ctx, func(ids []string) error {
		found := make([]*session, len(ids))
		err := each(ctx, len(ids), func(i int) (err error) {
			err = patiently(ctx, func() (err error) {
				found[i], err = c.look(ctx, ids[i])
				return err
			})
			if err != nil && c.unread.skip(ctx, err) {
				err = nil
			}
			return err
		})
		if err != nil {
			return err
		}
		alive := found[:0]
		for _, s := range found {
			if s != nil {
				alive = append(alive, s)
			}
		}
		return visit(alive)
	})
}

// loaded returns the values of sessions, nil for those that have ended meanwhile or cannot be read.
func (c *call) loaded(ctx context.Context, sessions []*session) ([][]store.Entry, error) {
	all := make([][]store.Entry, len(sessions))
	err := each(ctx, len(sessions), func(i int) (err error) {
		err = patiently(ctx, func() (err error) {
			all[i], err = c.values(ctx, sessions[i])
			return err
		})
		if err != nil && c.unread.skip(ctx, err) {
			all[i], err = nil, nil
		}
		return err
	})
	return all, err
}

func sizeOf(entries []store.Entry) (n int) {
	for _, e := range entries {
		n += len(e.Value)
	}
	return n
}

// reserved is what the keys begin with that the library keeps for itself, such as for where an index lists a session.
const reserved = "\ufdd0"

// bytesText writes a number of bytes.
func bytesText(n int) string {
	switch {
	case n < 10<<10:
		return fmt.Sprintf("%d B", n)
	case n < 10<<20:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}
