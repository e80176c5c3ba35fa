package hazelcaststore

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/hazelcaststore/internal/document"
)

const (
	// entrySlack is how much longer than the session the entry is to stay. A member drops it up to
	// a second early, because it counts whole seconds. Its clock may differ from that of the member
	// that was asked the time.
	entrySlack = 2 * time.Second

	// maxLease is what longer leases are cut to. Members keep expiry times as
	// seconds since 2018 in 31 bits: an entry that would stay beyond 2086 would
	// stay permanently.
	maxLease = 10 * 365 * 24 * time.Hour

	// renewers is how many sessions of one Renew are in progress at once.
	renewers = 64
)

// deadline returns when a lease that begins now ends, in milliseconds.
func (b *Backend) deadline(lease time.Duration) int64 {
	_, latest := b.clock.now()
	lease = min(lease, maxLease)
	return latest + int64((lease+time.Millisecond-1)/time.Millisecond)
}

// entryTTL returns how long the entry of a session with this deadline has to stay.
func (b *Backend) entryTTL(deadline int64) time.Duration {
	earliest, _ := b.clock.now()
	return time.Duration(deadline-earliest)*time.Millisecond + entrySlack
}

// firstTTL returns the time to live of a new entry. It is as long as that of one that was replaced,
// so that a member whose clock is ahead does not drop what moves to it.
func (b *Backend) firstTTL(deadline int64) time.Duration {
	return max(b.entryTTL(deadline), b.defaultTTL())
}

// stretch lets the entry under key stay as long as its session lives. It is for after v was put in
// place, which left the entry the map's default time to live. That is enough for most. For the
// others the time to live is set. Because that cannot be conditional, what is there is looked at
// afterwards. If a later document needs longer, it gets it. An entry is never without an end.
func (b *Backend) stretch(ctx context.Context, key string, v document.View) error {
	return b.stretchTo(ctx, key, v.Deadline(), func(doc []byte) (int64, error) {
		later, err := document.Open(doc)
		if err != nil {
			return 0, err
		}
		return later.Deadline(), nil
	})
}

// stretchTo is stretch for an entry that is to stay until until. It asks deadlineOf until when what
// it finds there is to stay. That fails when it does not matter, as without an entry.
func (b *Backend) stretchTo(ctx context.Context, key string, until int64, deadlineOf func(doc []byte) (int64, error)) error {
	for n := 1; ; n++ {
		ttl := b.entryTTL(until)
		if ttl <= b.defaultTTL() {
			return nil
		}
		found, err := b.grid.SetTTLAffected(b.attempt(ctx, n), key, ttl)
		var doc []byte
		if err == nil && found {
			doc, err = b.read(ctx, key)
		}
		if err != nil {
			if b.final(err) || b.closed.Load() || !b.running() || !pause(ctx, n, failurePause, failurePauseMost) {
				return b.describe(key, err)
			}
			continue
		}
		later, err := deadlineOf(doc)
		if err != nil || later <= until {
			return nil
		}
		until = later
	}
}

// keepStretching goes on with what stretch could not do in time, until the entry has dropped
// without it. The write has taken effect, and left the session less time than it was promised.
func (b *Backend) keepStretching(key string, v document.View) {
	if b.begin() != nil {
		return
	}
	until := time.Now().Add(max(b.defaultTTL(), minDefaultTTL))
	go func() {
		defer b.calls.Done()
		for n := 1; time.Now().Before(until) && !b.closed.Load() && b.running(); n++ {
			if b.stretch(b.limited(), key, v) == nil || !pause(b.ctx, n, failurePause, failurePauseMost) {
				return
			}
		}
	}()
}

// stretchUnknown is keepStretching after a write of unknown outcome. If it has taken effect,
// the entry has only the map's default time to live, and the session was promised more.
func (b *Backend) stretchUnknown(key string, v document.View, err error) {
	if errors.Is(err, store.ErrUnknownOutcome) && b.entryTTL(v.Deadline()) > b.defaultTTL() {
		b.keepStretching(key, v)
	}
}

// keptFrom remembers that the entry was replaced after the cluster's clock showed asked, in
// milliseconds. It stays for the map's default time to live from then on.
func (l *life) keptFrom(asked int64) {
	stays := asked + (l.backend.defaultTTL() - entrySlack).Milliseconds()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stays.Store(max(l.stays.Load(), stays))
}

