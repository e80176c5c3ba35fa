package backends_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends"
	"github.com/sessionkv/store/backends/memstore"
)

// steps counts the calls that a node makes at its two backends, and disturbs one of them.
type steps struct {
	n      atomic.Int64
	at     int64  // the call to disturb; 0 for none
	before func() // called before it
	lose   bool   // its reply is lost
	fail   error  // it fails
	crash  bool   // neither it nor any later one reaches a server
	late   bool   // with crash: it does reach the server
	delay  bool   // its outcome is unknown, and it takes effect two calls later

	delayed func()

	busy   int // how often the owner writes before the session is to end at the old place
	writes func(n int)
	mu     sync.Mutex
	names  []string // of all calls; guarded by mu
}

var (
	errCrashed = errors.New("the process has died")
	errAway    = errors.New("the server is away")
)

// step is one call.
func step[T any](s *steps, name string, call func() (T, error)) (T, error) {
	var zero T
	n := s.n.Add(1)
	s.mu.Lock()
	s.names = append(s.names, name)
	s.mu.Unlock()
	if name == "old DestroyIf" && s.busy > 0 {
		s.busy--
		s.writes(s.busy)
	}
	if s.at == 0 || n < s.at {
		return call()
	}
	if s.delay && n == s.at {
		s.delayed = func() { _, _ = call() }
		return zero, store.ErrUnknownOutcome
	}
	if s.delayed != nil && n == s.at+2 {
		s.delayed()
	}
	if s.crash && (n > s.at || !s.late) {
		return zero, errCrashed
	}
	if n > s.at {
		return call()
	}
	if s.before != nil {
		s.before()
	}
	if s.fail != nil {
		return zero, s.fail
	}
	v, err := call()
	if s.crash {
		return zero, errCrashed
	}
	if s.lose && err == nil {
		return zero, store.ErrUnknownOutcome
	}
	return v, err
}

// A stepped backend is a node's door to one of the places.
type stepped struct {
	store.Backend
	steps *steps
	name  string
}

func (b *stepped) Close() error { return nil } // others use the place, too

func newStepped(b store.Backend, s *steps, name string) *stepped {
	d := &stepped{steps: s, name: name}
	d.Backend = store.WrapStores(b, func(inner store.Store) store.Store { return &steppedStore{inner, d} })
	return d
}

func (b *stepped) Create(ctx context.Context, id string, initial []store.Entry, t store.Terms) (store.Store, error) {
	return step(b.steps, b.name+" Create", func() (store.Store, error) { return b.Backend.Create(ctx, id, initial, t) })
}

func (b *stepped) Attach(ctx context.Context, id string, t store.Terms) (store.Store, error) {
	return step(b.steps, b.name+" Attach", func() (store.Store, error) { return b.Backend.Attach(ctx, id, t) })
}

func (b *stepped) Resume(ctx context.Context, id string, t store.Terms) (store.Store, error) {
	return step(b.steps, b.name+" Resume", func() (store.Store, error) { return b.Backend.Resume(ctx, id, t) })
}

func (b *stepped) Renew(ctx context.Context, sessions []store.Store, lease time.Duration) []error {
	errs, err := step(b.steps, b.name+" Renew", func() ([]error, error) { return b.Backend.Renew(ctx, sessions, lease), nil })
	if err != nil {
		errs = make([]error, len(sessions))
		for i := range errs {
			errs[i] = err
		}
	}
	return errs
}

func (b *stepped) Suspend(ctx context.Context, s store.Store, grace time.Duration) error {
	_, err := step(b.steps, b.name+" Suspend", func() (int, error) { return 0, b.Backend.Suspend(ctx, s, grace) })
	return err
}

func (b *stepped) Indexer() (store.Indexer, error) { return store.AsIndexer(b.Backend) }

type steppedStore struct {
	store.Store
	b *stepped
}

func (s *steppedStore) Get(ctx context.Context, key string) ([]byte, error) {
	return step(s.b.steps, s.b.name+" Get", func() ([]byte, error) { return s.Store.Get(ctx, key) })
}

