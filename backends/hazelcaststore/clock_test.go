package hazelcaststore

import (
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/hazelcast/hazelcast-go-client"
	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/testserver"
)

// clocks skips a test where members' clocks cannot be set.
func clocks(t *testing.T) {
	t.Helper()
	if os.Getenv("STORE_TEST_HAZELCAST_ADDRS") != "" {
		t.Skip("needs members whose clocks can be set")
	}
}

// awaitClocks waits until the members' clocks are as far apart as that, or farther, and
// with 0 until they agree.
func awaitClocks(t *testing.T, b *Backend, apart time.Duration) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		s, err := b.survey(b.limited(), surveySome)
		if err == nil && (apart == 0 && s.apart < time.Second || apart > 0 && s.apart >= apart) {
			return
		}
		if time.Now().After(end) { // a member comes or goes, and connections with it
			t.Fatalf("survey = %+v, %v, want clocks that are %v apart", s, err, apart)
		}
	}
}

// One member's wrong clock ends no living session. Who starts then is told of it. Who runs already
// goes by the others and removes nothing by the time.
func TestOneOfThreeClocksIsWrong(t *testing.T) {
	clocks(t)
	c := testserver.Hazelcast(t, 3, maps(4*time.Hour))
	opts := namespace()
	ctx := t.Context()
	b := open(t, dial(t, c), opts)
	const sessions = 60
	var handles []store.Store
	var ids []string
	create := func() {
		id := store.NewID()
		s, err := b.Create(ctx, id, nil, store.Terms{Lease: time.Hour})
		if err != nil {
			t.Fatalf("Create = %v, want no error", err)
		}
		ids, handles = append(ids, id), append(handles, s)
	}
	for range sessions / 2 {
		create()
	}
	// Not so far that the member drops the entries that it gets.
	c.Kill(1)
	c.AwaitSafe()
	c.SetClock(1, 90*time.Minute)
	c.Restart(1)
	awaitClocks(t, b, time.Hour)
	if other, err := New(ctx, dial(t, c), opts); other != nil || !errors.Is(err, ErrClocks) {
		t.Errorf("New while one of three clocks is wrong = %v, %v, want %v", other, err, ErrClocks)
	}
	b.clock.due.Store(true)
	if err := b.recalibrate(b.limited(), calibrationAge); err != nil {
		t.Errorf("calibrating a backend that runs = %v, want the median of the clocks", err)
	}
	for range sessions / 2 {
		create()
	}
	for _, err := range b.Renew(ctx, handles, time.Hour) {
		if err != nil {
			t.Errorf("Renew = %v, want no error", err)
		}
	}
	for i, s := range handles {
		if _, err := s.Has(ctx, "k"); err != nil {
			t.Errorf("Has = %v, want no error", err)
		}
		if _, err := b.Attach(ctx, ids[i], store.Terms{}); err != nil {
			t.Errorf("Attach = %v, want no error", err)
		}
	}
	// What cannot be decided is said.
	id := store.NewID()
	s, err := b.Create(ctx, id, nil, store.Terms{Lease: time.Millisecond})
	if err == nil {
		err = s.Set(ctx, "k", nil)
	}
	for err == nil {
		_, err = s.Has(ctx, "k")
	}
	if !errors.Is(err, ErrClocks) {
		t.Errorf("a call in a session past its deadline = %v, want %v", err, ErrClocks)
	}
	c.Kill(1)
	c.AwaitSafe()
	awaitClocks(t, b, 0)
	b.clock.due.Store(true)
	if _, err = s.Has(ctx, "k"); !errors.Is(err, store.ErrDestroyed) {
		t.Errorf("the same when the clocks agree again = %v, want %v", err, store.ErrDestroyed)
	}
}

