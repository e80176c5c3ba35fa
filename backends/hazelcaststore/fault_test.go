package hazelcaststore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hazelcast/hazelcast-go-client"
	"github.com/hazelcast/hazelcast-go-client/hzerrors"
	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/testserver"
)

// errLost is what the client reports when a connection breaks under a call.
var errLost = fmt.Errorf("connection closed: %w", hzerrors.ErrTargetDisconnected)

// A faulty grid is a real map whose writes can be made to go wrong. It first calls before; a write
// for which that returns an error is not sent. When the members have carried out a write, it calls
// after, which may change the answer that the backend gets.
type faulty struct {
	grid
	before func(op string) error
	after  func(op string, done bool, err error) (bool, error)
	writes atomic.Int64 // calls that change the entry
	reads  atomic.Int64
}

func (f *faulty) write(op string, call func() (bool, error)) (bool, error) {
	f.writes.Add(1)
	if f.before != nil {
		if err := f.before(op); err != nil {
			return false, err
		}
	}
	done, err := call()
	if f.after != nil {
		return f.after(op, done, err)
	}
	return done, err
}

func (f *faulty) Get(ctx context.Context, key any) (any, error) {
	f.reads.Add(1)
	return f.grid.Get(ctx, key)
}

func (f *faulty) ReplaceIfSame(ctx context.Context, key, old, new any) (bool, error) {
	return f.write("replace", func() (bool, error) { return f.grid.ReplaceIfSame(ctx, key, old, new) })
}

func (f *faulty) RemoveIfSame(ctx context.Context, key, value any) (bool, error) {
	return f.write("remove", func() (bool, error) { return f.grid.RemoveIfSame(ctx, key, value) })
}

func (f *faulty) SetTTLAffected(ctx context.Context, key any, ttl time.Duration) (bool, error) {
	return f.write("ttl", func() (bool, error) { return f.grid.SetTTLAffected(ctx, key, ttl) })
}

func (f *faulty) PutIfAbsentWithTTL(ctx context.Context, key, value any, ttl time.Duration) (any, error) {
	var there any
	_, err := f.write("put", func() (done bool, err error) {
		there, err = f.grid.PutIfAbsentWithTTL(ctx, key, value, ttl)
		return there == nil, err
	})
	return there, err
}

// rig is two backends on one map: one whose calls can go wrong, and another
// process.
type rig struct {
	b      *Backend
	faults *faulty
	other  *Backend
	raw    *hazelcast.Map
}

func newRig(t testing.TB, c *testserver.HazelcastCluster, opts *Options) *rig {
	t.Helper()
	client := dial(t, c)
	r := &rig{other: open(t, dial(t, c), opts), b: open(t, client, opts)}
	m, err := client.GetMap(t.Context(), r.b.mapName())
	if err != nil {
		t.Fatal(err)
	}
	r.raw = m
	r.faults = &faulty{grid: r.b.grid}
	r.b.grid = r.faults
	return r
}

// session creates one through the backend whose calls can go wrong.
func (r *rig) session(t testing.TB) (id string, s store.Store) {
	t.Helper()
	id = store.NewID()
	s, err := r.b.Create(t.Context(), id, []store.Entry{{Key: "k", Value: []byte("0")}}, store.Terms{Lease: time.Minute})
	if err != nil {
		t.Fatalf("Create = %v", err)
	}
	return id, s
}

// attach returns another process's handle.
func (r *rig) attach(t testing.TB, id string) store.Store {
	t.Helper()
	s, err := r.other.Attach(t.Context(), id, store.Terms{})
	if err != nil {
		t.Fatalf("Attach = %v", err)
	}
	return s
}

// hold keeps back the next write: it closes held when that begins, and lets it go on when
// goOn is closed.
func (f *faulty) hold() (held, goOn chan struct{}) {
	held, goOn = make(chan struct{}), make(chan struct{})
	var first sync.Once
	f.before = func(string) error {
		first.Do(func() {
			close(held)
			<-goOn
		})
		return nil
	}
	return held, goOn
}

