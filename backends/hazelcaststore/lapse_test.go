package hazelcaststore

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hazelcast/hazelcast-go-client/hzerrors"
	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/hazelcaststore/internal/document"
	"github.com/sessionkv/store/internal/testserver"
)

// unkept returns an owner for a lease and lives that nobody keeps, without a cluster.
func unkept(lease time.Duration, n int) (*owner, []*life) {
	lives := make([]*life, n)
	for i := range lives {
		lives[i] = &life{token: document.Token{byte(i), byte(i >> 8)}}
	}
	return &owner{lease: lease, byToken: make(map[document.Token]*life)}, lives
}

// holdsNothing fails the test when o has lives yet.
func holdsNothing(t *testing.T, o *owner) {
	t.Helper()
	if len(o.byToken) > 0 || len(o.cohorts) > 0 {
		t.Errorf("after all have lapsed the owner for %v has %d lives and %d cohorts, want none", o.lease, len(o.byToken), len(o.cohorts))
	}
}

// A life that moves to another owner while it lapses is taken out once, and neither owner
// keeps it in memory.
func TestLapseWhileMoving(t *testing.T) {
	before, lives := unkept(time.Minute, 2000)
	after, _ := unkept(2*time.Minute, 0)
	for range 20 {
		var lapsed atomic.Int64
		count := func(o *owner) {
			lives, untils := o.lapsed(math.MaxInt64)
			if len(lives) != len(untils) {
				t.Errorf("lapsed returned %d lives and %d times, want as many", len(lives), len(untils))
			}
			lapsed.Add(int64(len(lives)))
		}
		for i, l := range lives {
			before.keep(l, int64(i))
		}
		var work sync.WaitGroup
		work.Go(func() { count(before) })
		work.Go(func() {
			for i, l := range lives {
				after.keep(l, int64(i))
			}
		})
		work.Wait()
		count(after)
		holdsNothing(t, before)
		holdsNothing(t, after)
		if n := int(lapsed.Load()); n < len(lives) || n > 2*len(lives) {
			t.Errorf("of %d lives that were kept twice %d have lapsed", len(lives), n)
		}
		for _, l := range lives {
			if l.cohort.Load() != nil {
				t.Fatal("a life that has lapsed is in a cohort yet")
			}
		}
	}
}

// No life stays with its owner for more than a part of the lease beyond its end, whatever the order
// in which lives are renewed. Each is taken out once, by its last renewal.
func TestLapseInTime(t *testing.T) {
	for _, lease := range []time.Duration{time.Nanosecond, time.Millisecond, 63 * time.Millisecond, time.Second, time.Hour} {
		o, lives := unkept(lease, 257)
		ms := lease.Milliseconds()
		last := make(map[*life]int64)
		for round := range int64(3) {
			for i := range lives {
				l := lives[(i*101+int(round)*7)%len(lives)] // in another order each time
				until := round*ms + int64(i*37%257)*ms/257
				if until = max(until, last[l]); i%5 != 0 || round == 0 {
					o.keep(l, until)
					last[l] = until
				}
			}
		}
		for now := int64(0); now <= 4*ms+1; now += max(1, ms/1000) {
			out, untils := o.lapsed(now)
			for i, l := range out {
				if until := untils[i]; until < last[l] || until > now || until > last[l]+ms/cohortsPerLease {
					t.Fatalf("with a lease of %v, what was renewed until %d has lapsed at %d as if until %d", lease, last[l], now, until)
				}
				delete(last, l)
			}
			for _, until := range last {
				if until+ms/cohortsPerLease < now {
					t.Fatalf("with a lease of %v, what was renewed until %d has not lapsed at %d", lease, until, now)
				}
			}
		}
		holdsNothing(t, o)
	}
}

// What has lapsed is let go of also when nobody renews anything for that lease any more.
func TestLapseOfAnotherLease(t *testing.T) {
	r := newRig(t, testserver.SharedHazelcast(t), namespace())
	_, sessions := r.owned(t, 2, time.Minute)
	r.renews(t, sessions[:1], time.Hour/2)
	o := r.b.owner(time.Hour / 2)
	earliest, _ := r.b.clock.now()
	o.lapsed(math.MaxInt64)
	o.keep(sessions[0].(*handle).life, earliest-1)
	r.renews(t, sessions[1:], time.Minute)
	o.mu.Lock()
	defer o.mu.Unlock()
	holdsNothing(t, o)
}

// A renewal that rests on what an earlier one for another lease left holds when the owner
// for that gives the session up.
func TestRenewalRestsOnAnotherOwner(t *testing.T) {
	r := newRig(t, testserver.SharedHazelcast(t), namespace())
	ctx := t.Context()
	const first, second = 10 * time.Minute, 11 * time.Minute
	_, sessions := r.owned(t, 1, first)
	s := sessions[0]
	l := s.(*handle).life
	o := r.b.owner(first)
	// Others go on for the first lease without it.
	if err := o.renew(ctx, r.b.deadline(2*first)); err != nil {
		t.Fatal(err)
	}
	wanted := r.b.deadline(second)
	r.renews(t, sessions, second)
	lapsed, _ := o.lapsed(math.MaxInt64)
	earliest, _ := r.b.clock.now()
	for _, l := range lapsed {
		o.keep(l, earliest-1)
	}
	o.sweep()
	for len(lapsed) > 0 && l.ownedBy() == o.id {
		time.Sleep(time.Millisecond)
	}
	doc, err := r.b.read(ctx, l.key)
	if err != nil {
		t.Fatal(err)
	}
	v, err := document.Open(doc)
	if err != nil {
		t.Fatal(err)
	}
	if v.Deadline() < wanted {
		t.Errorf("after Renew for %v the session lives for %v", second, second-time.Duration(wanted-v.Deadline())*time.Millisecond)
	}
}

