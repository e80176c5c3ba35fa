package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessionkv/store"
)

// long is a lease that no rule outlasts by accident.
const long = time.Hour

// env is what the script of one rule works with. All of it is safe for use by
// the goroutines of together.
type env struct {
	t     testing.TB
	rule  string
	h     Harness
	ctx   context.Context
	a, b  *node
	lease time.Duration // short, to be waited for

	broken atomic.Bool // a check has failed: the whole script is to end
	turns  atomic.Int64
	due    time.Time // see hurry
	heldUp bool      // the script came too late to prove anything

	mu      sync.Mutex
	secrets map[string]struct{} // guarded by mu; the parts of the IDs in use
	began   []*handle           // guarded by mu; for the clean-up
	able    map[ability]bool    // guarded by mu; what is known already
}

func newEnv(t testing.TB, rule string, h Harness, d *doors) *env {
	x := &env{t: t, rule: rule, h: h, ctx: t.Context(), lease: h.Lease}
	x.a = &node{x, "node A", d.a}
	x.b = &node{x, "node B", d.b}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(x.ctx)
		for _, s := range x.began {
			_ = s.raw.Destroy(ctx) // best effort: most have ended already
		}
	})
	return x
}

// stopped is what a failed check panics with, to end the script wherever it is.
type stopped struct{}

// guarded runs f up to its end or the first failed check.
func (x *env) guarded(f func()) {
	defer func() {
		switch p := recover(); p {
		case nil, stopped{}:
		default:
			x.broken.Store(true)
			x.t.Errorf("\nrule: %s\ngot:  panic: %v\nwant: no panic\n%s", x.rule, p, debug.Stack())
		}
	}()
	f()
}

// fail reports the violation of the rule and ends the script.
func (x *env) fail(call, got, want string) {
	x.t.Helper()
	if !x.due.IsZero() && !time.Now().Before(x.due) {
		x.heldUp = true
		panic(stopped{})
	}
	x.broken.Store(true)
	x.t.Errorf("\nrule: %s\ncall: %s\ngot:  %s\nwant: %s", x.rule, call, got, want)
	panic(stopped{})
}

// hurry says that the calls that follow, up to endsAfter, prove something only
// until due: a short lease has to last that long. On a busy machine they may come
// too late, and then the rule begins again.
func (x *env) hurry(due time.Time) { x.due = due }

// together runs f(0) … f(n-1) at the same time and waits for all of them. When
// a check of one fails, the others end at their next call.
func (x *env) together(n int, f func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			x.guarded(func() { f(i) })
		})
	}
	close(start)
	wg.Wait()
	if x.broken.Load() {
		panic(stopped{})
	}
}

// node i is one of the two, in turn.
func (x *env) node(i int) *node {
	if i%2 == 0 {
		return x.a
	}
	return x.b
}

// id returns a fresh random ID.
func (x *env) id() string {
	id := store.NewID()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.secrets == nil {
		x.secrets = make(map[string]struct{})
	}
	for i := range len(id) - part + 1 {
		x.secrets[id[i:i+part]] = struct{}{}
	}
	return id
}

// part is so many characters of an ID that an error which shows them gives it away.
const part = 8

// discreet checks that err gives no ID away, not even a part of one.
func (x *env) discreet(call string, err error) {
	if err == nil {
		return
	}
	text := err.Error()
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := range len(text) - part + 1 {
		if _, secret := x.secrets[text[i:i+part]]; secret {
			x.fail(call, fmt.Sprintf("the error %q", text), "an error text without the session ID, which is a credential")
		}
	}
}

// A node is one process's backend.
type node struct {
	x       *env
	name    string
	backend store.Backend
}

// A handle is a Store with the name under which failures speak of it.
type handle struct {
	x    *env
	name string
	id   string
	raw  store.Store
	on   *node // whose backend handed it out
}