// Renew implements [store.Backend]. The first renewal of a session takes one compare-and-swap of
// its document. That is one round trip when no other process has written to it since this one
// looked. Up to 64 of them are in progress at once. Further ones take one for all sessions
// together, however many. Shortly before the map's default time to live has passed since the last
// write, one takes a compare-and-swap of the document again. With a lease beyond that time, each
// renewal is as the first. With a lease of zero it takes one read for each session.
func (b *Backend) Renew(ctx context.Context, sessions []store.Store, lease time.Duration) []error {
	if len(sessions) == 0 {
		return nil
	}
	r := b.newRenewal(sessions, lease)
	defer r.last()
	wanted, ok := r.begin(ctx)
	if !ok {
		return r.errs
	}
	if r.owner == nil {
		r.oneByOne(ctx, nil)
		return r.errs
	}
	rest, kept := r.split(wanted)
	if len(kept) > 0 {
		switch left, err := r.throughOwner(ctx, wanted, kept); {
		case err == nil:
			rest = append(rest, left...)
		case errors.Is(err, errOwnerGone):
			r.owner = b.owner(lease)
			if err := r.ownerWithRecord(ctx, wanted); err != nil {
				for _, i := range kept {
					r.fail(i, err)
				}
				break
			}
			rest = append(rest, kept...)
		default:
			for _, i := range kept {
				r.fail(i, err)
			}
		}
	}
	if len(rest) > 0 {
		r.oneByOne(ctx, rest)
	}
	return r.errs
}

// last tells those who watch the renewed sessions how long they live.
func (r *renewal) last() {
	if r.lease <= 0 {
		return
	}
	for i, l := range r.lives {
		if l != nil && (r.errs == nil || r.errs[i] == nil) {
			l.lasts(r.lease)
		}
	}
}

// A renewal is one call of Renew, or of what does the same to entries of indexes.
type renewal struct {
	b     *Backend
	count int
	lives []*life // of the sessions; nil for one that is not ours, which has its error
	lease time.Duration
	owner *owner // nil when every session is renewed individually

	mu   sync.Mutex
	errs []error // guarded by mu; made at the first failure: there is hardly ever one
}

// newRenewal returns the renewal of sessions. It finds all lives before it looks at any,
// so that the processor fetches several at a time.
func (b *Backend) newRenewal(sessions []store.Store, lease time.Duration) *renewal {
	r := &renewal{b: b, count: len(sessions), lease: lease, lives: make([]*life, len(sessions))}
	for i, s := range sessions {
		if h, ok := s.(*handle); ok && h != nil {
			r.lives[i] = h.life
		}
	}
	for i, l := range r.lives {
		if l == nil || l.backend != b {
			r.lives[i] = nil
			r.fail(i, errForeign)
		}
	}
	return r
}

// begin finds the owner, if the lease is one that records can carry. It makes sure that the owner has a record, which is to last
// until wanted. Otherwise owner stays nil. When begin reports false, every session has its error.
func (r *renewal) begin(ctx context.Context) (wanted int64, ok bool) {
	if !r.b.made() {
		r.failAll(errNotMade)
		return 0, false
	}
	err := r.b.usable(ctx)
	if err == nil {
		r.owner = r.b.owner(r.lease)
	}
	if r.owner != nil {
		if err = r.b.keepTime(ctx); err == nil {
			r.b.owners.sweep()
			wanted = r.b.deadline(r.lease)
			err = r.ownerWithRecord(ctx, wanted)
		}
	}
	if err != nil {
		r.failOurs(err)
		return 0, false
	}
	return wanted, true
}

func (r *renewal) fail(i int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.errs == nil {
		r.errs = make([]error, r.count)
	}
	r.errs[i] = err
}

func (r *renewal) failAll(err error) {
	for i := range r.count {
		r.fail(i, err)
	}
}

// failOurs is failAll for the sessions that are ours: of the others is said that they are not.
func (r *renewal) failOurs(err error) {
	for i, l := range r.lives {
		if l != nil {
			r.fail(i, err)
		}
	}
}

// split tells apart the sessions that the owner keeps alive already, and the rest.
func (r *renewal) split(wanted int64) (rest, kept []int) {
	stay := wanted + (r.lease + entrySlack).Milliseconds() // until the renewal after the next
	kept = make([]int, 0, r.count)
	earliest, _ := r.b.clock.now()
	r.owner.mu.Lock()
	defer r.owner.mu.Unlock()
	for i, l := range r.lives {
		switch {
		case l == nil:
		case l.ended.Load():
			r.fail(i, l.why())
		case l.ownedBy() == r.owner.id && l.stays.Load() > stay && r.owner.keeps(l, earliest):
			kept = append(kept, i)
		default:
			rest = append(rest, i)
		}
	}
	return rest, kept
}

// ownerWithRecord makes sure that the owner has a record before a document names it. Whoever ends a
// session of an owner without one could leave no word for it. The owner would go on until it looks
// at the document.
func (r *renewal) ownerWithRecord(ctx context.Context, wanted int64) error {
	for r.owner != nil && r.owner.until.Load() == 0 {
		_, err := await(r.b, ctx, func(ctx context.Context) (struct{}, error) {
			return struct{}{}, r.owner.renew(ctx, wanted)
		})
		switch {
		case err == nil:
			return nil
		case errors.Is(err, errOwnerGone):
			r.owner = r.b.owner(r.lease)
		default:
			return err
		}
	}
	return nil
}