func (s *steppedStore) Destroy(ctx context.Context) error {
	_, err := step(s.b.steps, s.b.name+" Destroy", func() (int, error) { return 0, s.Store.Destroy(ctx) })
	return err
}

func (s *steppedStore) GetMany(ctx context.Context, keys []string) ([][]byte, error) {
	return step(s.b.steps, s.b.name+" GetMany", func() ([][]byte, error) { return store.GetMany(ctx, s.Store, keys) })
}

func (s *steppedStore) Keys(ctx context.Context) ([]string, error) {
	return step(s.b.steps, s.b.name+" Keys", func() ([]string, error) { return store.Keys(ctx, s.Store) })
}

func (s *steppedStore) Commit(ctx context.Context, expect, write []store.Entry) ([][]byte, error) {
	var refused [][]byte
	values, err := step(s.b.steps, s.b.name+" Commit", func() ([][]byte, error) {
		values, err := store.Commit(ctx, s.Store, expect, write)
		refused = values
		return values, err
	})
	if errors.Is(err, store.ErrConflict) {
		return refused, err
	}
	return values, err
}

func (s *steppedStore) DestroyIf(ctx context.Context, values []store.Entry) error {
	_, err := step(s.b.steps, s.b.name+" DestroyIf", func() (int, error) { return 0, store.DestroyIf(ctx, s.Store, values) })
	return err
}

// A house has two places, a node whose calls are counted, and one that works undisturbed.
type house struct {
	t        *testing.T
	ctx      context.Context
	from, to *memstore.Backend
	steps    *steps
	mover    *backends.Migration
	other    *backends.Migration
	others   *steps // of other
	id       string
	owner    store.Store // of the old fleet
	want     map[string]string
}

var moveTerms = store.Terms{Lease: time.Minute, MaxKeys: 100}

func newHouse(t *testing.T) *house {
	h := &house{t: t, ctx: t.Context(), from: memstore.New(nil), to: memstore.New(nil), steps: new(steps), id: "an ID of a session"}
	h.mover = backends.MigrateAny(newStepped(h.from, h.steps, "old"), newStepped(h.to, h.steps, "new"), nil)
	h.others = new(steps)
	h.other = backends.MigrateAny(newStepped(h.from, h.others, "old"), newStepped(h.to, h.others, "new"), nil)
	t.Cleanup(func() {
		h.mover.Close()
		h.other.Close()
		h.from.Close()
		h.to.Close()
	})
	h.want = map[string]string{"k": "v", "empty": "", "bytes": "\x00\xff"}
	initial := []store.Entry{{Key: "k", Value: []byte("v")}, {Key: "empty", Value: []byte{}}, {Key: "bytes", Value: []byte("\x00\xff")}}
	s, err := h.from.Create(h.ctx, h.id, initial, moveTerms)
	if err != nil {
		t.Fatal(err)
	}
	h.owner = s
	h.steps.writes = func(n int) { // as long as it is the owner
		if err := h.owner.Set(h.ctx, "busy", fmt.Append(nil, n)); err == nil {
			h.want["busy"] = fmt.Sprint(n)
		}
		if err := h.owner.Delete(h.ctx, "empty"); err == nil {
			delete(h.want, "empty")
		}
	}
	return h
}

// values returns what the session holds at a place; nil where none lives.
func (h *house) values(b store.Backend) map[string]string {
	h.t.Helper()
	s, err := b.Attach(h.ctx, h.id, moveTerms)
	if errors.Is(err, store.ErrNoSession) {
		return nil
	}
	if err != nil {
		h.t.Fatalf("Attach() = %v", err)
	}
	return h.held(s)
}