// once makes the next write that is called op report done and err, after it has been carried out.
// Before the backend gets that, it runs meanwhile, if not nil.
func (f *faulty) once(op string, done bool, err error, meanwhile func()) {
	var used atomic.Bool
	f.after = func(o string, d bool, e error) (bool, error) {
		if o != op || used.Swap(true) {
			return d, e
		}
		if meanwhile != nil {
			meanwhile()
		}
		return done, err
	}
}

func TestLostReplies(t *testing.T) {
	r := newRig(t, testserver.SharedHazelcast(t), namespace())
	ctx := t.Context()
	get := func(t *testing.T, s store.Store, want string) {
		t.Helper()
		if v, err := s.Get(ctx, "k"); err != nil || string(v) != want {
			t.Errorf("Get(k) = %q, %v, want %q", v, err, want)
		}
	}
	for _, reply := range []struct {
		name string
		err  error
	}{
		{"broken connection", errLost},
		{"refusal of the client's own second try", nil},
	} {
		t.Run(reply.name, func(t *testing.T) {
			t.Run("Set", func(t *testing.T) {
				id, s := r.session(t)
				r.faults.once("replace", false, reply.err, nil)
				if err := s.Set(ctx, "k", []byte("1")); err != nil {
					t.Errorf("Set = %v, want no error", err)
				}
				get(t, r.attach(t, id), "1")
			})
			t.Run("Set, and others wrote since", func(t *testing.T) {
				id, s := r.session(t)
				other := r.attach(t, id)
				r.faults.once("replace", false, reply.err, func() {
					for i := range 100 {
						if err := other.Set(ctx, "k", fmt.Append(nil, i)); err != nil {
							t.Error(err)
						}
					}
				})
				if err := s.Set(ctx, "k", []byte("1")); err != nil {
					t.Errorf("Set = %v, want no error", err)
				}
				get(t, s, "99") // not written a second time
			})
			t.Run("Commit", func(t *testing.T) {
				_, s := r.session(t)
				r.faults.once("replace", false, reply.err, nil)
				expect, write := []store.Entry{{Key: "k", Value: []byte("0")}}, []store.Entry{{Key: "k", Value: []byte("1")}}
				if current, err := store.Commit(ctx, s, expect, write); err != nil {
					t.Errorf("Commit = %q, %v, want no error", current, err)
				}
				get(t, s, "1")
			})
			t.Run("Set, and another process resumed since", func(t *testing.T) {
				id, s := r.session(t)
				r.faults.once("replace", false, reply.err, func() {
					if _, err := r.other.Resume(ctx, id, store.Terms{Lease: time.Minute}); err != nil {
						t.Error(err)
					}
				})
				if err := s.Set(ctx, "k", []byte("1")); err != nil {
					t.Errorf("Set = %v, want no error: it was done before the session was resumed", err)
				}
				get(t, r.attach(t, id), "1")
				if err := s.Set(ctx, "k", []byte("2")); !errors.Is(err, store.ErrDestroyed) {
					t.Errorf("the next Set = %v, want %v", err, store.ErrDestroyed)
				}
			})
			t.Run("Resume", func(t *testing.T) {
				id, _ := r.session(t)
				r.faults.once("replace", false, reply.err, nil)
				s, err := r.b.Resume(ctx, id, store.Terms{Lease: time.Minute})
				if err != nil {
					t.Fatalf("Resume = %v, want no error", err)
				}
				get(t, s, "0")
			})
			t.Run("Destroy", func(t *testing.T) {
				id, s := r.session(t)
				r.faults.once("remove", false, reply.err, func() {
					// A later life must not be hit by the second try.
					if _, err := r.other.Create(ctx, id, nil, store.Terms{Lease: time.Minute}); err != nil {
						t.Error(err)
					}
				})
				if err := s.Destroy(ctx); err != nil {
					t.Errorf("Destroy = %v, want no error", err)
				}
				r.attach(t, id)
			})
		})
	}
	t.Run("Create", func(t *testing.T) {
		r.faults.once("put", false, errLost, nil)
		id, s := r.session(t)
		get(t, s, "0")
		get(t, r.attach(t, id), "0")
	})
	t.Run("Create, and the session was destroyed since", func(t *testing.T) {
		id := store.NewID()
		r.faults.once("put", false, errLost, func() {
			if err := r.attach(t, id).Destroy(ctx); err != nil {
				t.Error(err)
			}
		})
		s, err := r.b.Create(ctx, id, nil, store.Terms{Lease: time.Minute})
		if s != nil || !errors.Is(err, store.ErrUnknownOutcome) || !errors.Is(err, hzerrors.ErrTargetDisconnected) {
			t.Errorf("Create = %v, %v, want %v", s, err, store.ErrUnknownOutcome)
		}
		if s, err := r.other.Attach(ctx, id, store.Terms{}); !errors.Is(err, store.ErrNoSession) {
			t.Errorf("Attach = %v, %v, want %v: the session was destroyed", s, err, store.ErrNoSession)
		}
	})
	t.Run("Set, and the session was destroyed since", func(t *testing.T) {
		id, s := r.session(t)
		other := r.attach(t, id)
		r.faults.once("replace", false, errLost, func() { _ = other.Destroy(ctx) })
		err := s.Set(ctx, "k", []byte("1"))
		if !errors.Is(err, store.ErrUnknownOutcome) {
			t.Errorf("Set = %v, want %v", err, store.ErrUnknownOutcome)
		}
		if err := s.Set(ctx, "k", nil); !errors.Is(err, store.ErrDestroyed) {
			t.Errorf("the next Set = %v, want %v", err, store.ErrDestroyed)
		}
	})
}