// spec is how a session is to be begun.
type spec struct {
	initial []store.Entry
	terms   store.Terms
}

type option func(*spec)

// lease overrides the long lease.
func lease(d time.Duration) option { return func(s *spec) { s.terms.Lease = d } }

// maxKeys limits the keys of the handle.
func maxKeys(n int) option { return func(s *spec) { s.terms.MaxKeys = n } }

// with adds initial values: key, value, key, value, …
func with(keysAndValues ...any) option {
	return func(s *spec) { s.initial = entries(keysAndValues...) }
}

func specOf(options []option) spec {
	s := spec{terms: store.Terms{Lease: long}}
	for _, o := range options {
		o(&s)
	}
	return s
}

// adopt gives the Store that a call returned a name.
func (n *node) adopt(call, id string, raw store.Store, err error) (*handle, result) {
	n.x.t.Helper()
	r := n.x.result(call, nil, err)
	if err != nil {
		if !isNil(raw) {
			n.x.fail(r.call, "a Store together with the error "+show(err), "a nil Store")
		}
		return nil, r
	}
	if isNil(raw) {
		n.x.fail(r.call, "a nil Store and no error", "a Store")
	}
	n.x.mu.Lock()
	defer n.x.mu.Unlock()
	h := &handle{n.x, fmt.Sprintf("%s, handle %d", n.name, len(n.x.began)+1), id, raw, n}
	n.x.began = append(n.x.began, h)
	return h, r
}

func isNil(s store.Store) bool {
	v := reflect.ValueOf(s)
	return s == nil || v.Kind() == reflect.Pointer && v.IsNil()
}

func (n *node) tryCreate(id string, options ...option) (*handle, result) {
	n.x.t.Helper()
	s := specOf(options)
	raw, err := n.backend.Create(n.x.ctx, id, s.initial, s.terms)
	return n.adopt(n.name+": Create(id, "+show(s.initial)+", "+show(s.terms)+")", id, raw, err)
}

func (n *node) create(id string, options ...option) *handle {
	n.x.t.Helper()
	h, r := n.tryCreate(id, options...)
	r.ok()
	return h
}

// session creates one with a fresh ID.
func (n *node) session(options ...option) *handle {
	n.x.t.Helper()
	return n.create(n.x.id(), options...)
}

func (n *node) tryAttach(id string, options ...option) (*handle, result) {
	n.x.t.Helper()
	t := specOf(options).terms
	raw, err := n.backend.Attach(n.x.ctx, id, t)
	return n.adopt(n.name+": Attach(id, "+show(t)+")", id, raw, err)
}

func (n *node) attach(id string, options ...option) *handle {
	n.x.t.Helper()
	h, r := n.tryAttach(id, options...)
	r.ok()
	return h
}

// lacks checks that no session id lives.
func (n *node) lacks(id string) {
	n.x.t.Helper()
	_, r := n.tryAttach(id)
	r.fails(store.ErrNoSession)
}

func (n *node) tryResume(id string, options ...option) (*handle, result) {
	n.x.t.Helper()
	t := specOf(options).terms
	raw, err := n.backend.Resume(n.x.ctx, id, t)
	return n.adopt(n.name+": Resume(id, "+show(t)+")", id, raw, err)
}

func (n *node) resume(id string, options ...option) *handle {
	n.x.t.Helper()
	h, r := n.tryResume(id, options...)
	r.ok()
	return h
}

func (n *node) renew(lease time.Duration, sessions ...*handle) renewal {
	raws := make([]store.Store, len(sessions))
	for i, s := range sessions {
		raws[i] = s.raw
	}
	return n.renewStores(lease, raws...)
}

func (n *node) renewStores(lease time.Duration, raws ...store.Store) renewal {
	call := fmt.Sprintf("%s: Renew(%d sessions, %v)", n.name, len(raws), lease)
	errs := n.backend.Renew(n.x.ctx, raws, lease)
	for _, err := range errs {
		n.x.discreet(call, err)
	}
	return renewal{n.x, call, errs}
}