func (h *house) held(s store.Store) map[string]string {
	h.t.Helper()
	keys, err := store.Keys(h.ctx, s)
	if err != nil {
		h.t.Fatalf("Keys() = %v", err)
	}
	all := make(map[string]string)
	for _, key := range keys {
		v, err := s.Get(h.ctx, key)
		if err != nil {
			h.t.Fatalf("Get(%q) = %v", key, err)
		}
		all[key] = string(v)
	}
	return all
}

// livesAtNew checks that the session lives at the new place, without a mark, and nowhere else.
func (h *house) livesAtNew() {
	h.t.Helper()
	if got := h.values(h.from); got != nil {
		h.t.Errorf("at the old place there is still %q", got)
	}
	if diff := cmp.Diff(h.want, h.values(h.to)); diff != "" {
		h.t.Errorf("at the new place (-want +got):\n%s", diff)
	}
}

func (h *house) isGone() {
	h.t.Helper()
	if s, err := h.other.Resume(h.ctx, h.id, moveTerms); !errors.Is(err, store.ErrNoSession) {
		h.t.Errorf("Resume() after Destroy = %v, %v, want ErrNoSession", s, err)
	}
	if old, now := h.values(h.from), h.values(h.to); old != nil || now != nil {
		h.t.Errorf("after Destroy there is %q at the old place and %q at the new one", old, now)
	}
}

// eachStep runs f once for each call that an undisturbed Resume makes, in a bubble of its own.
func eachStep(t *testing.T, busy int, f func(h *house)) {
	run := func(t *testing.T, at int64, f func(h *house)) (names []string) {
		synctest.Test(t, func(t *testing.T) {
			h := newHouse(t)
			h.steps.at, h.steps.busy = at, busy
			f(h)
			names = h.steps.names
		})
		return names
	}
	names := run(t, 0, func(h *house) {
		if _, err := h.take(h.mover); err != nil {
			h.t.Fatalf("undisturbed: %v", err)
		}
		h.livesAtNew()
	})
	if len(names) < 10 {
		t.Fatalf("a move took the steps %q, and the test sees too few", names)
	}
	for i, name := range names {
		t.Run(fmt.Sprintf("%02d %s", i+1, strings.ReplaceAll(name, " ", "")), func(t *testing.T) { run(t, int64(i+1), f) })
	}
}

// eachBusyStep is eachStep, also for a move that finds other values each time until it refuses the owner.
func eachBusyStep(t *testing.T, f func(h *house)) {
	t.Run("idle", func(t *testing.T) { eachStep(t, 0, f) })
	t.Run("busy", func(t *testing.T) { eachStep(t, 3, f) })
}

// take resumes the session.
func (h *house) take(m *backends.Migration) (store.Store, error) {
	return m.Resume(h.ctx, h.id, moveTerms)
}

// mustTake is take of the undisturbed node, which has to succeed; then all is well.
func (h *house) mustTake() store.Store {
	h.t.Helper()
	s, err := h.take(h.other)
	if err != nil {
		h.t.Fatalf("Resume() by the other node = %v", err)
	}
	if diff := cmp.Diff(h.want, h.held(s)); diff != "" {
		h.t.Errorf("the values that were resumed (-want +got):\n%s", diff)
	}
	h.livesAtNew()
	return s
}

// living counts the handles that work.
func (h *house) living(all ...store.Store) (n int) {
	for _, s := range all {
		if s == nil {
			continue
		}
		switch _, err := s.Get(h.ctx, "k"); {
		case err == nil:
			n++
		case !errors.Is(err, store.ErrDestroyed) && !errors.Is(err, store.ErrClosed):
			h.t.Errorf("Get() = %v, want a value or that the session has ended", err)
		}
	}
	return n
}

// A mover that dies before or in the middle of any step leaves a session that the next Resume finds.
func TestMoverDies(t *testing.T) {
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprintf("late=%t", late), func(t *testing.T) {
			eachBusyStep(t, func(h *house) {
				h.steps.crash, h.steps.late = true, late
				_, _ = h.take(h.mover)
				h.mustTake()
			})
		})
	}
}