// A backend whose calibration is from before the only member's clock was set back does
// not remove the sessions of one that came later.
func TestOnlyClockIsSetBack(t *testing.T) {
	clocks(t)
	c := testserver.Hazelcast(t, 1, maps(2*time.Hour), testserver.WithClock(0, time.Hour))
	opts := namespace()
	ctx := t.Context()
	before := open(t, dial(t, c), opts)
	c.SetClock(0, 0)
	c.Restart(0)
	after := open(t, dial(t, c), opts)
	for { // until that client has found the member again
		if _, err := before.survey(before.limited(), 1); err == nil {
			break
		}
	}
	before.clock.due.Store(false) // as if nothing had been noticed
	for range 20 {
		id := store.NewID()
		s, err := after.Create(ctx, id, nil, store.Terms{Lease: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		stale := *before.clock.bounds.Load()
		stale.at = time.Now().Add(-freshness)
		before.clock.bounds.Store(&stale)
		if _, err := before.Attach(ctx, id, store.Terms{}); err != nil {
			t.Errorf("Attach with a clock from before = %v, want no error", err)
		}
		if err := s.Set(ctx, "k", nil); err != nil {
			t.Errorf("Set after that = %v, want no error", err)
		}
	}
}

// A calibration that has seen nothing is an error and not the year 1970.
func TestCalibrationThatSeesNothing(t *testing.T) {
	r := newRig(t, testserver.SharedHazelcast(t), namespace())
	before := *r.b.clock.bounds.Load()
	f := finding{key: probeKey("probe"), lo: before.lo, hi: before.hi}
	r.faults.before = nil
	gone := &blind{r.b.grid}
	r.b.grid = gone
	if lo, hi, err := r.b.bisect(r.b.limited(), f); !errors.Is(err, errNoTime) {
		t.Errorf("bisect = %d, %d, %v, want %v", lo, hi, err, errNoTime)
	}
	if err := r.b.calibrate(r.b.limited()); err == nil && *r.b.clock.bounds.Load() != before {
		t.Errorf("calibrate took over a time that nobody has seen")
	}
}

// All who come with a calibration that is too old wait for the one that makes it anew.
func TestEverybodyWaitsForTheTime(t *testing.T) {
	b := open(t, dial(t, testserver.SharedHazelcast(t)), namespace())
	for range 3 {
		// As after the machine slept for an hour: the monotonic clock stopped.
		slept := *b.clock.bounds.Load()
		slept.lo -= int64(time.Hour)
		slept.hi -= int64(time.Hour)
		slept.at = slept.at.Add(-calibrationLife)
		b.clock.bounds.Store(&slept)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				s, err := b.Create(t.Context(), store.NewID(), nil, store.Terms{Lease: time.Minute})
				if err == nil {
					err = s.Set(t.Context(), "k", nil)
				}
				if err != nil {
					t.Errorf("Create and Set after the machine slept = %v, want no error", err)
				}
			})
		}
		wg.Wait()
	}
}

// The map's configuration is looked at on every member, and on those that join.
func TestMapConfigOfEveryMember(t *testing.T) {
	if os.Getenv("STORE_TEST_HAZELCAST_ADDRS") != "" {
		t.Skip("needs members with configurations of their own")
	}
	c := testserver.Hazelcast(t, 2, testserver.WithMap("*:sessions", time.Hour, 0), testserver.WithoutMaps(1))
	client := dial(t, c)
	for range 20 {
		if b, err := New(t.Context(), client, namespace()); b != nil || !errors.Is(err, ErrMapConfig) {
			t.Fatalf("New where one of two members lacks the map's configuration = %v, %v, want %v", b, err, ErrMapConfig)
		}
	}
	c.Kill(1)
	c.AwaitSafe()
	b := open(t, client, namespace())
	old, err := b.Create(t.Context(), store.NewID(), nil, store.Terms{Lease: 30 * time.Minute})
	if err != nil {
		t.Fatalf("Create with the other member gone = %v, want no error", err)
	}
	c.Restart(1)
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		_, err := b.Create(t.Context(), store.NewID(), nil, store.Terms{Lease: time.Minute})
		if errors.Is(err, ErrMapConfig) {
			break
		}
		if err != nil || time.Now().After(end) {
			t.Fatalf("Create after a member without the map's configuration joined = %v, want %v soon", err, ErrMapConfig)
		}
	}
	// What lives already is written so that it has an end.
	for i := range 20 {
		if err := old.Set(t.Context(), "k", []byte{byte(i)}); err != nil {
			t.Fatalf("Set = %v, want no error", err)
		}
		view, err := b.grid.GetEntryView(t.Context(), old.(*handle).life.key)
		if err != nil || view == nil || view.TTL <= 0 || time.Duration(view.TTL)*time.Millisecond > 3*time.Hour {
			t.Fatalf("the entry after Set = %+v, %v, want one with an end", view, err)
		}
	}
}

func TestLittleEndianClient(t *testing.T) {
	client := dial(t, testserver.SharedHazelcast(t), func(c *hazelcast.Config) { c.Serialization.LittleEndian = true })
	if b, err := New(t.Context(), client, namespace()); b != nil || !errors.Is(err, ErrMapConfig) {
		t.Errorf("New on a client that writes the low byte first = %v, %v, want %v", b, err, ErrMapConfig)
	}
}