func (n *node) suspend(s *handle, grace time.Duration) result {
	n.x.t.Helper()
	return n.x.result(fmt.Sprintf("%s: Suspend(%s, %v)", n.name, s.name, grace), nil, n.backend.Suspend(n.x.ctx, s.raw, grace))
}

func (s *handle) result(value any, err error, format string, args ...any) result {
	return s.x.result(s.name+": "+fmt.Sprintf(format, args...), value, err)
}

func (s *handle) get(key string) result {
	v, err := s.raw.Get(s.x.ctx, key)
	return s.result(v, err, "Get(%s)", show(key))
}

func (s *handle) set(key, value string) result {
	return s.setBytes(key, []byte(value))
}

func (s *handle) setBytes(key string, value []byte) result {
	return s.result(nil, s.raw.Set(s.x.ctx, key, value), "Set(%s, %s)", show(key), show(value))
}

func (s *handle) has(key string) result {
	ok, err := s.raw.Has(s.x.ctx, key)
	return s.result(ok, err, "Has(%s)", show(key))
}

func (s *handle) delete(key string) result {
	return s.result(nil, s.raw.Delete(s.x.ctx, key), "Delete(%s)", show(key))
}

func (s *handle) destroy() result {
	return s.result(nil, s.raw.Destroy(s.x.ctx), "Destroy()")
}

func (s *handle) getMany(keys ...string) result {
	v, err := store.GetMany(s.x.ctx, s.raw, keys)
	return s.result(v, err, "GetMany(%s)", show(keys))
}

// commit is Commit, and every other time CommitTimed where that is there: it has to do the same.
func (s *handle) commit(expect, write []store.Entry) result {
	if _, ok := s.raw.(store.TimedCommitter); ok && s.x.turns.Add(1)%2 == 0 {
		r, _ := s.commitTimed(expect, write)
		return r
	}
	current, err := store.Commit(s.x.ctx, s.raw, expect, write)
	return s.result(current, err, "Commit(%s, %s)", show(expect), show(write))
}

func (s *handle) commitTimed(expect, write []store.Entry) (result, time.Duration) {
	current, left, err := store.CommitTimed(s.x.ctx, s.raw, expect, write)
	r := s.result(current, err, "CommitTimed(%s, %s)", show(expect), show(write))
	if left < 0 || err != nil && left != 0 {
		s.x.fail(r.call, fmt.Sprintf("%s, and %v left", r.got(), left), "a time that is not negative, and none with an error")
	}
	return r, left
}

func (s *handle) destroyIf(keysAndValues ...any) result {
	values := entries(keysAndValues...)
	return s.result(nil, store.DestroyIf(s.x.ctx, s.raw, values), "DestroyIf(%s)", show(values))
}

func (s *handle) keys() result {
	keys, err := store.Keys(s.x.ctx, s.raw)
	return s.result(keys, err, "Keys()")
}

// holds checks all values of the session: key, value, key, value, … A nil value
// must be absent.
func (s *handle) holds(keysAndValues ...any) {
	s.x.t.Helper()
	var names []string
	for _, e := range entries(keysAndValues...) {
		if e.Value == nil {
			s.get(e.Key).fails(store.ErrNotFound)
			s.has(e.Key).gives(false)
			continue
		}
		names = append(names, e.Key)
		s.get(e.Key).gives(e.Value)
		s.has(e.Key).gives(true)
	}
	if !s.x.has(canList) {
		return
	}
	slices.Sort(names)
	s.keys().lists(names...)
}