// The same with an Attach instead of the next Resume, and with a Destroy through it: then nothing is left.
func TestMoverDiesAndOthersDestroy(t *testing.T) {
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprintf("late=%t", late), func(t *testing.T) {
			eachBusyStep(t, func(h *house) {
				h.steps.crash, h.steps.late = true, late
				_, _ = h.take(h.mover)
				s, err := h.other.Attach(h.ctx, h.id, moveTerms)
				if err != nil {
					h.t.Fatalf("Attach() = %v", err)
				}
				if diff := cmp.Diff(h.want, h.held(s)); diff != "" {
					h.t.Errorf("the values (-want +got):\n%s", diff)
				}
				if err := s.Destroy(h.ctx); err != nil {
					h.t.Fatalf("Destroy() = %v", err)
				}
				h.isGone()
			})
		})
	}
}

// One gap is documented. A mover dies at its last step at the old place, and then a process that does not
// look at the new one destroys the session. From any other step on it stays destroyed.
func TestMoverDiesAndTheOldFleetDestroys(t *testing.T) {
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprintf("late=%t", late), func(t *testing.T) {
			eachBusyStep(t, func(h *house) {
				h.steps.crash, h.steps.late = true, late
				_, _ = h.take(h.mover)
				s, err := h.from.Attach(h.ctx, h.id, moveTerms)
				if err != nil {
					h.mustTake() // it has moved, and the old fleet does not find it
					return
				}
				if err := s.Destroy(h.ctx); err != nil {
					h.t.Fatalf("Destroy() = %v", err)
				}
				// "Ready" is written, and what was written for nothing is not removed yet.
				gap := map[string]bool{"old DestroyIf": true, "new Commit": late, "new Destroy": !late}
				if h.steps.at > 0 && gap[h.steps.names[h.steps.at-1]] {
					if c, err := h.to.Attach(h.ctx, h.id, moveTerms); err == nil {
						_ = c.Destroy(h.ctx) // isGone looks
					}
				}
				h.isGone()
			})
		})
	}
}

// A mover whose call fails, whose reply is lost, or whose context ends, at any step, moves the session or leaves it.
func TestMoverIsDisturbed(t *testing.T) {
	for name, disturb := range map[string]func(h *house){
		"fails":   func(h *house) { h.steps.fail = errAway },
		"lost":    func(h *house) { h.steps.lose = true },
		"late":    func(h *house) { h.steps.delay = true },
		"unknown": func(h *house) { h.steps.fail = store.ErrUnknownOutcome },
		"closed":  func(h *house) { h.steps.before = func() { go h.mover.Close(); synctest.Wait() } },
		"context": func(h *house) {
			ctx, cancel := context.WithCancel(h.ctx)
			h.ctx = ctx
			h.steps.before = cancel
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachBusyStep(t, func(h *house) {
				if h.steps.at == 0 {
					_, _ = h.take(h.mover)
					return
				}
				if err := h.from.Suspend(h.ctx, h.owner, time.Hour); err != nil {
					h.t.Fatal(err)
				}
				disturb(h)
				s, err := h.take(h.mover)
				h.ctx = h.t.Context()
				if err == nil && name != "closed" && h.living(s) != 1 {
					h.t.Error("Resume() = nil, and its handle does not live")
				}
				if old := h.values(h.from); old != nil {
					if err == nil {
						h.t.Errorf("Resume() = nil, and the session is at the old place")
					}
					raw, err := h.from.Attach(h.ctx, h.id, moveTerms)
					if err != nil {
						h.t.Fatal(err)
					}
					if left, err := h.from.TimeLeft(h.ctx, raw); left < time.Hour-time.Minute || err != nil {
						h.t.Errorf("after Resume() = %v the session lives for %v, %v, want the hour that it had", err, left, err)
					}
				}
				last := h.mustTake()
				if n := h.living(s, last); name != "closed" && n != 1 {
					h.t.Errorf("%d handles live after the next Resume, want 1", n)
				}
			})
		})
	}
}