// A write that is not answered at all is neither refused nor done, and the error
// says so.
func TestUnknownOutcome(t *testing.T) {
	r := newRig(t, testserver.SharedHazelcast(t), namespace())
	r.b.timeout = 500 * time.Millisecond
	ctx := t.Context()
	id, s := r.session(t)
	other := r.attach(t, id)
	r.faults.after = func(string, bool, error) (bool, error) { return false, errLost }
	r.faults.before = func(op string) error {
		if r.faults.writes.Load() > 1 { // the first gets through
			return errLost
		}
		return nil
	}
	for _, c := range []struct {
		name string
		call func() error
	}{
		{"Set", func() error { return s.Set(ctx, "k", []byte("1")) }},
		{"Commit", func() error {
			_, err := store.Commit(ctx, s, nil, []store.Entry{{Key: "k", Value: []byte("2")}})
			return err
		}},
		{"Suspend", func() error { return r.b.Suspend(ctx, s, time.Minute) }},
		{"Renew", func() error { return errors.Join(r.b.Renew(ctx, []store.Store{s}, time.Hour)...) }},
		{"Resume", func() error { _, err := r.b.Resume(ctx, id, store.Terms{Lease: time.Minute}); return err }},
		{"Create", func() error {
			r.faults.writes.Store(1) // not even the first gets through
			_, err := r.b.Create(ctx, store.NewID(), nil, store.Terms{Lease: time.Minute})
			return err
		}},
	} {
		r.faults.writes.Store(0)
		err := c.call()
		if !errors.Is(err, store.ErrUnknownOutcome) || !errors.Is(err, hzerrors.ErrTargetDisconnected) {
			t.Errorf("%s = %v, want %v and %v", c.name, err, store.ErrUnknownOutcome, hzerrors.ErrTargetDisconnected)
		}
		if c.name == "Set" {
			if v, err := other.Get(ctx, "k"); err != nil || string(v) != "1" {
				t.Errorf("Get(k) by another process = %q, %v, want 1", v, err)
			}
		}
	}
}

