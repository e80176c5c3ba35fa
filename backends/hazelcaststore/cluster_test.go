package hazelcaststore

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/testserver"
)

// Two processes that count in one session lose no count, and neither starves.
func TestRivals(t *testing.T) {
	c := testserver.SharedHazelcast(t)
	opts := namespace()
	id := store.NewID()
	ctx := t.Context()
	const each = 200
	var wg sync.WaitGroup
	var first store.Store
	for i := range 2 {
		b := open(t, dial(t, c), opts)
		var s store.Store
		var err error
		if i == 0 {
			s, err = b.Create(ctx, id, []store.Entry{{Key: "n", Value: make([]byte, 8)}}, store.Terms{Lease: time.Minute})
			first = s
		} else {
			s, err = b.Attach(ctx, id, store.Terms{})
		}
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for range each {
				if err := increment(ctx, s, "n"); err != nil {
					t.Errorf("increment = %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	v, err := first.Get(ctx, "n")
	if err != nil || binary.BigEndian.Uint64(v) != 2*each {
		t.Errorf("the count is %d, %v, want %d", v, err, 2*each)
	}
}

// increment adds one to the number under key.
func increment(ctx context.Context, s store.Store, key string) error {
	old, err := s.Get(ctx, key)
	if err != nil {
		return err
	}
	for {
		next := binary.BigEndian.AppendUint64(nil, binary.BigEndian.Uint64(old)+1)
		current, err := store.Commit(ctx, s, []store.Entry{{Key: key, Value: old}}, []store.Entry{{Key: key, Value: next}})
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
		old = current[0]
	}
}

// Members are killed and started again while sessions are written to. Nothing that was acknowledged
// is lost, nothing that was refused is there, and what is unknown is counted as such. With one
// synchronous backup, one member at a time may go.
func TestMembersKilledUnderLoad(t *testing.T) {
	if os.Getenv("STORE_TEST_HAZELCAST_ADDRS") != "" {
		t.Skip("needs members that can be killed")
	}
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	c := cluster(t, 3)
	opts := namespace()
	ctx := t.Context()
	const sessions = 12
	type record struct {
		id               string
		acknowledged     uint64 // increments
		unknown, refused uint64
	}
	records := make([]record, sessions)
	backends := []*Backend{open(t, dial(t, c), opts), open(t, dial(t, c), opts)}
	var over atomic.Bool
	var wg sync.WaitGroup
	var writes atomic.Int64
	for i := range records {
		r := &records[i]
		r.id = store.NewID()
		b := backends[i%len(backends)]
		s, err := b.Create(ctx, r.id, []store.Entry{{Key: "n", Value: make([]byte, 8)}}, store.Terms{Lease: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for !over.Load() {
				switch err := increment(ctx, s, "n"); {
				case err == nil:
					r.acknowledged++
					writes.Add(1)
				case errors.Is(err, store.ErrUnknownOutcome):
					r.unknown++
				case errors.Is(err, store.ErrDestroyed):
					t.Errorf("a session was lost: %v", err)
					return
				default:
					r.refused++
				}
			}
		})
	}
	// more waits until work goes on, whatever the state of the cluster.
	more := func() {
		for end := writes.Load() + 500; writes.Load() < end && !t.Failed(); {
			time.Sleep(time.Millisecond)
		}
	}
	for i := range 3 {
		more()
		c.Kill(i)
		more()
		c.Restart(i)
	}
	more()
	over.Store(true)
	wg.Wait()

	var acknowledged, unknown, refused, found uint64
	fresh := open(t, dial(t, c), opts)
	for _, r := range records {
		s, err := fresh.Attach(ctx, r.id, store.Terms{})
		if err != nil {
			t.Errorf("Attach = %v: a session was lost with its %d acknowledged writes", err, r.acknowledged)
			continue
		}
		v, err := s.Get(ctx, "n")
		if err != nil {
			t.Errorf("Get = %v", err)
			continue
		}
		n := binary.BigEndian.Uint64(v)
		if n < r.acknowledged || n > r.acknowledged+r.unknown {
			t.Errorf("found %d writes, want %d acknowledged and up to %d unknown", n, r.acknowledged, r.unknown)
		}
		acknowledged += r.acknowledged
		unknown += r.unknown
		refused += r.refused
		found += n
	}
	t.Logf("three members killed in turn: %d writes acknowledged, %d unknown, %d refused; %d found afterwards", acknowledged, unknown, refused, found)
}