// Whatever others do to the session before any step of a mover, no write that was acknowledged is lost. One handle
// lives, and what was destroyed stays destroyed.
func TestMoverMeetsOthers(t *testing.T) {
	for name, meet := range map[string]func(h *house) (s store.Store){
		"the owner writes": func(h *house) store.Store {
			if err := h.owner.Set(h.ctx, "k", []byte("w")); err == nil {
				h.want["k"] = "w"
			} else if !errors.Is(err, store.ErrDestroyed) {
				h.t.Errorf("Set() = %v", err)
			}
			return nil
		},
		"the owner writes and deletes": func(h *house) store.Store {
			if _, err := store.Commit(h.ctx, h.owner, nil, []store.Entry{{Key: "k"}, {Key: "new", Value: []byte("n")}}); err == nil {
				delete(h.want, "k")
				h.want["new"] = "n"
			}
			return nil
		},
		"the old fleet attaches and writes": func(h *house) store.Store {
			if s, err := h.from.Attach(h.ctx, h.id, moveTerms); err == nil {
				if err := s.Set(h.ctx, "k", []byte("w")); err != nil {
					h.t.Errorf("Set() = %v", err)
				}
				h.want["k"] = "w"
			}
			return nil
		},
		"the old fleet destroys": func(h *house) store.Store {
			if s, err := h.from.Attach(h.ctx, h.id, moveTerms); err == nil {
				_ = s.Destroy(h.ctx)
				h.want = nil
			}
			return nil
		},
		"the owner destroys": func(h *house) store.Store {
			if errs := h.from.Renew(h.ctx, []store.Store{h.owner}, 0); errs == nil {
				h.want = nil
			}
			_ = h.owner.Destroy(h.ctx)
			return nil
		},
		"the old fleet resumes": func(h *house) store.Store {
			s, err := h.from.Resume(h.ctx, h.id, moveTerms)
			if err != nil {
				return nil
			}
			if err := s.Set(h.ctx, "k", []byte("w")); err != nil {
				h.t.Errorf("Set() = %v", err)
			}
			h.want["k"] = "w"
			return s
		},
		"the owner suspends": func(h *house) store.Store {
			_ = h.from.Suspend(h.ctx, h.owner, time.Hour)
			return nil
		},
		"the session expires": func(h *house) store.Store {
			if h.from.Suspend(h.ctx, h.owner, time.Millisecond) == nil {
				h.want = nil
				time.Sleep(time.Second)
			}
			return nil
		},
		"another mover resumes": func(h *house) store.Store {
			s, err := h.take(h.other)
			if err != nil {
				h.t.Errorf("Resume() by another mover = %v", err)
			}
			return s
		},
		"another node attaches and writes": func(h *house) store.Store {
			s, err := h.other.Attach(h.ctx, h.id, moveTerms)
			if err != nil {
				h.t.Fatalf("Attach() by another node = %v", err)
			}
			if err := s.Set(h.ctx, "k", []byte("w")); err != nil {
				h.t.Errorf("Set() = %v", err)
			}
			h.want["k"] = "w"
			return nil
		},
		"another node destroys": func(h *house) store.Store {
			s, err := h.other.Attach(h.ctx, h.id, moveTerms)
			if err != nil {
				h.t.Fatalf("Attach() by another node = %v", err)
			}
			if err := s.Destroy(h.ctx); err != nil {
				h.t.Errorf("Destroy() = %v", err)
			}
			h.want = nil
			return nil
		},
		"another node creates": func(h *house) store.Store {
			if _, err := h.other.Create(h.ctx, h.id, nil, moveTerms); !errors.Is(err, store.ErrExists) {
				h.t.Errorf("Create() = %v, want ErrExists", err)
			}
			return nil
		},
		"a node that stays creates": func(h *house) store.Store {
			stay := backends.MigrateAny(newStepped(h.from, new(steps), "old"), newStepped(h.to, new(steps), "new"), &backends.MigrateOptions{Stay: true})
			defer stay.Close()
			if _, err := stay.Create(h.ctx, h.id, nil, moveTerms); !errors.Is(err, store.ErrExists) {
				h.t.Errorf("Create() = %v, want ErrExists", err)
			}
			return nil
		},
		"a node that stays resumes": func(h *house) store.Store {
			stay := backends.MigrateAny(newStepped(h.from, new(steps), "old"), newStepped(h.to, new(steps), "new"), &backends.MigrateOptions{Stay: true})
			s, err := h.take(stay)
			if err != nil {
				h.t.Errorf("Resume() by a node that stays = %v", err)
				return nil
			}
			if err := s.Set(h.ctx, "k", []byte("w")); err != nil {
				h.t.Errorf("Set() = %v", err)
			}
			h.want["k"] = "w"
			return s
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachBusyStep(t, func(h *house) {
				var others store.Store
				h.steps.before = func() { others = meet(h) }
				s, err := h.take(h.mover)
				if h.want == nil {
					if err == nil && h.living(s) > 0 {
						h.t.Error("Resume() gives a session that was destroyed")
					} else if err != nil && !errors.Is(err, store.ErrNoSession) {
						h.t.Errorf("Resume() = %v, want ErrNoSession", err)
					}
					h.isGone()
					return
				}
				if err != nil {
					h.t.Fatalf("Resume() = %v", err)
				}
				if _, reads := h.want["k"]; reads {
					if n := h.living(s, others); n != 1 {
						h.t.Errorf("%d handles live, want 1", n)
					}
				}
				h.mustTake()
			})
		})
	}
}