// ended checks that every method of s, whose life has ended, refuses.
func (s *handle) ended() {
	s.x.t.Helper()
	s.get("k").fails(store.ErrDestroyed)
	s.get("absent").fails(store.ErrDestroyed)
	s.set("k", "late").fails(store.ErrDestroyed)
	s.set("late", "late").fails(store.ErrDestroyed)
	s.has("k").fails(store.ErrDestroyed)
	s.delete("k").fails(store.ErrDestroyed)
	s.delete("absent").fails(store.ErrDestroyed)
	if s.x.has(canGetMany) {
		s.getMany("k", "absent").fails(store.ErrDestroyed)
		s.getMany().fails(store.ErrDestroyed)
	}
	if s.x.has(canCommit) {
		s.commit(nil, entries("k", "late")).fails(store.ErrDestroyed)
		s.commit(entries("k", nil), entries("k", "late")).fails(store.ErrDestroyed)
		s.commit(entries("k", "unlikely"), entries("k", nil)).fails(store.ErrDestroyed)
		s.commit(entries("late", nil), nil).fails(store.ErrDestroyed)
		s.commit(nil, nil).fails(store.ErrDestroyed)
	}
	if s.x.has(canList) {
		s.keys().fails(store.ErrDestroyed)
	}
	if s.x.has(canDestroyIf) {
		s.destroyIf().fails(store.ErrDestroyed)
		s.destroyIf("k", "v").fails(store.ErrDestroyed)
		s.destroyIf("k", "later").fails(store.ErrDestroyed)
	}
}

// entries pairs keys with values: strings, byte slices, or nil for absent.
func entries(keysAndValues ...any) []store.Entry {
	var list []store.Entry
	for pair := range slices.Chunk(keysAndValues, 2) {
		list = append(list, store.Entry{Key: pair[0].(string), Value: bytesOf(pair[1])})
	}
	return list
}

func bytesOf(v any) []byte {
	switch v := v.(type) {
	case nil:
		return nil
	case string:
		return []byte(v)
	default:
		return v.([]byte)
	}
}

// A result is what a call came to. Its checks mark themselves as helpers of the
// test only when they fail: marking takes a lock, over which racing goroutines
// would queue.
type result struct {
	x     *env
	call  string
	value any
	err   error
}

func (x *env) result(call string, value any, err error) result {
	if x.broken.Load() {
		panic(stopped{}) // in another goroutine of together
	}
	x.discreet(call, err)
	return result{x, call, value, err}
}

// got describes the result for a failure.
func (r result) got() string {
	switch {
	case r.err != nil && !isEmpty(r.value):
		return show(r.value) + ", error: " + show(r.err)
	case r.err != nil:
		return "error: " + show(r.err)
	case r.value == nil:
		return "no error"
	}
	return show(r.value)
}

func isEmpty(v any) bool { return v == nil || reflect.ValueOf(v).IsZero() }

// ok checks that the call succeeded.
func (r result) ok() result {
	if r.err != nil {
		r.x.t.Helper()
		r.x.fail(r.call, r.got(), "no error")
	}
	return r
}

// fails checks that the call failed with want.
func (r result) fails(want error) {
	if !errors.Is(r.err, want) {
		r.x.t.Helper()
		r.x.fail(r.call, r.got(), "error: "+show(want))
	}
}

// gives checks that the call succeeded with want. nil and empty differ.
func (r result) gives(want ...any) {
	if w := likeValue(r.value, want); r.err != nil || !reflect.DeepEqual(r.value, w) {
		r.x.t.Helper()
		r.x.fail(r.call, r.got(), show(w))
	}
}

// lists checks that the call succeeded with these names in this order.
func (r result) lists(want ...string) {
	if got, _ := r.value.([]string); r.err != nil || !slices.Equal(got, want) {
		r.x.t.Helper()
		r.x.fail(r.call, r.got(), show(want))
	}
}

// refused checks that a commit met other values, namely these.
func (r result) refused(current ...any) {
	w := likeValue(r.value, current)
	if !errors.Is(r.err, store.ErrConflict) || !reflect.DeepEqual(r.value, w) {
		r.x.t.Helper()
		r.x.fail(r.call, r.got(), show(w)+", error: "+show(store.ErrConflict))
	}
}

