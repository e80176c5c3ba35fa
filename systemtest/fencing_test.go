//go:build unix

package systemtest

import (
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/await"
	"github.com/sessionkv/store/internal/testserver"
)

// shortLease is the lease of workers that are to die or to freeze.
const shortLease = 2 * time.Second

// onServers runs f for every kind of server that processes share, with the URL of
// a namespace of its own.
func onServers(t *testing.T, f func(t *testing.T, url string)) {
	for _, flavour := range testserver.Flavours {
		t.Run(string(flavour), func(t *testing.T) {
			t.Parallel()
			server := testserver.SharedRedis(t, flavour)
			watchRedis(t, server)
			f(t, redisURL(server))
		})
	}
	t.Run("hazelcast", func(t *testing.T) {
		t.Parallel()
		url := hazelcastURL(testserver.SharedHazelcast(t))
		watchHazelcast(t, url)
		f(t, url)
	})
}

// writes are all ways in which another process can write to a key.
var writes = []string{"Set", "SetIfAbsent", "Delete", "Update", "Save"}

// lateWrites has the worker write in all ways, through one handle each, which was not told of an
// end yet. It checks that all are refused.
func lateWrites(w *worker) {
	w.t.Helper()
	for _, do := range writes {
		w.refused(task{Do: do, Handle: do, Key: string(name), Value: "late"}, "destroyed")
	}
	w.refused(task{Do: "Get", Handle: "Get", Key: string(name)}, "destroyed")
	w.refused(task{Do: "Suspend", Handle: "Suspend"}, "not owner") // as before the end
	w.must(task{Do: "Destroy", Handle: "Destroy"})                 // and does nothing
}

// attach gives the worker a handle for each of lateWrites' attempts.
func attach(w *worker, id string) {
	w.t.Helper()
	for _, do := range append([]string{"Get", "Suspend", "Destroy"}, writes...) {
		w.must(task{Do: "Attach", Handle: do, ID: id})
	}
	w.must(task{Do: "Set", Handle: "Set", Key: string(name), Value: "early"})
}

// wantOnly checks that s holds name=want and nothing else.
func wantOnly(t *testing.T, s *store.Session, want string) {
	t.Helper()
	if got, err := name.Get(t.Context(), s); got != want || err != nil {
		t.Errorf("Get(name) = %q, %v, want %q", got, err, want)
	}
	if keys, err := s.Keys(t.Context()); len(keys) != 1 || err != nil {
		t.Errorf("Keys() = %q, %v, want only %q", keys, err, name)
	}
}

// gone reports whether nobody can attach to the session.
func gone(t *testing.T, ss *store.Sessions, id string) bool {
	t.Helper()
	_, err := ss.Attach(t.Context(), id)
	if err != nil && kind(err) != "no session" {
		t.Fatalf("Attach() = %v, want the session or ErrNoSession", err)
	}
	return err != nil
}

func TestOtherProcessWritesAfterDestroy(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		ss := sessions(t, open(t, url), &store.Options{Lease: long})
		w := start(t, url, long, 0)
		id := store.NewID()
		s, err := ss.Create(t.Context(), id)
		if err != nil {
			t.Fatalf("Create() = %v", err)
		}
		attach(w, id)
		if err := s.Destroy(t.Context()); err != nil {
			t.Fatalf("Destroy() = %v", err)
		}
		lateWrites(w)
		if !gone(t, ss, id) {
			t.Error("the session lives again")
		}
	})
}

func TestOtherProcessWritesAfterExpiry(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		b := open(t, url)
		ss := sessions(t, b, nil)
		w := start(t, url, long, 0)
		id := store.NewID()
		// Straight from the backend, so that nobody renews it.
		if _, err := b.Create(t.Context(), id, nil, store.Terms{Lease: shortLease}); err != nil {
			t.Fatalf("Create() = %v", err)
		}
		attach(w, id)
		await.Until(t, "the session expires", func() bool { return gone(t, ss, id) })
		lateWrites(w)
		if !gone(t, ss, id) {
			t.Error("the session lives again")
		}
	})
}

func TestOtherProcessWritesToNextLife(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		ss := sessions(t, open(t, url), &store.Options{Lease: long})
		w := start(t, url, long, 0)
		id := store.NewID()
		s, err := ss.Create(t.Context(), id)
		if err != nil {
			t.Fatalf("Create() = %v", err)
		}
		attach(w, id)
		if err := s.Destroy(t.Context()); err != nil {
			t.Fatalf("Destroy() = %v", err)
		}
		if s, err = ss.Create(t.Context(), id, name.To("mine")); err != nil {
			t.Fatalf("Create() of the next life = %v", err)
		}
		lateWrites(w)
		wantOnly(t, s, "mine")
	})
}

