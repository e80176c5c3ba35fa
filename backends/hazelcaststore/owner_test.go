package hazelcaststore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/hazelcaststore/internal/document"
	"github.com/sessionkv/store/internal/testserver"
)

// owned creates n sessions that the owner of lease keeps alive.
func (r *rig) owned(t testing.TB, n int, lease time.Duration) (ids []string, sessions []store.Store) {
	t.Helper()
	for range n {
		id := store.NewID()
		s, err := r.b.Create(t.Context(), id, []store.Entry{{Key: "k", Value: []byte("0")}}, store.Terms{Lease: lease - lease/10})
		if err != nil {
			t.Fatalf("Create = %v", err)
		}
		ids, sessions = append(ids, id), append(sessions, s)
	}
	r.renews(t, sessions, lease)
	for _, s := range sessions {
		if o := r.b.owner(lease); s.(*handle).life.ownedBy() != o.id {
			t.Fatal("after Renew the document has another owner")
		}
	}
	return ids, sessions
}

func (r *rig) renews(t testing.TB, sessions []store.Store, lease time.Duration) {
	t.Helper()
	if err := errors.Join(r.b.Renew(t.Context(), sessions, lease)...); err != nil {
		t.Fatalf("Renew = %v, want no error", err)
	}
}

// However many sessions there are, a renewal after the first is one write.
func TestRenewalThroughOwner(t *testing.T) {
	r := newRig(t, testserver.SharedHazelcast(t), namespace())
	const n = 50
	_, sessions := r.owned(t, n, time.Minute)
	for i := range 3 {
		r.faults.writes.Store(0)
		r.faults.reads.Store(0)
		r.renews(t, sessions, time.Minute)
		if w, rd := r.faults.writes.Load(), r.faults.reads.Load(); w > 1 || rd != 0 {
			t.Errorf("renewal %d of %d sessions took %d writes and %d reads, want 1 at most and 0", i+2, n, w, rd)
		}
	}
	// Before the entry drops, the document is written again.
	l := sessions[0].(*handle).life
	l.mu.Lock()
	l.stays.Store(0)
	l.mu.Unlock()
	r.faults.writes.Store(0)
	r.renews(t, sessions, time.Minute)
	if w := r.faults.writes.Load(); w < 1 || w > 2 {
		t.Errorf("a renewal with one old entry took %d writes, want that entry's and the record's", w)
	}
}

// A renewal on a condition is one write of each document, and leaves it with the owner. The next without one is one write of all.
func TestRenewalIfKeepsTheOwner(t *testing.T) {
	r := newRig(t, testserver.SharedHazelcast(t), namespace())
	const n = 50
	sessions := make([]store.Store, n)
	expect := make([][]store.Entry, n)
	ids := make([]string, n)
	for i := range sessions {
		ids[i] = store.NewID()
		s, err := r.b.Create(t.Context(), ids[i], []store.Entry{{Key: "k", Value: []byte("0")}}, store.Terms{Lease: time.Second})
		if err != nil {
			t.Fatalf("Create = %v", err)
		}
		sessions[i], expect[i] = s, []store.Entry{{Key: "k", Value: []byte("0")}}
	}
	for i := range 3 {
		r.faults.writes.Store(0)
		if err := errors.Join(r.b.RenewIf(t.Context(), sessions, expect, time.Minute)...); err != nil {
			t.Fatalf("RenewIf = %v, want no error", err)
		}
		if w := r.faults.writes.Load(); w > n+1 {
			t.Errorf("RenewIf %d of %d sessions took %d writes, want %d at most", i, n, w, n+1)
		}
		r.faults.writes.Store(0)
		r.faults.reads.Store(0)
		r.renews(t, sessions, time.Minute)
		if w, rd := r.faults.writes.Load(), r.faults.reads.Load(); w > 1 || rd != 0 {
			t.Errorf("Renew after RenewIf %d of %d sessions took %d writes and %d reads, want 1 at most and 0", i, n, w, rd)
		}
	}
	// What ends elsewhere is found by both.
	if err := r.attach(t, ids[0]).Destroy(t.Context()); err != nil {
		t.Fatalf("Destroy = %v", err)
	}
	if errs := r.b.RenewIf(t.Context(), sessions, expect, time.Minute); len(errs) != n || !errors.Is(errs[0], store.ErrDestroyed) || errs[1] != nil {
		t.Errorf("RenewIf after Destroy = %v, want %v for the first", errs, store.ErrDestroyed)
	}
}

