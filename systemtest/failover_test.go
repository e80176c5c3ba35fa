package systemtest

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/await"
	"github.com/sessionkv/store/internal/testserver"
)

// An ascent is a writer of growing numbers to a session of its own.
type ascent struct {
	s            *store.Session
	acknowledged atomic.Int64 // the highest number that was
}

// climb has every ascent write as fast as it can until stop is closed. It returns the kinds of
// errors that came up, with their numbers.
func climb(t *testing.T, ascents []*ascent, stop <-chan struct{}) map[string]int {
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		errors = make(map[string]int)
	)
	for _, a := range ascents {
		wg.Go(func() {
			for n := 1; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				err := counter.Set(ctx, a.s, n)
				cancel()
				if err == nil {
					a.acknowledged.Store(int64(n))
					continue
				}
				mu.Lock()
				errors[err.Error()]++
				mu.Unlock()
				if strings.Contains(err.Error(), a.s.ID()) {
					t.Errorf("an error's text has the session ID in it")
				}
				if kind(err) == "destroyed" {
					return
				}
			}
		})
	}
	wg.Wait()
	return errors
}

// acknowledged returns how many writes of all ascents were.
func acknowledged(ascents []*ascent) (n int64) {
	for _, a := range ascents {
		n += a.acknowledged.Load()
	}
	return n
}

// failover writes to many sessions while fail breaks the server and recovered waits
// until it is whole again. It returns how many sessions, and how many acknowledged
// writes to those that are left, were lost.
func failover(t *testing.T, url string, fail, recovered func()) (lostSessions, lostWrites int) {
	t.Helper()
	nodes := twoNodes(t, url)
	var ascents []*ascent
	for i := range 16 {
		s, err := nodes[i%2].Create(t.Context(), store.NewID(), name.To("v"))
		if err != nil && kind(err) != "unknown outcome" {
			t.Fatalf("Create() = %v", err)
		}
		if err == nil {
			ascents = append(ascents, &ascent{s: s})
		}
	}
	stop := make(chan struct{})
	var errors map[string]int
	climbed := make(chan struct{})
	go func() {
		defer close(climbed)
		errors = climb(t, ascents, stop)
	}()
	await.Until(t, "sessions are written", func() bool { return acknowledged(ascents) > 1000 })
	fail()
	recovered()
	before := acknowledged(ascents)
	await.Until(t, "sessions are written again", func() bool { return acknowledged(ascents) > before+100 })
	close(stop)
	<-climbed
	for text, n := range errors {
		t.Logf("%d × %s", n, text)
	}
	for _, a := range ascents {
		var got int
		var err error
		await.Until(t, "the value can be read", func() bool {
			got, err = counter.GetOr(t.Context(), a.s, 0)
			return err == nil || kind(err) == "destroyed"
		})
		if err != nil {
			lostSessions++
			continue
		}
		lostWrites += max(0, int(a.acknowledged.Load())-got)
	}
	t.Logf("%d sessions, %d acknowledged writes; lost: %d sessions, %d writes", len(ascents), acknowledged(ascents), lostSessions, lostWrites)
	return lostSessions, lostWrites
}

// fenced returns a handle of a life that has ended, and one of the next life of the
// same session, on the nodes of url. What follows takes the replicas much longer
// than to receive that.
func fenced(t *testing.T, url string) (earlier, present *store.Session) {
	t.Helper()
	nodes := twoNodes(t, url)
	id := store.NewID()
	s, err := nodes[0].Create(t.Context(), id, name.To("first"))
	if err != nil {
		t.Fatalf("Create() = %v", err)
	}
	if earlier, err = nodes[1].Attach(t.Context(), id); err != nil {
		t.Fatalf("Attach() = %v", err)
	}
	if err := s.Destroy(t.Context()); err != nil {
		t.Fatalf("Destroy() = %v", err)
	}
	if present, err = nodes[0].Create(t.Context(), id, name.To("second")); err != nil {
		t.Fatalf("Create() of the next life = %v", err)
	}
	return earlier, present
}

// wantFenced checks that the earlier life stays ended.
func wantFenced(t *testing.T, earlier, present *store.Session) {
	t.Helper()
	await.Until(t, "a late write is refused after the failover", func() bool {
		err := name.Set(t.Context(), earlier, "late")
		if err == nil {
			t.Fatal("Set() of an earlier life = nil after a failover, want ErrDestroyed")
		}
		return kind(err) == "destroyed"
	})
	if got, err := name.Get(t.Context(), present); got != "second" || err != nil {
		t.Errorf("Get() of the present life after a failover = %q, %v, want %q", got, err, "second")
	}
}

const quick = "read_timeout=1s&dial_timeout=500ms&write_timeout=1s&wait_timeout=300ms"

func TestSentinelFailover(t *testing.T) {
	for _, wait := range []string{"wait=0", "wait=1"} {
		t.Run(wait, func(t *testing.T) {
			s := testserver.RedisSentinel(t)
			url := withParams(sentinelURL(s), wait, quick)
			earlier, present := fenced(t, withParams(sentinelURL(s), quick))
			sessions, writes := failover(t, url, func() { s.KillPrimary() }, s.AwaitReady)
			if wait == "wait=1" && sessions+writes > 0 {
				t.Errorf("%d sessions and %d acknowledged writes were lost although a replica had confirmed each", sessions, writes)
			}
			wantFenced(t, earlier, present)
		})
	}
}

func TestClusterFailover(t *testing.T) {
	c := testserver.RedisCluster(t)
	earlier, present := fenced(t, withParams(clusterURL(c), quick))
	failover(t, withParams(clusterURL(c), quick), func() { c.Kill(0) }, c.AwaitReady)
	wantFenced(t, earlier, present)
}

// A slot that moves under load loses nothing and refuses nothing.
func TestSlotMovesUnderLoad(t *testing.T) {
	c := testserver.RedisCluster(t)
	for _, n := range c.Nodes[:3] {
		watchRedis(t, n)
	}
	url := clusterURL(c)
	_, namespace, _ := strings.Cut(url, "namespace=")
	nodes := twoNodes(t, url)
	var ascents []*ascent
	var names []string
	for i := range 8 {
		s, err := nodes[i%2].Create(t.Context(), store.NewID())
		if err != nil {
			t.Fatalf("Create() = %v", err)
		}
		ascents, names = append(ascents, &ascent{s: s}), append(names, namespace+":"+s.ID())
	}
	stop, climbed := make(chan struct{}), make(chan map[string]int)
	go func() { climbed <- climb(t, ascents, stop) }()
	for _, name := range names {
		before := acknowledged(ascents)
		await.Until(t, "sessions are written", func() bool { return acknowledged(ascents) > before })
		slot := c.SlotOf(name)
		m := c.StartMigration(slot, (c.Owner(slot)+1)%3)
		m.MoveKeys(name)
		m.Finish()
	}
	close(stop)
	for text, n := range <-climbed {
		t.Errorf("%d × Set() while a slot moves = %s", n, text)
	}
	total := 0
	for _, a := range ascents {
		want := int(a.acknowledged.Load())
		if got, err := counter.Get(t.Context(), a.s); got != want || err != nil {
			t.Errorf("Get() = %d, %v, want %d, the last that was acknowledged", got, err, want)
		}
		total += want
	}
	t.Logf("%d slots moved under %d acknowledged writes", len(names), total)
}