func TestOtherProcessWritesAfterTakeover(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		ss := sessions(t, open(t, url), &store.Options{Lease: long})
		w := start(t, url, long, 0)
		id := store.NewID()
		w.must(task{Do: "Create", Handle: "owner", ID: id, Key: string(name), Value: "theirs"})
		attach(w, id)
		s, err := ss.Resume(t.Context(), id)
		if err != nil {
			t.Fatalf("Resume() = %v", err)
		}
		lateWrites(w)
		w.refused(task{Do: "Set", Handle: "owner", Key: string(name), Value: "late"}, "destroyed")
		w.refused(task{Do: "Done", Handle: "owner"}, "destroyed")
		wantOnly(t, s, "early")
	})
}

// A killed process's sessions outlive it, but not by more than their lease.
func TestKilledProcess(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		ss := sessions(t, open(t, url), nil)
		w := start(t, url, shortLease, 0)
		ids := make([]string, 20)
		for i := range ids {
			ids[i] = store.NewID()
			w.must(task{Do: "Create", Handle: strconv.Itoa(i), ID: ids[i], Key: string(name), Value: "v"})
		}
		for begin := time.Now(); time.Since(begin) < 2*shortLease; time.Sleep(10 * time.Millisecond) {
			for _, id := range ids {
				if gone(t, ss, id) {
					t.Fatalf("a session ended %v after its creation although its owner lives", time.Since(begin))
				}
			}
		}
		killed := time.Now()
		w.kill()
		// The last renewal was half a lease ago at the most; half of what was left
		// then allows for a slow machine.
		for left := ids; len(left) > 0; time.Sleep(10 * time.Millisecond) {
			asked := time.Now()
			var still []string
			for _, id := range left {
				if !gone(t, ss, id) {
					still = append(still, id)
				}
			}
			if len(still) < len(left) && asked.Sub(killed) < shortLease/4 {
				t.Fatalf("%d sessions were gone %v after their owner died, before their lease of %v", len(left)-len(still), asked.Sub(killed), shortLease)
			}
			if left = still; asked.Sub(killed) > patience {
				t.Fatalf("%d sessions outlived their owner by %v", len(left), asked.Sub(killed))
			}
		}
	})
}

// A process that was frozen beyond its lease, in the middle of writing, has no word of what it
// missed when it goes on.
func TestFrozenProcess(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		ss := sessions(t, open(t, url), &store.Options{Lease: long})
		w := start(t, url, shortLease, 0)
		id := store.NewID()
		w.must(task{Do: "Create", Handle: "s", ID: id, Key: string(name), Value: "first"})
		w.must(task{Do: "hammer", Handle: "s", Key: string(name), Value: "theirs"})
		watch, err := ss.Attach(t.Context(), id)
		if err != nil {
			t.Fatalf("Attach() = %v", err)
		}
		await.Until(t, "the other process writes", func() bool {
			got, err := name.Get(t.Context(), watch)
			return got == "theirs" && err == nil
		})
		freeze(t, w)
		await.Until(t, "the frozen owner's session expires", func() bool { return gone(t, ss, id) })
		s, err := ss.Create(t.Context(), id, name.To("mine"))
		if err != nil {
			t.Fatalf("Create() = %v", err)
		}
		thaw(t, w)
		if r := w.do(task{Do: "hammered"}); r.Kind != "destroyed" || r.N == 0 {
			t.Errorf("the other process wrote %d times, and then its error is %q; want some, and %q", r.N, r.Kind, "destroyed")
		}
		w.refused(task{Do: "Done", Handle: "s"}, "destroyed")
		wantOnly(t, s, "mine")
		w.exit() // it owns nothing any more, so it must not end this life
		wantOnly(t, s, "mine")
	})
}

func freeze(t *testing.T, w *worker) {
	t.Helper()
	if err := w.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
}

func thaw(t *testing.T, w *worker) {
	t.Helper()
	if err := w.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

// A process that stops in good order leaves its sessions to the others.
func TestGracefulExit(t *testing.T) {
	onServers(t, func(t *testing.T, url string) {
		ss := sessions(t, open(t, url), &store.Options{Lease: long})
		for _, grace := range []time.Duration{0, long} {
			w := start(t, url, shortLease, grace)
			ids := make([]string, 20)
			for i := range ids {
				ids[i] = store.NewID()
				w.must(task{Do: "Create", Handle: strconv.Itoa(i), ID: ids[i], Key: string(name), Value: strconv.Itoa(i)})
			}
			w.exit()
			for i, id := range ids {
				s, err := ss.Resume(t.Context(), id)
				if grace == 0 {
					if kind(err) != "no session" {
						t.Errorf("Resume() after an exit without grace = %v, want ErrNoSession", err)
					}
					continue
				}
				if err != nil {
					t.Fatalf("Resume() after an exit with grace = %v", err)
				}
				wantOnly(t, s, strconv.Itoa(i))
			}
		}
	})
}