// Another process sees a session live on after its document's deadline, and end when
// nobody renews it any more.
func TestOthersSeeTheOwner(t *testing.T) {
	r := newRig(t, testserver.SharedHazelcast(t), namespace())
	ctx := t.Context()
	const lease = 3 * time.Second
	ids, sessions := r.owned(t, 2, lease)
	other := r.attach(t, ids[0])
	doc, err := r.b.read(ctx, entryKey(ids[0]))
	if err != nil {
		t.Fatal(err)
	}
	v, err := document.Open(doc)
	if err != nil {
		t.Fatal(err)
	}
	renewed := time.Now()
	for past := false; !past; {
		before := time.Now()
		r.renews(t, sessions, lease)
		if time.Since(renewed) > lease {
			t.Skip("this machine is too busy to renew a lease in time")
		}
		renewed = before
		if _, err := other.Get(ctx, "k"); err != nil {
			t.Fatalf("Get by another process = %v, want no error", err)
		}
		if err := other.Set(ctx, "k", []byte("1")); err != nil {
			t.Fatalf("Set by another process = %v, want no error", err)
		}
		earliest, _ := r.other.clock.now()
		past = v.Deadline() < earliest-int64(lease/time.Millisecond)/2
	}
	if _, err := r.other.Attach(ctx, ids[1], store.Terms{}); err != nil {
		t.Errorf("Attach by another process after the document's deadline = %v, want no error", err)
	}
	for err = nil; err == nil; {
		_, err = other.Get(ctx, "k")
	}
	if lived := time.Since(renewed); !errors.Is(err, store.ErrDestroyed) || lived < lease {
		t.Errorf("%v after the last renewal Get = %v, want %v after %v", lived, err, store.ErrDestroyed, lease)
	}
	for i, err := range r.b.Renew(ctx, sessions, lease) {
		if !errors.Is(err, store.ErrDestroyed) {
			t.Errorf("Renew of session %d after that = %v, want %v", i, err, store.ErrDestroyed)
		}
	}
	if _, err := r.other.Attach(ctx, ids[1], store.Terms{}); !errors.Is(err, store.ErrNoSession) {
		t.Errorf("Attach after that = %v, want %v", err, store.ErrNoSession)
	}
}

// A session that nobody renews ends although its owner goes on with others, also when
// its process holds a handle of it.
func TestNeighboursDoNotKeepASessionAlive(t *testing.T) {
	r := newRig(t, testserver.SharedHazelcast(t), namespace())
	ctx := t.Context()
	const lease = time.Second
	ids, sessions := r.owned(t, 3, lease)
	r.b.Renew(ctx, sessions, lease)
	renewed := time.Now()
	for n := 0; n < 2; {
		r.b.Renew(ctx, sessions[:1], lease)
		n = 0
		for _, id := range ids[1:] {
			if _, err := r.other.Attach(ctx, id, store.Terms{}); errors.Is(err, store.ErrNoSession) {
				n++
			} else if err != nil {
				t.Fatalf("Attach = %v", err)
			}
		}
		if time.Since(renewed) > time.Minute {
			t.Fatalf("%d of 2 sessions without renewals have ended after a minute", n)
		}
	}
	if _, err := sessions[1].Get(ctx, "k"); !errors.Is(err, store.ErrDestroyed) {
		t.Errorf("Get = %v, want %v", err, store.ErrDestroyed)
	}
}

// The owner hears of what others have ended with its next renewal, and goes on with
// the rest.
// An end elsewhere after the first renewal, with which the owner got its record, is found
// by the second.
func TestNewOwnerIsTold(t *testing.T) {
	r := newRig(t, testserver.SharedHazelcast(t), namespace())
	ids, sessions := r.owned(t, 2, time.Minute) // renews them once
	if err := r.attach(t, ids[0]).Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	errs := r.b.Renew(t.Context(), sessions, time.Minute)
	if len(errs) != 2 || !errors.Is(errs[0], store.ErrDestroyed) || errs[1] != nil {
		t.Errorf("Renew after an end elsewhere = %v, want %v for the first of two", errs, store.ErrDestroyed)
	}
}

// Many processes that end sessions of one owner at once all leave word.
func TestOwnerIsToldByMany(t *testing.T) {
	r := newRig(t, testserver.SharedHazelcast(t), namespace())
	const many = 64
	ids, sessions := r.owned(t, many, time.Minute)
	handles := make([]store.Store, many)
	for i, id := range ids {
		handles[i] = r.attach(t, id)
	}
	var wg sync.WaitGroup
	for _, h := range handles {
		wg.Go(func() {
			if err := h.Destroy(t.Context()); err != nil {
				t.Errorf("Destroy = %v", err)
			}
		})
	}
	wg.Wait()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		ended := 0
		for _, err := range r.b.Renew(t.Context(), sessions, time.Minute) {
			if errors.Is(err, store.ErrDestroyed) {
				ended++
			}
		}
		if ended == many {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("Renew finds %d of %d sessions ended", ended, many)
		}
	}
}