// throughOwner renews the sessions that the owner keeps alive, and returns those that
// it does not any more.
func (r *renewal) throughOwner(ctx context.Context, wanted int64, kept []int) (left []int, err error) {
	_, err = await(r.b, ctx, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, r.owner.renew(ctx, wanted)
	})
	if err != nil {
		return nil, err
	}
	var ended []int // as the record told, but not how
	o := r.owner
	o.mu.Lock()
	c := o.cohortOf(wanted)
	for _, i := range kept {
		switch l := r.lives[i]; {
		case l.ended.Load():
			ended = append(ended, i)
		case l.ownedBy() != o.id || !o.keepOn(l, c): // suspended, or swept, meanwhile
			left = append(left, i)
		}
	}
	o.mu.Unlock()
	for _, i := range ended {
		l := r.lives[i]
		_, err := l.view(ctx)
		if !errors.Is(err, store.ErrDestroyed) {
			err = l.why()
		}
		r.fail(i, err)
	}
	return left, nil
}

// oneByOne renews the sessions with the given numbers, or all.
func (r *renewal) oneByOne(ctx context.Context, numbers []int) {
	n := len(numbers)
	if numbers == nil {
		n = r.count
	}
	r.work(n, func(k int) error {
		if numbers != nil {
			k = numbers[k]
		}
		return r.one(ctx, r.lives[k], nil)
	}, numbers...)
}

// work calls f(0) … f(n-1), several at a time, and notes their errors, by numbers where they are given.
func (r *renewal) work(n int, f func(k int) error, numbers ...int) {
	var next atomic.Int64
	work := func() {
		for k := int(next.Add(1)) - 1; k < n; k = int(next.Add(1)) - 1 {
			if err := f(k); err != nil {
				i := k
				if len(numbers) > 0 {
					i = numbers[k]
				}
				r.fail(i, err)
			}
		}
	}
	if n == 1 {
		work()
		return
	}
	var wg sync.WaitGroup
	for range min(renewers, n) {
		wg.Go(work)
	}
	wg.Wait()
}

// one renews a session by its document, if that has the values that are expected. Nil is
// none of ours, and has its error.
func (r *renewal) one(ctx context.Context, l *life, expect []store.Entry) error {
	if l == nil {
		return nil
	}
	b := r.b
	if err := l.check(ctx); err != nil {
		return err
	}
	if r.lease <= 0 {
		v, err := l.view(ctx)
		if err == nil {
			l.lasts(b.left(v))
		}
		return err
	}
	var wanted, taken int64
	if r.owner != nil {
		taken = r.owner.taken.Load()
	}
	err := l.do(ctx, &op{apply: func(d *document.Draft) error {
		if err := meets(d, expect); err != nil {
			return err
		}
		wanted = b.deadline(r.lease)
		lives := d.Deadline()
		owner := d.Owner()
		switch mine := b.owners.mine(owner); {
		case b.owners.none(owner):
		case r.owner != nil && owner == r.owner.id:
		case mine == nil: // another process's, which goes on with it
			d.SetDeadline(max(lives, wanted))
			return nil
		default:
			lives = max(lives, mine.keepsUntil(l))
		}
		if lives >= wanted {
			return nil
		}
		d.SetDeadline(max(lives, wanted))
		if r.owner != nil {
			d.SetOwner(r.owner.id)
		} else {
			d.SetOwner(0)
		}
		return nil
	}})
	if err == nil && r.owner != nil && l.ownedBy() == r.owner.id {
		r.owner.keep(l, wanted)
		if r.owner.taken.Load() != taken { // perhaps with word of this life, which was not kept yet
			l.doubt()
		}
	}
	return err
}

// Suspend implements [store.Backend]. The grace period must be positive. One that is
// longer than the map's default time to live takes three round trips.
func (b *Backend) Suspend(ctx context.Context, session store.Store, grace time.Duration) error {
	return b.suspend(ctx, session, nil, grace)
}

// suspend is Suspend, if the document has the values that are expected.
func (b *Backend) suspend(ctx context.Context, session store.Store, expect []store.Entry, grace time.Duration) error {
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
	err = l.do(ctx, &op{apply: func(d *document.Draft) error {
		if err := meets(d, expect); err != nil {
			return err
		}
		d.SetOwner(0)
		d.SetDeadline(b.deadline(grace))
		return nil
	}})
	b.tellAll(l.key, err)
	return err
}

// ours returns the life behind a Store that this Backend handed out.
func (b *Backend) ours(s store.Store) (*life, error) {
	h, ok := s.(*handle)
	if !ok || h == nil || h.life.backend != b {
		return nil, errForeign
	}
	return h.life, nil
}