// A call that the members have rejected does not have an unknown outcome.
func TestRejectedWrite(t *testing.T) {
	r := newRig(t, testserver.SharedHazelcast(t), namespace())
	_, s := r.session(t)
	rejection := fmt.Errorf("too few members: %w", hzerrors.ErrSplitBrainProtection)
	r.faults.before = func(string) error { return rejection }
	for name, err := range map[string]error{
		"Set":     s.Set(t.Context(), "k", nil),
		"Destroy": s.Destroy(t.Context()),
	} {
		if !errors.Is(err, hzerrors.ErrSplitBrainProtection) || errors.Is(err, store.ErrUnknownOutcome) {
			t.Errorf("%s = %v, want %v and a known outcome", name, err, hzerrors.ErrSplitBrainProtection)
		}
	}
}

// The context of one caller ends only its own wait, and takes back what has not
// been sent.
func TestContextEndsDuringWrite(t *testing.T) {
	r := newRig(t, testserver.SharedHazelcast(t), namespace())
	_, s := r.session(t)
	sent, goOn := r.faults.hold()
	ctx, cancel := context.WithCancel(t.Context())
	flying, queued := make(chan error, 1), make(chan error, 1)
	go func() { flying <- s.Set(ctx, "flying", nil) }()
	<-sent
	go func() { queued <- s.Set(ctx, "queued", nil) }()
	l := s.(*handle).life
	for n := 0; n == 0; {
		l.mu.Lock()
		n = len(l.queue)
		l.mu.Unlock()
	}
	cancel()
	if err := <-flying; !errors.Is(err, store.ErrUnknownOutcome) || !errors.Is(err, context.Canceled) {
		t.Errorf("Set that was in progress = %v, want %v and %v", err, store.ErrUnknownOutcome, context.Canceled)
	}
	if err := <-queued; err != context.Canceled {
		t.Errorf("Set that was not = %v, want %v", err, context.Canceled)
	}
	close(goOn)
	if err := s.Set(t.Context(), "later", nil); err != nil {
		t.Fatal(err)
	}
	keys, err := store.Keys(t.Context(), s)
	if want := "[flying k later]"; err != nil || fmt.Sprint(keys) != want {
		t.Errorf("Keys() = %v, %v, want %v", keys, err, want)
	}
}

// What a handle does, in calls to the cluster, while nobody else writes. The first renewal of
// a process for a lease takes one write more, of the owner's record.
func TestRoundTrips(t *testing.T) {
	r := newRig(t, testserver.SharedHazelcast(t), namespace())
	ctx := t.Context()
	for _, lease := range []time.Duration{time.Minute, 2 * time.Minute} {
		r.owned(t, 1, lease)
	}
	id := store.NewID()
	var s store.Store
	k := []store.Entry{{Key: "k", Value: []byte("1")}}
	for _, step := range []struct {
		name          string
		writes, reads int64
		call          func() error
	}{
		{"Create", 1, 0, func() (err error) { s, err = r.b.Create(ctx, id, nil, store.Terms{Lease: time.Minute}); return }},
		{"Set", 1, 0, func() error { return s.Set(ctx, "k", []byte("1")) }},
		{"Get", 0, 1, func() error { _, err := s.Get(ctx, "k"); return err }},
		{"Has", 0, 1, func() error { _, err := s.Has(ctx, "k"); return err }},
		{"GetMany", 0, 1, func() error { _, err := store.GetMany(ctx, s, []string{"k", "l"}); return err }},
		{"Keys", 0, 1, func() error { _, err := store.Keys(ctx, s); return err }},
		{"Commit", 1, 0, func() error { _, err := store.Commit(ctx, s, k, k); return err }},
		{"Renew", 1, 0, func() error { return errors.Join(r.b.Renew(ctx, []store.Store{s}, 2*time.Minute)...) }},
		{"Renew that changes nothing", 0, 1, func() error { return errors.Join(r.b.Renew(ctx, []store.Store{s}, time.Minute)...) }},
		{"Renew with no lease", 0, 1, func() error { return errors.Join(r.b.Renew(ctx, []store.Store{s}, 0)...) }},
		{"Delete", 1, 0, func() error { return s.Delete(ctx, "k") }},
		{"Delete of an absent key", 0, 1, func() error { return s.Delete(ctx, "k") }},
		{"Commit that is refused", 0, 1, func() error {
			if _, err := store.Commit(ctx, s, k, k); err != store.ErrConflict {
				return fmt.Errorf("Commit = %w, want %w", err, store.ErrConflict)
			}
			return nil
		}},
		{"Attach", 0, 1, func() error { _, err := r.b.Attach(ctx, id, store.Terms{}); return err }},
		{"Suspend", 1, 0, func() error { return r.b.Suspend(ctx, s, time.Minute) }},
		{"Suspend beyond the default TTL", 2, 1, func() error { return r.b.Suspend(ctx, s, 3*time.Hour) }},
		{"Resume", 1, 1, func() (err error) { s, err = r.b.Resume(ctx, id, store.Terms{Lease: time.Minute}); return }},
		{"Destroy", 1, 0, func() error { return s.Destroy(ctx) }},
	} {
		r.faults.writes.Store(0)
		r.faults.reads.Store(0)
		if err := step.call(); err != nil {
			t.Fatalf("%s = %v, want no error", step.name, err)
		}
		if w, rd := r.faults.writes.Load(), r.faults.reads.Load(); w != step.writes || rd != step.reads {
			t.Errorf("%s took %d writes and %d reads, want %d and %d", step.name, w, rd, step.writes, step.reads)
		}
	}
}