func TestOwnerIsTold(t *testing.T) {
	r := newRig(t, testserver.SharedHazelcast(t), namespace())
	ctx := t.Context()
	ids, sessions := r.owned(t, 4, time.Minute)
	r.renews(t, sessions, time.Minute)
	if err := r.attach(t, ids[0]).Destroy(ctx); err != nil {
		t.Fatal(err)
	}
	resumed, err := r.other.Resume(ctx, ids[1], store.Terms{Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	mine, err := r.b.Resume(ctx, ids[2], store.Terms{Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	errs := r.b.Renew(ctx, sessions, time.Minute)
	if len(errs) != 4 {
		t.Fatalf("Renew = %v, want errors for three of four", errs)
	}
	for i, want := range []error{store.ErrDestroyed, store.ErrDestroyed, store.ErrDestroyed, nil} {
		if !errors.Is(errs[i], want) {
			t.Errorf("Renew of session %d = %v, want %v", i, errs[i], want)
		}
	}
	for _, s := range []store.Store{resumed, mine, sessions[3]} {
		if err := s.Set(ctx, "k", nil); err != nil {
			t.Errorf("Set = %v, want no error", err)
		}
	}
	// More than the record has room for.
	const many = 300
	ids, sessions = r.owned(t, many, time.Minute)
	r.renews(t, sessions, time.Minute)
	for _, id := range ids[1:] {
		if err := r.attach(t, id).Destroy(ctx); err != nil {
			t.Fatal(err)
		}
	}
	errs = r.b.Renew(ctx, sessions, time.Minute)
	errs = append(errs, r.b.Renew(ctx, sessions, time.Minute)...)
	ended := 0
	for _, err := range errs[len(errs)-many:] {
		if errors.Is(err, store.ErrDestroyed) {
			ended++
		}
	}
	if ended != many-1 {
		t.Errorf("the second Renew found %d ended, want %d", ended, many-1)
	}
}

// A session that was given longer than the renewals it gets keeps that, also when its
// neighbours go on without it.
func TestLongerLeaseIsKept(t *testing.T) {
	r := newRig(t, testserver.SharedHazelcast(t), namespace())
	ctx := t.Context()
	const lease = 300 * time.Millisecond
	long, err := r.b.Create(ctx, store.NewID(), nil, store.Terms{Lease: time.Hour / 2})
	if err != nil {
		t.Fatal(err)
	}
	neighbour, err := r.b.Create(ctx, store.NewID(), nil, store.Terms{Lease: time.Hour / 2})
	if err != nil {
		t.Fatal(err)
	}
	r.renews(t, []store.Store{long, neighbour}, lease)
	for begun := time.Now(); time.Since(begun) < 3*lease; {
		r.renews(t, []store.Store{neighbour}, lease)
		if err := long.Set(ctx, "k", nil); err != nil {
			t.Fatalf("Set %v after a renewal for %v of a session with half an hour = %v, want no error", time.Since(begun), lease, err)
		}
	}
	// The same when the document names the owner already.
	r.renews(t, []store.Store{long}, time.Hour/2+time.Minute)
	l := long.(*handle).life
	o := r.b.owner(time.Hour/2 + time.Minute)
	if l.ownedBy() != o.id {
		t.Fatal("after a renewal for longer the document has another owner")
	}
	earliest, _ := r.b.clock.now()
	o.keep(l, earliest-1)
	o.sweep()
	for l.ownedBy() == o.id {
		time.Sleep(time.Millisecond)
	}
	if err := long.Set(ctx, "k", nil); err != nil {
		t.Errorf("Set after it was taken from the owner = %v, want no error: its document says half an hour", err)
	}
}

// A session that is renewed for another lease moves to the owner for that, and nothing of it
// stays with the one before.
func TestAnotherLease(t *testing.T) {
	r := newRig(t, testserver.SharedHazelcast(t), namespace())
	_, sessions := r.owned(t, 3, time.Minute)
	before := r.b.owner(time.Minute)
	for i, s := range sessions[:2] {
		r.renews(t, []store.Store{s}, time.Duration(i+2)*time.Minute)
		after := r.b.owner(time.Duration(i+2) * time.Minute)
		l := s.(*handle).life
		if l.ownedBy() != after.id {
			t.Fatal("after a renewal for longer the document has another owner")
		}
		earliest, _ := r.b.clock.now()
		if i == 0 {
			after.keep(l, earliest-1) // nobody has renewed it
		}
	}
	swept := make(chan struct{})
	go func() {
		defer close(swept)
		before.sweep()
	}()
	select {
	case <-swept:
	case <-time.After(time.Minute):
		t.Fatal("the owner for the shorter lease still sweeps after a minute")
	}
	r.faults.writes.Store(0)
	r.renews(t, sessions[2:], time.Minute)
	if w := r.faults.writes.Load(); w > 1 {
		t.Errorf("renewing the session that has not moved took %d writes, want the record's", w)
	}
}

// Suspended sessions have no owner: they end with their grace, whoever goes on.
func TestSuspendLeavesTheOwner(t *testing.T) {
	r := newRig(t, testserver.SharedHazelcast(t), namespace())
	ctx := t.Context()
	ids, sessions := r.owned(t, 2, time.Hour/2)
	r.renews(t, sessions, time.Hour/2)
	if err := r.b.Suspend(ctx, sessions[0], time.Millisecond); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; {
		_, err := r.other.Attach(ctx, ids[0], store.Terms{})
		if errors.Is(err, store.ErrNoSession) {
			break
		}
		if err != nil || time.Now().After(end) {
			t.Fatalf("Attach after the grace = %v, want %v", err, store.ErrNoSession)
		}
	}
	if _, err := r.other.Attach(ctx, ids[1], store.Terms{}); err != nil {
		t.Errorf("Attach to the neighbour = %v, want no error", err)
	}
}

// When the cluster has lost the record, sessions within their own deadlines go on under another.
// Nobody's life is shortened by a renewal for less.
func TestRecordIsLost(t *testing.T) {
	r := newRig(t, testserver.SharedHazelcast(t), namespace())
	ctx := t.Context()
	ids, sessions := r.owned(t, 3, time.Minute)
	r.renews(t, sessions, time.Minute)
	o := r.b.owner(time.Minute)
	if err := r.raw.Delete(ctx, recordKey(o.id)); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); r.b.owner(time.Minute) == o; {
		r.renews(t, sessions, time.Minute)
		if time.Now().After(end) {
			t.Fatal("the owner without a record goes on")
		}
	}
	r.renews(t, sessions, time.Minute)
	r.renews(t, sessions, time.Second)
	for _, id := range ids {
		v := r.attach(t, id).(*handle).life.base
		earliest, _ := r.other.clock.now()
		if until := max(v.Deadline(), r.other.owners.until(v.Owner())); until < earliest+30_000 {
			if _, _, err := r.other.ownerUntil(ctx, v.Owner()); err != nil {
				t.Error(err)
			}
			if until = max(v.Deadline(), r.other.owners.until(v.Owner())); until < earliest+30_000 {
				t.Errorf("a session lives for %d ms more, want a minute", until-earliest)
			}
		}
	}
}

// A renewal whose reply is lost is found to have been made.
func TestRenewalOfTheRecordIsLost(t *testing.T) {
	r := newRig(t, testserver.SharedHazelcast(t), namespace())
	for _, reply := range []error{errLost, nil} {
		_, sessions := r.owned(t, 2, time.Minute)
		r.faults.once("put", false, errLost, nil)
		r.renews(t, sessions, time.Minute)
		r.faults.once("replace", false, reply, nil)
		r.renews(t, sessions, time.Minute)
		r.faults.after = nil
	}
}

// More leases than there are records for are renewed one by one.
func TestManyLeases(t *testing.T) {
	r := newRig(t, testserver.SharedHazelcast(t), namespace())
	_, s := r.session(t)
	for i := range 2 * maxOwners {
		r.renews(t, []store.Store{s}, time.Minute+time.Duration(i)*time.Second)
	}
	if n := len(r.b.owners.byLease); n != maxOwners {
		t.Errorf("there are %d owners, want %d", n, maxOwners)
	}
	if _, err := s.Get(context.Background(), "k"); err != nil {
		t.Errorf("Get = %v, want no error", err)
	}
}

// BenchmarkRenewOwned renews sessions that an owner keeps alive, by the size of their
// documents.
func BenchmarkRenewOwned(b *testing.B) {
	r := newRig(b, testserver.SharedHazelcast(b), namespace())
	r.b.grid = r.faults.grid
	for _, size := range []int{263, 4 << 10} {
		const n = 2000
		sessions := make([]store.Store, n)
		for i := range sessions {
			s, err := r.b.Create(b.Context(), store.NewID(), []store.Entry{{Key: "k", Value: make([]byte, size-80)}}, store.Terms{Lease: time.Minute})
			if err != nil {
				b.Fatal(err)
			}
			sessions[i] = s
		}
		r.renews(b, sessions, time.Minute)
		b.Run(fmt.Sprint("size=", size), func(b *testing.B) {
			for b.Loop() {
				r.renews(b, sessions, time.Minute)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/session")
		})
	}
}
