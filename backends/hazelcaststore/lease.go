package hazelcaststore

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/hazelcaststore/internal/document"
)

const (
	// entrySlack is how much longer than the session the entry is to stay. A
	// member drops it up to a second early, because it counts whole seconds,
	// and its clock may differ from that of the member that was asked the time.
	entrySlack = 2 * time.Second

	// maxLease is what longer leases are cut to. Members keep expiry times as
	// seconds since 2018 in 31 bits: an entry that would stay beyond 2086 would
	// stay for ever.
	maxLease = 10 * 365 * 24 * time.Hour

	// renewers is how many sessions of one Renew are under way at once.
	renewers = 64
)

// deadline returns when a lease that begins now ends, in milliseconds.
func (b *Backend) deadline(lease time.Duration) int64 {
	_, latest := b.clock.now()
	lease = min(lease, maxLease)
	return latest + int64((lease+time.Millisecond-1)/time.Millisecond)
}

// entryTTL returns how long the entry of a session with this deadline is to stay.
func (b *Backend) entryTTL(deadline int64) time.Duration {
	earliest, _ := b.clock.now()
	return time.Duration(deadline-earliest)*time.Millisecond + entrySlack
}

// stretch lets the entry under key stay as long as its session lives, after v was
// put in place, which left the entry the map's default time to live. That is enough
// for most. For the others the time to live is set, and, because an entry's time to
// live cannot be set conditionally, what stands there is looked at afterwards: if a
// later document needs longer, it gets it. An entry is never without an end.
func (b *Backend) stretch(ctx context.Context, key string, v document.View) error {
	for n := 1; ; n++ {
		ttl := b.entryTTL(v.Deadline())
		if ttl <= b.defaultTTL {
			return nil
		}
		found, err := b.grid.SetTTLAffected(ctx, key, ttl)
		var doc []byte
		if err == nil && found {
			doc, err = b.read(ctx, key)
		}
		if err != nil {
			if final(err) || b.closed.Load() || !b.running() || !pause(ctx, n, failurePause, failurePauseMost) {
				return b.describe(key, err)
			}
			continue
		}
		later, err := document.Open(doc)
		if err != nil || later.Deadline() <= v.Deadline() {
			return nil // including that there is no entry any more
		}
		v = later
	}
}

// keepStretching goes on with what stretch could not do in time, until the entry
// has dropped for want of it: the write has taken effect, and left the session less
// time than it was promised.
func (b *Backend) keepStretching(key string, v document.View) {
	if b.begin() != nil {
		return
	}
	until := time.Now().Add(b.defaultTTL)
	go func() {
		defer b.calls.Done()
		for n := 1; time.Now().Before(until) && !b.closed.Load() && b.running(); n++ {
			if b.stretch(b.limited(), key, v) == nil || !pause(b.ctx, n, failurePause, failurePauseMost) {
				return
			}
		}
	}()
}

// Renew implements [store.Backend]. Each session takes one compare-and-swap, that
// is one round trip when no other process has written to it since this one looked;
// up to 64 of them are under way at once. With a lease of zero it takes one read
// for each.
func (b *Backend) Renew(ctx context.Context, sessions []store.Store, lease time.Duration) []error {
	var mu sync.Mutex
	var errs []error // made at the first failure: there is hardly ever one
	fail := func(i int, err error) {
		mu.Lock()
		defer mu.Unlock()
		if errs == nil {
			errs = make([]error, len(sessions))
		}
		errs[i] = err
	}
	var next atomic.Int64
	work := func() {
		for i := int(next.Add(1)) - 1; i < len(sessions); i = int(next.Add(1)) - 1 {
			if err := b.renew(ctx, sessions[i], lease); err != nil {
				fail(i, err)
			}
		}
	}
	if len(sessions) <= 1 {
		work()
		return errs
	}
	var wg sync.WaitGroup
	for range min(renewers, len(sessions)) {
		wg.Go(work)
	}
	wg.Wait()
	return errs
}

func (b *Backend) renew(ctx context.Context, s store.Store, lease time.Duration) error {
	l, err := b.ours(s)
	if err != nil {
		return err
	}
	if err := l.check(ctx); err != nil {
		return err
	}
	if lease <= 0 {
		_, err := l.view(ctx)
		return err
	}
	return l.do(ctx, &op{apply: func(d *document.Draft) error {
		d.SetDeadline(max(d.Deadline(), b.deadline(lease)))
		return nil
	}})
}

// Suspend implements [store.Backend]. The grace period must be positive. One that is
// longer than the map's default time to live takes three round trips.
func (b *Backend) Suspend(ctx context.Context, session store.Store, grace time.Duration) error {
	l, err := b.ours(session)
	if err != nil {
		return err
	}
	if grace <= 0 {
		return errGrace
	}
	if err := l.check(ctx); err != nil {
		return err
	}
	return l.do(ctx, &op{apply: func(d *document.Draft) error {
		d.SetDeadline(b.deadline(grace))
		return nil
	}})
}

// ours returns the life behind a Store that this Backend handed out.
func (b *Backend) ours(s store.Store) (*life, error) {
	h, ok := s.(*handle)
	if !ok || h == nil || h.life.backend != b {
		return nil, errForeign
	}
	return h.life, nil
}