// A session does not grow beyond the limit, whichever way.
func TestDocumentSize(t *testing.T) {
	opts := namespace()
	opts.DocumentSize = 10 << 10
	b := open(t, dial(t, testserver.SharedHazelcast(t)), opts)
	ctx := t.Context()
	half, whole := make([]byte, 5<<10), make([]byte, 10<<10)
	create := func(value []byte) (store.Store, error) {
		return b.Create(ctx, store.NewID(), []store.Entry{{Key: "a", Value: value}}, store.Terms{Lease: time.Minute})
	}
	if _, err := create(whole); !errors.Is(err, store.ErrTooLarge) {
		t.Errorf("Create = %v, want %v", err, store.ErrTooLarge)
	}
	s, err := create(half)
	if err != nil {
		t.Fatal(err)
	}
	commit := func(write ...store.Entry) error { _, err := store.Commit(ctx, s, nil, write); return err }
	for name, err := range map[string]error{
		"Set of a new key":     s.Set(ctx, "b", half),
		"Set of a key":         s.Set(ctx, "a", whole),
		"Commit":               commit(store.Entry{Key: "c"}, store.Entry{Key: "b", Value: half}),
		"Commit of small ones": commit(store.Entry{Key: "b", Value: half[:3<<10]}, store.Entry{Key: "c", Value: half[:3<<10]}),
	} {
		if !errors.Is(err, store.ErrTooLarge) || errors.Is(err, store.ErrUnknownOutcome) {
			t.Errorf("%s = %v, want %v", name, err, store.ErrTooLarge)
		}
	}
	for name, err := range map[string]error{
		"Set, then Commit that exchanges": errors.Join(s.Set(ctx, "a", half), commit(store.Entry{Key: "a"}, store.Entry{Key: "b", Value: half})),
	} {
		if err != nil {
			t.Errorf("%s = %v, want no error", name, err)
		}
	}
	if keys, err := store.Keys(ctx, s); err != nil || fmt.Sprint(keys) != "[b]" {
		t.Errorf("Keys() = %v, %v, want [b]", keys, err)
	}
}