// What a failed sweep puts back does not take a life from those who have renewed it meanwhile.
func TestSweepThatFailsKeepsRenewals(t *testing.T) {
	r := newRig(t, testserver.SharedHazelcast(t), namespace())
	_, sessions := r.owned(t, 1, 10*time.Minute)
	l := sessions[0].(*handle).life
	before, after := r.b.owner(10*time.Minute), r.b.owner(11*time.Minute)
	earliest, _ := r.b.clock.now()
	r.faults.before = func(string) error {
		after.keep(l, earliest+time.Hour.Milliseconds())
		return hzerrors.ErrIllegalArgument // so that it is not tried again
	}
	before.keep(l, earliest-1)
	before.sweep()
	awaitCalls(r.b)
	after.mu.Lock()
	kept := after.keeps(l, earliest)
	after.mu.Unlock()
	if !kept {
		t.Error("after a sweep that failed the owner that has renewed the life meanwhile does not keep it")
	}
	// Without a renewal the next sweep finds it again.
	after.lapsed(math.MaxInt64)
	r.faults.before = func(string) error { return hzerrors.ErrIllegalArgument }
	before.keep(l, earliest-1)
	before.sweep()
	awaitCalls(r.b)
	if lives, _ := before.lapsed(earliest); len(lives) != 1 {
		t.Errorf("after a sweep that failed %d lives have lapsed, want 1", len(lives))
	}
}

// An owner that is gone holds no lives, nor does what its lives name.
func TestOwnerThatIsGoneHoldsNothing(t *testing.T) {
	b, err := prepare(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.cancel)
	b.setDefaultTTL(time.Hour)
	o := b.owner(time.Minute)
	_, lives := unkept(time.Minute, 100)
	for i, l := range lives {
		o.keep(l, int64(i)*1000)
	}
	o.gone.Store(true)
	next := b.owner(time.Minute)
	holdsNothing(t, o)
	for i, l := range lives {
		if c := l.cohort.Load(); len(c.lives) > 0 {
			t.Fatalf("the cohort of a life has %d lives after its owner is gone, want none", len(c.lives))
		}
		switch i % 3 {
		case 0: // a call that began before
			o.keep(l, int64(i)*1000)
		case 1:
			next.keep(l, int64(i)*1000)
		}
	}
	o.lapsed(math.MaxInt64)
	next.lapsed(math.MaxInt64)
	holdsNothing(t, o)
	holdsNothing(t, next)
}

// Sessions of others, and none, are refused as such whatever else is wrong, and spoil nothing for
// those beside them.
func TestRenewForeign(t *testing.T) {
	r := newRig(t, testserver.SharedHazelcast(t), namespace())
	id, own := r.session(t)
	sessions := []store.Store{r.attach(t, id), own, nil, (*handle)(nil), own}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	check := func(when string, ctx context.Context, want error) {
		t.Helper()
		for _, lease := range []time.Duration{time.Minute, 0, -time.Minute, 1000 * time.Hour} {
			errs := r.b.Renew(ctx, sessions, lease)
			if len(errs) != len(sessions) {
				t.Errorf("Renew %s for %v returned %d errors, want %d", when, lease, len(errs), len(sessions))
				continue
			}
			for i, err := range errs {
				want := want
				if sessions[i] != own {
					want = store.ErrForeignStore
				}
				if !errors.Is(err, want) {
					t.Errorf("Renew %s for %v = %v for session %d, want %v", when, lease, err, i, want)
				}
			}
		}
	}
	check("in time", t.Context(), nil)
	check("with a context that has ended", ended, context.Canceled)
	if err := r.b.Close(); err != nil {
		t.Fatal(err)
	}
	check("after Close", t.Context(), store.ErrClosed)
}

// Word of an end that comes before the reply to the first renewal is not lost.
func TestOwnerIsToldBeforeTheReply(t *testing.T) {
	r := newRig(t, testserver.SharedHazelcast(t), namespace())
	ctx := t.Context()
	const lease = 2 * time.Minute // longer than the session lives, so that its document is written
	r.owned(t, 1, lease)          // there is a record
	o := r.b.owner(lease)
	id, s := r.session(t)
	r.faults.once("replace", true, nil, func() {
		if err := r.attach(t, id).Destroy(ctx); err != nil {
			t.Errorf("Destroy = %v", err)
		}
		if err := o.renew(ctx, o.until.Load()+1); err != nil { // as for others at the same time
			t.Errorf("the renewal of the record = %v", err)
		}
	})
	r.renews(t, []store.Store{s}, lease)
	if errs := r.b.Renew(ctx, []store.Store{s}, lease); len(errs) != 1 || !errors.Is(errs[0], store.ErrDestroyed) {
		t.Errorf("Renew of a session that another process has destroyed = %v, want %v", errs, store.ErrDestroyed)
	}
}
