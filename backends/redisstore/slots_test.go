package redisstore_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/internal/testserver"
)

// crowded begins sessions in few slots: it makes IDs up until one fits.
func crowded(t *testing.T, b *redisstore.Backend, n int) (ids []string, sessions []store.Store) {
	t.Helper()
	place := b.Places()
	var slots []uint32
	for len(ids) < n {
		id := store.NewID()
		switch at := place(id); {
		case slices.Contains(slots, at):
		case len(slots) < 12:
			slots = append(slots, at)
		default:
			continue
		}
		s, err := b.Create(t.Context(), id, nil, store.Terms{Lease: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		ids, sessions = append(ids, id), append(sessions, s)
	}
	return ids, sessions
}

// Sessions of one slot are renewed by one script, each session still individually.
func TestRenewBySlot(t *testing.T) {
	c := testserver.RedisCluster(t)
	client := dialCluster(t, c)
	b := open(t, client, redisstore.Options{})
	awaitMerging(t, b)
	ids, sessions := crowded(t, b, 150)
	name := func(i int) string { return b.Namespace() + ":" + ids[i] }
	place := b.Places()
	for i, id := range ids {
		if got, want := place(id)>>18, uint32(c.SlotOf(name(i))); got != want {
			t.Fatalf("the place of a session is slot %d, and the server says %d", got, want)
		}
	}
	executed := func() (n int) {
		for _, node := range c.Nodes[:3] {
			n += scripts(t, node)
		}
		return n
	}
	left := func(i int) time.Duration { return client.PTTL(t.Context(), name(i)).Val() }
	before := executed()
	if errs := b.Renew(t.Context(), sessions, time.Hour); errs != nil {
		t.Fatalf("Renew() = %v, want nil", errs)
	}
	if n := executed() - before; n > 20 {
		t.Errorf("150 sessions in 12 slots were renewed with %d scripts, want about 12", n)
	}
	for i := range ids {
		if got := left(i); got < 59*time.Minute {
			t.Errorf("session %d has %v left, want an hour", i, got)
		}
	}

	// Ended by another node, and for some the ID lives again; and no node has the scripts.
	other := open(t, client, redisstore.Options{Namespace: b.Namespace()})
	endEveryThird(t, other, ids)
	if err := client.ForEachMaster(t.Context(), func(ctx context.Context, node *redis.Client) error { return node.ScriptFlush(ctx).Err() }); err != nil {
		t.Fatal(err)
	}
	before = executed()
	wantRenewed := func(errs []error) {
		t.Helper()
		if len(errs) != len(sessions) {
			t.Fatalf("Renew() returned %d errors, want %d", len(errs), len(sessions))
		}
		for i, err := range errs {
			switch got := left(i); {
			case i%3 == 0:
				if !errors.Is(err, store.ErrDestroyed) || got > time.Minute {
					t.Errorf("session %d, ended: Renew() = %v and it has %v left, want ErrDestroyed and at most a minute", i, err, got)
				}
			case err != nil || got < 90*time.Minute:
				t.Errorf("session %d: Renew() = %v and it has %v left, want nil and two hours", i, err, got)
			}
		}
	}
	wantRenewed(b.Renew(t.Context(), sessions, 2*time.Hour))
	if n := executed() - before; n > 20+2*50 {
		t.Errorf("150 sessions, 50 of them ended, were renewed with %d scripts, want one for each slot and two for each that has ended", n)
	}

	// While a slot moves, with some of its keys gone already, and after it.
	slot := c.SlotOf(name(1))
	home := c.Owner(slot)
	m := c.StartMigration(slot, (home+1)%3)
	m.MoveKeys(name(1))
	wantRenewed(b.Renew(t.Context(), sessions, 3*time.Hour))
	if !redisstore.Merges(b) {
		t.Error("the backend stopped to merge since a slot moves, want it to go on")
	}
	var rest []string
	for i := range ids {
		if c.SlotOf(name(i)) == slot && i != 1 && client.Exists(t.Context(), name(i)).Val() == 1 {
			rest = append(rest, name(i))
		}
	}
	m.MoveKeys(rest...)
	m.Finish()
	wantRenewed(b.Renew(t.Context(), sessions, 4*time.Hour))
}