// A Set whose caller has left is on its way yet. What becomes of it must not reach the Set
// that comes next.
func TestSetThatIsLeftHasNoSuccessor(t *testing.T) {
	r := newRig(t, testserver.SharedHazelcast(t), namespace())
	_, one := r.session(t)
	_, two := r.session(t)
	for range 20 { // memory is reused by chance
		arrived, refuse, goOn := make(chan struct{}, 2), make(chan struct{}), make(chan struct{})
		var calls atomic.Int64
		r.faults.before = func(string) error {
			n := calls.Add(1)
			arrived <- struct{}{}
			if n == 1 {
				<-refuse
				return hzerrors.ErrIllegalArgument
			}
			<-goOn
			return nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		left, next := make(chan error, 1), make(chan error, 1)
		go func() { left <- one.Set(ctx, "k", []byte("left")) }()
		<-arrived
		cancel()
		if err := <-left; !errors.Is(err, store.ErrUnknownOutcome) {
			t.Fatalf("Set that was left = %v, want %v", err, store.ErrUnknownOutcome)
		}
		go func() { next <- two.Set(t.Context(), "k", []byte("next")) }()
		<-arrived
		close(refuse)
		for l := one.(*handle).life; ; {
			l.mu.Lock()
			over := !l.draining
			l.mu.Unlock()
			if over {
				break
			}
			time.Sleep(time.Millisecond)
		}
		close(goOn)
		if err := <-next; err != nil {
			t.Fatalf("the Set after one that was left = %v, want no error", err)
		}
		r.faults.before = nil
	}
	if got, err := two.Get(t.Context(), "k"); err != nil || string(got) != "next" {
		t.Errorf("Get = %q, %v, want %q", got, err, "next")
	}
}

// What a refused Commit returns stays as it is, also when a Set that was written together with it
// was the last to write it.
func TestRefusedCommitKeepsItsValues(t *testing.T) {
	r := newRig(t, testserver.SharedHazelcast(t), namespace())
	_, s := r.session(t)
	held, goOn := r.faults.hold()
	queued := func(n int) {
		for l := s.(*handle).life; ; time.Sleep(time.Millisecond) {
			l.mu.Lock()
			got := len(l.queue)
			l.mu.Unlock()
			if got == n {
				return
			}
		}
	}
	var wg sync.WaitGroup
	set := func(value string) {
		wg.Go(func() {
			if err := s.Set(t.Context(), "k", []byte(value)); err != nil {
				t.Errorf("Set = %v", err)
			}
		})
	}
	set("first")
	<-held
	set("second")
	queued(1)
	var current [][]byte
	wg.Go(func() {
		var err error
		current, err = store.Commit(t.Context(), s, []store.Entry{{Key: "k"}}, []store.Entry{{Key: "k", Value: []byte("third")}})
		if err != store.ErrConflict {
			t.Errorf("Commit = %v, want %v", err, store.ErrConflict)
		}
	})
	queued(2)
	close(goOn)
	wg.Wait()
	for range 20 { // memory is reused by chance
		if err := s.Set(t.Context(), "k", []byte("fourth")); err != nil {
			t.Fatal(err)
		}
	}
	if len(current) != 1 || string(current[0]) != "second" {
		t.Errorf("the values of the refused Commit are %q, want %q", current, "second")
	}
}

// Writers of one session share round trips.
func TestWritersAreCombined(t *testing.T) {
	r := newRig(t, testserver.SharedHazelcast(t), namespace())
	_, s := r.session(t)
	const writers = 10
	held, goOn := r.faults.hold()
	r.faults.writes.Store(0)
	var wg sync.WaitGroup
	set := func(i int) {
		wg.Go(func() {
			if err := s.Set(t.Context(), fmt.Sprint("k", i), nil); err != nil {
				t.Errorf("Set = %v", err)
			}
		})
	}
	set(0)
	<-held
	for i := range writers - 1 {
		set(i + 1)
	}
	l := s.(*handle).life
	for n := 0; n < writers-1; {
		l.mu.Lock()
		n = len(l.queue)
		l.mu.Unlock()
	}
	close(goOn)
	wg.Wait()
	if n := r.faults.writes.Load(); n != 2 {
		t.Errorf("%d writers took %d writes, want 2: the first one's, and the others' together", writers, n)
	}
	if keys, err := store.Keys(t.Context(), s); len(keys) != writers+1 {
		t.Errorf("%d keys, %v, want %d", len(keys), err, writers+1)
	}
}