// likeValue brings the expected values into the form of what a call returned.
func likeValue(value any, want []any) any {
	switch value.(type) {
	case []byte:
		return bytesOf(want[0])
	case [][]byte:
		list := make([][]byte, len(want))
		for i, v := range want {
			list[i] = bytesOf(v)
		}
		return list
	default:
		return want[0]
	}
}

// A renewal is what Renew returned.
type renewal struct {
	x    *env
	call string
	errs []error
}

// gives checks the outcome for each session: nil or the error it must be.
func (r renewal) gives(want ...error) {
	r.x.t.Helper()
	if !slices.ContainsFunc(want, func(err error) bool { return err != nil }) {
		if r.errs != nil {
			r.x.fail(r.call, show(r.errs), "nil, as all of them live")
		}
		return
	}
	ok := len(r.errs) == len(want)
	for i := 0; ok && i < len(want); i++ {
		ok = errors.Is(r.errs[i], want[i])
	}
	if !ok {
		r.x.fail(r.call, show(r.errs), show(want))
	}
}

// endsAfter waits until each probe finds that its session has ended. It checks that this is neither
// before least has passed nor, beyond [Harness.Granularity], after that. Start must be taken before
// the call that leased the sessions.
func (x *env) endsAfter(start time.Time, least time.Duration, probes ...func() result) {
	x.t.Helper()
	x.endsBetween(start, time.Now(), least, probes...)
}

// endsBetween is endsAfter for sessions that were leased between start and granted.
//
// A busy machine makes neither check fail. A session ended too early only when the
// answer that says so came before least had passed since start. It lived too long
// only when a probe that succeeded began when least had passed since granted.
func (x *env) endsBetween(start, granted time.Time, least time.Duration, probes ...func() result) {
	x.t.Helper()
	x.due = time.Time{}
	latest := granted.Add(least + x.h.Granularity)
	moment := x.lease / 200
	if x.h.Synctest {
		moment = time.Microsecond
	}
	for {
		probes = slices.DeleteFunc(probes, func(probe func() result) bool { return x.hasEnded(start, latest, least, probe) })
		if len(probes) == 0 {
			return
		}
		pause := x.lease/20 + rand.N(x.lease/50+1)
		if left := least - time.Since(start) - moment; left > 0 {
			pause = min(pause, left) // the last moment at which the session must live
		}
		time.Sleep(pause)
	}
}

// hasEnded makes one probe for endsBetween.
func (x *env) hasEnded(start, latest time.Time, least time.Duration, probe func() result) bool {
	x.t.Helper()
	asked := time.Now()
	r := probe()
	lived := time.Since(start)
	switch {
	case errors.Is(r.err, store.ErrDestroyed), errors.Is(r.err, store.ErrNoSession):
		if lived < least {
			x.fail(r.call, fmt.Sprintf("%s, %v after the lease began", r.got(), lived), fmt.Sprintf("a session that lives for at least %v", least))
		}
		return true
	case r.err != nil:
		r.fails(store.ErrDestroyed)
	case asked.After(latest):
		x.fail(r.call, fmt.Sprintf("%s, %v after the lease began", r.got(), asked.Sub(start)),
			fmt.Sprintf("a session that ended after %v, or at most %v (Harness.Granularity) later", least, x.h.Granularity))
	}
	return false
}

// pass waits until leases that begin now and last for d have run out. It
// measures that on a session of its own.
func (x *env) pass(d time.Duration) {
	x.t.Helper()
	start := time.Now()
	clock := x.a.session(lease(d))
	x.endsAfter(start, d, func() result { return clock.get("k").orNotFound() })
}

// orNotFound turns the absence of the value into success.
func (r result) orNotFound() result {
	if errors.Is(r.err, store.ErrNotFound) {
		r.value, r.err = nil, nil
	}
	return r
}
