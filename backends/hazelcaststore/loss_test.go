package hazelcaststore

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/testserver"
	"github.com/sessionkv/store/storetest"
)

const many = 1000 // sessions of these tests

// each calls f for 0 to many-1, up to 32 at once.
func each(f func(i int)) {
	var (
		next atomic.Int64
		wg   sync.WaitGroup
	)
	for range 32 {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < many; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	wg.Wait()
}

// begun begins sessions and renews them, so that an owner keeps them alive.
func begun(t *testing.T, b *Backend, lease time.Duration) (*store.Sessions, []*store.Session) {
	t.Helper()
	ss, err := store.New(b, &store.Options{Lease: lease})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ss.Close(context.WithoutCancel(t.Context())) })
	sessions := make([]*store.Session, many)
	each(func(i int) {
		s, err := ss.Create(t.Context(), store.NewID(), userID.To("ann"))
		if err != nil {
			t.Errorf("Create = %v", err)
			return
		}
		sessions[i] = s
	})
	if t.Failed() {
		t.FailNow()
	}
	return ss, sessions
}

// A process dies with its sessions while another takes them over: each session is taken
// over with its value, once, or ends with its lease.
func TestKilledWhileAnotherResumes(t *testing.T) {
	r := newRig(t, testserver.SharedHazelcast(t), namespace())
	const lease = 10 * time.Second
	first, sessions := begun(t, r.b, lease)
	second, err := store.New(r.other, &store.Options{Lease: lease})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { second.Close(context.WithoutCancel(t.Context())) })
	resumed := make([]*store.Session, many)
	each(func(i int) {
		if i == many/2 {
			storetest.Kill(first)
		}
		if i%4 == 0 { // its client does not come back
			return
		}
		s, err := second.Resume(t.Context(), sessions[i].ID())
		if err != nil {
			t.Errorf("Resume = %v, want the session: its lease goes on", err)
			return
		}
		resumed[i] = s
	})
	outlives := time.Now().Add(lease + 5*time.Second) // and what the clocks may differ by
	for i, s := range resumed {
		if s == nil {
			continue
		}
		if got, err := userID.Get(t.Context(), s); err != nil || got != "ann" {
			t.Errorf("Get after Resume = %q, %v, want ann", got, err)
		}
		if _, err := userID.Get(t.Context(), sessions[i]); err == nil {
			t.Error("Get on the dead process's handle = nil, want an error")
		}
	}
	for i := 0; i < many; i += 4 {
		for {
			_, err := r.other.Attach(t.Context(), sessions[i].ID(), store.Terms{})
			if errors.Is(err, store.ErrNoSession) {
				break
			}
			if time.Now().After(outlives) {
				t.Fatalf("Attach = %v: a session has outlived the lease of its dead owner", err)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	for _, s := range resumed { // the second process has renewed meanwhile
		if s != nil && s.Err() != nil {
			t.Fatalf("Err of a session that was taken over = %v, want nil", s.Err())
		}
	}
}

// The map is cleared below living sessions: they have ended, everybody is told so, and no
// renewal and no write brings any of them back.
func TestMapIsCleared(t *testing.T) {
	r := newRig(t, testserver.SharedHazelcast(t), namespace())
	ss, sessions := begun(t, r.b, 3*time.Second)
	if err := r.raw.Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	each(func(i int) {
		s := sessions[i]
		switch i % 3 {
		case 0:
			if err := userID.Set(t.Context(), s, "bob"); !errors.Is(err, store.ErrDestroyed) {
				t.Errorf("Set after the map was cleared = %v, want ErrDestroyed", err)
			}
		case 1:
			if _, err := userID.Get(t.Context(), s); !errors.Is(err, store.ErrDestroyed) {
				t.Errorf("Get after the map was cleared = %v, want ErrDestroyed", err)
			}
		default:
			select {
			case <-s.Done():
			case <-time.After(20 * time.Second):
				t.Error("Done is open long after the map was cleared")
			}
		}
	})
	if got := ss.Stats().Owned; got != 0 {
		t.Errorf("Owned = %d after the map was cleared, want 0", got)
	}
	each(func(i int) {
		if v, err := r.raw.Get(t.Context(), entryKey(sessions[i].ID())); err != nil || v != nil {
			t.Errorf("entry of a session that was cleared = %v, %v, want none", v, err)
		}
	})
	again, err := ss.Create(t.Context(), sessions[0].ID(), userID.To("cid"))
	if err != nil {
		t.Fatalf("Create under the ID of a session that was cleared = %v", err)
	}
	if got, err := userID.Get(t.Context(), again); err != nil || got != "cid" {
		t.Errorf("Get of the new session = %q, %v, want cid", got, err)
	}
}

// Each member dies in turn, and with it the copy of the owner's record that counts: the
// sessions go on.
func TestOwnersMemberDies(t *testing.T) {
	if os.Getenv("STORE_TEST_HAZELCAST_ADDRS") != "" {
		t.Skip("needs members that can be killed")
	}
	if testing.Short() {
		t.Skip("takes a minute")
	}
	c := cluster(t, 3)
	r := newRig(t, c, namespace())
	const lease = 20 * time.Second // longer than a busy machine needs to start a member
	ss, sessions := begun(t, r.b, lease)
	for member := range 3 {
		c.Kill(member)
		// Nothing but renewals writes, and after a lease all that was before is over.
		renewed, leased := r.faults.writes.Load()+2, time.Now().Add(lease)
		for r.faults.writes.Load() < renewed || time.Now().Before(leased) {
			if time.Since(leased) > time.Minute {
				t.Fatalf("no two renewals in a minute after member %d died", member)
			}
			time.Sleep(20 * time.Millisecond)
		}
		if st := ss.Stats(); st.Owned != many || st.Lost != 0 {
			t.Fatalf("after member %d died %d sessions are owned and %d lost, want %d and 0", member, st.Owned, st.Lost, many)
		}
		c.Restart(member)
	}
	values := make(map[string]int)
	var mu sync.Mutex
	each(func(i int) {
		got, err := userID.Get(t.Context(), sessions[i])
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			got = err.Error()
		}
		values[got]++
	})
	if diff := cmp.Diff(map[string]int{"ann": many}, values); diff != "" {
		t.Errorf("values after each member died once (-want +got):\n%s", diff)
	}
}

// Close during a stall ends what is in progress, in bounded time, and each call tells
// what is so.
func TestCloseDuringStall(t *testing.T) {
	if os.Getenv("STORE_TEST_HAZELCAST_ADDRS") != "" {
		t.Skip("needs members that can be paused")
	}
	c := cluster(t, 1)
	r := newRig(t, c, namespace())
	terms := store.Terms{Lease: time.Minute}
	const writers = 64
	var handles []store.Store
	for range writers {
		s, err := r.b.Create(t.Context(), store.NewID(), []store.Entry{{Key: "k", Value: []byte("0")}}, terms)
		if err != nil {
			t.Fatal(err)
		}
		handles = append(handles, s)
	}
	c.Pause(0)
	var wg sync.WaitGroup
	errs := make([]error, writers)
	for i, s := range handles {
		wg.Go(func() { errs[i] = s.Set(context.Background(), "k", []byte("1")) })
	}
	for r.faults.writes.Load() < 2*writers { // one each for Create and for Set
		time.Sleep(time.Millisecond)
	}
	closed := make(chan error, 1)
	go func() { closed <- r.b.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Errorf("Close during a stall = %v, want nil", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("Close hangs while a member stalls")
	}
	wg.Wait()
	c.Resume(0)
	for i, err := range errs {
		if !errors.Is(err, store.ErrUnknownOutcome) {
			t.Errorf("Set in progress when its backend closed = %v, want an unknown outcome", err)
		}
		if err := handles[i].Set(t.Context(), "k", []byte("2")); !errors.Is(err, store.ErrClosed) {
			t.Errorf("Set after Close = %v, want ErrClosed", err)
		}
	}
}