// stopAt makes the calls of s wait before number at until release is closed.
func (s *steps) stopAt(at int64) (reached, release chan struct{}) {
	reached, release = make(chan struct{}), make(chan struct{})
	s.at, s.before = at, func() { close(reached); <-release }
	return reached, release
}

// duets runs f for each pair of steps at which a mover and another node wait for each other. The mover stops before one of its
// own. The other does what it does and stops before one of its own. Then the mover goes on to its end, and then the other. F
// gets what the mover returned, and whether it lived then.
func duets(t *testing.T, other func(h *house), f func(h *house, s store.Store, err error, lived bool)) {
	for at := int64(1); ; at++ {
		moved := false
		for otherAt := int64(1); !moved; otherAt++ {
			var over bool
			t.Run(fmt.Sprintf("%02d-%02d", at, otherAt), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					h := newHouse(t)
					reached, release := h.steps.stopAt(at)
					otherReached, otherRelease := h.others.stopAt(otherAt)
					var (
						s     store.Store
						err   error
						done  = make(chan struct{})
						ended = make(chan struct{})
					)
					go func() { s, err = h.take(h.mover); close(done) }()
					select {
					case <-reached:
					case <-done:
						moved = true
					}
					go func() { other(h); close(ended) }()
					select {
					case <-otherReached:
					case <-ended:
						over = true
					}
					close(release)
					<-done
					lived := h.living(s) == 1
					close(otherRelease)
					<-ended
					f(h, s, err, lived)
				})
			})
			if over {
				break
			}
		}
		if moved {
			return
		}
	}
}

// Two movers that meet at any of their steps: both succeed, one handle lives, and all values are there.
func TestMoversMeet(t *testing.T) {
	var second store.Store
	duets(t, func(h *house) {
		s, err := h.take(h.other)
		if err != nil {
			h.t.Errorf("Resume() by the other mover = %v", err)
		}
		second = s
	}, func(h *house, s store.Store, err error, _ bool) {
		if err != nil {
			h.t.Errorf("Resume() = %v", err)
		}
		if n := h.living(s, second); n != 1 {
			h.t.Errorf("%d handles live, want 1", n)
		}
		h.steps.at, h.others.at = 0, 0
		h.mustTake()
	})
}

// A Destroy through another node that meets a mover at any step ends the session, or comes too late for it.
func TestMoverMeetsDestroy(t *testing.T) {
	var before bool // the handle was of the old place
	duets(t, func(h *house) {
		s, err := h.other.Attach(h.ctx, h.id, moveTerms)
		if err != nil {
			h.t.Fatalf("Attach() = %v", err)
		}
		before = h.values(h.from) != nil
		if err := s.Destroy(h.ctx); err != nil {
			h.t.Errorf("Destroy() = %v", err)
		}
	}, func(h *house, s store.Store, err error, lived bool) {
		h.steps.at, h.others.at = 0, 0
		lives := h.living(s) == 1
		switch {
		case err != nil && !errors.Is(err, store.ErrNoSession):
			h.t.Errorf("Resume() = %v, want nil or ErrNoSession", err)
		case before && lived && !lives:
			h.t.Error("the session was resumed, and a Destroy through a handle of before has ended it")
		case err == nil && !lived:
			h.t.Error("Resume() = nil, and its session was destroyed before it returned")
		case lives:
			h.mustTake()
		default:
			h.isGone()
		}
	})
}

// The old fleet destroys the session while a mover is on its way, which is slow but alive. Another mover, who meets what it has made,
// waits for it and does not bring the session back.
func TestMoverIsWaitedFor(t *testing.T) {
	eachBusyStep(t, func(h *house) {
		gone := make(chan struct{})
		destroyed := false
		h.steps.before = func() {
			s, err := h.from.Attach(h.ctx, h.id, moveTerms)
			if err != nil {
				return // it has moved
			}
			if err := s.Destroy(h.ctx); err != nil {
				h.t.Errorf("Destroy() = %v", err)
			}
			destroyed = true
			go func() {
				if s, err := h.take(h.other); !errors.Is(err, store.ErrNoSession) {
					h.t.Errorf("Resume() of what was destroyed = %v, %v, want ErrNoSession", s, err)
				}
				close(gone)
			}()
			time.Sleep(100 * time.Millisecond)
		}
		_, _ = h.take(h.mover)
		if destroyed {
			<-gone
			h.isGone()
		}
	})
}

// A Destroy through a handle of before, late, does not touch a session that is on its way.
func TestMoverMeetsLateDestroy(t *testing.T) {
	eachBusyStep(t, func(h *house) {
		early, err := h.other.Attach(h.ctx, h.id, moveTerms)
		if err != nil {
			h.t.Fatalf("Attach() = %v", err)
		}
		h.steps.before = func() {
			if h.from.Renew(h.ctx, []store.Store{h.owner}, 0) == nil {
				return // it is not late
			}
			if err := early.Destroy(h.ctx); err != nil {
				h.t.Errorf("Destroy() = %v", err)
			}
		}
		s, err := h.take(h.mover)
		if err != nil || h.living(s) != 1 {
			h.t.Errorf("Resume() = %v, %v, want a session that lives", s, err)
		}
		h.mustTake()
	})
}

// A node that stays, and resumes a session that a mover has died with, removes what that has left. So the
// session stays destroyed even where the old fleet destroys it.
func TestStayRemovesCopies(t *testing.T) {
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprintf("late=%t", late), func(t *testing.T) {
			eachBusyStep(t, func(h *house) {
				h.steps.crash, h.steps.late = true, late
				_, _ = h.take(h.mover)
				stay := backends.MigrateAny(newStepped(h.from, new(steps), "old"), newStepped(h.to, new(steps), "new"), &backends.MigrateOptions{Stay: true})
				defer stay.Close()
				s, err := h.take(stay)
				if err != nil {
					h.t.Fatalf("Resume() = %v", err)
				}
				if diff := cmp.Diff(h.want, h.held(s)); diff != "" {
					h.t.Errorf("the values (-want +got):\n%s", diff)
				}
				for _, place := range []store.Backend{h.from, h.to} {
					if s, err := place.Attach(h.ctx, h.id, moveTerms); err == nil {
						_ = s.Destroy(h.ctx) // isGone looks
						break
					}
				}
				h.isGone()
			})
		})
	}
}
